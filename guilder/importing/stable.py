"""Ids that a repeat of the same import makes again, so that every service recognises it."""

from datetime import date
from hashlib import sha256
from uuid import UUID

_EPOCH = date(1970, 1, 1).toordinal()
_DAY_MS = 86_400_000
_RANDOM_BITS = 74
_VERSION = 7 << 76
_VARIANT = 2 << 62


def stable_uuid7(namespace: str, external_id: str, on: date) -> UUID:
    """A UUIDv7 whose clock is `on` at 0:00 UTC and whose random bits come from the names.

    Equal input gives an equal id, on every machine. Days before 1970, which the clock of a
    UUIDv7 cannot show, get clock 0.
    """
    clock = max(on.toordinal() - _EPOCH, 0) * _DAY_MS
    digest = sha256(f"{namespace}\0{external_id}".encode()).digest()
    bits = int.from_bytes(digest[:10]) >> (80 - _RANDOM_BITS)
    high, low = bits >> 62, bits & ((1 << 62) - 1)
    return UUID(int=clock << 80 | _VERSION | high << 64 | _VARIANT | low)
