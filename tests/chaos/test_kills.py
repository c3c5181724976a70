"""Every process of a split platform is killed under load: the others go on, nothing is lost."""

import json
import os
import signal
import time

import pytest

from guilder.chassis.testing import soon
from guilder.contracts.catalogue import all_contracts
from tests.journeys.bare_hands import Client, guilder, up
from tests.journeys.conftest import demo
from tests.journeys.load import Load
from tools import degradation

pytestmark = pytest.mark.slow

SECONDS = 2.0
"""Of load before a kill, and after everything is back."""
MISSED = (202, 409, 503, 504)
"""What somebody may be told who needs the part that was killed: stored, or to ask again."""


class Books:
    """A bank under load, and what it must hold in the end."""

    def __init__(self, running):
        self.data, self.api = running.data, running.api
        self.client = running.machine("nordbank")
        accounts = running.demo["nordbank"]["accounts"]
        found = {a["iban"]: a["id"] for a in self.client.get("/v1/accounts")["items"]}
        self.debtor, self.creditor = (found[accounts[f"{n} current"]] for n in ("emil", "greta"))
        self.before, self.orders = self.received(), {}

    def load(self):
        return Load(self.api, self.client.token, self.debtor, self.creditor)

    def received(self):
        balance = self.client.get(f"/v1/accounts/{self.creditor}/balance")
        return int(balance["booked"]["amount"].replace(".", ""))

    def processes(self):
        """Pid of each process that is ready, by name."""
        said = json.loads(guilder("status", "--json", data=self.data, check=False).stdout)
        return {p["name"]: p["pid"] for p in said["processes"] if p["ready"]}

    def all_ready(self):
        return soon(self.processes, lambda found: len(found) == len(all_contracts()) + 1, 30.0)

    def holds(self, load):
        """Each order was decided, once, and whatever was acknowledged is what a repeat says."""
        ids = set()
        for seen in (each for each in load.seen if each.what == "pay"):
            answer = soon(
                lambda key=seen.key: self.client.send("POST", "/v1/payments", load.order, key),
                lambda answer: answer.status == 201,
                60.0,  # the lease of who was killed must end
            )
            ids.add(answer.json["id"])
            assert seen.status != 201 or seen.body["id"] == answer.json["id"]
        assert len(ids) == len([each for each in load.seen if each.what == "pay"])
        assert self.received() - self.before == len(ids)
        self.before += len(ids)


@pytest.fixture(scope="module")
def books():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUILDER_IDENTITY_TOKEN_S", "3600")
        with demo("--split") as running:
            yield Books(running)


@pytest.mark.parametrize("name", list(all_contracts()))
def test_a_killed_service_is_missed_by_those_alone_who_need_it(books, name):
    (cell,) = [c for c in degradation.cells() if (c.service, c.fault) == (name, "down")]
    pid = books.all_ready()[name]
    with books.load() as load:
        time.sleep(SECONDS)
        os.kill(pid, signal.SIGKILL)
        back = books.all_ready()
        healthy = time.monotonic() + 1.0
        time.sleep(1.0 + SECONDS)
    assert back[name] != pid
    assert {seen.status for seen in load.failed} <= set(MISSED)
    needless = [seen for seen in load.failed if cell.words[seen.what] == "works"]
    late = [seen for seen in load.failed if seen.at > healthy]
    assert (needless, late) == ([], [])
    books.holds(load)


def test_a_killed_gateway_costs_open_connections_alone(books):
    pid = books.all_ready()["gateway"]
    with books.load() as load:
        time.sleep(SECONDS)
        os.kill(pid, signal.SIGKILL)
        books.all_ready()
        time.sleep(SECONDS)
    assert {seen.status for seen in load.failed} <= {0}
    assert len(load.failed) <= load.connections
    books.holds(load)


def test_processes_outlive_their_supervisor_and_the_next_one_takes_over(books):
    supervisor = json.loads((books.data / "run" / "supervisor.json").read_text())["pid"]
    with books.load() as load:
        time.sleep(SECONDS)
        os.kill(supervisor, signal.SIGKILL)
        time.sleep(SECONDS)
    assert load.failed == []
    books.api = up(books.data, "--split")["api"]
    books.client = Client(books.api, books.client.token)
    books.all_ready()
    books.holds(load)
    assert json.loads(guilder("verify", "--json", data=books.data).stdout)["ok"] is True
