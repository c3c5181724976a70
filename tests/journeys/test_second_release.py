"""docs/guides/second-release.md by its commands: N+1 beside N, one tenant there and back.

N+1 is a process of its own, `guilder serve pricing` of another tree, which says 1.1.0 and brings a
migration. N goes on, on the schema that N+1 left.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from guilder.chassis.testing import soon
from guilder.embedded import Home
from tests.journeys.bare_hands import GUILDER, ROOT, guilder

# It leaves a later schema behind, so no other journey shares its platform.
pytestmark = pytest.mark.xdist_group("second-release")

NOTE = """-- Made up for this test: what a later release adds, an earlier one need not know.
ALTER TABLE tariff ADD COLUMN note text;
"""


def later_tree(folder):
    """A tree of the release after this one: another version of pricing, one more migration."""
    shutil.copytree(
        ROOT / "guilder", folder / "guilder", ignore=shutil.ignore_patterns("__pycache__")
    )
    pricing = folder / "guilder" / "services" / "pricing"
    with (pricing / "service.py").open("a") as source:
        source.write('\n\nPricingService.release = "1.1.0"\n')
    (pricing / "migrations" / "0002_note.sql").write_text(NOTE)
    columns = (pricing / "columns.toml").read_text()
    told = '[tariff]\nnote = "not personal: made up for a test"'
    (pricing / "columns.toml").write_text(columns.replace("[tariff]", told))
    return folder


@contextmanager
def second_release(platform):
    """`guilder serve pricing` of the later tree; the address it listens at."""
    folder = Path(tempfile.mkdtemp(prefix="gn-"))
    tree = later_tree(folder / "next")
    migrate = [*GUILDER, "migrate", "--data", str(platform.data)]
    subprocess.run(migrate, check=True, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)})
    home, address = Home(platform.data), f"unix:{folder}/pricing.sock"
    keys = subprocess.run(
        [*GUILDER, "keys", "pricing", "--data", str(platform.data)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout
    (folder / "call-keys.json").write_text(keys)
    sockets = json.loads(home.ready.read_text())["sockets"]
    peers = [f"{name}=unix:{path}" for name, path in sockets.items() if name != "gateway"]
    at = home.cluster().superuser_dsn()
    place = urlencode({"host": at["host"], "port": at["port"]}, quote_via=quote)
    secret = home.secret("pricing.password")
    settings = {
        "GUILDER_SERVE_LISTEN": address,
        "GUILDER_SERVE_DATABASE": f"postgresql://pricing:{secret}@/pricing?{place}",
        "GUILDER_SERVE_PEERS": ",".join(peers),
        "GUILDER_SERVE_KEYS": str(folder / "call-keys.json"),
        "GUILDER_SERVE_SECRETS": str(folder),
        "PYTHONPATH": str(tree),
    }
    process = subprocess.Popen(
        [*GUILDER, "serve", "pricing", "--json"],
        env={**os.environ, **settings},
        cwd=tree,
        text=True,
        stdout=subprocess.PIPE,
    )
    try:
        assert json.loads(process.stdout.readline())["ok"]
        yield address
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
        shutil.rmtree(folder)


CURRENCY = {"nordbank": "EUR", "company-x": "GBP"}


class Traffic(threading.Thread):
    """A customer who pays without a pause."""

    def __init__(self, platform, tenant):
        super().__init__()
        accounts = list(platform.demo[tenant]["accounts"].values())
        self.client, self.answers, self.over = platform.machine(tenant), [], False
        self.failed = None
        self.order = {
            "debtor_account": accounts[0],
            "creditor_account": accounts[1],
            "amount": {"amount": "0.01", "currency": CURRENCY[tenant]},
        }

    def run(self):
        try:
            while not self.over:
                self.answers.append(self.client.post("/v1/payments", self.order))
        except (AssertionError, OSError) as error:
            self.failed = error

    def more(self):
        count = len(self.answers)
        soon(lambda: len(self.answers), lambda now: now >= count + 20)

    def by(self):
        """How many payments each release priced."""
        return Counter(
            decision["by"]
            for answer in self.answers
            for decision in answer["decisions"]
            if decision["step"] == "pricing"
        )


@pytest.mark.slow
def test_one_tenant_moves_to_the_next_release_and_back(platform):
    def said(*argv):
        return json.loads(guilder(*argv, "--json", data=platform.data).stdout)

    said("operator", "olga", "--person")
    with second_release(platform) as address:
        moved, beside = Traffic(platform, "nordbank"), Traffic(platform, "company-x")
        moved.start()
        beside.start()
        try:
            moved.more()
            proposal = said("binding", "propose", "nordbank", "pricing=A.1.1.0", "--url", address)
            own = guilder("binding", "approve", proposal["id"], data=platform.data, check=False)
            assert "your own proposal" in own.stderr
            assert [p["id"] for p in said("proposal", "list", "--as", "olga")] == [proposal["id"]]
            record = said("binding", "approve", proposal["id"], "--as", "olga")
            assert said("binding", "list")["items"] == [record]
            assert (record["tenant"], record["version"]) == ("nordbank", "1.1.0")
            moved.more()
            assert served(platform, record["id"])["edition"] == "A"
            done = said("binding", "rollback", record["id"])
            assert (done["ended"]["id"], done["restored"]) == (record["id"], None)
            moved.more()
            beside.more()
        finally:
            moved.over = beside.over = True
            moved.join()
            beside.join()
    assert (moved.failed, beside.failed) == (None, None)
    assert set(moved.by()) == {"pricing A.1.0.0", "pricing A.1.1.0"}
    assert min(moved.by().values()) >= 10
    assert sum(moved.by().values()) == len(moved.answers)
    assert set(beside.by()) == {"pricing A.1.0.0"}
    assert said("binding", "list")["items"] == []
    assert said("verify")["ok"]
    (kept, *_) = said("binding", "list", "--history", "--tenant", "nordbank")["items"]
    assert kept["ended_by"] == "00000000-0000-0000-0000-000000000001"


def served(platform, binding):
    """What `tenant show` says of pricing, for programs and for people."""
    shown = json.loads(guilder("tenant", "show", "nordbank", "--json", data=platform.data).stdout)
    text = guilder("tenant", "show", "nordbank", data=platform.data).stdout
    assert "pricing A.1.1.0 serves nordbank since" in text
    assert binding in text
    listed = guilder("binding", "list", data=platform.data).stdout
    assert "pricing A.1.1.0" in listed
    report = guilder("binding", "report", binding, data=platform.data).stdout
    assert "pricing A.1.1.0 serves nordbank" in report
    services = {line["contract"]: line for line in shown["service_map"]["services"]}
    assert [name for name, line in services.items() if line["differs"]] == ["pricing"]
    assert services["pricing"]["live"]["id"] == binding
    return services["pricing"]


def test_what_cannot_be_bound_ends_with_a_sentence(platform):
    def refused(*argv):
        done = guilder("binding", *argv, data=platform.data, check=False)
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
        return done.stderr

    def propose(what, url="unix:/nowhere/x.sock", *more):
        return refused("propose", "nordbank", what, "--url", url, *more)

    assert "No release answers" in propose("pricing=A.1.1.0")
    assert "one release for all tenants" in propose("ledger=A.1.1.0")
    assert "not of the form pricing=B.1.0.0" in propose("pricing=one")
    assert "not valid" in propose("pricing=A.1", "unix:/x")
    assert "not valid" in propose("pricing=A.1.1.0", "ftp://x")
    assert "no time with a zone" in propose("pricing=A.1.1.0", "unix:/x", "--from", "2026-12-01")
    assert "cannot begin at this moment" in propose(
        "pricing=A.1.1.0", "unix:/x", "--from", "2020-12-01T00:00Z"
    )
    assert "no attestation" in propose("pricing=B.1.0.0", "https://fees.company-x.example")
    assert "no address of the form https" in propose("pricing=B.1.0.0")
    assert "has a share" in propose("pricing=A.1.1.0", "unix:/x", "--mode", "canary")
    nowhere = "00000000-0000-0000-0000-000000000009"
    for command in ("end", "rollback", "report"):
        assert "no such binding" in refused(command, nowhere)
    assert "not found" in refused("approve", nowhere).lower()
    assert "no such tenant" in refused("list", "--tenant", "nowhere")
