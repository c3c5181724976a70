"""Whatever breaks wherever: one booking, one outcome, and a row that says how far it got."""

import asyncio
from contextlib import contextmanager

import pytest
from payments_desk import eur, open_desk

from guilder.contracts.access import v1 as access
from guilder.contracts.accounts.v1 import UnknownAccount
from guilder.contracts.errors import InFlight, Internal, Unavailable
from guilder.contracts.ledger.v1 import InsufficientFunds
from guilder.contracts.payments import v1
from guilder.contracts.pricing.v1 import Tier
from guilder.services.payments.payment import FENCE, LONGEST

STEPS = ["resolve", "allow", "price", "fees", "today", "book"]
FEE = Tier(flat=eur("0.50"))


class BreaksOnce:
    """The other services, of which one fails once: before it was asked, or after it answered.

    For one bank: the sweep also takes up what other tests have left with theirs.
    """

    def __init__(self, real, step, when, error, bank):
        self.real, self.step, self.when, self.error, self.broken = real, step, when, error, False
        self.bank = bank

    def __getattr__(self, name):
        method = getattr(self.real, name)
        if name != self.step or self.broken:
            return method

        async def breaking(ctx, *args):
            if ctx.tenant != self.bank.number or self.broken:
                return await method(ctx, *args)
            self.broken = True
            if self.when == "after":
                await method(ctx, *args)
            raise self.error

        return breaking


class Stalls:
    """The other services, of which one keeps its answer back until it is told to go on."""

    def __init__(self, real, step, error=None):
        self.real, self.step, self.error = real, step, error
        self.reached, self.go, self.stalled = asyncio.Event(), asyncio.Event(), False

    def __getattr__(self, name):
        method = getattr(self.real, name)
        if name != self.step or self.stalled:
            return method

        async def stalling(*args):
            self.stalled = True
            self.reached.set()
            await self.go.wait()
            if self.error is not None:
                raise self.error
            return await method(*args)

        return stalling


@contextmanager
def among(desk, others):
    """Let payments talk to these others."""
    service = desk.world.process.built["payments"].service
    real, service.others = service.others, others(service.others)
    try:
        yield service.others
    finally:
        service.others = real


@contextmanager
def later(desk, **delta):
    desk.world.clock.move(**delta)
    try:
        yield
    finally:
        desk.world.clock.move(**{unit: -much for unit, much in delta.items()})


async def killed(*args):
    """What a killed process does about its lease: nothing."""


async def interrupted(desk, ctx, step, when, kind, monkeypatch, request=None):
    """Send an order whose attempt breaks at a step; the payment, where it is told to wait."""
    orders = desk.world.process.built["payments"].service.orders
    order = request or desk.order("20.00")
    error = Unavailable("broken") if kind == "outage" else RuntimeError("killed")
    with (
        monkeypatch.context() as patch,
        among(desk, lambda o: BreaksOnce(o, step, when, error, desk.bank)),
    ):
        if kind == "outage":
            return await desk.public().create(ctx, order)
        patch.setattr(orders, "_give_back", killed)
        with pytest.raises(Internal):
            await desk.public().create(ctx, order)
    return None


async def resume_all(desk):
    await desk.world.process.built["payments"].service.orders.resume()


async def state_of(desk):
    """The one payment of the desk."""
    async with desk.world.process.stores["payments"].tx(desk.bank.number) as tx:
        return await tx.row("SELECT * FROM payment")


async def booked_once(desk, payment):
    assert (payment.state, payment.fee) == ("booked", eur("0.50"))
    assert len(await desk.transfers()) == 2
    assert await desk.has(desk.mine) == "79.50"
    assert await desk.findings() == []


@pytest.mark.parametrize("kind", ["outage", "killed"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_repeat_goes_on_where_an_attempt_broke(direct, step, when, kind, monkeypatch):
    desk = await open_desk(direct)
    await desk.tariff(FEE)
    ctx = desk.jana.ctx()
    waiting = await interrupted(desk, ctx, step, when, kind, monkeypatch)
    row = await state_of(desk)
    state = "processing" if kind == "killed" else "waiting"
    assert (row["state"], row["request"] is None) == (state, False)
    wait = 31 if kind == "killed" else 11 if step == "book" else 0
    if kind == "killed":
        with pytest.raises(InFlight) as flying:
            await desk.public().create(ctx, desk.order("20.00"))
        assert 1 <= flying.value.retry_after <= 31
    elif wait:  # nobody may go on yet; what is known is said again
        assert await desk.public().create(ctx, desk.order("20.00")) == waiting
    with later(desk, seconds=wait):
        made = await desk.public().create(ctx, desk.order("20.00"))
    assert made.id == row["id"]
    await booked_once(desk, made)
    assert "resumed" in await desk.activity(made.id)
    assert await desk.public().create(ctx, desk.order("20.00")) == made


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["resolve", "price", "book"])
async def test_the_sweep_goes_on_when_nobody_repeats(direct, step, when, monkeypatch):
    desk = await open_desk(direct)
    await desk.tariff(FEE)
    ctx = desk.jana.ctx()
    request = desk.order("20.00", remittance="Miete")
    await interrupted(desk, ctx, step, when, "killed", monkeypatch, request)
    await resume_all(desk)
    assert (await state_of(desk))["state"] == "processing"
    with later(desk, seconds=31):
        await resume_all(desk)
    made = await desk.public().create(ctx, request)
    assert made.remittance == "Miete"
    await booked_once(desk, made)


async def test_the_sweep_asks_for_the_right_again(direct, monkeypatch):
    desk = await open_desk(direct)
    ctx = desk.jana.ctx()
    await interrupted(desk, ctx, "book", "before", "killed", monkeypatch)
    await revoke(desk)
    with later(desk, seconds=31):  # the dead attempt's question may still be on its way
        await resume_all(desk)
        assert (await state_of(desk))["state"] == "waiting"
    with later(desk, seconds=FENCE.total_seconds() + LONGEST + 1):
        await resume_all(desk)
    with pytest.raises(UnknownAccount):
        await desk.public().create(ctx, desk.order("20.00"))
    assert (await state_of(desk))["state"] == "refused"
    assert await desk.transfers() == []
    assert await desk.findings() == []


async def test_what_the_ledger_booked_stays_booked_whatever_access_says_now(direct, monkeypatch):
    desk = await open_desk(direct)
    await desk.tariff(FEE)
    ctx = desk.jana.ctx()
    await interrupted(desk, ctx, "book", "after", "killed", monkeypatch)
    await revoke(desk)
    await desk.tariff(Tier(flat=eur("9.00")))
    with later(desk, seconds=31):
        await resume_all(desk)
    await booked_once(desk, await desk.public().create(ctx, desk.order("20.00")))


async def revoke(desk):
    """Take Jana's role on her account."""
    roles, manager = desk.world.client(access.Access), desk.bank.manager
    held = await roles.grants(manager.ctx(""), access.GrantQuery(account=desk.mine.id))
    for grant in held.items:
        request = access.RevokeRole(grant_id=grant.id, reason="asked for it")
        await roles.revoke(manager.ctx(), request)


@pytest.mark.parametrize(("error", "most"), [(Unavailable, 40), (Internal, 6)])
async def test_the_sweep_waits_longer_after_each_failure(direct, error, most, monkeypatch):
    """After an outage it is back within seconds, after a defect it is ever more patient."""
    desk = await open_desk(direct)
    await interrupted(desk, desk.jana.ctx(), "price", "before", "outage", monkeypatch)
    tried = []
    with among(
        desk, lambda o: BreaksOnce(o, "price", "before", error("broken"), desk.bank)
    ) as others:
        for _ in range(40):
            desk.world.clock.move(seconds=2)
            others.broken = False
            await resume_all(desk)
            tried.append(others.broken)
    desk.world.clock.move(seconds=-80)
    assert most / 2 <= sum(tried) <= most
    assert (await state_of(desk))["attempts"] == sum(tried) + 1


@pytest.mark.abuse(19)
async def test_a_key_in_flight_is_refused_until_its_lease_has_run_out(direct):
    desk = await open_desk(direct)
    await desk.tariff(FEE)
    ctx, request = desk.jana.ctx(), desk.order("20.00")
    with among(desk, lambda others: Stalls(others, "book")) as others:
        first = asyncio.create_task(desk.public().create(ctx, request))
        await others.reached.wait()
        with pytest.raises(InFlight) as flying:
            await desk.public().create(ctx, request)
        assert 1 <= flying.value.retry_after <= 31
        with later(desk, seconds=31):
            second = await desk.public().create(ctx, request)
        others.go.set()
        assert await first == second
    assert "repeated" in await desk.activity(second.id)
    await booked_once(desk, second)


async def test_an_attempt_that_priced_otherwise_ends_as_what_was_booked(direct):
    desk = await open_desk(direct)
    await desk.tariff(Tier(flat=eur("9.00")))
    ctx, request = desk.jana.ctx(), desk.order("20.00")
    with among(desk, lambda others: Stalls(others, "book")) as others:
        first = asyncio.create_task(desk.public().create(ctx, request))
        await others.reached.wait()
        with later(desk, seconds=31):
            await desk.tariff(FEE)
            second = await desk.public().create(ctx, request)
        others.go.set()
        assert await first == second
    await booked_once(desk, second)


async def test_a_late_attempt_ends_what_a_dead_one_booked_otherwise(direct, monkeypatch):
    desk = await open_desk(direct)
    await desk.tariff(Tier(flat=eur("9.00")))
    ctx, request = desk.jana.ctx(), desk.order("20.00")
    with among(desk, lambda others: Stalls(others, "book")) as others:
        first = asyncio.create_task(desk.public().create(ctx, request))
        await others.reached.wait()
        with later(desk, seconds=31):
            await desk.tariff(FEE)
            await interrupted(desk, ctx, "book", "after", "killed", monkeypatch, request)
        others.go.set()
        await booked_once(desk, await first)


async def test_a_late_refusal_does_not_undo_what_a_second_attempt_booked(direct):
    desk = await open_desk(direct)
    await desk.tariff(FEE)
    ctx, request = desk.jana.ctx(), desk.order("20.00")
    error = InsufficientFunds()
    with among(desk, lambda others: Stalls(others, "book", error)) as others:
        first = asyncio.create_task(desk.public().create(ctx, request))
        await others.reached.wait()
        with later(desk, seconds=31):
            second = await desk.public().create(ctx, request)
        others.go.set()
        assert await first == second
    await booked_once(desk, second)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_interrupted_reversal_is_finished_by_the_sweep(direct, when, monkeypatch):
    desk = await open_desk(direct)
    await desk.tariff(FEE)
    made = await desk.public().create(desk.jana.ctx(), desk.order("20.00"))
    await desk.propose_reversal(made.id)
    broken = Unavailable("broken")
    with among(desk, lambda others: BreaksOnce(others, "book", when, broken, desk.bank)):
        await desk.world.settle()
    with later(desk, seconds=31):
        await resume_all(desk)
    assert await desk.has(desk.mine) == "100.00"
    await desk.world.settle()
    assert await desk.has(desk.mine) == "100.00"
    assert len(await desk.transfers()) == 4
    assert (await desk.read(made.id)).reversed_by is not None
    assert await desk.findings() == []


@pytest.mark.abuse(16)
async def test_money_is_spent_once_by_fifty_orders_at_once(world):
    desk = await open_desk(world)

    async def spend():
        try:
            return await desk.public().create(desk.jana.ctx(), desk.order("30.00"))
        except InsufficientFunds as problem:
            return problem

    ended = await asyncio.gather(*(spend() for _ in range(50)))
    for n in range(1, 6):  # on a busy machine some run out of time, and wait
        with later(desk, seconds=31 * n):
            await resume_all(desk)
    made = [await desk.read(e.id) for e in ended if isinstance(e, v1.Payment)]
    assert sum(one.state == "booked" for one in made) == 3
    assert {one.state for one in made} <= {"booked", "refused"}
    assert await desk.has(desk.mine) == "10.00"
    assert len(await desk.transfers()) == 3
    assert await desk.findings() == []


@pytest.mark.abuse(19)
async def test_twenty_at_once_with_one_key_are_one_payment(world):
    desk = await open_desk(world)
    ctx = desk.jana.ctx()

    async def send():
        try:
            return (await desk.public().create(ctx, desk.order("30.00"))).id
        except InFlight as problem:
            return problem.more["resource"]

    ids = {str(found) for found in await asyncio.gather(*(send() for _ in range(20)))}
    made = await desk.public().create(ctx, desk.order("30.00"))
    assert ids == {str(made.id)}
    assert await desk.has(desk.mine) == "70.00"
    assert len(await desk.transfers()) == 1
