"""A window's life by the clock alone, against lists made another way."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, strategies as st

from guilder.contracts.errors import InvalidRequest
from guilder.contracts.registry.windows import NoticeTooShort, ScheduleWindow, WindowTimes
from guilder.services.registry import window
from guilder.services.registry.window import Life, Rules

ZERO = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
RULES = Rules(notice=timedelta(hours=72), longest=timedelta(hours=12))
MINUTES = st.integers(0, 200 * 60)


def at(minutes: int) -> datetime:
    return ZERO + timedelta(minutes=minutes)


@example(begins=72 * 60, lasts=60, after=0, now=72 * 60)
@example(begins=72 * 60 - 1, lasts=60, after=None, now=0)
@example(begins=24 * 60, lasts=1, after=1, now=24 * 60 + 2)
@example(begins=60, lasts=60, after=None, now=0)
@given(begins=MINUTES, lasts=st.integers(1, 720), after=st.none() | st.integers(0, 90), now=MINUTES)
def test_what_is_due_follows_from_the_times(begins, lasts, after, now):
    ends = begins + lasts
    completes_after = None if after is None else timedelta(minutes=after)
    life = Life(ZERO, at(begins), at(ends), completes_after)
    expected = [] if begins >= 72 * 60 else ["announced"]
    for minute in range(now + 1):  # minute by minute, as a clock on the wall
        expected += [f"{h}h" for h in (72, 24, 1) if minute == begins - h * 60]
        expected += ["begun"] * (minute == begins) + ["verifying"] * (minute == ends)
        expected += ["completed"] * (after is not None and minute == ends + after)
    assert [kind for kind, _ in window.due(life, at(now))] == expected
    state = "scheduled" if now < begins else "in_progress" if now < ends else "verifying"
    if after is not None and now >= ends + after:
        state = "completed"
    assert window.state(life, at(now)) == state


@given(st.sampled_from(["cancelled_at", "completed_at"]), MINUTES)
def test_what_somebody_decided_stands_whatever_the_clock_says(decided, now):
    life = Life(ZERO, at(600), at(700), **{decided: at(1)})
    assert window.state(life, at(now)) == decided.removesuffix("_at")


def test_notices_of_one_moment_are_in_the_order_of_what_happens():
    ids = [window.notice_id(kind, ZERO) for kind in window.KINDS]
    assert ids == sorted(ids)
    assert len({window.notice_id("72h", ZERO) for _ in range(100)}) == 100


def asked(**changes) -> ScheduleWindow:
    plain = {"begins_at": at(72 * 60), "ends_at": at(73 * 60), "title": "Work", "reason": "Disks"}
    return ScheduleWindow(**(plain | changes))


@pytest.mark.parametrize(
    ("changes", "problem", "where"),
    [
        ({}, None, None),
        ({"ends_at": at(72 * 60 + 1)}, None, None),
        ({"ends_at": at(84 * 60)}, None, None),
        ({"begins_at": at(60), "ends_at": at(90), "urgent": "a leak"}, None, None),
        ({"begins_at": at(72 * 60 - 1)}, NoticeTooShort, "$.begins_at"),
        ({"begins_at": at(-1)}, NoticeTooShort, "$.begins_at"),
        ({"begins_at": at(59), "urgent": "a leak"}, NoticeTooShort, "$.begins_at"),
        ({"ends_at": at(72 * 60)}, WindowTimes, "$.ends_at"),
        ({"ends_at": at(0)}, WindowTimes, "$.ends_at"),
        ({"ends_at": at(84 * 60 + 1)}, WindowTimes, "$.ends_at"),
        ({"begins_at": at(367 * 1440), "ends_at": at(367 * 1440 + 9)}, WindowTimes, "$.begins_at"),
        ({"begins_at": datetime.max.replace(tzinfo=UTC)}, WindowTimes, "$.begins_at"),
        ({"begins_at": datetime.min.replace(tzinfo=UTC)}, NoticeTooShort, "$.begins_at"),
        ({"title": "Wor\u202ek"}, InvalidRequest, "$.title"),
        ({"reason": "a\nb c"}, InvalidRequest, "$.reason"),
        ({"urgent": " x y"}, InvalidRequest, "$.urgent"),
    ],
)
def test_times_and_texts_are_judged(changes, problem, where):
    found = window.fault(asked(**changes), ZERO, RULES)
    assert (type(found) if found else None) is problem
    assert (found.at if found else None) == where


def test_less_notice_may_be_the_rule_and_then_urgent_asks_no_more():
    short = Rules(notice=timedelta(minutes=5), longest=timedelta(hours=1))
    soon = asked(begins_at=at(5), ends_at=at(9))
    assert window.fault(soon, ZERO, short) is None
    assert window.fault(asked(begins_at=at(5), ends_at=at(9), urgent="a leak"), ZERO, short) is None


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(60, "1 hour"), (72 * 60, "72 hours"), (90, "90 minutes"), (1, "1 minute")],
)
def test_lengths_are_said_as_people_do(minutes, said):
    assert window.spoken(timedelta(minutes=minutes)) == said
