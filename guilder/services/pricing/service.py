"""Pricing: quotes fees from the tariffs in force."""

from uuid import UUID

from guilder.chassis.bindings import Bindings
from guilder.chassis.events import feed
from guilder.chassis.idempotency import Once, local
from guilder.chassis.store import Store, Tx
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
from guilder.contracts.errors import Problem
from guilder.contracts.pricing import v1
from guilder.contracts.values import Money
from guilder.services.pricing import store, tariff

PAGE = 200


class PricingService(v1.Pricing):
    """Fees and tariffs."""

    def __init__(self, database: Store, once: Once, bindings: Bindings) -> None:
        """Needs nothing but its own database; `bindings` say who prices for a tenant instead."""
        self.store, self.once, self.bindings = database, once, bindings

    async def quote(self, calls: Batch[v1.Question]) -> Answers[v1.Quoted]:
        """Quote fees with one query for the whole batch."""
        answers: dict[int, v1.Quoted | Problem] = {}
        asked: dict[int, store.Asked] = {}
        for i, call in enumerate(calls):
            try:
                asked[i] = _asked(call)
            except Problem as problem:
                answers[i] = problem
        if asked:
            async with self.store.tx(*{key[0] for key in asked.values()}) as tx:
                found = await store.in_force(tx, list(asked.values()))
            for n, i in enumerate(asked):
                answers[i] = _quoted(calls[i].request.amount, found.get(n))
        return [answers[i] for i in range(len(calls))]

    @local
    async def put_tariff(self, tx: Tx, ctx: Context, request: v1.PutTariff) -> v1.Tariff:
        """Add the tariff; those before it stay and count for the time before it."""
        tariff.check(request, tx.at)
        valid_from = tariff.moment(request.valid_from)
        await store.add(tx, ctx.tenant, tx.resource, request, valid_from)
        tx.emit(ctx, "tariff.put", tariff=tx.resource)
        return v1.Tariff(
            id=tx.resource,
            operation=request.operation,
            product=request.product,
            currency=request.currency,
            valid_from=valid_from,
            tiers=[tariff.canonical(tier) for tier in request.tiers],
            created_at=tx.at,
        )

    async def tariffs(self, ctx: Context, request: v1.TariffQuery) -> v1.Tariffs:
        """List tariffs in the order in which they were set."""
        limit = request.limit
        async with self.store.tx(ctx.tenant) as tx:
            found = await store.page(
                tx, ctx.tenant, request.product, request.currency, request.after, limit + 1
            )
        following = found[limit - 1].id if len(found) > limit else None
        served = self.bindings.resolve(ctx.tenant, "pricing")
        elsewhere = served.label if served.foreign else None
        return v1.Tariffs(items=found[:limit], next=following, priced_by=elsewhere)

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Check every tariff anew by the rules it was accepted by."""
        findings, checked = [], 0
        for tenant in await self.store.seen_tenants():
            after, more = None, True
            while more:  # each page starts behind the one before
                async with self.store.tx(tenant) as tx:
                    items = await store.page(tx, tenant, None, None, after, PAGE)
                for item in items:
                    for fault in tariff.faults(item.currency, item.tiers):
                        detail = f"tariff {item.id}: {fault}"
                        findings.append(Finding(check="tariff", detail=detail, tenant=tenant))
                checked, more = checked + len(items), len(items) == PAGE
                after = items[-1].id if items else None
        return SelfCheck(
            service="pricing", checked={"tariffs": checked}, findings=findings, facts={}
        )


def _asked(call: Call[v1.Question]) -> store.Asked:
    asked = call.request
    at = tariff.moment(asked.at)
    return call.ctx.tenant, asked.operation, asked.product, asked.amount.currency, at


def _quoted(amount: Money, found: tuple[UUID, list[v1.Tier]] | None) -> v1.Quoted | Problem:
    if found is None:
        return v1.Quoted(fee=Money(0, amount.currency), tariff=None, rule=tariff.FREE)
    try:
        tier = tariff.tier_of(found[1], amount)
    except Problem as problem:  # a tariff damaged in the database prices nothing by guess
        return problem
    return v1.Quoted(
        fee=tariff.fee(tier, amount),
        tariff=found[0],
        rule=tariff.rule(tier, amount),
    )
