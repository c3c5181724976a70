"""Shadows: nobody waits for them, they see what `sees` names, and what differs is counted."""

import time
from uuid import UUID

from guarded import (
    ASKED,
    CHECK,
    QUOTE,
    Guarded,
    Noting,
    bound,
    edition,
)
from hypothesis import given, strategies as st

from guilder.chassis import shadow as module
from guilder.chassis.batch import one
from guilder.chassis.serve import Outcome
from guilder.chassis.shadow import differences
from guilder.chassis.testing import somebody
from guilder.contracts.errors import Refused
from guilder.contracts.pricing.v1 import Pricing, Quoted
from guilder.contracts.registry.observations import Difference
from guilder.contracts.screening.v1 import Checked, Hit
from guilder.contracts.values import Money


class Serving:
    """Stock that quotes as the edition does, but for what a test says."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    async def send(self, operation, calls):
        self.asked += len(calls)
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [Outcome(given) for _ in calls]


RIGHT = Quoted(fee=Money(25, "EUR"), rule="a quarter of a percent, at least ten")


def shadowed(running, *answers, **more):
    guarded = Guarded()
    guarded._roads = {"pricing": Serving(*answers), "screening": Serving(*answers)}
    guarded.bind(bound(running, mode="shadow", **more))
    return guarded


def seen(guarded):
    ((_, tally),) = guarded.shared.observations._since.items()
    return tally.seen(UUID(int=1))


async def test_a_difference_of_one_cent_is_found():
    with edition("one-cent") as running:
        guarded = shadowed(running, RIGHT)
        for _ in range(5):
            (outcome,) = await guarded.ask(7)
            assert (outcome.answer, outcome.by.label) == (RIGHT, "pricing A.1.0.0")
        await guarded.shared.shadows.settle()
    told = seen(guarded)
    assert (told.calls, told.compared, told.equal, told.dropped) == (5, 5, 0, 0)
    assert told.differences == [Difference(field="fee", currency="EUR", delta_minor=1, count=5)]


async def test_equal_answers_are_counted_and_other_tenants_are_not_shown():
    with edition(kind=Noting) as running:
        guarded = shadowed(running, RIGHT)
        await guarded.ask(7, 8, 7)
        await guarded.shared.shadows.settle()
        assert [body["tenant"] for body in running.edition.bodies] == [7]
        assert [len(body["items"]) for body in running.edition.bodies] == [2]
        assert running.edition.bodies[0]["items"][0].keys() == set(QUOTE.sees)
    told = seen(guarded)
    assert (told.compared, told.equal, told.differences) == (2, 2, [])


async def test_nobody_waits_for_a_shadow_and_what_it_cannot_take_is_dropped(monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    with edition("hangs") as running:
        guarded = shadowed(running, RIGHT)
        began = time.monotonic()
        for _ in range(8):
            assert (await guarded.ask(7))[0].answer == RIGHT
        assert time.monotonic() - began < 0.5
        assert seen(guarded).dropped >= 2
        await guarded.shared.close()
    assert guarded.shared.shadows._tasks == {}


async def test_what_a_shadow_fails_at_is_counted_and_compared_with_nothing():
    with edition("errors") as running:
        guarded = shadowed(running, RIGHT, on_failure="fallback")
        for _ in range(8):
            await guarded.ask(7)
            await guarded.shared.shadows.settle()
        assert guarded._roads["pricing"].asked == 8  # it never falls back: nobody needs it to
    told = seen(guarded)
    assert (told.calls, told.compared, told.fallbacks) == (8, 0, 0)
    assert told.failures == {"broken": 5, "open-circuit": 3}


async def test_a_shadow_is_asked_after_the_answer_has_left():
    """It is not asked before whoever asked has gone on."""
    with edition() as running:
        guarded = shadowed(running, RIGHT)
        pricing = guarded.client(Pricing)
        await one(pricing.quote, somebody(7).ctx(), ASKED)
        assert running.edition.calls == 0
        await guarded.shared.shadows.settle()
        assert running.edition.calls == 1


async def test_an_outage_of_who_serves_is_no_difference():
    with edition() as running, edition("errors") as broken:
        guarded = Guarded()
        guarded.bind(bound(broken), bound(running, mode="shadow", generation=4))
        (outcome,) = await guarded.ask(7)
        assert outcome.problem is not None
        await guarded.shared.shadows.settle()
        assert running.edition.calls == 0


async def test_a_shadow_runs_beside_a_binding_that_serves():
    with edition("one-cent") as serving, edition() as beside:
        guarded = Guarded()
        guarded.bind(bound(serving), bound(beside, mode="shadow", generation=4))
        (outcome,) = await guarded.ask(7)
        assert outcome.answer.fee.minor == 26
        await guarded.shared.shadows.settle()
        found = [t for t in guarded.shared.observations._since.values() if t.compared]
        assert list(found[0].differences) == [("fee", "EUR", -1, None, None)]


async def test_screening_is_compared_without_a_name():
    with edition("hits-everybody", "screening") as running:
        guarded = shadowed(
            running, Checked(verdict="clear", hits=[], basis="a list"), contract="screening"
        )
        await guarded.ask(7, operation=CHECK)
        await guarded.shared.shadows.settle()
    told = seen(guarded)
    assert {(d.field, d.serving, d.other) for d in told.differences} == {
        ("verdict", "clear", "hit"),
        ("hits", "0 items", "2 items"),
        ("basis", None, None),
    }
    assert "Mustermann" not in repr(told)


# ---- what differs


def found(serving, other, operation=QUOTE):
    return list(differences(operation, Outcome(serving), Outcome(other)))


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_money_in_minor_units(one_, two):
    a, b = (Quoted(fee=Money(m, "EUR"), rule="r") for m in (one_, two))
    told = found(a, b)
    if one_ == two:
        assert told == []
    else:
        assert told == [Difference(field="fee", currency="EUR", delta_minor=two - one_)]


def test_currencies_texts_and_refusals():
    a = Quoted(fee=Money(5, "EUR"), rule="x" * 300)
    b = Quoted(fee=Money(5, "USD"), rule="y" * 300, tariff=UUID(int=1))
    assert [(d.field, d.serving, d.other) for d in found(a, b)] == [
        ("fee", "0.05 EUR", "0.05 USD"),
        ("rule", "x" * 80, "y" * 80),
        ("tariff", "None", str(UUID(int=1))),
    ]
    refused = Outcome(problem=Refused("because of Mustermann"))
    assert list(differences(QUOTE, Outcome(a), refused)) == [
        Difference(field="problem", serving="answered", other="refused")
    ]
    assert list(differences(QUOTE, refused, refused)) == []


def test_lists_by_their_fields():
    def hit(**more):
        line = {"side": "payer", "list": "L", "entry": "1", "name": "N", "score": 90, "why": "w"}
        return Hit(**{**line, **more})

    one_ = Checked(verdict="hit", hits=[hit(), hit(entry="2")], basis="b")
    two = Checked(verdict="hit", hits=[hit(score=80), hit(entry="2", why="v")], basis="b")
    assert found(one_, two, CHECK) == [
        Difference(field="hits.score", serving="90", other="80"),
        Difference(field="hits.why"),
    ]
