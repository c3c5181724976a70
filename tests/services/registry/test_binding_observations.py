"""What processes saw of bindings: added up once, told in a sentence; the end of bad canaries."""

import asyncio
import random
from collections import Counter
from uuid import UUID

import msgspec
import pytest
from binding_desk import answering, bind, end, rollback, saying, soon, wish
from hypothesis import given, strategies as st

from guilder.chassis.events import SYSTEM
from guilder.chassis.testing import Who, make_bank, new_id, operator, somebody
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import EventQuery
from guilder.contracts.errors import Forbidden
from guilder.contracts.registry import v1
from guilder.contracts.registry.observations import Difference, Observe, Seen
from guilder.contracts.values import decimal
from guilder.services.registry import observation, observation_store

PROCESS = Who(PLATFORM, SYSTEM)


def seen(binding, calls=1, **more):
    return Seen(
        binding=binding.id if hasattr(binding, "id") else binding,
        calls=calls,
        **({"failures": {}} | more),
    )


async def tell(world, *lines, key=None):
    request = Observe(process="payments", seen=list(lines))
    return (await world.client(v1.Registry, "process").observe(PROCESS.ctx(key), request)).taken


async def report(world, record):
    return await world.public(v1.Registry).report(
        operator().ctx(), v1.BindingId(binding_id=record.id)
    )


async def beside(world, bank, **changes):
    with answering(world):
        return await bind(world, wish(bank.slug, **changes))


async def test_what_processes_saw_is_added_up(world):
    record = await beside(world, await make_bank(world), mode="shadow")
    fresh = await report(world, record)
    assert (fresh.calls, fresh.last, fresh.mean_ms, fresh.differences) == (0, None, None, [])
    assert fresh.advice.startswith("Nothing was sent to it yet")
    cent = Difference(field="fee", currency="EUR", delta_minor=1)
    first = seen(record, 4, total_ms=40, slowest_ms=30, compared=3, equal=2, differences=[cent])
    second = seen(
        record,
        6,
        failures={"late": 2, "broken": 1},
        fallbacks=1,
        total_ms=20,
        slowest_ms=9,
        compared=3,
        equal=1,
        dropped=5,
        differences=[
            msgspec.structs.replace(cent, count=1),
            Difference(field="fee", currency="EUR", delta_minor=-250),
            Difference(field="rule", serving="flat", other="none", count=2),
        ],
    )
    assert await tell(world, first, seen(new_id()), second) == 1, "once a binding that exists"
    found = await report(world, record)
    assert (found.calls, found.fallbacks, found.mean_ms, found.slowest_ms) == (10, 1, 6, 30)
    assert (found.compared, found.equal, found.dropped, found.omitted) == (6, 3, 5, 0)
    assert found.failures == {"late": 2, "broken": 1}
    fee, rule = found.differences
    assert (fee.field, fee.count, fee.currency) == ("fee", 3, "EUR")
    assert (fee.total, fee.least, fee.most) == ("-2.48", "-2.50", "0.01")
    assert [(e.delta, e.count) for e in fee.examples] == [("0.01", 2), ("-2.50", 1)]
    assert (rule.field, rule.total, rule.examples[0].serving) == ("rule", None, "flat")
    assert "3 of 6 answers differ, most often in `fee` (by -2.50 to 0.01 EUR)" in found.advice
    await end(world, record)


async def test_the_repeat_of_a_report_counts_nothing_twice(world):
    record = await beside(world, await make_bank(world), mode="shadow")
    key = str(new_id())
    for _ in range(3):
        assert await tell(world, seen(record, 7), key=key) == 1
    assert (await report(world, record)).calls == 7
    await end(world, record)
    await tell(world, seen(record, 1))
    assert (await report(world, record)).calls == 8, "what is told late belongs to it all the same"


async def test_many_who_tell_at_once_lose_nothing(direct):
    bank = await make_bank(direct)
    records = [await beside(direct, bank, mode="shadow"), await beside(direct, bank)]
    records.append(await beside(direct, bank, mode="canary", share=5))
    cent = Difference(field="fee", currency="EUR", delta_minor=1)
    line = {"differences": [cent], "failures": {"late": 1}}

    async def one(n):
        order = random.Random(n).sample(records, 3)
        await tell(direct, *(seen(record, 100, **line) for record in order))

    await asyncio.gather(*(one(n) for n in range(12)))
    for record in records:
        found = await report(direct, record)
        assert (found.calls, found.failures, found.differences[0].count) == (1200, {"late": 12}, 12)
        await end(direct, record)


async def test_differences_are_told_apart_up_to_a_bound(direct, monkeypatch):
    monkeypatch.setattr(observation_store, "MOST_DIFFERENCES", 3)
    monkeypatch.setattr(observation_store, "MOST_FIELDS", 2)
    record = await beside(direct, await make_bank(direct), mode="shadow")
    found = [Difference(field="fee", currency="EUR", delta_minor=n) for n in range(1, 6)]
    found += [Difference(field="rule", serving="a", other="b"), Difference(field="third")]
    await tell(direct, seen(record, 7, compared=7, differences=found))
    await tell(direct, seen(record, 1, compared=1, differences=found[:1]))
    said = await report(direct, record)
    assert [(d.field, d.count) for d in said.differences] == [("fee", 6), ("rule", 1)]
    assert said.omitted == 4
    assert [e.count for e in said.differences[0].examples] == [2, 1, 1]
    await end(direct, record)


# ── canaries ─────────────────────────────────────────────────────────────────────────────────


async def test_a_canary_that_burns_its_error_budget_is_ended_at_once(world):
    bank = await make_bank(world)
    live = await beside(world, bank)
    canary = await beside(world, bank, mode="canary", share=10)
    generation = world.process.directory.latest.generation
    await tell(world, seen(canary, 200, failures={"late": 4}), seen(live, 9, failures={"late": 9}))
    assert (await report(world, canary)).binding.ended_at is None
    await tell(world, seen(canary, 9, failures={"broken": 2}))
    await world.settle()
    found = await report(world, canary)
    assert (found.binding.ended_reason, found.binding.ended_by) == ("burnt", SYSTEM.id)
    said = "6 of 209 calls failed within a minute, the last ones: broken 2"
    assert found.binding.ended_detail == said
    assert found.advice.startswith(f"The platform ended it ({said})")
    assert (await report(world, live)).binding.ended_at is None, "who serves alone goes on"
    assert world.process.directory.latest.generation == generation + 1
    events, after = [], ""
    while (
        page := await world.client(v1.Registry).events(operator().ctx(), EventQuery(after=after))
    ).events:
        events += [e for e in page.events if e.ids.get("binding") == str(canary.id)]
        after = page.next
    assert [(e.type, e.principal) for e in events[1:]] == [("binding.burnt", str(SYSTEM.id))]
    await tell(world, seen(canary, 9, failures={"broken": 9}))
    assert (await report(world, canary)).binding.ended_detail == said
    assert (await rollback(world, canary)).restored is None
    await end(world, live)


async def test_failures_of_a_while_ago_are_forgiven(direct):
    canary = await beside(direct, await make_bank(direct), mode="canary", share=10)
    await tell(direct, seen(canary, 4, failures={"late": 4}))
    direct.clock.move(seconds=75)
    await tell(direct, seen(canary, 4, failures={"late": 4}))
    assert (await report(direct, canary)).binding.ended_at is None
    direct.clock.move(seconds=40)
    await tell(direct, seen(canary, 1, failures={"late": 1}))
    assert (await report(direct, canary)).binding.ended_reason == "burnt"


async def test_a_canary_that_was_about_to_end_burns_too(direct):
    bank = await make_bank(direct)
    canary = await beside(direct, bank, mode="canary", share=10)
    with saying(direct, "1.2.0"):
        later = await bind(
            direct,
            wish(bank.slug, version="1.2.0", mode="canary", share=20, begins=soon(direct, hours=1)),
        )
    await tell(direct, seen(canary, 9, failures={"late": 9}))
    assert (await report(direct, canary)).binding.ended_reason == "burnt"
    assert (await report(direct, later)).binding.ended_at is None
    direct.clock.move(hours=1)
    try:
        done = await rollback(direct, later)
    finally:
        direct.clock.move(hours=-1)
    assert done.restored is None, "what was burnt is not put back"


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_budget_is_five_failures_and_two_percent(calls, failures):
    assert observation.burns(calls, failures) == (failures > 4 and failures / 2 > calls / 100)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.integers(0, 9),
            st.lists(st.sampled_from(["late", "broken"]), max_size=3),
        ),
        max_size=20,
    )
)
def test_lines_are_put_together_by_binding(lines):
    told = [
        Seen(binding=UUID(int=b), calls=n, slowest_ms=n, failures=Counter(kinds))
        for b, n, kinds in lines
    ]
    sums = observation.together(told)
    assert list(sums) == sorted({line.binding for line in told})
    for binding, found in sums.items():
        mine = [line for line in told if line.binding == binding]
        assert found.calls == sum(line.calls for line in mine)
        assert found.slowest_ms == max(line.slowest_ms for line in mine)
        assert found.failed == sum(sum(line.failures.values()) for line in mine)


@pytest.mark.parametrize(
    ("minor", "currency", "said"),
    [
        (-1, "EUR", "-0.01"),
        (12345, "EUR", "123.45"),
        (-5, "JPY", "-5"),
        (10**20, "KWD", "1" + "0" * 17 + ".000"),
    ],
)
def test_amounts_are_decimal_strings_however_large(minor, currency, said):
    assert decimal(minor, currency) == said


async def test_old_slots_and_keys_are_forgotten(direct):
    record, key = await beside(direct, await make_bank(direct), mode="shadow"), str(new_id())
    service = direct.process.built["registry"].service

    async def kept():
        async with service.store.tx(PLATFORM) as tx:
            slots = await tx.value("SELECT count(*) FROM binding_slot WHERE binding=$1", record.id)
            keys = await tx.value("SELECT count(*) FROM observation WHERE key=$1", key)
        return slots, keys

    await tell(direct, seen(record, 1), key=key)
    direct.clock.move(minutes=11)
    await service.forget()
    assert await kept() == (1, 0)
    direct.clock.move(minutes=50)
    await service.forget()
    assert await kept() == (0, 0)
    assert (await report(direct, record)).calls == 1
    direct.clock.move(minutes=-61)
    await end(direct, record)


# ── the sentence ─────────────────────────────────────────────────────────────────────────────


async def test_a_report_says_what_to_do(direct):
    bank = await make_bank(direct)
    shadow = await beside(direct, bank, mode="shadow")
    live = await beside(direct, bank)

    async def advice(record, **more):
        await tell(direct, seen(record, **more))
        return (await report(direct, record)).advice

    assert "not answered once (late 1)" in await advice(shadow, failures={"late": 1}, calls=1)
    assert "were equal, but 1 calls failed" in await advice(shadow, compared=50, equal=50, calls=50)
    differing = Difference(field="fee", currency="EUR", delta_minor=1)
    said = await advice(shadow, compared=1, calls=1, differences=[differing])
    assert "1 of 51 answers differ, most often in `fee` (by 0.01 EUR)" in said
    assert await advice(live, calls=300) == "All 300 calls were answered: nothing is to be done."
    assert "few enough to go on" in await advice(live, calls=1, failures={"late": 1})
    assert f"guilder binding rollback {live.id}" in await advice(
        live, calls=9, failures={"late": 9}
    )
    await end(direct, live)
    assert "has been ended" in (await report(direct, live)).advice
    await end(direct, shadow)
    again = await beside(direct, bank, mode="shadow")
    assert "wait for 100" in await advice(again, compared=99, equal=99, calls=99)
    assert "propose it as a canary, or live" in await advice(again, compared=1, equal=1, calls=1)
    await end(direct, again)


# ── the map ──────────────────────────────────────────────────────────────────────────────────


async def test_the_map_shows_all_that_serves_a_tenant(world):
    bank, neighbour = await make_bank(world), await make_bank(world)
    at = soon(world, hours=1)
    live = await beside(world, bank)
    shadow = await beside(world, bank, mode="shadow")
    with saying(world, "1.2.0"):
        planned = await bind(world, wish(bank.slug, version="1.2.0", begins=at))
    await tell(world, seen(live, 10, failures={"late": 1}, total_ms=90, slowest_ms=40))
    found = await show(world, bank)
    assert (found.tenant, found.number, found.read_only) == (bank.slug, bank.number, None)
    services = {line.contract: line for line in found.services}
    pricing = services["pricing"]
    assert (pricing.edition, pricing.version, pricing.stock) == ("A", "1.1.0", "1.0.0")
    assert (pricing.live.id, pricing.shadow.id, pricing.canary) == (live.id, shadow.id, None)
    assert [record.id for record in pricing.planned] == [planned.id]
    assert pricing.live.ended_at == at
    (health,) = pricing.health
    assert (health.binding, health.calls, health.failures) == (live.id, 10, 1)
    assert (health.mean_ms, health.slowest_ms) == (9, 40)
    assert [name for name, line in services.items() if line.differs] == ["pricing"]
    assert not any(line.differs for line in (await show(world, neighbour)).services)
    world.clock.move(minutes=6)
    assert (await show(world, bank)).services[list(services).index("pricing")].health == []
    world.clock.move(minutes=-6)
    for record in (live, shadow):
        await end(world, record)
    assert not any(line.differs for line in (await show(world, bank)).services)
    with pytest.raises(v1.UnknownTenant):
        await world.public(v1.Registry).service_map(
            operator().ctx(), v1.WhichTenant(slug="nowhere")
        )


async def show(world, bank):
    return await world.public(v1.Registry).service_map(
        operator().ctx(), v1.WhichTenant(slug=bank.slug)
    )


# ── who may ──────────────────────────────────────────────────────────────────────────────────

OPERATIONS = {
    "shadow": lambda bank: v1.Shadow(
        tenant=bank.slug, contract="pricing", version="1.0.0", address="http://127.0.0.1:4000"
    ),
    "rollback": lambda bank: v1.BindingId(binding_id=new_id()),
    "report": lambda bank: v1.BindingId(binding_id=new_id()),
    "service_map": lambda bank: v1.WhichTenant(slug=bank.slug),
}


@pytest.mark.refuses("registry.shadow")
@pytest.mark.refuses("registry.rollback")
@pytest.mark.refuses("registry.report")
@pytest.mark.refuses("registry.service_map")
@pytest.mark.parametrize("name", OPERATIONS)
async def test_only_operators_of_the_platform_may(world, name):
    bank = await make_bank(world)
    request = OPERATIONS[name](bank)
    for who in (somebody(PLATFORM), somebody(bank.number), bank.manager, bank.auditor):
        with pytest.raises(Forbidden):
            await getattr(world.public(v1.Registry), name)(who.ctx(), request)
    with pytest.raises(Forbidden):
        await getattr(world.client(v1.Registry), name)(bank.manager.ctx(), request)
    if name in ("rollback", "report"):
        with pytest.raises(v1.UnknownBinding):
            await getattr(world.public(v1.Registry), name)(operator().ctx(), request)


@pytest.mark.parametrize(
    "wrong",
    [
        {"failures": {"sleepy": 1}},
        {"calls": -1},
        {"differences": [{"field": "x" * 81}]},
        {"differences": [{"field": "fee"}] * 51},
        {"name": "Anna"},
    ],
)
def test_odd_reports_are_refused(wrong):
    line = {"binding": str(new_id()), "calls": 1, "failures": {}}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"process": "p", "seen": [line | wrong]}, Observe)
    msgspec.convert({"process": "p", "seen": [line]}, Observe)
