"""Reversals: with four eyes, once, and race-free; in the three modes."""

import asyncio

import pytest
from payments_desk import eur, open_desk
from payments_outages import Gone, road
from test_payments_crash import later, resume_all

from guilder.chassis.testing import new_id
from guilder.contracts.access import v1 as access
from guilder.contracts.errors import Forbidden
from guilder.contracts.payments import v1
from guilder.contracts.pricing.v1 import Tier
from guilder.contracts.values import derived

FEE = Tier(flat=eur("0.50"))


async def paid(desk, amount="20.00"):
    return await desk.public().create(desk.jana.ctx(), desk.order(amount))


@pytest.mark.refuses("payments.reverse")
async def test_amount_and_fee_go_back_when_a_second_person_approved(world):
    desk = await open_desk(world)
    await desk.tariff(FEE)
    made = await paid(desk)
    request = v1.Reverse(payment_id=made.id, reason="sent twice by mistake")
    for who in (desk.jana, desk.eva, desk.bank.auditor):
        with pytest.raises(Forbidden):
            await desk.public().reverse(who.ctx(), request)
    with pytest.raises(Forbidden):  # not even one of our own services, without an approval
        await desk.pay().reverse(desk.bank.manager.ctx(), request)
    assert await desk.has(desk.mine) == "79.50"
    proposal = await desk.reverse(made.id)
    assert proposal.state == "executed"
    back = await desk.read(proposal.resource)
    assert (back.amount, back.fee, back.reverses) == (eur("20.00"), eur("-0.50"), made.id)
    assert (back.debtor_account, back.creditor_account) == (desk.hers.id, desk.mine.id)
    assert (await desk.read(made.id)).reversed_by == back.id
    assert await desk.has(desk.mine) == "100.00"
    assert await desk.has(desk.hers) == "0.00"
    booked = {t.id: t for t in await desk.transfers()}
    assert [booked[derived(back.id, n)].meta.reverses for n in (1, 2)] == [made.id] * 2
    assert (await desk.activity(made.id))[-1] == "reversed"
    assert await desk.findings() == []


@pytest.mark.abuse(21)
async def test_a_payment_is_reversed_once_and_a_reversal_never(world):
    desk = await open_desk(world)
    made = await paid(desk)
    first = await desk.reverse(made.id)
    second = await desk.reverse(made.id)
    of_reversal = await desk.reverse(first.resource)
    unknown = await desk.reverse(new_id())
    states = [(p.state, p.problem) for p in (first, second, of_reversal, unknown)]
    assert states == [
        ("executed", None),
        ("failed", "not-reversible"),
        ("failed", "not-reversible"),
        ("failed", "unknown-payment"),
    ]
    assert await desk.has(desk.mine) == "100.00"
    assert len(await desk.transfers()) == 2
    assert await desk.findings() == []


@pytest.mark.abuse(21)
async def test_two_reversals_at_once_make_one(direct):
    desk = await open_desk(direct)
    made = await paid(desk)
    request = v1.Reverse(payment_id=made.id, reason="sent twice by mistake")

    async def reverse():
        ctx = desk.bank.manager.ctx(approval=new_id())
        try:
            return await desk.pay().reverse(ctx, request)
        except v1.NotReversible as problem:
            return problem

    ended = await asyncio.gather(*(reverse() for _ in range(8)))
    assert sum(isinstance(e, v1.Payment) for e in ended) == 1
    assert len(await desk.transfers()) == 2
    assert await desk.findings() == []


async def test_what_was_spent_cannot_go_back_until_it_is_there_again(world):
    desk = await open_desk(world)
    made = await paid(desk)
    back = desk.order("15.00", debtor_account=desk.hers.iban, creditor_account=desk.mine.iban)
    await desk.public().create(desk.eva.ctx(), back)
    failed = await desk.reverse(made.id)
    assert (failed.state, failed.problem) == ("failed", "insufficient-funds")
    assert await desk.has(desk.hers) == "5.00"
    await paid(desk, "15.00")
    assert (await desk.reverse(made.id)).state == "executed"
    assert await desk.has(desk.hers) == "0.00"
    assert await desk.findings() == []


async def test_a_refused_payment_has_nothing_to_reverse(world):
    desk = await open_desk(world)
    with pytest.raises(v1.InsufficientFunds) as refused:
        await paid(desk, "900.00")
    ended = await desk.reverse(refused.value.more["payment"])
    assert (ended.state, ended.problem) == ("failed", "not-reversible")


async def test_an_approved_reversal_that_waits_is_not_executed_before_it_is_booked(world):
    desk = await open_desk(world)
    made = await desk.pay().create(desk.jana.ctx(), desk.order("20.00"))

    async def said():
        for sweep in world.process.built["payments"].sweeps:
            await sweep.work()
        query = access.ProposalId(proposal_id=proposal.id)
        return (await world.client(access.Access).proposal(desk.bank.manager.ctx(""), query)).state

    with road(world, Gone, "ledger"):
        proposal = await desk.reverse(made.id)
        assert proposal.state == "approved"
        assert await said() == "approved"
    with later(desk, seconds=60):
        await resume_all(desk)
        assert await said() == "executed"
        assert (await desk.read(made.id)).reversed_by is not None
