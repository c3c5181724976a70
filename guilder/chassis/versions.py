"""Released versions of contracts: how long they live, and what an edition of an older one knows.

Several minor versions are served at once: what a binding names decides which members an edition is
sent and may answer with.
"""

import json
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from functools import cache
from importlib import resources
from typing import Any

from guilder.chassis.openapi import contract_document, edition_document
from guilder.chassis.shapes import Schema, variants
from guilder.contracts import edition
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.declare import Contract, Operation

NOTICE = timedelta(days=180)
"""The least time between the day something is deprecated and the day it may be removed."""


@dataclass(frozen=True)
class Life:
    """The days of a version, or of an operation that goes before its version."""

    released: date | None = None
    deprecated: date | None = None
    sunset: date | None = None

    def headers(self, docs: str, on: date) -> dict[str, str]:
        """Headers that announce the end; none before the day it is deprecated.

        `docs` is the path of the page that says what to use instead.
        """
        if self.deprecated is None or on < self.deprecated:
            return {}
        since = int(_moment(self.deprecated).timestamp())
        found = {"Deprecation": f"@{since}", "Link": f'<{docs}>; rel="deprecation"'}
        if self.sunset is not None:
            found["Sunset"] = format_datetime(_moment(self.sunset), usegmt=True)
            found["Link"] += f', <{docs}>; rel="sunset"'
        return found


class Versions:
    """What `versions.toml` says."""

    def __init__(self, text: str) -> None:
        """Read it; ValueError names a day that breaks a promise."""
        self._lives: dict[str, dict[str, Life]] = {}
        self._operations: dict[str, Life] = {}
        for contract, entries in tomllib.loads(text).items():
            operations = entries.pop("operations", {})
            self._lives[contract] = {v: _life(f"{contract} {v}", e) for v, e in entries.items()}
            for name, entry in operations.items():
                key = f"{contract}.{name}"
                self._operations[key] = _life(key, {"released": None, **entry})

    def released(self, contract: str) -> dict[str, Life]:
        """The released versions of a contract, oldest first."""
        found = self._lives.get(contract, {})
        return dict(sorted(found.items(), key=lambda pair: _numbers(pair[0])))

    def life(self, operation: Operation, version: str) -> Life:
        """How long an operation of a version lives: its own days, else those of the version."""
        own = self._operations.get(operation.id)
        return own or self._lives.get(operation.contract, {}).get(version, Life())

    def unbindable(self, contract: type[Contract], version: str, on: date) -> str:
        """Why nothing new may be bound to a version of a contract on a day, or ""."""
        name, present = contract.contract_name, contract.contract_version.removesuffix("-draft")
        version = version.removesuffix("-draft")
        life = self._lives.get(name, {}).get(version)
        if life is None and version != present:
            known = ", ".join(self.released(name)) or "none"
            return f"{name} {version} was never released; released are: {known}"
        if _numbers(version)[0] != _numbers(present)[0]:
            return f"this platform speaks {name} {present} and no longer {version}"
        if life is not None and life.sunset is not None and on >= life.sunset:
            return f"{name} {version} has ended on {life.sunset}: build against {name} {present}"
        return ""


@cache
def versions() -> Versions:
    """The versions of this tree."""
    return Versions((resources.files("guilder.contracts") / "versions.toml").read_text("utf-8"))


def frozen(contract: str, version: str) -> dict[str, Any] | None:
    """The document of a released version as it was frozen, or None."""
    folder = resources.files("guilder.contracts") / contract / "openapi"
    path = folder / f"{contract}-{version}.json"
    if not path.is_file():
        return None
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return document


def document(contract: type[Contract], version: str = "") -> dict[str, Any]:
    """The document of a version: as frozen, or as the code says it; LookupError if neither."""
    name, present = contract.contract_name, contract.contract_version
    kept = frozen(name, version) if version else None
    if kept is not None:
        return kept
    if version not in ("", present, present.removesuffix("-draft")):
        raise LookupError(f"there is no {name} {version}")
    # through JSON, so that tuples and lists compare alike
    found: dict[str, Any] = json.loads(json.dumps(contract_document(contract)))
    return found


@dataclass(frozen=True)
class Known:
    """What an edition of a version knows of an operation, as JSON schemas."""

    question: Schema
    said: Schema
    components: dict[str, Schema]

    def ask(self, item: dict[str, Any]) -> Any:
        """A question as this version knows it: newer members are left out."""
        return _only(item, self.question, self.components)

    def answer(self, said: dict[str, Any]) -> Any:
        """An answer as this version knows it: what it does not promise is not read."""
        return _only(said, self.said, self.components)


def fields_of(contract: type[Contract], version: str) -> dict[str, Known]:
    """What editions of a version know, by the operation's name; an operation that is younger than
    the version is not there, and stock answers it. LookupError for a version that never was.
    """
    present = contract.contract_version.removesuffix("-draft")
    whole = edition_document(contract) if version == present else document(contract, version)
    components = whole["components"]["schemas"]
    found = {}
    for operation in contract.replaceable():
        described = whole["paths"].get(edition.path(operation), {}).get(operation.method.lower())
        if described is not None:
            asked = _json(described["requestBody"])["properties"]["items"]["items"]
            answered = _json(described["responses"]["200"])["properties"]["items"]["items"]
            (answer,) = [o for o in answered["oneOf"] if "answer" in o["properties"]]
            found[operation.name] = Known(asked, answer["properties"]["answer"], components)
    return found


@cache
def older(contract: str, version: str) -> dict[str, Known] | None:
    """What `fields_of` says of an older version that is bound; None where there is nothing to leave
    out: it is the present version, or one of a later release of the platform.
    """
    kind = all_contracts().get(contract)
    present = "" if kind is None else kind.contract_version.removesuffix("-draft")
    if kind is None or version.removesuffix("-draft") in ("", present):
        return None
    try:
        return fields_of(kind, version)
    except LookupError:
        return None


def _json(body: dict[str, Any]) -> Schema:
    schema: Schema = body["content"]["application/json"]["schema"]
    return schema


def _only(value: Any, schema: Schema, components: dict[str, Schema]) -> Any:
    """A value without the members of objects that a schema does not name."""
    found = variants(schema, components)
    if isinstance(value, list):
        inner = [variant["items"] for variant in found if "items" in variant]
        return [_only(item, inner[0], components) for item in value] if inner else value
    if not isinstance(value, dict):
        return value
    named = {n: s for variant in found for n, s in variant.get("properties", {}).items()}
    if not named:
        return value
    return {n: _only(item, named[n], components) for n, item in value.items() if n in named}


def _life(what: str, entry: dict[str, Any]) -> Life:
    unknown = set(entry) - {"released", "deprecated", "sunset"}
    if unknown:
        raise ValueError(f"{what}: versions.toml knows no {min(unknown)}")
    for name, day in entry.items():
        if day is not None and (isinstance(day, datetime) or not isinstance(day, date)):
            raise ValueError(f"{what}: {name} must be a day, as 2027-01-31")
    if "released" not in entry:
        raise ValueError(f"{what}: say when it was released")
    life = Life(**entry)
    if life.sunset is not None and life.deprecated is None:
        raise ValueError(f"{what}: a sunset needs the day on which it was deprecated")
    if life.deprecated is not None and life.released and life.deprecated < life.released:
        raise ValueError(f"{what}: it is deprecated before it was released")
    earliest = (life.deprecated or date.min) + NOTICE
    if life.sunset is not None and life.sunset < earliest:
        raise ValueError(f"{what}: its sunset is before {earliest}, {NOTICE.days} days after")
    return life


def _moment(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
