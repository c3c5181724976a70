"""`audit`: who did what, when, and with which outcome; append-only and hash-chained."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Answers, Batch, Contract, Request, operation

Short = Annotated[str, msgspec.Meta(max_length=100)]


class Record(Request, frozen=True, kw_only=True):
    """A refusal or another thing that left no event of its own. Ids only, no personal data."""

    id: UUID
    at: datetime
    operation: Short
    outcome: Short
    """`done`, or the code of the problem."""
    ids: dict[Short, Short] = msgspec.field(default_factory=dict)


class Recorded(Answer, frozen=True, kw_only=True):
    """The entry's place in the chain."""

    id: UUID
    n: int


class AuditQuery(Request, frozen=True, kw_only=True):
    """Filter; newest first; pass `next` as `before`."""

    principal: UUID | None = None
    operation: Short | None = None
    before: int | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class AuditEntry(Answer, frozen=True, kw_only=True):
    """One entry: `source` is the service (or `gateway`) that it came from."""

    n: int
    at: datetime
    source: str
    operation: str
    """An event's type, or the operation that was refused."""
    principal: str
    outcome: str
    request: str
    ids: dict[str, str]
    hash: str
    """Hex SHA-256 over the previous entry's hash and this entry."""


class AuditPage(Answer, frozen=True, kw_only=True):
    """Entries, newest first."""

    items: list[AuditEntry]
    next: int | None


class Audit(Contract, name="audit", version="1.0.0-draft"):
    """Who did what."""

    @operation("POST /records", deadline_ms=2_000)
    async def record(self, calls: Batch[Record]) -> Answers[Recorded]:
        """Append entries; one with a known id is not appended again."""
        raise NotImplementedError

    @operation("GET /audit-entries", public=True, may="view")
    async def entries(self, ctx: Context, request: AuditQuery) -> AuditPage:
        """Read the audit of the tenant; staff only."""
        raise NotImplementedError
