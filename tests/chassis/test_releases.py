"""Calls go where the tenant's binding points, apart from each other, and say who answered."""

import asyncio

import pytest
from hypothesis import given, strategies as st

from guilder.chassis.batch import answered, one
from guilder.chassis.bindings import Bindings
from guilder.chassis.call import Calls
from guilder.chassis.serve import Outcome
from guilder.chassis.testing import somebody
from guilder.chassis.wire import Address, Wire
from guilder.contracts.context import Call
from guilder.contracts.errors import (
    DeadlineExceeded,
    Forbidden,
    Internal,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from guilder.contracts.pricing.v1 import Pricing
from guilder.contracts.registry.v1 import Bound

QUOTE, PUT = (Pricing.operations()[name] for name in ("quote", "put_tariff"))
HERE, NEXT, OTHER = "stock", "unix:/run/next.sock", "unix:/run/other.sock"


class Place:
    """A release: answers with its own name, or as it is told; a gate holds it up."""

    def __init__(self, name, *script):
        self.name, self.script, self.batches, self.closed = name, list(script), [], False
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, operation, calls):
        self.batches.append([(call.ctx.tenant, call.request) for call in calls])
        await self.gate.wait()
        ended = self.script.pop(0) if self.script else None
        if isinstance(ended, ValueError):
            raise ended
        if ended is not None:
            return [Outcome(problem=ended, status=ended.status) for _ in calls]
        return [Outcome(f"{self.name}:{call.ctx.tenant}:{call.request}") for call in calls]

    def close(self):
        self.closed = True


class Reaching(Calls):
    """The calls of payments, to places instead of processes."""

    def __init__(self, *places):
        self.places = {place.name: place for place in places}
        self.stock_place = self.places.setdefault(HERE, Place(HERE))
        self.opened = []
        super().__init__("payments", {"pricing": self.stock_place}, Bindings())

    def _reach(self, address):
        self.opened.append(address)
        return self.places[address]

    def bind(self, **tenants):
        """`t7=(address, on_failure, generation)`."""
        self.bindings.replace(bound(int(name[1:]), *more) for name, more in tenants.items())

    async def ask(self, *tenants, operation=QUOTE):
        return await self.send(
            operation, [Call(somebody(t).ctx(), n) for n, t in enumerate(tenants)]
        )


def bound(tenant, address, on_failure="closed", generation=1):
    return Bound(
        tenant=tenant,
        contract="pricing",
        edition="A",
        version="1.1.0",
        address=address,
        on_failure=on_failure,
        generation=generation,
    )


async def test_each_call_goes_where_its_tenant_is_bound_and_answers_keep_their_order():
    calls = Reaching(Place(NEXT), Place(OTHER))
    calls.bind(t7=(NEXT, "closed", 3), t8=(NEXT, "closed", 4), t9=(OTHER, "closed", 5))
    outcomes = await calls.ask(1, 7, 9, 8, 7, 2)
    assert [o.answer for o in outcomes] == [
        "stock:1:0",
        f"{NEXT}:7:1",
        f"{OTHER}:9:2",
        f"{NEXT}:8:3",
        f"{NEXT}:7:4",
        "stock:2:5",
    ]
    assert [o.by.generation for o in outcomes] == [0, 3, 5, 4, 3, 0]
    assert [o.by.label for o in outcomes[:2]] == ["pricing A.1.0.0", "pricing A.1.1.0"]
    for place, count in ((HERE, 2), (NEXT, 3), (OTHER, 1)):
        assert [len(batch) for batch in calls.places[place].batches] == [count]


@given(
    st.dictionaries(st.integers(1, 6), st.sampled_from([NEXT, OTHER])),
    st.lists(st.integers(1, 6), min_size=1, max_size=20),
)
def test_nobody_lands_elsewhere(addresses, tenants):
    async def run():
        calls = Reaching(Place(NEXT), Place(OTHER))
        calls.bind(**{f"t{t}": (address,) for t, address in addresses.items()})
        outcomes = await calls.ask(*tenants)
        expected = [f"{addresses.get(t, HERE)}:{t}:{n}" for n, t in enumerate(tenants)]
        assert [o.answer for o in outcomes] == expected

    asyncio.run(run())


async def test_a_call_in_flight_ends_where_it_began_and_says_so():
    calls = Reaching(Place(NEXT))
    pricing, place = calls.client(Pricing), calls.places[NEXT]
    calls.bind(t7=(NEXT, "closed", 3))
    place.gate.clear()
    early = asyncio.create_task(answered(pricing.quote, somebody(7).ctx(), 0))
    while not place.batches:  # noqa: ASYNC110  until it is in flight
        await asyncio.sleep(0)
    calls.bind()
    assert place.closed
    late = await answered(pricing.quote, somebody(7).ctx(), 1)
    assert (late[0], late[1].label, late[1].generation) == ("stock:7:1", "pricing A.1.0.0", 0)
    place.gate.set()
    answer, by = await early
    assert (answer, by.label, by.generation) == (f"{NEXT}:7:0", "pricing A.1.1.0", 3)


async def test_a_slow_release_keeps_nobody_waiting_who_is_served_elsewhere():
    calls = Reaching(Place(NEXT))
    pricing, slow = calls.client(Pricing), calls.places[NEXT]
    calls.bind(t7=(NEXT,))
    slow.gate.clear()
    hanging = [asyncio.create_task(one(pricing.quote, somebody(7).ctx(), n)) for n in range(3)]
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*(one(pricing.quote, somebody(1).ctx(), n) for n in "abc"))
    assert answers == ["stock:1:a", "stock:1:b", "stock:1:c"]
    assert not any(task.done() for task in hanging)
    slow.gate.set()
    assert await asyncio.gather(*hanging) == [f"{NEXT}:7:{n}" for n in range(3)]


GONE = Unavailable("gone")


@pytest.mark.parametrize(
    ("script", "attempts"),
    [
        ([GONE], 2),  # once more, and there it is
        ([GONE, GONE], 2),
        ([DeadlineExceeded("slow")], 1),
        ([Internal("broken")], 1),
        ([ValueError("nonsense")], 1),
        ([Unauthenticated("not our key")], 1),
        ([Forbidden("no")], 1),
    ],
)
@pytest.mark.parametrize("on_failure", ["closed", "fallback"])
async def test_what_happens_when_a_release_does_not_answer(script, attempts, on_failure):
    place = Place(NEXT, *script)
    calls = Reaching(place)
    calls.bind(t7=(NEXT, on_failure, 3))
    (outcome,) = await calls.ask(7)
    assert len(place.batches) == attempts
    if script == [GONE]:
        assert outcome.answer == f"{NEXT}:7:0"
    elif on_failure == "fallback" and not isinstance(script[-1], Forbidden):
        assert (outcome.answer, outcome.problem) == ("stock:7:0", None)
        assert (outcome.by.label, outcome.by.generation) == ("pricing A.1.0.0 (fallback)", 3)
        return
    else:
        expected = Internal if isinstance(script[-1], ValueError) else type(script[-1])
        assert isinstance(outcome.problem, expected)
        assert calls.stock_place.batches == []
    assert (outcome.by.label, outcome.by.generation) == ("pricing A.1.1.0", 3)


async def test_a_command_is_never_sent_anywhere_else_nor_twice():
    place = Place(NEXT, GONE)
    calls = Reaching(place)
    calls.bind(t7=(NEXT, "fallback"))
    (outcome,) = await calls.ask(7, operation=PUT)
    assert isinstance(outcome.problem, Unavailable)
    assert (len(place.batches), calls.stock_place.batches) == (1, [])


async def test_one_tenants_fallback_is_not_anothers():
    calls = Reaching(Place(NEXT, GONE, GONE))
    calls.bind(t7=(NEXT, "closed"), t8=(NEXT, "fallback"))
    closed, other = await calls.ask(7, 8)
    assert isinstance(closed.problem, Unavailable)
    assert other.answer == "stock:8:1"


async def test_too_few_answers_are_none():
    class Short(Place):
        async def send(self, operation, calls):
            return [Outcome("one")]

    calls = Reaching(Short(NEXT))
    calls.bind(t7=(NEXT,))
    for outcome in await calls.ask(7, 7):
        assert isinstance(outcome.problem, Internal)


async def test_roads_are_opened_on_demand_and_closed_when_no_binding_names_them():
    calls = Reaching(Place(NEXT), Place(OTHER))
    calls.bind(t7=(NEXT,), t8=(NEXT,), t9=(OTHER,))
    await calls.ask(7, 8)
    await calls.ask(7)
    assert calls.opened == [NEXT]
    calls.bind(t8=(NEXT,))
    assert not calls.places[NEXT].closed
    calls.bind()
    assert calls.places[NEXT].closed
    calls.bind(t7=(NEXT,))
    await calls.ask(7)
    assert calls.opened == [NEXT, NEXT]


async def test_a_business_refusal_reaches_the_caller_as_it_is():
    calls = Reaching(Place(NEXT, NotFound("no tariff")))
    calls.bind(t7=(NEXT, "fallback"))
    with pytest.raises(NotFound, match="no tariff"):
        await one(calls.client(Pricing).quote, somebody(7).ctx(), 0)


async def test_a_closed_wire_keeps_no_connection(tmp_path):
    ended = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        wire.close()  # while the answer is on its way
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        assert await reader.read() == b""
        writer.close()
        ended.set()

    path = str(tmp_path / "s")
    async with await asyncio.start_unix_server(serve, path):
        wire = Wire(Address(path=path))
        assert (await wire.request("GET", "/", {}, b"")).body == b"ok"
        async with asyncio.timeout(5):
            await ended.wait()
