"""What is the same for every order: claimed first, worked on within a time, ended once.

A crash at any point leaves a row that says how far it got; a repeat or the sweep goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog

from guilder.chassis.contract import decode, encode
from guilder.chassis.idempotency import Claim, Once, Replayed
from guilder.chassis.logs import named
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store, Tx
from guilder.contracts.context import Context, Principal
from guilder.contracts.declare import Operation
from guilder.contracts.errors import InFlight, Problem
from guilder.contracts.ledger.v1 import BookedTransfer
from guilder.contracts.payments import v1
from guilder.contracts.vault.v1 import Erased
from guilder.services.payments import store
from guilder.services.payments.payment import (
    SETTLING,
    WORK_SECONDS,
    Attempt,
    Cause,
    pause,
    refusal,
)

log = structlog.get_logger()

Order = v1.CreatePayment | v1.Reverse
Story = Callable[[Attempt, Context, Any], Awaitable[Sequence[BookedTransfer]]]
"""Works on an order until the ledger has booked it; raises what refuses or hinders it."""

SWEPT = 50
"""The most payments of a tenant that one round of the sweep takes up."""


class Orders:
    """Takes orders in, and on."""

    def __init__(
        self, once: Once, sealer: Sealer, stories: dict[type[Any], tuple[Operation, Story]]
    ) -> None:
        """`stories` says by type of the request which operation it is and how it is worked on."""
        self.store: Store = once.store
        self.once, self.sealer, self.stories = once, sealer, stories

    async def take(self, ctx: Context, request: Order, cause: Cause = "repeat") -> v1.Payment:
        """Commit the order before anything else; `cause` is who comes where it was begun before."""
        operation, story = self.stories[type(request)]
        subject = ctx.principal.party or ctx.principal.id
        sealed = await self.sealer.seal(ctx.tenant, subject, "payment.request", encode(request))

        async def receive(tx: Tx) -> None:
            if isinstance(request, v1.CreatePayment):
                await store.receive(tx, ctx, request.amount, subject, sealed)
            else:
                await store.receive_reversal(tx, ctx, request.payment_id, subject, sealed)

        try:
            claim = await self.once.claim(
                operation, ctx, request, receive, lambda tx: store.resume(tx, ctx.tenant, cause)
            )
        except InFlight as problem:
            await self._repeated(ctx, UUID(problem.more["resource"]))
            raise
        if isinstance(claim, Replayed):
            await self._repeated(ctx, claim.resource)
            return claim  # type: ignore[return-value]
        latest = self.store.clock.monotonic() + WORK_SECONDS
        ctx = msgspec.structs.replace(ctx, deadline=min(ctx.deadline or latest, latest))
        attempt = Attempt(claim.resource, claim.created_at, claim.resumed, subject)
        if isinstance(request, v1.Reverse):
            attempt.reverses = request.payment_id
        return await self._work(claim, attempt, ctx, request, story)

    async def _repeated(self, ctx: Context, payment: UUID | None) -> None:
        if payment is not None:
            async with self.store.tx(ctx.tenant) as tx:
                await store.repeated(tx, ctx.tenant, payment)

    async def _work(
        self, claim: Claim, attempt: Attempt, ctx: Context, request: Order, story: Story
    ) -> v1.Payment:
        try:
            try:
                async with asyncio.timeout(WORK_SECONDS):
                    booked = await story(attempt, ctx, request)
            except Problem as problem:
                if not problem.final:
                    raise
                refused = refusal(problem)
                ended = await self._refuse(claim, attempt, ctx, refused)
            else:  # from here on nothing can refuse it any more
                return await self._book(claim, attempt, ctx, booked)
        except BaseException:
            await self._give_back(claim, attempt, ctx)
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
        sealed = await self._seal(ctx, attempt)

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
        sealed = await self._seal(ctx, attempt)

        async def work(tx: Tx) -> None:
            why = v1.Refusal(code=problem.code, detail=problem.detail)
            if await store.find(tx, ctx.tenant, attempt.id):  # not where nothing can be reversed
                problem.more["payment"] = str(attempt.id)
                await store.end(tx, ctx.tenant, attempt, sealed, why)
                tx.emit(ctx, "payment.refused", payment=attempt.id)

        return await claim.refuse(problem, work)

    async def _seal(self, ctx: Context, attempt: Attempt) -> bytes | None:
        if attempt.remittance is None:
            return None
        plain = attempt.remittance.encode()
        try:
            return await self.sealer.seal(ctx.tenant, attempt.subject, "payment.remittance", plain)
        except Erased:  # whom it concerned was forgotten meanwhile, and so is it
            attempt.remittance = None
            return None

    async def _give_back(self, claim: Claim, attempt: Attempt, ctx: Context) -> None:
        """Let others go on; after a call to the ledger only when that can have no effect more."""
        wait = SETTLING if attempt.asked_ledger else timedelta(0)
        await claim.release(wait, lambda tx: store.interrupt(tx, ctx.tenant, attempt.id, wait))

    # ── the sweep ────────────────────────────────────────────────────────────────────────────

    async def resume(self) -> int:
        """Go on with payments whose attempt has ended without an outcome; how many were taken."""
        taken = 0
        for tenant in await self.store.seen_tenants():
            async with self.store.tx(tenant) as tx:
                rows = await store.to_resume(tx, tenant, SWEPT)
            taken += len(rows)
            await asyncio.gather(*(self._resume(row) for row in rows))
        return taken

    async def _resume(self, row: Any) -> None:
        """Go on with one, in the name of who ordered it; its rights are asked anew."""
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
            await self.take(ctx, decode(raw, kind), "sweep")
        except Exception as error:  # refused, in flight or an outage: the row holds which
            log.info("resumed", payment=str(row["id"]), ended=named(error))
            async with self.store.tx(ctx.tenant) as tx:
                await store.put_off(tx, ctx.tenant, row["id"], pause(row["attempts"]))
