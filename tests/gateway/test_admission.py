"""Admission against an oracle that knows only who is in flight."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from guilder.chassis.clock import Clock
from guilder.contracts.context import PLATFORM
from guilder.contracts.errors import TooManyRequests
from guilder.gateway.admission import FLOOR, WINDOW_SECONDS, Admission, Limiter, Overloaded
from guilder.gateway.rates import Rates

AIM = 0.4


class Ticks(Clock):
    """Monotonic time that a test moves."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at


def limiter(most=64, clock=None):
    return Limiter(clock or Ticks(), AIM, most)


def enter(limited, tenant, *, read=False):
    """A slot that is held until `leave`; None when refused."""
    slot = limited.slot(tenant, read=read)
    try:
        slot.__enter__()
    except Overloaded:
        return None
    return slot


def fill(limited, tenant):
    """Slots until there is no room, held while the list is."""
    slots = []
    while slot := enter(limited, tenant):
        slots.append(slot)
    return slots


def leave(slot):
    slot.__exit__(None, None, None)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(1, 5), st.booleans()),
        st.tuples(st.just("leave"), st.integers(0, 10_000), st.just(False)),
        st.tuples(st.just("wait"), st.integers(1, 1000), st.just(False)),
    ),
    max_size=400,
)


@given(STEPS, st.integers(1, 20))
def test_any_order_of_steps_keeps_the_promises(steps, most):
    clock = Ticks()
    limited = limiter(most, clock)
    held, refused = [], 0
    for what, number, read in steps:
        if what == "wait":
            clock.at += number / 1000
        elif what == "leave" and held:
            leave(held.pop(number % len(held))[1])
        elif what == "enter":
            total = len(held)
            mine = sum(tenant == number for tenant, _ in held)
            tenants = len({tenant for tenant, _ in held} | {number})
            bound = limited.limit
            slot = enter(limited, number, read=read)
            if slot is None:
                refused += 1
                assert total >= bound, "refused although the bound was not reached"
                below_share = mine * tenants < bound
                assert not below_share or total >= 1.4 * bound, "refused below its fair share"
            else:
                held.append((number, slot))
                assert total < 1.5 * bound
                if mine * tenants >= bound and not read:
                    assert total < bound, "admitted above its share and above the bound"
        assert limited.in_flight == len(held)
        assert min(FLOOR, most) <= limited.limit <= most
    assert limited.refused == refused
    for _, slot in held:
        leave(slot)
    assert limited.in_flight == 0
    assert not limited._of, "nobody is remembered who has nothing in flight"


def flood(limited, clock, rates, seconds, service_s):
    """Simulate tenants that send `rates` a second; who was admitted and refused."""
    admitted, refused, ends = Counter(), Counter(), []
    owed = dict.fromkeys(rates, 0.0)
    while clock.at < seconds:
        clock.at += 0.001
        while ends and ends[0][0] <= clock.at:
            leave(ends.pop(0)[1])
        for tenant, rate in rates.items():
            owed[tenant] += rate / 1000
            while owed[tenant] >= 1:
                owed[tenant] -= 1
                slot = enter(limited, tenant)
                if slot is None:
                    refused[tenant] += 1
                else:
                    admitted[tenant] += 1
                    ends.append((clock.at + service_s, slot))
    return admitted, refused


def test_whoever_floods_is_refused_and_a_modest_tenant_never():
    clock = Ticks()
    admitted, refused = flood(limiter(40, clock), clock, {1: 4000, 2: 40, 3: 40}, 10, 0.1)
    assert refused[2] == refused[3] == 0
    assert (admitted[2], admitted[3]) == (400, 400)
    assert admitted[1] > 2000, "what the others leave is used"
    assert refused[1] > 30_000


def test_two_that_flood_share_alike():
    clock = Ticks()
    admitted, _ = flood(limiter(40, clock), clock, {1: 4000, 2: 2000}, 10, 0.1)
    assert 0.5 < admitted[1] / admitted[2] < 2


def test_reads_find_room_where_new_work_does_not():
    limited = limiter(10)
    held = fill(limited, 1)
    assert len(held) == 10
    assert enter(limited, 1, read=True)


def test_operators_always_pass():
    limited = limiter(1)
    held = fill(limited, 1) + [enter(limited, PLATFORM) for _ in range(100)]
    assert None not in held
    assert limited.in_flight == len(held)


def busy(limited, clock, took, windows):
    """Keep the bound reached, with answers that take `took` seconds; the bounds seen."""
    seen = []
    for _ in range(windows):
        slots = fill(limited, 1)
        clock.at += took
        for slot in slots:
            leave(slot)
        seen.append(limited.limit)
    return seen


def test_the_bound_falls_while_answers_are_late_and_stops_at_its_floor():
    clock = Ticks()
    limited = limiter(200, clock)
    limited.limit = 200.0
    seen = busy(limited, clock, AIM * 2, 20)
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == 160
    assert seen[-1] == FLOOR


def test_the_bound_rises_while_answers_are_in_time_and_it_refuses():
    clock = Ticks()
    limited = limiter(200, clock)
    seen = busy(limited, clock, AIM * 0.9, 60)
    assert seen == sorted(seen)
    assert seen[-1] == 200


def test_the_bound_stays_when_it_refuses_nobody():
    clock = Ticks()
    limited = limiter(200, clock)
    before = limited.limit
    for _ in range(100):
        slots = [enter(limited, 1) for _ in range(10)]
        clock.at += WINDOW_SECONDS
        for slot in slots:
            leave(slot)
    assert limited.limit == before


def test_one_late_answer_in_many_moves_nothing():
    clock = Ticks()
    limited = limiter(200, clock)
    before = limited.limit
    late = enter(limited, 1)
    clock.at += AIM * 2
    for _ in range(19):
        leave(enter(limited, 1))
    leave(late)
    assert limited.limit == before


def test_the_bound_moves_once_a_window():
    clock = Ticks()
    limited = limiter(200, clock)
    limited.limit = 100.0
    slots = [enter(limited, 1) for _ in range(100)]
    clock.at += AIM * 2
    for slot in slots:
        leave(slot)
    assert limited.limit == 80, "a hundred late answers of one moment are one sign"


async def test_a_place_is_given_back_whatever_ends_the_work():
    limited = limiter()

    async def work(failing):
        with limited.slot(1, read=False):
            if failing:
                raise RuntimeError
            await asyncio.Event().wait()

    with pytest.raises(RuntimeError):
        await work(failing=True)
    assert limited.in_flight == 0
    task = asyncio.create_task(work(failing=False))
    await asyncio.sleep(0)
    assert limited.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limited.in_flight == 0


def test_a_slow_service_takes_no_place_of_another():
    admission = Admission(Ticks(), AIM * 1000, 4)
    slow = admission.limiter("parties")
    held = fill(slow, 1)
    assert len(held) == 4
    assert enter(admission.limiter("payments"), 1)


def test_who_was_refused_together_does_not_come_back_together():
    limited = limiter(1)
    held = fill(limited, 1)
    waits = set()
    for _ in range(200):
        with pytest.raises(Overloaded) as refused:
            limited.slot(1, read=False).__enter__()
        waits.add(refused.value.retry_after)
    assert limited.in_flight == len(held)
    assert len(waits) > 2
    assert min(waits) >= 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3000)), max_size=100))
def test_a_bucket_that_has_a_token_gives_it(steps):
    clock = Ticks()
    rates = Rates(1.5, clock)
    for who, milliseconds in steps:
        clock.at += milliseconds / 1000
        promised = rates.has(who)
        assert rates.has(who) == promised, "looking takes nothing"
        assert rates.try_take(who) == promised


def test_a_rate_limit_says_when_to_come_back():
    rates = Rates(0.1, Ticks())
    rates.take("who")
    with pytest.raises(TooManyRequests) as refused:
        rates.take("who")
    assert refused.value.retry_after > 10
