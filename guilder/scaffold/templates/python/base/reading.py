"""Reads values of an item one by one; whatever is not as the contract says is refused."""

import re
from datetime import datetime
from typing import Any

from problems import invalid


def members(value: Any, needed: str, optional: str = "") -> dict[str, Any]:
    """An object with these members: all of `needed`, at most also `optional`."""
    if not isinstance(value, dict):
        raise invalid("an object is expected")
    for name in needed.split():
        if name not in value:
            raise invalid(f"the member {name} is missing")
    if set(value) - set(needed.split()) - set(optional.split()):
        raise invalid("a member is not known")
    return value


def text(value: Any, name: str, least: int, most: int) -> str:
    """A string of so many characters."""
    if not isinstance(value, str):
        raise invalid(f"{name} must be a string")
    if not least <= len(value) <= most or re.search("[\x00\ud800-\udfff]", value):
        raise invalid(f"{name} must have {least} to {most} characters")
    return value


def one_of(value: Any, name: str, words: str) -> str:
    """One of these words."""
    if not isinstance(value, str) or value not in words.split():
        raise invalid(f"{name} must be one of {words}")
    return value


_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|z|[+-]\d\d:?\d\d)", re.ASCII
)


def moment(value: Any, name: str) -> datetime:
    """A moment with its zone (RFC 3339)."""
    try:
        if isinstance(value, str) and _MOMENT.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except ValueError:
        pass  # no moment of the calendar
    raise invalid(f"{name} must be a moment such as 2026-03-01T12:00:00Z")
