"""Reads XML that somebody supplies: no DTD, no entity, nothing external, bounded depth and size."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

DEEPEST: Final = 32
"""The deepest nesting; the public formats have at most ten levels."""

LARGEST: Final = 256 * 1024 * 1024
"""The largest file that is read, in bytes; the largest list published has some 40 MB."""

MOST_ENTRIES: Final = 500_000


class BadList(Exception):
    """A list file cannot be read; the text says why, for the operator."""


def check_size(path: Path) -> None:
    """BadList where a file is larger than any list."""
    found = path.stat().st_size
    if found > LARGEST:
        raise BadList(f"{path.name} has {found} bytes, more than any list: {LARGEST}")


def elements(path: Path, wanted: set[str]) -> Iterator[tuple[str, Element]]:
    """The root as it begins, then each element of the wanted names when it is complete.

    Names come without their namespace, of everything below as well. What was handed out is emptied
    afterwards, so memory does not grow with the file.
    """
    check_size(path)
    depth, inside = 0, 0
    try:
        for event, element in iterparse(
            str(path), events=("start", "end"), forbid_dtd=True, forbid_external=True
        ):
            element.tag = element.tag.rpartition("}")[2]
            name = element.tag
            if event == "start":
                depth += 1
                inside += name in wanted
                if depth > DEEPEST:
                    raise BadList(f"{path.name} is nested more than {DEEPEST} deep")
                if depth == 1:
                    root = element
                    yield name, element
                continue
            depth -= 1
            if name in wanted:
                inside -= 1
                yield name, element
            if not inside:
                element.clear()
                if depth == 1:
                    root.clear()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise BadList(f"{path.name} is no XML that is read here: {_said(error)}") from None


def text(element: Element, path: str) -> str:
    """The text of the first element at a path below, without spaces around it; "" = none."""
    return (element.findtext(path) or "").strip()


def texts(element: Element, path: str) -> list[str]:
    """The texts at a path below that are not empty."""
    return [said for found in element.findall(path) if (said := (found.text or "").strip())]


def day_of(written: str) -> date | None:
    """A day as XML writes it, with or without a time behind it; None for anything else."""
    try:
        return date.fromisoformat(written[:10])
    except ValueError:
        return None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
