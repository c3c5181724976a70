"""Every service a process of its own: replaced under load, and what status says of it."""

import json
import tempfile
from pathlib import Path

import psutil
import pytest

from guilder.serving.plan import names
from tests.journeys.bare_hands import guilder, up
from tests.journeys.conftest import Running
from tests.journeys.load import Load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def split():
    """A platform of its own: its processes are replaced and broken."""
    with tempfile.TemporaryDirectory(prefix="guilder-split-") as folder:
        data = Path(folder) / "data"
        facts = up(data, "--demo", "--split")
        yield Running(data, facts["api"], {bank["tenant"]: bank for bank in facts["demo"]})
        guilder("down", data=data)


def pids(platform):
    state = json.loads((platform.data / "run" / "supervisor.json").read_text())
    return {child["name"]: child["pid"] for child in state["children"]}


def load(platform):
    bank = platform.machine("nordbank")
    return Load(platform.api, bank.token, *accounts(platform))


def accounts(platform):
    """The ids of a debtor and a creditor."""
    ibans = platform.demo["nordbank"]["accounts"]
    listed = platform.machine("nordbank").get("/v1/accounts")["items"]
    ids = {account["iban"]: account["id"] for account in listed}
    return ids[ibans["greta current"]], ids[ibans["emil current"]]


def booked(platform, account):
    """The ids of the payments on an account's statement, each as often as it stands there."""
    bank, found, more = platform.machine("nordbank"), [], ""
    while True:
        page = bank.get(f"/v1/accounts/{account}/transactions?limit=100{more}")
        found += [line["payment_id"] for line in page["items"]]
        if not page.get("next"):
            return found
        more = f"&cursor={page['next']}"


def test_status_shows_every_process_of_the_platform(split):
    done = guilder("status", "--json", data=split.data)
    said = json.loads(done.stdout)
    assert said["ok"] is True
    assert said["addresses"]["api"] == split.api
    assert psutil.Process(said["supervisor"]).is_running()
    processes = {process["name"]: process for process in said["processes"]}
    assert set(processes) == set(names())
    for name, process in processes.items():
        assert process["ready"] is True, process
        assert process["pid"] == pids(split)[name]
        assert process["restarts"] == 0
        assert process["version"]
    table = guilder("status", data=split.data).stdout
    assert all(name in table for name in names())
    assert str(split.data) not in json.dumps(processes)


def test_every_process_is_replaced_under_load_and_nobody_notices(split):
    before = pids(split)
    with load(split) as traffic:
        done = guilder("restart", "--all", "--json", data=split.data)
    assert traffic.failed == []
    assert len(traffic.seen) > 100
    paid = traffic.payments()
    said = json.loads(done.stdout)
    assert said["ok"] is True
    steps = [(step["name"], step["state"]) for step in said["steps"]]
    assert steps == [(n, s) for n in before for s in ("starting", "leaving", "done")]
    assert not set(before.values()) & set(pids(split).values())
    assert set(before) == set(pids(split))
    seen = booked(split, accounts(split)[0])
    assert [seen.count(payment) for payment in paid] == [1] * len(paid)
    assert len(paid) > 50
    report = json.loads(guilder("verify", "--json", data=split.data).stdout)
    assert report["findings"] == []


def test_a_new_version_that_cannot_start_leaves_the_old_one_serving(split):
    before = pids(split)
    password = split.data / "secrets" / "pricing.password"
    kept = password.read_bytes()
    with load(split) as traffic:
        password.write_bytes(b"wrong")
        try:
            done = guilder("restart", "payments", "pricing", "audit", data=split.data, check=False)
        finally:
            password.write_bytes(kept)
    assert done.returncode == 1
    assert "pricing        failed" in done.stdout
    assert "the database of pricing cannot be used" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert traffic.failed == []
    after = pids(split)
    assert after["pricing"] == before["pricing"]
    assert after["audit"] == before["audit"]  # it ended at the first that failed
    assert after["payments"] != before["payments"]
    assert guilder("restart", "pricing", data=split.data).returncode == 0


def test_wrong_names_are_refused_with_those_that_run(split):
    done = guilder("restart", "pricing", "prices", data=split.data, check=False)
    assert done.returncode == 1
    assert "no prices here" in done.stderr
    assert "ledger" in done.stderr
    done = guilder("restart", data=split.data, check=False)
    assert done.returncode == 2
    assert "--all" in done.stderr
    said = guilder("restart", "prices", "--json", data=split.data, check=False).stdout
    assert json.loads(said)["ok"] is False
    assert "no prices here" in json.loads(said)["error"]


def test_each_process_holds_its_own_sockets_and_no_others(split):
    """What a process inherits it could answer in another's name."""
    sockets = {}
    for name, pid in pids(split).items():
        held = psutil.Process(pid).net_connections(kind="unix")
        sockets[name] = {Path(c.laddr).name for c in held if str(c.laddr).endswith(".sock")}
    assert sockets == {name: {f"{name}.sock"} for name in names()}
