"""The restore drill: a bank under way is lost, and brought back as it was at a moment."""

import asyncio
import json
import random
import shutil
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPException
from uuid import uuid4

import psutil
import pytest

from guilder.backup.state import archive_state
from guilder.chassis.testing import soon
from guilder.cli.platform import Platform
from guilder.contracts.ledger.v1 import Ledger, TrialQuery
from guilder.embedded import Home
from tests.journeys.bare_hands import guilder, person, signed_in, up
from tests.journeys.test_lifecycle import ours

TENANT = "nordbank"


class Bank:
    """A platform in a data directory, and the people who use it."""

    def __init__(self, data, facts, demo):
        self.data, self.api, self.demo = data, facts["api"], demo
        self.machine = signed_in(self.api, demo["client_id"], demo["client_secret"])

    def person(self, login):
        return person(self.api, self.data, TENANT, login)

    def trial_balance(self):
        """Credits less debits of every ledger account, in minor units."""

        async def read():
            platform = Platform(Home(self.data))
            try:
                tenant = (await platform.tenant(TENANT)).number
                page = await platform.client(Ledger).trial_balance(
                    platform.ctx(tenant), TrialQuery(limit=2000)
                )
            finally:
                platform.close()
            assert page.next is None
            return {str(line.account.id): line.credits - line.debits for line in page.items}

        return asyncio.run(read())

    def pay(self, debtor, creditor, cents, key=None):
        """Pay, repeating while the platform is in trouble; only what was acknowledged returns."""
        order = {
            "debtor_account": debtor,
            "creditor_account": creditor,
            "amount": {"amount": f"{cents // 100}.{cents % 100:02}", "currency": "EUR"},
        }
        key, until = key or str(uuid4()), time.monotonic() + 60
        while True:
            try:
                answer = self.machine.send("POST", "/v1/payments", order, key)
            except (OSError, HTTPException):
                answer = None
            if answer is not None and answer.status == 201:
                assert answer.json["state"] == "booked"
                return
            assert answer is None or answer.status in (409, 429, 503), answer.raw
            assert time.monotonic() < until
            time.sleep(0.1)

    def all_well(self):
        """Verify, once followers have caught up."""
        soon(
            lambda: json.loads(guilder("verify", "--json", data=self.data, check=False).stdout),
            lambda report: report["ok"],
        )


class Oracle:
    """What every account holds: the opening balance and what was acknowledged since."""

    def __init__(self, opening):
        self.balances, self.lock = Counter(opening), threading.Lock()

    def paid(self, debtor, creditor, cents):
        with self.lock:
            self.balances[debtor] -= cents
            self.balances[creditor] += cents

    def now(self):
        return dict(self.balances)


def work(bank, oracle, accounts, payments, seed):
    chance = random.Random(seed)
    for _ in range(payments):
        debtor, creditor = chance.sample(accounts, 2)
        cents = chance.randint(1, 2000)
        bank.pay(debtor, creditor, cents)
        oracle.paid(debtor, creditor, cents)


def work_together(bank, oracle, accounts, payments, meanwhile=lambda: None):
    with ThreadPoolExecutor() as pool:
        workers = [pool.submit(work, bank, oracle, accounts, payments, seed) for seed in range(3)]
        meanwhile()
    for worker in workers:
        worker.result()


def erase(bank, party):
    """Two people end a person's data."""
    proposal = bank.person("mia").send(
        "POST", f"/v1/parties/{party}/erasure", {"reason": "asked for it"}, str(uuid4())
    )
    assert proposal.status == 202, proposal.raw
    noah = bank.person("noah")
    noah.post(f"/v1/proposals/{proposal.json['id']}/approval", {}, status=200)
    soon(lambda: noah.send("GET", f"/v1/parties/{party}").status, lambda status: status == 410)


def lose(data):
    """The machine is gone: every process at once, then the disk."""
    for process in ours(data):
        with suppress(psutil.NoSuchProcess):  # it ended with the one before it
            process.send_signal(signal.SIGKILL)
    soon(lambda: ours(data), lambda left: not left)
    shutil.rmtree(data)


@pytest.mark.slow
def test_a_lost_bank_comes_back_as_it_was_at_a_moment(tmp_path):
    places = [tmp_path / name for name in ("first", "then", "last")]
    try:
        drill(places, tmp_path / "books", tmp_path / "keys")
    finally:
        for data in places:
            guilder("down", data=data, check=False)


def drill(places, books, keys):
    data, then, last = places
    facts = up(data, "--demo", "--split")
    demo = next(bank for bank in facts["demo"] if bank["tenant"] == TENANT)
    bank = Bank(data, facts, demo)
    accounts = [account["id"] for account in bank.machine.get("/v1/accounts")["items"]]
    eva = bank.machine.post("/v1/parties", {"kind": "person", "name": "Eva Vergessen"})["id"]
    oracle = Oracle(bank.trial_balance())
    work_together(bank, oracle, accounts, 3)
    where = (str(books), "--vault", str(keys))
    assert json.loads(guilder("backup", *where, "--json", data=data).stdout)["ok"] is True

    def kill_postgresql():
        for process in ours(data / "postgres"):
            process.kill()

    work_together(bank, oracle, accounts, 15, meanwhile=kill_postgresql)
    at_moment = oracle.now()
    assert bank.trial_balance() == at_moment
    moment = datetime.now(UTC)

    work_together(bank, oracle, accounts, 5)
    erase(bank, eva)
    at_end, ended = oracle.now(), datetime.now(UTC)
    assert at_end != at_moment
    soon(lambda: archive_state(Home(data), ended).until, lambda until: until and until > ended)
    lose(data)

    argv = ("restore", *where, "--to", moment.isoformat(), "--json")
    done = json.loads(guilder(*argv, data=then).stdout)
    assert done["lost"] > 0
    assert datetime.fromisoformat(done["reached"]) <= moment
    bank = Bank(then, up(then), demo)  # together: a backup does not know a topology
    assert bank.trial_balance() == at_moment
    bank.all_well()
    assert bank.person("mia").send("GET", f"/v1/parties/{eva}").status == 410
    bank.pay(accounts[0], accounts[1], 100)
    bank.all_well()
    guilder("down", data=then)

    assert json.loads(guilder("restore", *where, "--json", data=last).stdout)["lost"] == 0
    bank = Bank(last, up(last, "--split"), demo)
    assert bank.trial_balance() == at_end
    bank.all_well()
