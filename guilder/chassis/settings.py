"""Settings come from environment variables, one small class per service.

A class lists its variables as fields with a default and a description; the settings reference is
made from the same declarations.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self, get_type_hints


def setting(default: Any, text: str) -> Any:
    """A setting with its default and what it means, with its unit."""
    return field(default=default, metadata={"text": text})


class BadSetting(ValueError):
    """A variable does not hold what it should; the text names it."""


@dataclass(frozen=True)
class Settings:
    """Base of a service's settings; the variable of field `x` is `<PREFIX>X`."""

    PREFIX: ClassVar[str] = "GUILDER_"

    @classmethod
    def load(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read from the environment; BadSetting names the variable and what it wants."""
        source = os.environ if env is None else env
        hints = get_type_hints(cls)
        given: dict[str, Any] = {}
        for item in fields(cls):
            text = source.get(cls.PREFIX + item.name.upper())
            if text is not None:
                given[item.name] = _read(cls.PREFIX + item.name.upper(), text, hints[item.name])
        return cls(**given)

    @classmethod
    def describe(cls) -> Iterator[tuple[str, str, str]]:
        """Variable, default and meaning of every setting."""
        for item in fields(cls):
            yield cls.PREFIX + item.name.upper(), str(item.default), item.metadata["text"]


def _read(name: str, text: str, kind: Any) -> Any:
    try:
        if kind is bool:
            return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
        if kind in (int, float, str, Path):
            return kind(text)
    except (KeyError, ValueError):
        raise BadSetting(f"{name}={text!r} is not a valid {kind.__name__}") from None
    raise TypeError(f"{name}: settings are int, float, bool, str or Path")


@dataclass(frozen=True)
class LogSettings(Settings):
    """What is logged."""

    PREFIX: ClassVar[str] = "GUILDER_LOG_"

    level: str = setting("info", "the least level that is logged: debug, info, warning or error")


@dataclass(frozen=True)
class OutboundSettings(Settings):
    """Where the platform may send to on somebody else's word."""

    PREFIX: ClassVar[str] = "GUILDER_OUTBOUND_"

    allow: str = setting(
        "",
        "networks, parted by commas, that editions and webhooks may be on although they are not"
        " public: `10.1.0.0/16, ::1/128`; only there may an address be http://",
    )


@dataclass(frozen=True)
class EditionSettings(Settings):
    """Whether stock services are offered as editions (chassis/edition_door.py)."""

    PREFIX: ClassVar[str] = "GUILDER_EDITION_"

    key: str = setting(
        "",
        "the public key, a JSON Web Key as `GET /v1/edition-keys` lists it, of the platform that"
        " this process answers as an edition below /editions/NAME; empty = nobody",
    )
