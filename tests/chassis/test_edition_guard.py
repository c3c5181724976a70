"""Faulty editions against the guard: each is stopped by the check that is there for it."""

import asyncio
import dataclasses
import json
import time
from collections import Counter
from uuid import uuid4

import pytest
from guarded import (
    ASKED,
    CHECK,
    QUOTE,
    STOCK,
    TARIFFS,
    Guarded,
    Noting,
    Watch,
    bound,
    edition,
    failures,
)
from structlog.testing import capture_logs

from guilder.chassis import edition as module
from guilder.chassis.batch import answered, one
from guilder.chassis.bindings import Binding
from guilder.chassis.circuit import MOST_UNDER_WAY, OPENS_AFTER, PAUSE_S
from guilder.chassis.edition import CHECKS, EditionRoad, Wrong, unknown
from guilder.chassis.outbound import Outbound, Rules
from guilder.chassis.signature import SigningKey
from guilder.chassis.testing import somebody
from guilder.chassis.wire import Reply
from guilder.contracts.context import Call
from guilder.contracts.errors import Unavailable
from guilder.contracts.pricing.v1 import Pricing, Quoted
from guilder.contracts.values import Money

# ---- what each check stops, and what gets through without it

THROUGH, HELD = "through", "held"
"""Without its check a faulty answer reaches the caller; or the caller is held up."""

STOPPED = [
    # fault, the check that stops it, what it counts as, what happens without the check
    ("negative-fee", "invariants", "untruthful", THROUGH),
    ("huge-fee", "invariants", "untruthful", THROUGH),
    ("wrong-currency", "invariants", "untruthful", THROUGH),
    ("control-characters", "invariants", "untruthful", THROUGH),
    ("too-many-decimals", "type", "broken", THROUGH),
    ("float-amount", "type", "broken", THROUGH),
    ("missing-field", "type", "broken", THROUGH),
    ("extra-field", "unknown", "broken", THROUGH),
    ("refuses-valid", "problem", "broken", THROUGH),
    ("item-count", "count", "broken", THROUGH),
    ("bare-answer", "envelope", "broken", THROUGH),
    ("duplicate-members", "json", "broken", THROUGH),
    ("not-json", "json", "broken", "envelope"),
    ("content-type", "content-type", "broken", THROUGH),
    ("wrong-banner", "banner", "stale-digest", THROUGH),
    ("stale-digest", "banner", "stale-digest", THROUGH),
    ("errors", "status", "broken", "banner"),
    ("redirects", "status", "broken", "banner"),
    ("giant-body", "size", "too-large", "json"),
    ("late", "time", "late", THROUGH),
    ("hangs", "time", "late", HELD),
    ("slow-drip", "time", "late", HELD),
    ("breaks-off", "reach", "unreachable", None),
]


@pytest.mark.parametrize(("fault", "check", "failure", "without"), STOPPED)
async def test_a_faulty_edition_is_stopped_by_its_check(fault, check, failure, without):
    with edition(fault) as running:
        guarded = Guarded()
        guarded.bind(bound(running))
        with capture_logs() as logs:
            (outcome,) = await guarded.ask(7, within=0.4 if failure == "late" else None)
    assert isinstance(outcome.problem, Unavailable)
    assert outcome.problem.detail == "pricing does not answer"
    assert {line["check"] for line in logs} == {check}
    assert failures(guarded) == {failure: 1}
    assert guarded.stock.asked == []


@pytest.mark.parametrize(
    ("fault", "check", "without"), [(f, c, w) for f, c, _, w in STOPPED if w is not None]
)
async def test_without_its_check_it_is_not(fault, check, without):
    with edition(fault) as running:
        guarded = Guarded([name for name in CHECKS if name != check])
        guarded.bind(bound(running))
        with capture_logs() as logs:
            asking = asyncio.create_task(guarded.ask(7))
            done, _ = await asyncio.wait([asking], timeout=1.2 if without == HELD else 5)
            if without == HELD:
                assert not done
                asking.cancel()
                return
        (outcome,) = await asking
    if without == THROUGH:
        assert failures(guarded) == {}
        assert not isinstance(outcome.problem, Unavailable)
        if fault not in ("late", "duplicate-members", "content-type", "extra-field", "item-count"):
            right = Quoted(fee=Money(25, "EUR"), rule="a quarter of a percent, at least ten")
            assert outcome.problem or outcome.answer != right or check in ("envelope", "banner")
    else:  # the next wall
        assert {line["check"] for line in logs} == {without}


def test_every_check_stops_something_that_no_other_does():
    assert {check for _, check, _, _ in STOPPED} - {"reach"} == set(CHECKS)


HONEST = {"fee": {"amount": "0.10", "currency": "EUR"}, "rule": "ten cents, flat"}
JUNK = {
    "json": '{"items": [' + "{}," * 30_000,
    "envelope": json.dumps({"items": [{"answer": HONEST}], "more": [1] * 30_000}),
    "count": json.dumps({"items": [{}] * 30_000}),
    "type": json.dumps({"items": [{"answer": {"fee": [1] * 30_000, "rule": "x"}}]}),
    "unknown": json.dumps({"items": [{"answer": HONEST | {"more": [1] * 30_000}}]}),
    "problem": json.dumps({"items": [{"problem": {"code": "x", "more": [1] * 30_000}}]}),
}


def judged(body, count=1):
    """What the guard makes of an answer to so many questions."""
    line = Binding("pricing", "B", id=uuid4(), digest="sha256:" + "0" * 64)
    out = Outbound(Rules())
    road = EditionRoad(line, out, SigningKey(b"k" * 32))
    banner = f"pricing B.{line.version} {line.digest}"
    reply = Reply(status=200, parts=[body.encode()])
    reply.headers = {"content-type": "application/json", "guilder-edition": banner}
    calls = [Call(somebody(7).ctx(), ASKED)] * count
    return road._outcomes(QUOTE, calls, reply, Counter())


@pytest.mark.parametrize("check", sorted(JUNK))
def test_large_nonsense_is_never_read_strictly(check, monkeypatch):
    """That takes a second a megabyte, on the loop that other tenants' calls go through."""
    monkeypatch.setattr(module, "read_json", lambda raw: pytest.fail("it was read"))
    with pytest.raises(Wrong) as stopped:
        judged(JUNK[check])
    assert stopped.value.check == check


@pytest.mark.parametrize("name", ["", "more"])
def test_a_member_without_a_name_is_one_more_as_well(name):
    told = {"items": [{"answer": HONEST | {"fee": HONEST["fee"] | {name: 1}}}]}
    (outcome,) = judged(json.dumps(told))
    assert outcome.failure == "broken"
    assert unknown({"a": [{}, {name: 1}]}, {"a": [{}, {}]}) == f"a.{name or chr(34) * 2}"


def test_a_large_answer_that_is_honest_is_taken():
    told = json.dumps({"items": [{"answer": HONEST | {"tariff": None}}] * 256})
    assert len(told) > module.SKIMMED
    assert {outcome.answer.rule for outcome in judged(told, 256)} == {HONEST["rule"]}
    twice = told.replace('"rule"', '"rule": "x", "rule"', 1)
    with pytest.raises(Wrong):
        judged(twice, 256)


@pytest.mark.parametrize(
    "fault", ["control-characters", "echoes-personal", "verdict-without-hits", "refuses-valid"]
)
async def test_faults_of_a_contract_that_sees_people(fault):
    """Neither the caller nor the log hears a name."""
    check = "problem" if fault == "refuses-valid" else "invariants"
    with edition(fault, "screening") as running:
        guarded = Guarded()
        guarded.bind(bound(running, contract="screening"))
        with capture_logs() as logs:
            (outcome,) = await guarded.ask(7, operation=CHECK)
        told = Guarded([name for name in CHECKS if name != check])
        told.bind(bound(running, contract="screening"))
        (through,) = await told.ask(7, operation=CHECK)
    assert isinstance(outcome.problem, Unavailable)
    assert {line["check"] for line in logs} == {check}
    assert "Mustermann" not in json.dumps(logs) + json.dumps(outcome.problem.document())
    assert not isinstance(through.problem, Unavailable)


async def test_what_turns_bad_is_stopped_from_then_on():
    with edition("turns-bad", healthy=2) as running:
        guarded = Guarded()
        guarded.bind(bound(running))
        fees = [(await guarded.ask(7))[0] for _ in range(4)]
    assert [o.problem is None for o in fees] == [True, True, False, False]


async def test_another_build_than_the_one_tested_is_not_asked_twice_to_show_it():
    with edition() as running:
        guarded = Guarded()
        guarded.bind(bound(running, digest="sha256:" + "1" * 64))
        (outcome,) = await guarded.ask(7)
        assert (outcome.failure, running.edition.calls) == ("stale-digest", 1)
        guarded.bind(bound(running, digest=None))
        (outcome,) = await guarded.ask(7)
        assert outcome.failure == "stale-digest"


# ---- what an edition is shown, and how it is spoken to


async def test_it_is_shown_what_sees_names_of_one_tenant_signed_and_with_a_deadline():
    with edition(kind=Noting) as seven, edition(kind=Noting) as eight:
        guarded = Guarded()
        guarded.bind(bound(seven, 7), bound(eight, 8))
        outcomes = await guarded.ask(7, 1, 8, 7)
    assert [o.answer.fee.minor for o in outcomes] == [25, 1, 25, 25]
    assert [o.by.label for o in outcomes] == [
        "pricing B.1.0.0",
        "pricing A.1.0.0",
        "pricing B.1.0.0",
        "pricing B.1.0.0",
    ]
    item = {
        "operation": "book_transfer",
        "product": "current",
        "amount": {"amount": "100.00", "currency": "EUR"},
        "at": "2026-03-02T09:30:00Z",
    }
    assert seven.edition.bodies == [{"tenant": 7, "items": [item, item]}]
    assert eight.edition.bodies == [{"tenant": 8, "items": [item]}]
    ((path, headers, _),) = eight.edition.got
    assert path == "/pricing/v1/quotes"
    assert 900 <= int(headers["guilder-deadline-ms"]) <= 1000
    assert headers["guilder-request"] == "test"
    # the edition verified the signature: it was given the platform's public key
    assert {"signature", "signature-input", "content-digest"} <= headers.keys()
    assert not {"authorization", "guilder-call", "traceparent"} & headers.keys()


async def test_a_key_of_somebody_else_is_refused_by_the_edition():
    with edition() as running:
        running.edition.public_key = SigningKey(b"x" * 32).public_jwk()
        guarded = Guarded()
        guarded.bind(bound(running))
        (outcome,) = await guarded.ask(7)
    assert outcome.failure == "broken"


async def test_what_no_edition_may_answer_stays_with_stock():
    with edition() as running:
        guarded = Guarded()
        guarded.bind(bound(running))
        (outcome,) = await guarded.ask(7, operation=TARIFFS, request=None)
        assert (outcome.answer, outcome.by.label) == (STOCK, "pricing A.1.0.0")
        assert running.edition.calls == 0


async def test_a_batch_of_two_tenants_never_leaves():
    with edition() as running:
        guarded = Guarded()
        guarded.bind(bound(running))
        road = guarded.shared.road(guarded.bindings.resolve(7, "pricing"))
        with pytest.raises(ValueError, match="one tenant"):
            await road.send(QUOTE, [Call(somebody(t).ctx(), ASKED) for t in (7, 8)])
        assert running.edition.calls == 0


async def test_more_than_an_edition_takes_at_once_goes_in_parts():
    with edition(kind=Noting) as running:
        guarded = Guarded()
        guarded.bind(bound(running))
        outcomes = await guarded.ask(*[7] * 300)
        assert {o.answer.fee.minor for o in outcomes} == {25}
        assert [len(body["items"]) for body in running.edition.bodies] == [256, 44]


async def test_addresses_are_by_the_operators_rules():
    with edition() as running:
        guarded = Guarded()
        guarded.shared.allow(Rules())
        guarded.bind(bound(running))
        (outcome,) = await guarded.ask(7)
        assert (outcome.failure, running.edition.calls) == ("refused-address", 0)


# ---- failure: once more, stock instead, nothing at all


@pytest.mark.parametrize(("fault", "within"), [("hangs", 0.6), ("negative-fee", None)])
async def test_stock_answers_within_the_callers_time_where_the_binding_says_so(fault, within):
    with edition(fault) as running:
        guarded = Guarded()
        guarded.bind(bound(running, on_failure="fallback"))
        began = time.monotonic()
        (outcome,) = await guarded.ask(7, within=within)
        assert (outcome.answer, outcome.problem) == (STOCK, None)
        assert outcome.by.label == "pricing A.1.0.0 (fallback)"
        assert outcome.by.generation == 3
        assert time.monotonic() - began < (within or 5)
    (total,) = guarded.shared.observations.totals.values()
    assert total.fallbacks == 1


async def test_what_the_contract_calls_closed_is_answered_by_nobody_else():
    """Whatever a line of the directory says: an edition that fails is no way around the lists."""
    with edition("errors", "screening") as running:
        guarded = Guarded()
        guarded.bind(bound(running, contract="screening", on_failure="fallback"))
        (outcome,) = await guarded.ask(7, operation=CHECK)
    assert (outcome.answer, guarded.stock.asked) == (None, [])
    assert isinstance(outcome.problem, Unavailable)
    assert not outcome.by.fallback


async def test_a_fallback_is_asked_with_all_of_the_callers_time():
    with edition("negative-fee") as running:
        guarded = Guarded()
        guarded.bind(bound(running, on_failure="fallback"))
        calls = [Call(somebody(7).ctx(deadline=time.monotonic() + 60), ASKED)]
        await guarded.send(QUOTE, calls)
        assert guarded.stock.asked == calls


class Resetting:
    """Closes the first connections without a word, then passes on."""

    def __init__(self, to, times):
        self.to, self.left, self.connections = to, times, 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _take(self, reader, writer):
        self.connections += 1
        if self.left:
            self.left -= 1
            writer.close()
            return
        there = await asyncio.open_connection("127.0.0.1", int(self.to.url.rpartition(":")[2]))

        async def pump(source, sink):
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))


@pytest.mark.parametrize(
    ("times", "command", "connections", "answered_"),
    [(1, False, 2, True), (2, False, 2, False), (1, True, 1, False)],
)
async def test_a_question_that_found_nobody_is_asked_once_more_a_command_never(
    times, command, connections, answered_
):
    operation = dataclasses.replace(QUOTE, command=command)
    with edition() as running:
        running.edition.public_key = None  # the authority differs behind a proxy
        async with Resetting(running, times) as proxy:
            guarded = Guarded()
            guarded.bind(bound(running, address=proxy.url, on_failure="fallback"))
            (outcome,) = await guarded.ask(7, operation=operation, request=ASKED)
            assert proxy.connections == connections
    if answered_:
        assert outcome.answer.fee.minor == 25
    elif command:
        assert (outcome.failure, guarded.stock.asked) == ("unreachable", [])
    else:
        assert outcome.by.fallback


async def test_after_failures_in_a_row_nothing_is_sent_until_one_call_tries():
    watch = Watch()
    with edition("negative-fee") as running:
        guarded = Guarded(clock=watch)
        guarded.bind(bound(running, on_failure="fallback"))
        for _ in range(OPENS_AFTER + 5):
            (outcome,) = await guarded.ask(7)
            assert outcome.answer == STOCK
        assert running.edition.calls == OPENS_AFTER
        watch.seconds += PAUSE_S
        for _ in range(3):
            await guarded.ask(7)
        assert running.edition.calls == OPENS_AFTER + 1  # it tried, and failed
        running.edition.fault = running.edition.decision.fault = None
        guarded.bind(bound(running, id=next(iter(guarded.shared._circuits))))
        watch.seconds += PAUSE_S
        assert guarded.shared.open_circuits == 0  # half open
        for _ in range(5):
            (outcome,) = await guarded.ask(7)
            assert outcome.answer.fee.minor == 25
    assert failures(guarded)["open-circuit"] == 5 + 2


async def test_who_is_kept_at_home_does_not_wait_for_the_one_that_tries():
    watch = Watch()
    with edition("negative-fee") as running:
        guarded = Guarded(clock=watch)
        pricing = guarded.client(Pricing)
        guarded.bind(bound(running, on_failure="fallback"))
        for _ in range(OPENS_AFTER):
            await guarded.ask(7)
        watch.seconds += PAUSE_S
        running.edition.fault = "hangs"
        ctx = somebody(7).ctx(deadline=time.monotonic() + 30)
        trying = asyncio.create_task(one(pricing.quote, ctx, ASKED))
        while guarded.shared.open_circuits == 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
        began = time.monotonic()
        answer, by = await answered(pricing.quote, somebody(7).ctx(), ASKED)
        assert (answer, by.fallback) == (STOCK, True)
        assert time.monotonic() - began < 0.4
        assert not trying.done()
        assert await trying == STOCK


async def test_calls_under_way_to_one_edition_are_bounded_and_others_are_not_touched():
    with edition("hangs") as slow, edition() as good:
        guarded = Guarded()
        guarded.bind(bound(slow, 7), bound(good, 8))
        more = [asyncio.create_task(guarded.ask(7, within=0.5)) for _ in range(MOST_UNDER_WAY)]
        await asyncio.sleep(0)
        (kept,) = await guarded.ask(7)
        assert kept.failure == "open-circuit"
        (outcome,) = await guarded.ask(8)
        assert outcome.answer.fee.minor == 25
        assert {o.failure for (o,) in await asyncio.gather(*more)} == {"late"}


async def test_whoever_gives_up_leaves_the_circuit():
    with edition("hangs") as running:
        guarded = Guarded()
        line = bound(running)
        guarded.bind(line)
        for _ in range(MOST_UNDER_WAY * 2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await guarded.ask(7)
            circuit = guarded.shared._circuits[line.id]
            assert circuit._under_way == 0


async def test_a_process_without_the_key_sends_nothing():
    with edition() as running:
        guarded = Guarded()
        guarded.shared._keys = None
        guarded.bind(bound(running))
        (outcome,) = await guarded.ask(7)
        assert outcome.problem is not None
        assert running.edition.calls == 0
