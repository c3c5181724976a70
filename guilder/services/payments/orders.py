"""What is the same for every order: claimed first, worked on within a time, ended once.

A crash at any point leaves a row that says how far it got; a repeat or the sweep goes on. Where a
part that is needed does not answer, the payment waits, and whoever ordered it is told so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog

from guilder.chassis.contract import decode, encode
from guilder.chassis.idempotency import Accepted, Claim, Once, Replayed
from guilder.chassis.logs import named
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store, Tx
from guilder.contracts.context import Context, Principal
from guilder.contracts.declare import Operation
from guilder.contracts.errors import InFlight, Internal, Problem, Unavailable
from guilder.contracts.ledger.v1 import BookedTransfer
from guilder.contracts.payments import v1
from guilder.contracts.vault.v1 import Erased
from guilder.services.payments import store, waiting_store
from guilder.services.payments.payment import (
    BACKOFF,
    CHECK_PAUSE,
    DEFECT_PAUSE,
    OUTAGE_PAUSE,
    SETTLING,
    WORK_SECONDS,
    Attempt,
    Cause,
    pause,
    read,
    refusal,
)

log = structlog.get_logger()

Order = v1.CreatePayment | v1.Reverse
Story = Callable[[Attempt, Context, Any], Awaitable[Sequence[BookedTransfer]]]
"""Works on an order until the ledger has booked it; raises what refuses or hinders it."""

Held = Callable[[int], UUID | None]
"""The maintenance window, if any, for whose end the orders of a tenant wait now."""

ROUND, ROUNDS = 5, 200
"""How many payments of a tenant the sweep takes up at once, and how often in a row: a ledger that
has just come back is not flooded, what other tenants order now is not held up by a burst of what
waited (20 at once showed in their p99), and no tenant keeps the sweep for ever."""

TENANTS = 50
"""How many tenants the sweep looks after at once: one that hangs does not hold up the others."""


class Orders:
    """Takes orders in, and on."""

    def __init__(
        self,
        once: Once,
        sealer: Sealer,
        stories: dict[type[Any], tuple[Operation, Story]],
        held: Held,
    ) -> None:
        """`stories` says by type of the request which operation it is and how it is worked on."""
        self.store: Store = once.store
        self.once, self.sealer, self.stories, self.held = once, sealer, stories, held

    async def take(self, ctx: Context, request: Order, cause: Cause = "repeat") -> v1.Payment:
        """Commit the order before anything else; `cause` is who comes where it was begun before."""
        operation, story = self.stories[type(request)]
        subject = ctx.principal.party or ctx.principal.id
        sealed = await self.sealer.seal(ctx.tenant, subject, "payment.request", encode(request))
        left: Any = None

        async def receive(tx: Tx) -> None:
            if isinstance(request, v1.CreatePayment):
                await store.receive(tx, ctx, request.amount, subject, sealed)
            else:
                await store.receive_reversal(tx, ctx, request.payment_id, subject, sealed)

        async def resume(tx: Tx) -> None:
            nonlocal left
            left = await store.resume(tx, ctx.tenant, cause)

        try:
            claim = await self.once.claim(operation, ctx, request, receive, resume)
        except InFlight as problem:
            return await self._in_flight(ctx, UUID(problem.more["resource"]), problem, cause)
        if isinstance(claim, Replayed):
            if claim.resource is not None and cause != "sweep":
                await self._repeated(ctx, claim.resource)
            return claim  # type: ignore[return-value]
        attempt = Attempt(claim.resource, claim.created_at, claim.resumed, subject)
        attempt.hold = ctx.hold or self.held(ctx.tenant)
        if left is not None:
            attempt.go_on(left)
        if isinstance(request, v1.Reverse):
            attempt.reverses = request.payment_id
        seconds = WORK_SECONDS[cause if claim.resumed else "order"]
        latest = self.store.clock.monotonic() + seconds
        ctx = msgspec.structs.replace(ctx, deadline=min(ctx.deadline or latest, latest))
        return await self._work(claim, attempt, ctx, seconds, story(attempt, ctx, request))

    async def _in_flight(
        self, ctx: Context, payment: UUID, problem: InFlight, cause: Cause
    ) -> v1.Payment:
        """Somebody works on it. Of a payment that waits that is no news: it is as it was."""
        if cause != "sweep":
            await self._repeated(ctx, payment)
        if (waiting := await self._waiting(ctx, payment)) is None:
            raise problem
        return waiting

    async def _repeated(self, ctx: Context, payment: UUID) -> None:
        async with self.store.tx(ctx.tenant) as tx:
            await store.repeated(tx, ctx.tenant, payment)

    async def _work(
        self,
        claim: Claim,
        attempt: Attempt,
        ctx: Context,
        seconds: float,
        story: Awaitable[Sequence[BookedTransfer]],
    ) -> v1.Payment:
        try:
            try:
                async with asyncio.timeout(seconds):
                    booked = await story
            except Problem as problem:
                if not problem.final or attempt.unsettled is not None:
                    raise
                refused = refusal(problem)
                ended = await self._refuse(claim, attempt, ctx, refused)
            else:  # from here on nothing can refuse it any more
                return await self._book(claim, attempt, ctx, booked)
        except (Problem, TimeoutError) as hindrance:
            return await self._wait(claim, attempt, ctx, hindrance)
        except BaseException as error:
            await self._give_back(claim, attempt, ctx, error)
            raise
        if ended is not None:
            return ended  # type: ignore[return-value]
        raise refused

    async def _book(
        self, claim: Claim, attempt: Attempt, ctx: Context, booked: Sequence[BookedTransfer]
    ) -> v1.Payment:
        """End as booked: state, answer, decisions, activity and event in one commit."""
        first = attempt.settle(booked)
        detail = f"{first.amount} with value date {first.value_date}"
        attempt.say(self.store.clock.now(), "booked", detail)
        sealed = await self.seal(ctx, attempt)

        async def work(tx: Tx) -> v1.Payment:
            await store.end(tx, ctx.tenant, attempt, sealed, first)
            ids = {"debtor": first.debit, "creditor": first.credit, "reverses": attempt.reverses}
            tx.emit(ctx, "payment.booked", payment=attempt.id, **ids)
            if attempt.reverses is not None:
                detail = f"by payment {attempt.id}"
                await store.say(tx, ctx.tenant, attempt.reverses, "reversed", detail)
                tx.emit(ctx, "payment.reversed", payment=attempt.reverses, by=attempt.id)
            return attempt.answer(first)

        return await claim.finish(work, subject=attempt.subject if sealed else None)

    async def _refuse(
        self, claim: Claim, attempt: Attempt, ctx: Context, problem: Problem
    ) -> Replayed | None:
        """End as refused; the problem names the payment and is what every repeat gets."""
        attempt.say(self.store.clock.now(), "refused", f"{problem.code}: {problem.detail}")
        sealed = await self.seal(ctx, attempt)

        async def work(tx: Tx) -> None:
            why = v1.Refusal(code=problem.code, detail=problem.detail)
            if await store.find(tx, ctx.tenant, attempt.id):  # not where nothing can be reversed
                problem.more["payment"] = str(attempt.id)
                await store.end(tx, ctx.tenant, attempt, sealed, why)
                tx.emit(ctx, "payment.refused", payment=attempt.id)

        return await claim.refuse(problem, work)

    async def seal(self, ctx: Context, attempt: Attempt) -> bytes | None:
        """Seal the remittance, once; None where there is none or nobody is left to seal it for."""
        if attempt.remittance is None or attempt.sealed is not None:
            return attempt.sealed
        attempt.asking, plain = "vault", attempt.remittance.encode()
        place = "payment.remittance"
        try:
            attempt.sealed = await self.sealer.seal(ctx.tenant, attempt.subject, place, plain)
        except Erased:  # whom it concerned was forgotten meanwhile, and so is it
            attempt.remittance = None
        return attempt.sealed

    # ── what cannot be decided now ───────────────────────────────────────────────────────────

    async def _wait(
        self, claim: Claim, attempt: Attempt, ctx: Context, hindrance: BaseException
    ) -> v1.Payment:
        """Let it wait: for what was asked last, or until the ledger is sure to have settled it."""
        if isinstance(hindrance, Problem) and hindrance.final:
            attempt.asking = "ledger"
        log.info("waits", payment=str(attempt.id), part=attempt.asking, why=named(hindrance))
        most = DEFECT_PAUSE if isinstance(hindrance, Internal) else OUTAGE_PAUSE
        lease = SETTLING if attempt.asked_ledger else timedelta(0)
        again = max(lease, pause(attempt.n, CHECK_PAUSE if attempt.asking == "check" else most))

        async def work(tx: Tx) -> None:
            if await waiting_store.wait(tx, ctx.tenant, attempt, again):
                tx.emit(ctx, "payment.waiting", payment=attempt.id)

        await claim.release(lease, work)
        waiting = await self._waiting(ctx, attempt.id)
        # None: somebody ended it meanwhile
        return waiting or await claim.outcome()  # type: ignore[return-value]

    async def _waiting(self, ctx: Context, payment: UUID) -> v1.Payment | None:
        """How a payment that waits is answered; None for any other."""
        async with self.store.tx(ctx.tenant) as tx:
            row = await store.find(tx, ctx.tenant, payment)
        if row is None or row["state"] != "waiting":
            return None
        return Accepted(read(row, None, [], whole=True))  # type: ignore[return-value]

    async def _give_back(
        self, claim: Claim, attempt: Attempt, ctx: Context, error: BaseException
    ) -> None:
        """Let others go on after a defect, or where nobody waits for this attempt any more."""
        if attempt.asked_ledger or attempt.unsettled is not None:
            await self._wait(claim, attempt, ctx, error)
            return
        again = pause(attempt.n)
        await claim.release(work=lambda tx: store.interrupt(tx, ctx.tenant, attempt.id, again))

    # ── the sweep ────────────────────────────────────────────────────────────────────────────

    async def resume(self) -> int:
        """Go on with payments that have not ended and nobody works on; how many were taken.

        What waits goes on oldest first: one alone, to see whether it is worth asking, and when that
        one has ended the others, ROUND at a time. What a person looks at says nothing of outages:
        it goes on beside them.
        """
        tenants = [t for t in await self.store.seen_tenants() if self.held(t) is None]
        taken = 0
        for start in range(0, len(tenants), TENANTS):
            part = tenants[start : start + TENANTS]
            taken += sum(await asyncio.gather(*(self._resume_tenant(t) for t in part)))
        return taken

    async def _resume_tenant(self, tenant: int) -> int:
        async with self.store.tx(tenant) as tx:
            broken = await store.to_resume(tx, tenant, ROUND)
            broken += await waiting_store.due(tx, tenant, ROUND, checked=True)
        await asyncio.gather(*(self._resume(row) for row in broken))
        taken, most = len(broken), 1
        for _ in range(ROUNDS):
            async with self.store.tx(tenant) as tx:
                rows = await waiting_store.due(tx, tenant, most, checked=False)
            queues: dict[UUID, list[Any]] = {}
            for row in rows:
                queues.setdefault(row["debtor"] or row["principal"], []).append(row)
            ended = await asyncio.gather(*(self._in_order(queue) for queue in queues.values()))
            taken, most = taken + len(rows), ROUND
            if not rows or not all(ended):
                break
        return taken

    async def _in_order(self, queue: list[Any]) -> bool:
        """Take up the payments from one account one by one; False = one of them waits on."""
        for row in queue:
            if not await self._resume(row):
                return False
        return True

    async def _resume(self, row: Any) -> bool:
        """Go on with one, in the name of who ordered it; its rights are asked anew.

        False = it waits on.
        """
        ctx = Context(
            tenant=row["tenant"],
            principal=Principal(row["principal"], row["principal_kind"], row["party"]),
            key=row["key"],
            request=f"resumed:{row['id']}",
            approval=row["approval"],
        )
        kind = v1.Reverse if row["reverses"] else v1.CreatePayment
        try:
            sealed = bytes(row["request"])
            raw = await self.sealer.open(ctx.tenant, row["subject"], "payment.request", sealed)
            return not isinstance(await self.take(ctx, decode(raw, kind), "sweep"), Accepted)
        except Exception as error:  # refused, in flight or an outage: the row holds which
            log.info("resumed", payment=str(row["id"]), ended=named(error))
            most = BACKOFF if row["state"] == "processing" else OUTAGE_PAUSE
            async with self.store.tx(ctx.tenant) as tx:
                await store.put_off(tx, ctx.tenant, row["id"], pause(row["attempts"], most))
            return not isinstance(error, Unavailable)
