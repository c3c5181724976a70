"""Payments whose fee an edition of the bank's own names: each bank's obeyed, the books the same."""

import asyncio
from contextlib import contextmanager
from ipaddress import ip_network
from uuid import uuid4

import pytest
from payments_desk import eur, open_desk

from guilder.chassis.outbound import Rules
from guilder.chassis.signature import SigningKey
from guilder.chassis.testing import CALL_KEYS
from guilder.contracts.pricing.v1 import Tier
from guilder.contracts.registry.v1 import Bound
from tests.editions.faulty import Faulty, Running

PUBLIC = SigningKey.of(CALL_KEYS).public_jwk()


@contextmanager
def edition(world, desk, fault=None, **more):
    """An edition of pricing, bound for the desk's bank."""
    running, id = Running(Faulty("pricing", fault, public_key=PUBLIC)), uuid4()
    line = Bound(
        id=id,
        tenant=desk.bank.number,
        contract="pricing",
        edition="B",
        version="1.0.0",
        address=running.url,
        digest=running.edition.digest,
        generation=3,
        **{"on_failure": "closed", **more},
    )
    world.process.editions.allow(Rules((ip_network("127.0.0.0/8"),)))
    world.process.bindings.apply([line], [], False)
    try:
        yield running
    finally:
        world.process.bindings.apply([], [id], False)
        world.process.editions.allow(Rules())
        running.stop()


async def pay(desk, amount="10.00", who=None):
    return await desk.public().create((who or desk.bank.manager).ctx(), desk.order(amount))


async def priced(desk, made):
    (said,) = [d for d in (await desk.read(made.id)).decisions if d.step == "pricing"]
    return said.by, made.fee.amount


async def test_prove_3_payments_of_three_banks_at_once_obey_each_banks_own_binding(world):
    desks = [await open_desk(world, "100.00") for _ in range(3)]
    for desk in desks:
        await desk.tariff(Tier(flat=eur("0.50")))
    one, two, _ = desks
    with edition(world, one) as first, edition(world, two, "one-cent") as second:
        made = await asyncio.gather(*(pay(desk) for _ in range(5) for desk in desks))
        assert first.edition.calls
        assert second.edition.calls
    found = {n: {await priced(desks[n], m) for m in made[n::3]} for n in range(3)}
    assert found == {
        0: {("pricing B.1.0.0", "0.10")},
        1: {("pricing B.1.0.0", "0.11")},
        2: {("pricing A.1.0.0", "0.50")},
    }
    for desk in desks:
        assert await desk.findings() == []


@pytest.mark.parametrize("fault", ["negative-fee", "stale-digest", "hangs"])
async def test_an_edition_that_hangs_or_lies_books_nothing_and_its_neighbour_everything(
    world, fault
):
    desk, neighbour = await open_desk(world), await open_desk(world)
    with edition(world, desk, fault):
        waits, made = await asyncio.gather(pay(desk), pay(neighbour))
        assert waits.state == "waiting"  # until somebody says what it costs
        assert waits.fee is None
    assert (await priced(neighbour, made))[0] == "pricing A.1.0.0"
    assert await desk.has(desk.hers) == "0.00"
    assert await desk.findings() == await neighbour.findings() == []


async def test_stock_prices_where_the_binding_says_so_and_the_payment_says_it(world):
    desk = await open_desk(world)
    await desk.tariff(Tier(flat=eur("0.50")))
    with edition(world, desk, "huge-fee", on_failure="fallback"):
        made = await pay(desk)
    assert await priced(desk, made) == ("pricing A.1.0.0 (fallback)", "0.50")


async def test_prove_5_a_shadow_changes_no_payment_and_finds_a_cent(world):
    desk = await open_desk(world)
    await desk.tariff(Tier(percent="0.25", minimum=eur("0.10")))
    with edition(world, desk, "one-cent", mode="shadow") as beside:
        made = await pay(desk)
        await world.process.editions.shadows.settle()
        assert beside.edition.calls == 1
    assert await priced(desk, made) == ("pricing A.1.0.0", "0.10")
    told = world.process.editions.observations._since.values()
    assert any(("fee", "EUR", 1, None, None) in tally.differences for tally in told)
    world.process.editions.observations._since.clear()


async def test_a_canary_keeps_each_person_on_one_side(world):
    desk = await open_desk(world, "100.00")
    await desk.tariff(Tier(flat=eur("0.50")))
    people = [desk.bank.manager, desk.bank.second_manager, desk.jana]
    with edition(world, desk, mode="canary", share=50):
        sides = {}
        for who in people * 3:
            by = await priced(desk, await pay(desk, "1.00", who))
            assert sides.setdefault(who, by) == by
    assert set(sides.values()) <= {("pricing B.1.0.0", "0.10"), ("pricing A.1.0.0", "0.50")}
