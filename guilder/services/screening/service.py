"""Screening: checks both sides of a payment against the lists, keeps the cases hits become."""

import asyncio
from typing import Any, Final
from uuid import UUID

from guilder.chassis.events import feed
from guilder.chassis.guard import approved
from guilder.chassis.idempotency import Claim, Once, claimed
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store, Tx
from guilder.contracts.access.v1 import Access
from guilder.contracts.context import Context
from guilder.contracts.declare import (
    Answers,
    Batch,
    EventPage,
    EventQuery,
    Finding,
    Nothing,
    SelfCheck,
)
from guilder.contracts.errors import Forbidden, Problem
from guilder.contracts.screening import v1
from guilder.contracts.values import uuid7
from guilder.services.screening import case, store
from guilder.services.screening.index import Index
from guilder.services.screening.lists import Lists
from guilder.services.screening.match import Match, why

MOST_HITS: Final = 25
"""Hits of one side that are told; who is that common is looked at by a person in any case."""

REMEMBERED, REMEMBERED_SECONDS = 20_000, 60.0
"""How many names are remembered with what was found, and how long: no longer than keys."""

PAGE: Final = 200
MOST_TEXT: Final = 300


class ScreeningService(v1.Screening):
    """Checks and cases."""

    def __init__(
        self,
        database: Store,
        once: Once,
        sealer: Sealer,
        access: Access,
        lists: Lists,
        threshold: int,
    ) -> None:
        """`access` knows who approved; `threshold` is the score from which a name is a hit."""
        self.store, self.once, self.lists, self._access = database, once, lists, access
        self._sealer, self._threshold = sealer, threshold
        self._remembered: dict[v1.Side, list[Match]] = {}
        self._of: Index | None = None
        """What it was found in."""

    # ── checks ───────────────────────────────────────────────────────────────────────────────

    async def check(self, calls: Batch[v1.Check]) -> Answers[v1.Checked]:
        """Check both sides of every payment; others get their turn in between."""
        try:
            index, basis = await self.lists.current()
        except Problem as problem:
            return [problem for _ in calls]
        if self._of is not index:
            self._remembered, self._of = {}, index
        remembered = self._remembered  # of these lists: others may be in force before the end
        answers: Answers[v1.Checked] = []
        for call in calls:
            hits: list[v1.Hit] = []
            for role, side in _sides(call.request):
                matches = remembered.get(side)
                if matches is None:
                    if len(remembered) >= REMEMBERED:
                        remembered.clear()
                    matches = remembered[side] = self._find(index, side)
                    await asyncio.sleep(0)
                hits += [_hit(role, match) for match in matches]
            answers.append(v1.Checked(verdict="hit" if hits else "clear", hits=hits, basis=basis))
        return answers

    def _find(self, index: Index, side: v1.Side) -> list[Match]:
        return index.find(side, self._threshold)[:MOST_HITS]

    async def forget(self) -> None:
        """Remember nobody any more who was asked after (a sweep)."""
        self._remembered.clear()
        if self._of is not None:  # nothing else was asked; a later index holds nobody yet
            self._of.forget()

    # ── cases ────────────────────────────────────────────────────────────────────────────────

    async def open_case(self, calls: Batch[v1.OpenCase]) -> Answers[v1.Standing]:
        """Seal and write the case, unless the payment has one."""
        sealed = [
            await asyncio.gather(
                *(case.seal(self._sealer, call.ctx.tenant, side) for side in call.request.sides)
            )
            for call in calls
        ]
        async with self.store.tx(*sorted({call.ctx.tenant for call in calls})) as tx:
            for call, about in zip(calls, sealed, strict=True):
                new, opened = uuid7(tx.at), call.request
                if await store.add(tx, call.ctx.tenant, new, opened, about):
                    tx.emit(call.ctx, "case.opened", case=new, payment=opened.payment_id)
            return await _standings(tx, [(c.ctx.tenant, c.request.payment_id) for c in calls])

    async def standing(self, calls: Batch[v1.WhichPayment]) -> Answers[v1.Standing]:
        """Look the cases of payments up."""
        async with self.store.tx(*sorted({call.ctx.tenant for call in calls})) as tx:
            return await _standings(tx, [(c.ctx.tenant, c.request.payment_id) for c in calls])

    async def cases(self, ctx: Context, request: v1.CaseQuery) -> v1.Cases:
        """List cases without opening what is sealed."""
        limit = request.limit
        async with self.store.tx(ctx.tenant) as tx:
            rows = await store.page(tx, ctx.tenant, request.state, request.after, limit + 1)
        items = [
            v1.CaseLine(
                id=row["id"],
                payment_id=row["payment"],
                state=row["state"],
                hits=row["hits"],
                screened_by=row["screened_by"],
                opened_at=row["opened_at"],
                decided_at=row["decided_at"],
            )
            for row in rows[:limit]
        ]
        return v1.Cases(items=items, next=items[-1].id if len(rows) > limit else None)

    async def case(self, ctx: Context, request: v1.CaseId) -> v1.Case:
        """Open what is sealed; who was erased stays away."""
        row, sides = await self._find_case(ctx, request.case_id)
        opened = await asyncio.gather(*(case.examined(self._sealer, side) for side in sides))
        known = [side for side in opened if side is not None]
        return v1.Case(
            id=row["id"],
            payment_id=row["payment"],
            state=row["state"],
            sides=known,
            erased=len(sides) - len(known),
            basis=row["basis"],
            screened_by=row["screened_by"],
            generation=row["generation"],
            opened_at=row["opened_at"],
            decided_at=row["decided_at"],
            reason=await case.open_reason(self._sealer, row, sides),
            approval=row["approval"],
        )

    @claimed
    async def release_case(
        self, claim: Claim, ctx: Context, request: v1.DecideCase
    ) -> v1.DecidedCase:
        """Let the payment go on: payments follows the event."""
        return await self._decide(claim, ctx, request, "release_case", "released")

    @claimed
    async def confirm_case(
        self, claim: Claim, ctx: Context, request: v1.DecideCase
    ) -> v1.DecidedCase:
        """Have the payment refused: payments follows the event."""
        return await self._decide(claim, ctx, request, "confirm_case", "confirmed")

    async def _decide(
        self,
        claim: Claim,
        ctx: Context,
        request: v1.DecideCase,
        name: str,
        state: v1.CaseState,
    ) -> v1.DecidedCase:
        _, sides = await self._find_case(ctx, request.case_id)
        _refuse_concerned(sides, ctx.principal.party)
        by = await approved(self._access, self.operations()[name], ctx, request)
        if by is None:
            raise Forbidden("a case is decided with the approval of a second person")
        _refuse_concerned(sides, by.approver_party)
        reason = await case.seal_reason(self._sealer, ctx.tenant, sides, request.reason)

        async def work(tx: Tx) -> v1.DecidedCase:
            done = await store.decide(tx, ctx.tenant, request.case_id, state, reason, ctx.approval)
            if done is None:
                raise v1.CaseDecided(f"case {request.case_id}")
            tx.emit(ctx, f"case.{state}", case=done["id"], payment=done["payment"])
            return v1.DecidedCase(
                id=done["id"], payment_id=done["payment"], state=state, decided_at=tx.at
            )

        return await claim.finish(work)

    async def foresee(self, operation: str, ctx: Context, request: Any) -> None:
        """Refuse to propose what is decided already."""
        if operation in ("release_case", "confirm_case"):
            row, sides = await self._find_case(ctx, request.case_id)
            if row["state"] != "open":
                raise v1.CaseDecided(f"case {request.case_id}")
            _refuse_concerned(sides, ctx.principal.party)

    async def _find_case(self, ctx: Context, wanted: UUID) -> tuple[Any, list[Any]]:
        """A case and its sides."""
        async with self.store.tx(ctx.tenant) as tx:
            row = await store.find(tx, ctx.tenant, wanted)
            if row is None:
                raise v1.UnknownCase(f"no case {wanted}")
            return row, await store.sides(tx, ctx.tenant, wanted)

    # ── the house ────────────────────────────────────────────────────────────────────────────

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Open every case, and say which lists cannot be read."""
        findings = [Finding(check="list-broken", detail=said) for said in self.lists.broken()]
        counted = {"cases": 0, "open": 0}
        for tenant in await self.store.seen_tenants():
            after, more = None, True
            while more:  # each page starts behind the one before
                async with self.store.tx(tenant) as tx:
                    rows = await store.page(tx, tenant, None, after, PAGE)
                counted["cases"] += len(rows)
                counted["open"] += sum(row["state"] == "open" for row in rows)
                findings += [found for row in rows for found in await self._check(tenant, row)]
                after, more = rows[-1]["id"] if rows else None, len(rows) == PAGE
        return SelfCheck(service="screening", checked=counted, findings=findings, facts={})

    async def _check(self, tenant: int, row: Any) -> list[Finding]:
        """What does not open although its key is there, or does not add up."""
        async with self.store.tx(tenant) as tx:
            sides = await store.sides(tx, tenant, row["id"])
        try:
            opened = await asyncio.gather(*(case.examined(self._sealer, side) for side in sides))
            await case.open_reason(self._sealer, row, sides)
        except Problem as problem:
            detail = f"case {row['id']}: {problem.detail}"
            return [Finding(check="case-opens", detail=detail, tenant=tenant)]
        held = [
            len(one.hits) if one else side["hits"] for one, side in zip(opened, sides, strict=True)
        ]
        if sum(held) == row["hits"]:
            return []
        detail = f"case {row['id']} does not hold the hits that it counts"
        return [Finding(check="case-hits", detail=detail, tenant=tenant)]


def _refuse_concerned(sides: list[Any], deciding: UUID | None) -> None:
    """Forbidden where the party that decides is a side of the payment, as payer or payee."""
    if deciding in [side["party"] for side in sides]:
        raise Forbidden("nobody decides the case of a payment of his own")


async def _standings(tx: Tx, wanted: list[tuple[int, UUID]]) -> Answers[v1.Standing]:
    rows = await store.of_payments(tx, wanted)
    return [
        v1.Standing(
            case_id=row["id"],
            state=row["state"],
            screened_by=row["screened_by"],
            generation=row["generation"],
        )
        if (row := rows.get(key)) is not None
        else v1.Standing()
        for key in wanted
    ]


def _sides(asked: v1.Check) -> tuple[tuple[v1.Role, v1.Side], ...]:
    return ("payer", asked.payer), ("payee", asked.payee)


def _hit(role: v1.Role, match: Match) -> v1.Hit:
    return v1.Hit(
        side=role,
        list=match.entry.list,
        entry=_shown(match.entry.id)[:80],
        name=_shown(match.name.text)[:MOST_TEXT],
        score=match.score,
        why=why(match),
    )


def _shown(text: str) -> str:
    """A text of a list without what cannot be shown."""
    return "".join(c if c.isprintable() else " " for c in text).strip() or "?"
