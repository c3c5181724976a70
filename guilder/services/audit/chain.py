"""The chain: lines, and how each is tied to the one before. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from guilder.contracts.audit import v1
from guilder.contracts.declare import Event

MAX_FINDINGS = 50
"""The most findings that one walk over a chain keeps: the first ones say where to look."""


@dataclass(frozen=True)
class Line:
    """Something that was done or refused, not yet in its place."""

    tenant: int
    source: str
    ref: str
    at: datetime
    operation: str
    principal: UUID
    outcome: str
    request: str
    ids: dict[str, str]

    @property
    def content(self) -> bytes:
        """The canonical bytes."""
        return v1.canonical(
            tenant=self.tenant,
            source=self.source,
            ref=self.ref,
            at=self.at,
            operation=self.operation,
            principal=str(self.principal),
            outcome=self.outcome,
            request=self.request,
            ids=self.ids,
        )


@dataclass(frozen=True)
class Head:
    """Where a tenant's chain ends."""

    n: int = 0
    hash: bytes = v1.START


@dataclass(frozen=True)
class Link:
    """A line in its place."""

    n: int
    line: Line
    hash: bytes


def from_event(source: str, event: Event) -> Line:
    """The line that an event of a service's log leaves."""
    return Line(
        tenant=event.tenant,
        source=source,
        ref=event.position,
        at=event.at,
        operation=event.type,
        principal=UUID(event.principal),
        outcome="done",
        request=event.request,
        ids=event.ids,
    )


def extend(heads: dict[int, Head], lines: Iterable[Line]) -> list[Link]:
    """Chain lines, in order, to the heads of their tenants; moves the heads."""
    links = []
    for line in lines:
        head = heads[line.tenant]
        n = head.n + 1
        digest = v1.entry_hash(head.hash, n, line.content)
        heads[line.tenant] = Head(n, digest)
        links.append(Link(n, line, digest))
    return links


class Walk:
    """Goes over one tenant's chain from its start and notes what is broken."""

    def __init__(self) -> None:
        """Start before the first entry."""
        self.at = Head()
        self.broken: list[tuple[str, str]] = []
        self.tallies: dict[str, v1.Tally] = {}

    def take(self, links: Sequence[Link]) -> None:
        """Check the next links; goes on from what is stored, so one change is found once."""
        for link in links:
            if link.n != self.at.n + 1:
                self._note("audit-gap", f"entry {self.at.n + 1} is missing before {link.n}")
            content = link.line.content
            if v1.entry_hash(self.at.hash, link.n, content) != link.hash:
                self._note("audit-chain", f"the hash of entry {link.n} does not hold")
            self.tallies.setdefault(link.line.source, v1.Tally()).add(content)
            self.at = Head(link.n, link.hash)

    def end(self, head: Head) -> None:
        """Compare the end of the walk with the stored head."""
        if head != self.at:
            self._note("audit-head", f"the head says {head.n}, the chain ends at {self.at.n}")

    def _note(self, check: str, detail: str) -> None:
        if len(self.broken) < MAX_FINDINGS:
            self.broken.append((check, detail))
