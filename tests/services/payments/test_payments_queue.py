"""The queue of what waits: planned maintenance, order, patience, and who may see it."""

import pytest
from payments_desk import an_account, eur, fund, open_desk
from payments_outages import Gone, road
from test_payments import outcome
from test_payments_checks import sql
from test_payments_crash import later, resume_all
from test_payments_waiting import ended, listed, told, waits

from guilder.chassis.openapi import openapi
from guilder.chassis.testing import new_id, somebody
from guilder.contracts.accounts.v1 import UnknownAccount
from guilder.contracts.errors import Forbidden
from guilder.contracts.ledger.v1 import InsufficientFunds
from guilder.contracts.payments import v1
from guilder.services.payments import payment


def hold(desk, window, monkeypatch):
    """Let the directory say that a window holds this tenant's orders."""
    orders, number = desk.world.process.built["payments"].service.orders, desk.bank.number
    monkeypatch.setattr(orders, "held", lambda tenant: window if tenant == number else None)


async def in_turn(desk, *amounts):
    """Orders that wait, each a moment after the one before."""
    made = []
    for n, amount in enumerate(amounts):
        with later(desk, seconds=n):
            made.append(await waits(desk, request=desk.order(amount)))
    return made


async def test_during_planned_maintenance_orders_wait_and_nobody_is_asked(world, monkeypatch):
    desk, window = await open_desk(world), new_id()
    request = desk.order("20.00")
    with road(world, Gone, "accounts", "access", "pricing", "registry", "ledger"):
        # the door may know of the window before this process does, or the other way round
        door = await waits(desk, desk.jana.ctx(hold=window), request)
        hold(desk, window, monkeypatch)
        ctx = desk.jana.ctx()
        made = await waits(desk, ctx, request)
        assert await waits(desk, ctx, request) == made
        bad = await outcome(desk, desk.jana.ctx(), desk.order(remittance="a\u202eb"))
    assert bad.problem.code == "bad-text"
    said = made.waits_for
    assert (said.part, said.window, said.moved) == ("maintenance", window, "nothing")
    assert said.detail == (
        "planned maintenance is going on; it goes on by itself afterwards;"
        " nothing has been moved yet"
    )
    assert (await ended(desk, made, hours=5)).state == "waiting"  # longer than an outage may take
    with later(desk, hours=5):
        assert await desk.findings() == []
    with later(desk, hours=25):
        assert await desk.findings() == ["payment-waits-long"]
    hold(desk, None, monkeypatch)
    for one in (door, made):
        assert (await ended(desk, one)).state == "booked"
    assert await told(desk, made.id) == ["payment.waiting", "payment.booked"]
    assert await desk.has(desk.mine) == "60.00"
    assert await desk.findings() == []


async def test_who_ordered_first_is_first(direct):
    desk = await open_desk(direct)
    with road(direct, Gone, "ledger"):
        made = await in_turn(desk, "60.00", "50.00", "41.00", "40.00")
    with later(desk, seconds=payment.FENCE.total_seconds() + len(made)):
        await resume_all(desk)
    assert [(await desk.read(m.id)).state for m in made] == [
        "booked",
        "refused",
        "refused",
        "booked",
    ]
    assert await desk.has(desk.mine) == "0.00"
    assert await desk.findings() == []


async def test_an_outage_is_probed_by_one_and_costs_nothing_that_grows(direct):
    desk = await open_desk(direct)
    with road(direct, Gone, "ledger"):
        made = await in_turn(desk, "1.00", "1.00")
        other = desk.order("1.00", debtor_account=desk.hers.iban, creditor_account=desk.mine.iban)
        with later(desk, seconds=5):
            made.append(await waits(desk, desk.eva.ctx(), other))
        for round_ in range(80):
            with later(desk, seconds=20 + 4 * round_):
                await resume_all(desk)
    async with direct.process.stores["payments"].tx(desk.bank.number) as tx:
        tried = [await tx.value("SELECT attempts FROM payment WHERE id=$1", one.id) for one in made]
        kept = await tx.value("SELECT count(*) FROM attempt WHERE payment=$1", made[0].id)
    assert sum(tried) == 80 + 3
    assert kept <= payment.ATTEMPTS_KEPT + 1
    assert len(await desk.activity(made[0].id)) == 2
    await sql(desk, "UPDATE payment SET attempts=100000 WHERE id=$1", made[0].id)
    with later(desk, seconds=400):
        await resume_all(desk)  # once it answers, all at once and whatever it took
    assert {(await desk.read(one.id)).state for one in made} == {"booked"}
    assert await desk.findings() == []


async def test_one_that_is_stuck_holds_up_nobody_else(direct):
    desk = await open_desk(direct)
    with road(direct, Gone, "ledger"):
        stuck = await waits(desk)
        others = [await waits(desk, request=desk.order("1.00")) for _ in range(3)]
    await sql(desk, "UPDATE payment SET request=$2 WHERE id=$1", stuck.id, b"broken" * 9)
    with later(desk, seconds=60):
        await resume_all(desk)
        await resume_all(desk)
    assert {(await desk.read(one.id)).state for one in others} == {"booked"}
    assert (await desk.read(stuck.id)).state == "waiting"
    with later(desk, hours=5):
        assert await desk.findings() == ["payment-waits-long"]
    await sql(desk, "DELETE FROM waiting WHERE payment=$1", stuck.id)
    assert await desk.findings() == ["payment-waits-for-nothing"]
    await sql(desk, "DELETE FROM payment WHERE id=$1", stuck.id)


@pytest.mark.refuses("payments.waiting")
async def test_what_waits_is_listed_for_those_who_may_see_all(world):
    desk = await open_desk(world)
    with road(world, Gone, "ledger"):
        made = await in_turn(desk, "20.00", "20.00", "20.00")
    assert [p.id for p in await listed(desk)] == [p.id for p in made]
    query = v1.WaitingQuery(limit=2)
    page = await desk.public().waiting(desk.bank.manager.ctx(""), query)
    rest = v1.WaitingQuery(limit=2, after=page.next)
    page = await desk.public().waiting(desk.bank.manager.ctx(""), rest)
    assert ([p.id for p in page.items], page.next) == ([made[2].id], None)
    for who in (desk.jana, desk.eva, somebody(desk.bank.number)):
        with pytest.raises(Forbidden):
            await listed(desk, who)
    other = await open_desk(world)
    assert await listed(other) == []
    await ended(desk, made[0])


async def test_what_waits_is_seen_by_whom_it_concerns_and_tells_a_stranger_nothing(world):
    desk = await open_desk(world)
    with road(world, Gone, "ledger"):
        made = await waits(desk)
    assert (made.debtor_account, made.creditor_account) == (desk.mine.id, desk.hers.id)
    assert (await desk.read(made.id, desk.jana)).id == made.id
    with pytest.raises(v1.UnknownPayment):  # whom it may never reach
        await desk.read(made.id, desk.eva)
    with road(world, Gone, "access"):  # there or not: it looks the same as long as nobody can say
        for name in (desk.mine.iban, str(new_id())):
            order = desk.order("20.00", debtor_account=name)
            blind = await waits(desk, desk.eva.ctx(), order)
            assert (blind.debtor_account, blind.waits_for.part) == (None, "access")
    with later(desk, seconds=60):
        await resume_all(desk)
    assert (await desk.read(blind.id, desk.eva)).refusal.code == UnknownAccount.code


async def test_a_reversal_waits_as_well_and_holds_up_no_other_approval(world):
    desk = await open_desk(world)
    made = await desk.public().create(desk.jana.ctx(), desk.order("20.00"))
    with road(world, Gone, "ledger"):
        assert (await desk.reverse(made.id)).state == "approved"
        (back,) = await listed(desk)
        assert (back.state, back.waits_for.part) == ("waiting", "ledger")
    back = await ended(desk, back)
    assert (back.state, (await desk.read(made.id)).reversed_by) == ("booked", back.id)
    assert await desk.has(desk.mine) == "100.00"
    assert await desk.findings() == []


async def test_a_reversal_that_is_refused_later_leaves_the_way_free(direct):
    desk = await open_desk(direct)
    made = await desk.public().create(desk.jana.ctx(), desk.order("20.00"))
    with road(direct, Gone, "ledger"):
        await desk.reverse(made.id)
        (back,) = await listed(desk)
    third = await an_account(direct, desk.bank, desk.eva)
    spent = desk.order("20.00", debtor_account=desk.hers.iban, creditor_account=third.iban)
    await desk.public().create(desk.eva.ctx(), spent)
    assert (await ended(desk, back)).refusal.code == InsufficientFunds.code
    await fund(direct, desk.bank, desk.hers, eur("20.00"))
    assert (await desk.reverse(made.id)).state == "executed"
    assert await desk.findings() == []


def test_the_api_says_that_an_order_may_wait():
    document = openapi([v1.Payments], "t", "1")
    answers = document["paths"]["/v1/payments"]["post"]["responses"]
    schema = {"$ref": "#/components/schemas/Payment"}
    for status in ("201", "202"):
        assert answers[status]["content"]["application/json"]["schema"] == schema
