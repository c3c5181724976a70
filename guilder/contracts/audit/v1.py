"""`audit`: who did what, when, and with which outcome; append-only and hash-chained.

The chain can be recomputed from the answers of `entries` alone: `entry_hash` says how.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Answers, Batch, Contract, Request, operation
from guilder.contracts.errors import Conflict

Short = Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[ -~]*(?!\n)$")]
"""Printable ASCII: codes and ids, never what somebody typed."""

Ids = Annotated[dict[Short, Short], msgspec.Meta(max_length=20)]
Place = Annotated[int, msgspec.Meta(ge=1, le=2**62)]

START = bytes(32)
"""What the first entry of every tenant is chained to."""


class RecordDiffers(Conflict):
    """The id was used for another record."""

    code = "record-differs"
    title = "Another record carries this id"
    fix = "Use a new UUIDv7 for a new record; what is in the audit never changes."


class Record(Request, frozen=True, kw_only=True):
    """A refusal or another thing that left no event of its own. Ids only, no personal data."""

    id: UUID
    at: datetime
    operation: Short
    outcome: Short
    """`done`, or the code of the problem."""
    ids: Ids = msgspec.field(default_factory=dict)


class Recorded(Answer, frozen=True, kw_only=True):
    """The entry's place in the chain."""

    id: UUID
    n: int


class AuditQuery(Request, frozen=True, kw_only=True):
    """Filter; newest first; pass `next` as `before`."""

    principal: UUID | None = None
    operation: Short | None = None
    before: Place | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class AuditEntry(Answer, frozen=True, kw_only=True):
    """One entry: `source` is the service (or `gateway`) that it came from."""

    n: int
    at: datetime
    source: str
    ref: str
    """The event's position in the log of `source`, or the id of the record."""
    operation: str
    """An event's type, or the operation that was refused."""
    principal: str
    outcome: str
    request: str
    ids: dict[str, str]
    hash: str
    """Hex `entry_hash` over the previous entry's hash and this entry."""


class AuditPage(Answer, frozen=True, kw_only=True):
    """Entries, newest first."""

    items: list[AuditEntry]
    next: int | None


class Audit(Contract, name="audit", version="1.0.0-draft"):
    """Who did what."""

    @operation("POST /records", deadline_ms=2_000, problems=(RecordDiffers,))
    async def record(self, calls: Batch[Record]) -> Answers[Recorded]:
        """Append entries; one with a known id is not appended again."""
        raise NotImplementedError

    @operation("GET /audit-entries", public=True, may="view")
    async def entries(self, ctx: Context, request: AuditQuery) -> AuditPage:
        """Read the audit of the tenant; staff only."""
        raise NotImplementedError


def canonical(
    *,
    tenant: int,
    source: str,
    ref: str,
    at: datetime,
    operation: str,
    principal: str,
    outcome: str,
    request: str,
    ids: Mapping[str, str],
) -> bytes:
    """What an entry says, as bytes: a JSON array of its fields, `at` in UTC, `ids` in order."""
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    fields = [tenant, source, ref, moment, operation, principal, outcome, request]
    return msgspec.json.encode([*fields, sorted(ids.items())])


def entry_hash(previous: bytes, n: int, content: bytes) -> bytes:
    """SHA-256 over the previous entry's hash, the place (8 bytes, big-endian) and the content."""
    return hashlib.sha256(previous + n.to_bytes(8, "big") + content).digest()


class Tally:
    """How many entries and, whatever their order, which: the sum of their hashes mod 2**256."""

    def __init__(self) -> None:
        """Start with none."""
        self.count, self._sum = 0, 0

    def add(self, content: bytes) -> None:
        """Count an entry by its canonical bytes."""
        self.count += 1
        self._sum += int.from_bytes(hashlib.sha256(content).digest(), "big")

    def __str__(self) -> str:
        """`count:hex`, equal exactly when the same entries were counted."""
        return f"{self.count}:{self._sum % 2**256:064x}"
