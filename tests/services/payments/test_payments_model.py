"""Many orders against a model that knows nothing but addition; and the pure parts."""

import asyncio
import contextlib
import random
from collections import Counter
from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from payments_desk import an_account, eur, open_desk
from payments_outages import Gone, Loses, forget, road
from test_payments import outcome
from test_payments_crash import BreaksOnce, among, later, resume_all
from test_payments_waiting import ASKED

from guilder.chassis.contract import decode
from guilder.chassis.testing import new_id
from guilder.contracts.errors import Problem, Unavailable
from guilder.contracts.ledger.v1 import InsufficientFunds
from guilder.contracts.payments import v1
from guilder.contracts.pricing.v1 import Tier
from guilder.contracts.values import MAX_MINOR, Money, derived
from guilder.services.payments import payment

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


STEPS = ["resolve", "allow", "price", "fees", "today", "book"]
FEE = 50


@pytest.mark.parametrize("seed", range(4))
async def test_balances_follow_the_orders_whatever_breaks(direct, seed):
    dice = random.Random(seed)
    desk = await open_desk(direct, "300.00")
    await desk.tariff(Tier(flat=Money(FEE, "EUR")))
    third = await an_account(direct, desk.bank, desk.jana)
    accounts = [desk.mine, desk.hers, third]
    balance = Counter({desk.mine.id: 30_000})
    booked, keys = {}, []
    for _ in range(40):
        kind = dice.choice(["pay", "pay", "pay", "repeat", "reverse"])
        if kind == "reverse" and booked:
            await reverse(desk, dice.choice(sorted(booked)), booked, balance)
            continue
        if kind == "repeat" and keys:
            ctx, request = dice.choice(keys)
        else:
            one, two = dice.sample(accounts, 2)
            amount = eur(f"{dice.randrange(1, 120)}.{dice.randrange(100):02}")
            order = {"debtor_account": one.iban, "creditor_account": str(two.id)}
            ctx, request = desk.bank.manager.ctx(), v1.CreatePayment(amount=amount, **order)
            keys.append((ctx, request))
        await pay(desk, dice, ctx, request, booked, balance)
        assert [eur(await desk.has(a)).minor for a in accounts] == [balance[a.id] for a in accounts]
    assert len(booked) >= 5
    assert await desk.findings() == []


@pytest.mark.parametrize("seed", range(4))
async def test_every_order_that_was_taken_ends_once_whatever_was_gone(direct, seed):
    dice = random.Random(seed)
    desk = await open_desk(direct, "300.00")
    third = await an_account(direct, desk.bank, desk.jana)
    accounts = [desk.mine, desk.hers, third]
    sent, taken, began = [], set(), direct.clock.now()
    try:
        for _ in range(25):
            parts = dice.sample(ASKED, dice.choice([0, 1, 1, 2]))
            forget(direct)  # so that every part is asked again
            with road(direct, dice.choice([Gone, Loses]), *(parts or ["audit"])):
                sent += [an_order(desk, dice, accounts) for _ in range(dice.randrange(3))]
                again = dice.sample(sent, min(len(sent), 2)) + sent[-2:]
                for found in await asyncio.gather(*(outcome(desk, *order) for order in again)):
                    if found.problem is None:
                        taken.add(decode(found.body(), v1.Payment).id)
                await resume_all(desk)
            direct.clock.move(seconds=dice.choice([0, 1, 5, 30]))
        direct.clock.move(seconds=60)
        for _ in range(2):
            await resume_all(desk)
            direct.clock.move(seconds=10)
        await balanced(desk, accounts, sent, taken)
    finally:
        direct.clock.at = began


def an_order(desk, dice, accounts):
    one, two = dice.sample(accounts, 2)
    amount = eur(f"{dice.randrange(1, 120)}.{dice.randrange(100):02}")
    order = {"debtor_account": one.iban, "creditor_account": str(two.id)}
    return desk.bank.manager.ctx(), v1.CreatePayment(amount=amount, **order)


async def balanced(desk, accounts, sent, taken):
    """Every order has ended, for good and alike for all; the books hold what was booked, once."""
    balance, booked, ended = Counter({desk.mine.id: 30_000}), set(), set()
    for order in sent:
        found, again = await outcome(desk, *order), await outcome(desk, *order)
        assert found.replayed
        assert found.body() == again.body()
        if found.problem is not None:
            assert found.problem.final
            ended.add(UUID(found.problem.more["payment"]))
            continue
        made = decode(found.body(), v1.Payment)
        assert made.state == "booked"
        booked.add(made.id)
        balance[made.debtor_account] -= made.amount.minor
        balance[made.creditor_account] += made.amount.minor
    assert taken <= booked | ended
    assert sorted(t.id for t in await desk.transfers()) == sorted(derived(b, 1) for b in booked)
    assert [eur(await desk.has(a)).minor for a in accounts] == [balance[a.id] for a in accounts]
    assert min(balance.values()) >= 0
    assert len(booked) >= 3
    assert await desk.findings() == []
    async with desk.world.process.stores["payments"].tx(desk.bank.number) as tx:
        assert await tx.value("SELECT count(*) FROM waiting") == 0


async def pay(desk, dice, ctx, request, booked, balance):
    """Send an order, often through something that breaks; then once more, and take it over."""
    step, when = dice.choice(STEPS), dice.choice(["before", "after", "never"])
    with among(
        desk, lambda o: BreaksOnce(o, step, when, Unavailable("broken"), desk.bank)
    ) as others:
        others.broken = when == "never"
        with contextlib.suppress(Problem):
            await desk.public().create(ctx, request)
    with later(desk, seconds=61):
        if dice.random() < 0.3:
            await resume_all(desk)
        try:
            made = await desk.public().create(ctx, request)
        except InsufficientFunds:
            return
    assert made.state == "booked"
    if made.id not in booked:
        booked[made.id] = made
        balance[made.debtor_account] -= made.amount.minor + FEE
        balance[made.creditor_account] += made.amount.minor
        assert balance[made.debtor_account] >= 0


async def reverse(desk, which, booked, balance):
    """Reverse a payment if it can be, and take that over."""
    original = booked[which]
    request = v1.Reverse(payment_id=which, reason="sent twice by mistake")
    done = any(made.reverses == which for made in booked.values())
    possible = original.reverses is None and not done
    enough = balance[original.creditor_account] >= original.amount.minor
    try:
        made = await desk.pay().reverse(desk.bank.manager.ctx(approval=new_id()), request)
    except v1.NotReversible:
        assert not possible
        return
    except InsufficientFunds:
        assert possible
        assert not enough
        return
    assert possible
    assert enough
    booked[made.id] = made
    balance[original.creditor_account] -= original.amount.minor
    balance[original.debtor_account] += original.amount.minor + FEE


@calm
@given(st.integers(1, MAX_MINOR), st.integers(-(10**6), 10**6), st.booleans())
def test_the_legs_of_a_payment_move_its_amount_and_its_fee(amount, fee, reversal):
    fee = -abs(fee) if reversal else abs(fee)
    ids = [new_id() for _ in range(4)]
    attempt = payment.Attempt(ids[3], None, False, ids[0], reverses=ids[0] if reversal else None)
    on = date(2026, 3, 2)
    legs = payment.legs(
        attempt, (ids[0], ids[1]), Money(amount, "EUR"), Money(fee, "EUR"), ids[2], on
    )
    moved = Counter()
    for leg in legs:
        assert leg.amount.minor > 0
        assert leg.id.version == 7
        moved[leg.debit] -= leg.amount.minor
        moved[leg.credit] += leg.amount.minor
    assert sum(moved.values()) == 0
    if reversal:
        assert (moved[ids[0]], moved[ids[1]], moved[ids[2]]) == (-amount, amount - fee, fee)
    else:
        assert (moved[ids[0]], moved[ids[1]], moved[ids[2]]) == (-amount - fee, amount, fee)
    assert len({leg.id for leg in legs}) == len(legs) == (2 if fee else 1)


@calm
@given(st.integers(1, 10_000))
def test_the_sweep_pauses_longer_but_never_for_ever(attempts):
    assert timedelta(seconds=2) <= payment.pause(attempts) <= payment.pause(attempts + 1)
    assert payment.pause(attempts) <= payment.BACKOFF
