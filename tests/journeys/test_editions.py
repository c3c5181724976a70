"""What is proven of editions on a platform that runs, one process a service.

The edition passed the suite by `guilder conform` and is bound by two operators; then it turns bad.
The table of all eight proofs is in docs/concepts/tenants-editions-bindings.md.
"""

import asyncio
import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID, uuid4

import pytest

from guilder.bench.load import send
from guilder.books.reading import acting, every
from guilder.chassis.testing import soon
from guilder.cli.platform import Platform
from guilder.contracts.ledger.v1 import JournalQuery, Ledger, TrialQuery
from guilder.embedded import Home
from tests.journeys.bare_hands import guilder
from tests.journeys.crowd import Crowd, Teller
from tests.journeys.stage import (
    CURRENCY,
    ELSEWHERE,
    MANAGERS,
    NEIGHBOUR,
    STOCK,
    TENANT,
    WRONG,
    minor,
    priced_by,
    stage,
)
from tests.journeys.test_bare_hands import open_account

pytestmark = pytest.mark.slow

FLIPS = 3
"""How often the edition is bound, and taken back again."""

BETWEEN_S = 2.2
"""From one flip's answer to the next; a second of it is the flip's."""

WITHIN_S = 1.0
"""How soon after its answer a flip is in force."""

GONE_S = 60.0

THEIR_RATE, MEANWHILE_S = 8.0, 2.0
"""Payments a second of the bank whose edition goes wrong, and for how long with each fault."""


@pytest.fixture(scope="module")
def there():
    with stage() as found:
        run = found.conform()
        assert run["state"] == "passed", run
        yield found


def tellers(there, tenant, count):
    """So many clients who pay from the bank's richest account."""
    machine = there.running.machine(tenant)
    debtor, creditor = there.accounts(tenant)
    return [Teller(tenant, machine.token, debtor, creditor, CURRENCY[tenant])] * count


def balances(there, crowd_of):
    """Of each debtor and creditor, in minor units."""
    return {
        account: there.booked(there.running.machine(teller.tenant), account)
        for teller in crowd_of
        for account in (teller.debtor, teller.creditor)
    }


def moved(paid, account):
    """By how much the acknowledged payments changed an account."""
    total = 0
    for one in paid:
        amount, fee = minor(one.body["amount"]), minor(one.body["fee"])
        total -= (amount + fee) * (one.teller.debtor == account)
        total += amount * (one.teller.creditor == account)
    return total


def flip_after_flip(there):
    """Bind and roll back, again and again."""
    flips = []
    for _ in range(FLIPS):
        time.sleep(BETWEEN_S)
        binding, flip = there.bind()
        flips.append(flip)
        time.sleep(BETWEEN_S)
        flips.append(there.roll_back(binding))
    time.sleep(BETWEEN_S)
    return flips


def test_prove_2_bind_and_roll_back_under_load_from_64_clients_in_split_mode(there):
    theirs, others = tellers(there, TENANT, 48), tellers(there, NEIGHBOUR, 16)
    seats = {teller.tenant: teller for teller in theirs + others}.values()
    before = balances(there, seats)
    with Crowd(there.running.api, theirs + others) as crowd:
        flips = flip_after_flip(there)
    paid = crowd.paid
    assert [one.body for one in paid if one.status != 201] == [], "failed"
    again = crowd.press_again()
    assert len(again) == len(paid) > 200
    assert [two.body for one, two in again if two.body.get("id") != one.body["id"]] == [], "lost"
    assert {two.body["state"] for _, two in again} == {"booked"}
    after = balances(there, seats)
    changes = {account: after[account] - before[account] for account in before}
    assert changes == {account: moved(paid, account) for account in before}, "doubled, or lost"
    assert {priced_by(one.body) for one in paid if one.teller.tenant == NEIGHBOUR} == {STOCK}
    late = lags([one for one in paid if one.teller.tenant == TENANT], flips)
    shed = sum(one.shed for one in paid)
    print(f"{len(paid)} payments, {shed} shed first; in force after (s): {late}")  # noqa: T201
    assert max(late) <= WITHIN_S
    assert there.verified() == []


def lags(paid, flips):
    """How long after each flip's answer a payment was still begun that obeyed what was before."""
    found = []
    for flip, following in pairwise([*flips, None]):
        until = following.asked if following else float("inf")
        settled = [p for p in paid if flip.answered <= p.began and p.ended <= until]
        right = [p for p in settled if priced_by(p.body) == flip.by]
        assert right, "nobody paid between two flips"
        late = [p.began - flip.answered for p in settled if priced_by(p.body) != flip.by]
        found.append(round(max(late, default=0.0), 3))
    first = [p for p in paid if p.ended < flips[0].asked]
    assert {priced_by(p.body) for p in first} == {STOCK}
    return found


def journal(there, tenant):
    """What stands in a bank's books: each transfer without its ids and times, accounts by name."""

    async def read():
        platform = Platform(Home(there.running.data))
        try:
            number = (await platform.tenant(tenant)).number
            ledger = platform.client(Ledger)
            lines = every(ledger.trial_balance, acting(number), TrialQuery(limit=2000))
            charts = {line.account.id: line.account.chart async for line in lines}
            found = every(ledger.journal, acting(number), JournalQuery(limit=2000))
            return charts, [transfer async for transfer in found]
        finally:
            platform.close()

    return asyncio.run(read())


def script(there, bank, count=24):
    """The same payments in the same order, one a `next`; at last what they left in the books."""
    _, before = journal(there, NEIGHBOUR)
    people = [open_account(bank, name, "500.00") for name in ("Ann", "Bob", "Cem")]
    for n in range(count):
        debtor, creditor = people[n % 3], people[(n + 1 + n % 2) % 3]
        amount = {"amount": f"{17 * n % 90}.{n % 4 * 25:02}", "currency": "EUR"}
        sides = {"debtor_account": debtor["id"], "creditor_account": creditor["id"]}
        answer = bank.send("POST", "/v1/payments", {**sides, "amount": amount}, str(uuid4()))
        assert answer.status == (422 if amount["amount"] == "0.00" else 201), answer.raw
        yield n
    charts, after = journal(there, NEIGHBOUR)
    names = {**charts, **{UUID(one["id"]): f"person {i}" for i, one in enumerate(people)}}
    yield [
        (
            one.kind,
            names[one.debit],
            names[one.credit],
            one.amount,
            one.code,
            one.pending_id is None,
        )
        for one in after[len(before) :]
    ]


def test_prove_4_the_other_banks_journal_is_that_of_a_run_without_the_edition(there):
    bank = there.running.machine(NEIGHBOUR)
    *_, without = script(there, bank)
    theirs = asyncio.run(there.order(TENANT, THEIR_RATE, MEANWHILE_S))
    beside = script(there, bank)
    with there.bound():
        for fault in WRONG:
            with there.wrong(fault), paying(theirs):
                for _ in range(6):
                    next(beside)
    *_, found = beside
    assert found == without
    assert len(found) > 20
    assert there.verified() == []


@contextmanager
def paying(order):
    """Payments at a bank's own rate meanwhile, of which the edition prices none."""
    told = []
    thread = threading.Thread(target=lambda: told.append(asyncio.run(send(order))))
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert told[0].accepted < THEIR_RATE * MEANWHILE_S / 2, told


def tariff(there):
    """Stock asks company-x for what its edition does: a quarter of a percent, at least 0.10."""
    xena, yuri = (there.running.person(TENANT, login) for login in MANAGERS[TENANT])
    wanted = {
        "product": "current",
        "currency": "GBP",
        "valid_from": datetime.now(UTC).isoformat(),
        "tiers": [{"percent": "0.25", "minimum": {"amount": "0.10", "currency": "GBP"}}],
    }
    proposal = xena.post("/v1/tariffs", wanted, status=202)
    path = f"/v1/proposals/{proposal['id']}"
    yuri.post(f"{path}/approval", {}, status=200)
    ended = soon(lambda: yuri.get(path), lambda found: found["state"] != "approved")
    assert ended["state"] == "executed", ended


def pay(there, tenant, amount="100.00"):
    """One payment, acknowledged as booked."""
    (teller,) = tellers(there, tenant, 1)
    order = {**teller.order(), "amount": {"amount": amount, "currency": teller.currency}}
    return there.running.machine(tenant).post("/v1/payments", order)


def report(there, binding, *more):
    return guilder("binding", "report", binding, *more, data=there.running.data).stdout


def test_prove_5_a_difference_of_one_cent_is_found_in_shadow_and_the_books_are_untouched(there):
    tariff(there)
    made = there.operators[0].post("/v1/bindings/shadow", there.release)
    time.sleep(1)
    amounts = ("8.00", "100.00", "250.00", "99.99")
    (teller,) = tellers(there, TENANT, 1)
    before = balances(there, [teller])
    same = [pay(there, TENANT, amount) for amount in amounts]
    found = counted(there, made["id"], 4)
    assert "fee" not in {line["field"] for line in found["differences"]}, "told in other words only"
    there.edition.turn("one-cent")
    try:
        paid = [pay(there, TENANT, amount) for amount in amounts]
        counted(there, made["id"], 8)
    finally:
        there.edition.turn(None)
    told = report(there, made["id"])
    there.operators[0].post(f"/v1/bindings/{made['id']}/end", {}, status=200)
    assert "compared 8: " in told
    assert "; 0 were not compared" in told
    assert "  fee: 4 times, 0.04 GBP in all\n    4 × 0.01 GBP" in told
    for asked in (same, paid):
        assert [payment["fee"]["amount"] for payment in asked] == ["0.10", "0.25", "0.63", "0.25"]
        assert {priced_by(payment) for payment in asked} == {STOCK}
    after = balances(there, [teller])
    assert before[teller.debtor] - after[teller.debtor] == 2 * (45_799 + 123)
    assert there.verified() == []


def counted(there, binding, compared):
    """The report once all processes have told of what they saw."""
    path = f"/v1/bindings/{binding}/report"
    return soon(lambda: there.operators[0].get(path), lambda found: found["compared"] == compared)


def statuses(there):
    """What each process says of itself by name, and how `guilder status` ends."""
    done = guilder("status", "--json", data=there.running.data, check=False)
    return {line["name"]: line for line in json.loads(done.stdout)["processes"]}, done.returncode


def test_prove_6_with_the_registry_gone_for_a_minute_bindings_hold_and_staleness_is_reported(there):
    state = json.loads((there.running.data / "run" / "supervisor.json").read_text())
    (pid,) = [child["pid"] for child in state["children"] if child["name"] == "registry"]
    with there.bound() as binding:
        assert priced_by(pay(there, TENANT)) == ELSEWHERE
        assert priced_by(pay(there, NEIGHBOUR)) == STOCK  # nobody is new when it goes
        os.kill(pid, signal.SIGSTOP)  # its socket is there, and nothing ever comes back
        try:
            until = time.monotonic() + GONE_S
            time.sleep(8)
            reported(there)
            while time.monotonic() < until:
                assert priced_by(pay(there, TENANT)) == ELSEWHERE
                assert priced_by(pay(there, NEIGHBOUR)) == STOCK
                time.sleep(1)
            reported(there)
        finally:
            os.kill(pid, signal.SIGCONT)
        soon(lambda: statuses(there), lambda found: found[1] == 0 and not stale(found[0]))
        flip = there.roll_back(binding)
        soon(lambda: priced_by(pay(there, TENANT)), lambda by: by == flip.by, seconds=2)
    assert there.verified() == []


def stale(named):
    """Who says that it may be out of date."""
    return {name for name, line in named.items() if line["directory"]["stale"]}


def reported(there):
    """Every process but the one that is gone says that it is stale; so does the public page."""
    named, code = statuses(there)
    assert code == 1
    assert named.pop("registry")["ready"] is False
    assert {line["ready"] for line in named.values()} == {True}
    assert {line["directory"]["stale"] for line in named.values()} == {True}
    assert min(line["directory"]["heard_s"] for line in named.values()) > 5
    table = guilder("status", data=there.running.data, check=False).stdout
    assert table.count("registry not heard for") == len(named)
    page = there.running.machine(NEIGHBOUR).get("/status.json")
    assert page["stale"] is True
