"""The audit: takes down who did what, and shows it."""

import re
from datetime import datetime, timedelta
from uuid import UUID

from guilder.chassis.events import feed
from guilder.chassis.store import Store
from guilder.contracts.audit import v1
from guilder.contracts.context import Call, Context
from guilder.contracts.declare import (
    Answers,
    Batch,
    EventPage,
    EventQuery,
    Finding,
    Nothing,
    SelfCheck,
)
from guilder.contracts.errors import InvalidRequest, Problem
from guilder.services.audit import store
from guilder.services.audit.chain import Line, Link, Walk, extend

RECORDS = "gateway"
"""The source of what is recorded by call: only the gateway may."""

AHEAD = timedelta(minutes=5)
"""How far a recorder's clock may be ahead of ours."""

BEHIND = timedelta(days=40)
"""How old a record may be: as long as idempotency keys are kept."""

CHECK_PAGE = 2_000
LAST = 2**62


class AuditService(v1.Audit):
    """Entries of every tenant, each chained to the one before."""

    def __init__(self, database: Store) -> None:
        """`database` is the service's own."""
        self.store = database

    async def record(self, calls: Batch[v1.Record]) -> Answers[v1.Recorded]:
        """Append what is new; known ids get the place they already have."""
        async with self.store.tx(*sorted({call.ctx.tenant for call in calls})) as tx:
            asked = [_line(call, tx.at) for call in calls]
            lines = [line for line in asked if isinstance(line, Line)]
            heads = await store.lock_heads(tx, [line.tenant for line in lines])
            known = await store.find(tx, RECORDS, [(line.tenant, line.ref) for line in lines])
            fresh: dict[tuple[int, str], Line] = {}
            for line in lines:
                if (line.tenant, line.ref) not in known:
                    fresh.setdefault((line.tenant, line.ref), line)
            links = extend(heads, fresh.values())
            if links:
                await store.append(tx, links, heads)
        known |= dict(zip(fresh, links, strict=True))
        return [_place(line, known) if isinstance(line, Line) else line for line in asked]

    async def entries(self, ctx: Context, request: v1.AuditQuery) -> v1.AuditPage:
        """Read a page, newest first."""
        before = min(request.before or LAST, LAST)
        async with self.store.tx(ctx.tenant) as tx:
            links = await store.page(
                tx, ctx.tenant, before, request.principal, request.operation, request.limit + 1
            )
        shown = links[: request.limit]
        more = len(links) > len(shown)
        following = shown[-1].n if more else None
        return v1.AuditPage(items=[_entry(link) for link in shown], next=following)

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log; the audit itself emits nothing."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Recompute every chain as of one moment; facts say what each feed left here."""
        findings: list[Finding] = []
        facts: dict[str, str] = {}
        checked = 0
        async with self.store.tx() as tx:
            tenants = await store.hold_still(tx)
            for privilege in await store.too_much(tx):
                detail = f"the login role may {privilege} entries"
                findings.append(Finding(check="audit-privileges", detail=detail))
            for source, position in await store.followed(tx):
                facts[f"followed:{source}"] = position
            for tenant in tenants:
                walk, head = Walk(), await store.look_at(tx, tenant)
                while links := await store.following(tx, tenant, walk.at.n, CHECK_PAGE):
                    walk.take(links)
                    checked += len(links)
                walk.end(head)
                findings += [Finding(check=c, detail=d, tenant=tenant) for c, d in walk.broken]
                facts[f"head:{tenant}"] = f"{walk.at.n}:{walk.at.hash.hex()}"
                for source, tally in walk.tallies.items():
                    facts[f"tally:{source}:{tenant}"] = str(tally)
        return SelfCheck(
            service="audit",
            checked={"entries": checked, "chains": len(tenants)},
            findings=findings,
            facts=facts,
        )


def _line(call: Call[v1.Record], now: datetime) -> Line | Problem:
    """The line that a record leaves, or why it is not taken down."""
    record, ctx = call.request, call.ctx
    if record.at.tzinfo is None:
        return InvalidRequest("`at` needs a zone", at="$.at")
    try:
        age = now - record.at
    except OverflowError:
        return InvalidRequest("`at` is not a time of our days", at="$.at")
    if not -AHEAD <= age <= BEHIND:
        return InvalidRequest("`at` lies in the future or too far in the past", at="$.at")
    texts = [record.operation, record.outcome, *record.ids, *record.ids.values()]
    if len(record.ids) > 20 or not all(re.fullmatch(r"[ -~]{0,100}", text) for text in texts):
        return InvalidRequest("texts must be at most 100 printable ASCII characters", at="$")
    return Line(
        tenant=ctx.tenant,
        source=RECORDS,
        ref=str(record.id),
        at=record.at,
        operation=record.operation,
        principal=ctx.principal.id,
        outcome=record.outcome,
        request=ctx.request,
        ids=record.ids,
    )


def _place(line: Line, known: dict[tuple[int, str], Link]) -> v1.Recorded | Problem:
    """Where the line stands, unless another line stands under its id."""
    link = known[line.tenant, line.ref]
    stands = link.line
    same = (stands.at, stands.operation, stands.principal, stands.outcome, stands.ids)
    if same != (line.at, line.operation, line.principal, line.outcome, line.ids):
        return v1.RecordDiffers(f"record {line.ref}")
    return v1.Recorded(id=UUID(line.ref), n=link.n)


def _entry(link: Link) -> v1.AuditEntry:
    line = link.line
    return v1.AuditEntry(
        n=link.n,
        at=line.at,
        source=line.source,
        ref=line.ref,
        operation=line.operation,
        principal=str(line.principal),
        outcome=line.outcome,
        request=line.request,
        ids=line.ids,
        hash=link.hash.hex(),
    )
