"""Payments: receive an order, ask who may and what it costs, have the ledger book it, say so."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from guilder.chassis.events import feed
from guilder.chassis.idempotency import Once, local
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store, Tx
from guilder.contracts.accounts.v1 import Account, UnknownAccount
from guilder.contracts.context import Context
from guilder.contracts.declare import EventPage, EventQuery, Nothing, SelfCheck
from guilder.contracts.errors import Forbidden, Problem, Unavailable
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.payments import provenance, v1
from guilder.contracts.values import Money
from guilder.contracts.vault.v1 import Erased
from guilder.services.payments import (
    checks,
    payment,
    quote_store,
    standing_store,
    store,
    waiting_store,
)
from guilder.services.payments.orders import Held, Orders
from guilder.services.payments.others import Others, unknown
from guilder.services.payments.payment import Attempt
from guilder.services.payments.provenance import decision, explain
from guilder.services.payments.screen import Screen

ACTIVITY_LINES = 1000
Eye = Literal["all", "creditor", "nothing"]


class PaymentsService(v1.Payments):
    """Payments, reversals, standing orders."""

    def __init__(
        self,
        database: Store,
        once: Once,
        sealer: Sealer,
        others: Others,
        screen: Screen,
        held: Held,
    ) -> None:
        """`sealer` seals orders and remittances; `others` and `screen` ask other services."""
        self.store, self.once, self.others, self.sealer = database, once, others, sealer
        self.screen = screen
        operations = self.operations()
        self.orders = Orders(
            once,
            sealer,
            {
                v1.CreatePayment: (operations["create"], self._pay),
                v1.Reverse: (operations["reverse"], self._undo),
            },
            held,
        )

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    async def create(self, ctx: Context, request: v1.CreatePayment) -> v1.Payment:
        """Receive the order before anything else happens, then work on it."""
        return await self.orders.take(ctx, request)

    async def reverse(self, ctx: Context, request: v1.Reverse) -> v1.Payment:
        """Receive an approved reversal as a payment of its own, then work on it."""
        if ctx.approval is None:
            raise Forbidden("a reversal needs the approval of a second person")
        return await self.orders.take(ctx, request)

    async def _pay(
        self, attempt: Attempt, ctx: Context, request: v1.CreatePayment
    ) -> Sequence[ledger.BookedTransfer]:
        """Accounts, right, checks, fee, screening, books."""
        attempt.remittance = payment.clean(request.remittance)
        _held(attempt)
        if booked := await self._before(attempt, ctx):
            return booked
        debtor, creditor = await self._sides(attempt, ctx, request)
        fee = await self._fee(attempt, ctx, request, debtor, creditor)
        payment.total(request.amount, fee)
        await self.screen.let_through(attempt, ctx, debtor, creditor)
        await self.orders.seal(ctx, attempt)
        sides = (debtor.id, creditor.id)
        return await self._book(attempt, ctx, sides, request.amount, fee)

    async def _undo(
        self, attempt: Attempt, ctx: Context, request: v1.Reverse
    ) -> Sequence[ledger.BookedTransfer]:
        """Book the amount and the fee back, if the payment can be reversed and was not."""
        async with self.store.tx(ctx.tenant) as tx:
            row = await store.find(tx, ctx.tenant, attempt.id)
            original = await store.find(tx, ctx.tenant, request.payment_id)
        if original is None:
            raise v1.UnknownPayment(f"no payment {request.payment_id}")
        if row is None:
            raise v1.NotReversible()
        _held(attempt)
        if booked := await self._before(attempt, ctx):
            return booked
        by = self.others.decided(ctx, "access", f"approved as proposal {row['approval']}")
        attempt.decide(by, self.store.clock.now(), "allowed")
        amount = Money(row["amount"], row["currency"])
        fee = Money(row["fee"], row["currency"])
        return await self._book(attempt, ctx, (row["debtor"], row["creditor"]), amount, fee)

    async def _before(
        self, attempt: Attempt, ctx: Context
    ) -> Sequence[ledger.BookedTransfer] | None:
        """What an earlier attempt booked: that is done, whatever anybody would say now."""
        if not attempt.resumed:
            return None
        attempt.asking, at = "ledger", self.store.clock.now()
        booked = await self.others.booked_before(ctx, attempt.id)
        if booked:
            said = self.others.decided(ctx, "ledger", "booked by an attempt before")
            attempt.decide(said, self.store.clock.now())
        else:
            attempt.settled(at)
        return booked

    async def _sides(
        self, attempt: Attempt, ctx: Context, request: v1.CreatePayment | v1.QuoteRequest
    ) -> tuple[Account, Account]:
        """Both accounts, once it is sure that the principal may pay from the one to the other."""
        attempt.asking = "accounts"
        debtor, creditor = await asyncio.gather(
            self.others.resolve(ctx, request.debtor_account),
            self.others.resolve(ctx, request.creditor_account),
        )
        attempt.asking = "access"
        if isinstance(debtor, Problem):
            # asked in vain, so that nobody learns from its silence which accounts there are
            await self.others.may(ctx, "view", None, "payments.create")
            raise _missing(debtor, "$.debtor_account")
        attempt.debtor = debtor.id
        attempt.subject = next(iter(debtor.holders), attempt.subject)
        allowed, refused = await self.others.allow(ctx, debtor.id)
        attempt.decide(allowed, self.store.clock.now(), None if refused else "allowed")
        if refused is not None:
            raise refused
        attempt.allowed = True
        if isinstance(creditor, Problem):
            raise _missing(creditor, "$.creditor_account")
        attempt.creditor = creditor.id
        payment.check(request.amount, debtor, creditor)
        return debtor, creditor

    async def _fee(
        self,
        attempt: Attempt,
        ctx: Context,
        request: v1.CreatePayment,
        debtor: Account,
        creditor: Account,
    ) -> Money:
        """The fee: that of the quote, if one is named and holds, else what pricing says now."""
        attempt.asking = "pricing"
        if request.quote_id is None:
            attempt.fee, _, decided = await self.others.price(ctx, debtor, request.amount)
        else:
            async with self.store.tx(ctx.tenant) as tx:
                row = await quote_store.find(tx, ctx.tenant, request.quote_id)
            sides = (debtor.id, creditor.id)
            attempt.fee, decided = quote_store.honour(
                row, ctx, sides, request.amount, attempt.created_at
            )
        attempt.decide(decided, self.store.clock.now(), "priced")
        return attempt.fee

    async def _book(
        self,
        attempt: Attempt,
        ctx: Context,
        sides: tuple[UUID, UUID],
        amount: Money,
        fee: Money,
    ) -> Sequence[ledger.BookedTransfer]:
        """Have the ledger decide and write; from the question on the money may have moved."""
        attempt.asking = "registry"
        on = await self.others.today(ctx)
        attempt.asking = "ledger"
        fees = await self.others.fees(ctx, fee.currency) if fee.minor else sides[1]
        transfers = payment.legs(attempt, sides, amount, fee, fees, on)
        attempt.asked_ledger, begun = True, self.others.begin()
        try:
            booked = await self.others.book(ctx, attempt.id, transfers)
        except Problem as problem:
            if problem.final:
                attempt.asked_ledger = False
                said = self.others.decided(ctx, "ledger", f"refused: {problem.code}", begun=begun)
                attempt.decide(said, self.store.clock.now())
            raise
        said = self.others.decided(ctx, "ledger", "booked", begun=begun)
        attempt.decide(said, self.store.clock.now())
        return booked

    async def waiting(self, ctx: Context, request: v1.WaitingQuery) -> v1.WaitingPayments:
        """List what waits, oldest first."""
        limit = request.limit
        async with self.store.tx(ctx.tenant) as tx:
            rows = await waiting_store.page(tx, ctx.tenant, request.after, limit + 1)
        items = [payment.read(row, None, [], whole=True) for row in rows[:limit]]
        return v1.WaitingPayments(items=items, next=items[-1].id if len(rows) > limit else None)

    # ── questions ────────────────────────────────────────────────────────────────────────────

    async def quote(self, ctx: Context, request: v1.QuoteRequest) -> v1.Quote:
        """Go the way of a payment up to the fee, and remember the answer for five minutes."""
        asked = Attempt(UUID(int=0), self.store.clock.now(), False, ctx.principal.id)
        debtor, creditor = await self._sides(asked, ctx, request)
        fee, rule, decided = await self.others.price(ctx, debtor, request.amount)
        total = payment.total(request.amount, fee)
        async with self.store.tx(ctx.tenant) as tx:
            sides = (debtor.id, creditor.id)
            until = await quote_store.add(tx, ctx, sides, request.amount, fee, rule, decided)
        return v1.Quote(
            quote_id=tx.resource,
            fee=fee,
            total=total,
            decided_by=decided.by,
            rule=rule,
            valid_until=until,
        )

    async def payment(self, ctx: Context, request: v1.PaymentId) -> v1.Payment:
        """Read a payment; the creditor's side sees it once it is booked, without fee."""
        row, eye = await self._look(ctx, request)
        async with self.store.tx(ctx.tenant) as tx:
            decisions = await store.decisions(tx, ctx.tenant, row["id"]) if eye == "all" else []
        return payment.read(row, await self._remittance(row), decisions, whole=eye == "all")

    async def activity(self, ctx: Context, request: v1.PaymentId) -> v1.Activity:
        """Read what happened; the creditor's side sees no fee and no repeats."""
        row, eye = await self._look(ctx, request)
        async with self.store.tx(ctx.tenant) as tx:
            lines = await store.activity(tx, ctx.tenant, row["id"], ACTIVITY_LINES)
        if eye == "creditor":
            lines = [line for line in lines if line.what in ("booked", "reversed")]
        return v1.Activity(items=lines)

    async def decisions(self, ctx: Context, request: v1.PaymentId) -> provenance.Decisions:
        """Say where each decision came from; the creditor's side sees none."""
        row, eye = await self._look(ctx, request)
        items = await self._decided(ctx, row) if eye == "all" else []
        return provenance.Decisions(items=items)

    async def explanation(self, ctx: Context, request: v1.PaymentId) -> provenance.Explanation:
        """Derive the fee again, by asking who decided it."""
        row, eye = await self._look(ctx, request)
        if eye != "all":
            raise Forbidden("only those who see the payer's side see what a payment cost and why")
        return await explain(self.others, ctx, row, await self._decided(ctx, row))

    async def _decided(self, ctx: Context, row: Any) -> list[provenance.Decision]:
        async with self.store.tx(ctx.tenant) as tx:
            rows = await store.decision_rows(tx, ctx.tenant, row["id"])
        return [decision(each, row) for each in rows]

    async def _look(self, ctx: Context, request: v1.PaymentId) -> tuple[Any, Eye]:
        """The row and how much of it the principal may see; else UnknownPayment."""
        async with self.store.tx(ctx.tenant) as tx:
            row = await store.find(tx, ctx.tenant, request.payment_id)
        if row is not None and (eye := await self._eye(ctx, row)) != "nothing":
            return row, eye
        raise v1.UnknownPayment("there is no such payment")

    async def _eye(self, ctx: Context, row: Any) -> Eye:
        if ctx.principal.kind == "service":  # the operator's tools: nobody signs in as a service
            return "all"
        if row["debtor"] is None and row["principal"] == ctx.principal.id:
            return "all"  # an order for an account that was not found holds nothing but the order
        asked = {"all": row["debtor"], "staff": None, "creditor": row["creditor"]}
        sides = [side for side in asked if side == "staff" or asked[side] is not None]
        may = await asyncio.gather(
            *(self.others.may(ctx, "view", asked[side], "payments.payment") for side in sides)
        )
        seen = {side for side, yes in zip(sides, may, strict=True) if yes}
        if seen & {"all", "staff"}:
            return "all"
        return "creditor" if seen and row["state"] == "booked" else "nothing"

    async def _remittance(self, row: Any) -> str | None:
        """The remittance, unless it was erased with the person's key or is not settled yet."""
        if row["remittance"] is None:
            return None
        sealed = bytes(row["remittance"])
        try:
            raw = await self.sealer.open(
                row["tenant"], row["subject"], "payment.remittance", sealed
            )
        except Erased:
            return None
        return raw.decode()

    # ── standing orders ──────────────────────────────────────────────────────────────────────

    @local
    async def record_standing_order(
        self, tx: Tx, ctx: Context, request: v1.RecordStandingOrder
    ) -> v1.StandingOrder:
        """Record an order for an account that exists; the same order twice is one."""
        if request.amount.minor <= 0:
            raise ledger.AmountNotPositive(at="$.amount")
        account = await self.others.resolve(ctx, str(request.account_id))
        if isinstance(account, Problem):
            raise _missing(account, "$.account_id")
        if account.currency != request.amount.currency:
            raise ledger.CurrencyMismatch(at="$.amount.currency")
        made = await standing_store.record(tx, ctx.tenant, request)
        if made.id == tx.resource:
            tx.emit(ctx, "standing-order.recorded", standing_order=made.id, account=account.id)
        return made

    async def standing_orders(
        self, ctx: Context, request: v1.StandingOrderQuery
    ) -> v1.StandingOrders:
        """List the standing orders of an account."""
        limit = request.limit
        async with self.store.tx(ctx.tenant) as tx:
            found = await standing_store.page(
                tx, ctx.tenant, request.account_id, request.after, limit + 1
            )
        following = found[limit - 1].id if len(found) > limit else None
        return v1.StandingOrders(items=found[:limit], next=following)

    # ── the house ────────────────────────────────────────────────────────────────────────────

    async def forget(self) -> int:
        """Delete quotes long past their end; how many."""
        gone = 0
        for tenant in await self.store.seen_tenants():
            async with self.store.tx(tenant) as tx:
                gone += await quote_store.forget(tx)
        return gone

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Hold every payment against the books."""
        return await checks.self_check(self.store, self.others.ledger)


def _held(attempt: Attempt) -> None:
    """Leave an order alone that is held back until the end of planned maintenance."""
    if attempt.hold is not None:
        attempt.asking = "maintenance"
        raise Unavailable("planned maintenance")


def _missing(problem: Problem, at: str) -> Problem:
    """Why an account was not found: the shape of its IBAN, or simply not there."""
    if isinstance(problem, UnknownAccount):
        return unknown(at)
    problem.at = at
    return problem
