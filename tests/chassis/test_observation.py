"""What a process saw is told once, whole, and within bounds."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from guilder.chassis import observation as module
from guilder.chassis.bindings import Binding
from guilder.chassis.clock import Clock
from guilder.chassis.contract import convert, plain
from guilder.chassis.observation import Observations
from guilder.chassis.serve import Outcome
from guilder.contracts.errors import (
    DeadlineExceeded,
    Internal,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from guilder.contracts.registry.observations import Difference, Observe


class Watch(Clock):
    def __init__(self):
        self.slept = []

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(0)


class Desk:
    """A registry that takes reports, or fails as often as told."""

    def __init__(self, fails=0):
        self.fails, self.got = fails, []

    async def observe(self, ctx, request):
        self.got.append((ctx.key, request))
        if self.fails:
            self.fails -= 1
            raise Unavailable("gone")


def binding(number, **more):
    return Binding("pricing", "B", id=UUID(int=number), **more)


def lost(failure):
    problem = Unavailable("no")
    return Outcome(problem=problem, status=503, failure=failure)


async def test_calls_failures_and_times_are_told_once():
    watching, desk = Observations("payments", Watch()), Desk()
    b = binding(1)
    watching.ended([b, b, b], [Outcome("x"), lost("late"), Outcome(problem=NotFound())], 0.25)
    watching.ended([b], [lost("stale-digest")], 1.5)
    watching.fell_back(b)
    await watching.tell(desk)
    await watching.tell(desk)  # nothing new
    ((key, report),) = desk.got
    assert key
    assert report.process == "payments"
    (told,) = report.seen
    assert (told.binding, told.calls, told.fallbacks) == (UUID(int=1), 4, 1)
    assert told.failures == {"late": 1, "stale-digest": 1}
    assert (told.total_ms, told.slowest_ms) == (2250, 1500)


@pytest.mark.parametrize(
    ("problem", "failure"),
    [
        (Unavailable(), "unreachable"),
        (DeadlineExceeded(), "late"),
        (Internal(), "broken"),
        (Unauthenticated(), "broken"),
        (NotFound(), None),
    ],
)
async def test_failures_of_a_release_of_ours_by_their_problem(problem, failure):
    watching, desk = Observations("p", Watch()), Desk()
    watching.ended([binding(1)], [Outcome(problem=problem)], 0.1)
    await watching.tell(desk)
    assert desk.got[0][1].seen[0].failures == ({failure: 1} if failure else {})


async def test_stock_is_not_told_of():
    watching, desk = Observations("p", Watch()), Desk()
    watching.ended([Binding("pricing")], [Outcome("x")], 0.1)
    await watching.tell(desk)
    assert desk.got == []


async def test_what_was_not_heard_is_told_again_as_the_same_and_the_rest_afterwards():
    watching, desk = Observations("p", Watch()), Desk(fails=2)
    watching.ended([binding(1)], [Outcome("x")], 0.1)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await watching.tell(desk)
        watching.ended([binding(1)], [Outcome("x")], 0.1)
    await watching.tell(desk)
    await watching.tell(desk)
    assert desk.got[0] == desk.got[1] == desk.got[2]
    assert desk.got[3][0] != desk.got[0][0]
    assert [report.seen[0].calls for _, report in desk.got] == [1, 1, 1, 2]


async def test_it_tells_at_most_once_a_second_and_not_when_there_is_nothing():
    watch = Watch()
    watching, desk = Observations("p", watch), Desk(fails=1)
    running = asyncio.create_task(watching.run(desk))
    await asyncio.sleep(0)
    assert watch.slept == []
    watching.ended([binding(1)], [Outcome("x")], 0.1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(desk.got) == 2
    assert watch.slept == [1.0, 1.0]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_was_seen_last_is_told_before_the_end_if_anybody_hears():
    watching, desk = Observations("p", Watch()), Desk()
    for n in range(1, module.MOST_SEEN + 2):
        watching.ended([binding(n)], [Outcome("x")], 0.1)
    await watching.last(desk)
    assert [len(report.seen) for _, report in desk.got] == [module.MOST_SEEN, 1]
    watching.ended([binding(1)], [Outcome("x")], 0.1)
    await watching.last(Desk(fails=1))  # whoever is gone holds nobody up


async def test_a_registry_that_hangs_is_not_waited_for(monkeypatch):
    class Hangs:
        async def observe(self, ctx, request):
            await asyncio.Event().wait()

    monkeypatch.setattr(module, "LAST_S", 0.02)
    watching = Observations("p", Watch())
    watching.ended([binding(1)], [Outcome("x")], 0.1)
    async with asyncio.timeout(5):
        await watching.last(Hangs())


async def test_a_report_and_what_is_kept_are_bounded():
    watching, desk = Observations("p", Watch()), Desk()
    for n in range(1, module.MOST_SEEN + 12):
        watching.ended([binding(n)], [Outcome("x")], 0.1)
    await watching.tell(desk)
    await watching.tell(desk)
    assert [len(report.seen) for _, report in desk.got] == [module.MOST_SEEN, 11]
    assert len(watching.totals) == module.MOST_NAMED + 1
    named = [key for key in watching.totals if key[0] == module.OTHERS]
    assert len(named) == 1


KINDS = st.builds(
    lambda field, delta, serving: Difference(field=field, delta_minor=delta, serving=serving),
    st.text("abc", min_size=1, max_size=3),
    st.one_of(st.none(), st.integers(-3, 3)),
    st.one_of(st.none(), st.text(max_size=3)),
)


@given(st.lists(st.lists(KINDS, max_size=4), max_size=80))
def test_differences_are_bounded_and_none_is_lost(found):
    watching = Observations("p", Clock())
    for some in found:
        watching.compared(binding(1), some)
    if not found:
        return
    told = watching._since[UUID(int=1)].seen(UUID(int=1))
    assert (told.compared, told.equal) == (len(found), sum(not some for some in found))
    assert len(told.differences) <= 50
    assert sum(d.count for d in told.differences) == sum(map(len, found))
    exact = Counter((d.field, d.delta_minor, d.serving) for some in found for d in some)
    if len(exact) <= module.TOLD_APART:
        assert exact == {(d.field, d.delta_minor, d.serving): d.count for d in told.differences}
    convert(plain(Observe(process="p", seen=[told])), Observe)  # as the contract allows it
