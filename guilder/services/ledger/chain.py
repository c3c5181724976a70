"""The hash chain over the journal: each batch's hash covers its rows and the hash before."""

import hashlib
from collections.abc import Iterable
from datetime import date, datetime

from guilder.services.ledger.journal import Row

GENESIS = bytes(32)
"""What the first batch stands on."""


def canonical(row: Row) -> bytes:
    """Write a row as one line of bytes: the same for equal rows, different for others."""
    return "|".join([_text(value) for value in row]).encode() + b"\n"


def _text(value: object) -> str:
    # No value may contain the separator: ids, numbers, dates, closed lists, one strict pattern.
    if value is None:
        return ""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


class Link:
    """The hash of one batch, fed row by row."""

    def __init__(self, prev: bytes) -> None:
        """`prev` is the hash of the batch before."""
        self._hash = hashlib.sha256(prev)

    def add(self, rows: Iterable[Row]) -> "Link":
        """Take in the next rows."""
        self._hash.update(b"".join(map(canonical, rows)))
        return self

    def digest(self) -> bytes:
        """The hash of what was taken in."""
        return self._hash.digest()
