"""`guilder serve` as a process of its own: from settings alone, and what it says when it cannot."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from ipaddress import ip_network
from urllib.parse import quote, urlencode

import asyncpg
import pytest
import pytest_asyncio

from guilder.chassis.call import Remote, make_client
from guilder.chassis.outbound import Rules
from guilder.chassis.store import provision
from guilder.chassis.testing import somebody
from guilder.chassis.token import CallKeys, PairKeys
from guilder.chassis.wire import Address, Wire
from guilder.conformance.run import conform
from guilder.conformance.signer import Signer
from guilder.contracts.context import Call
from guilder.contracts.errors import Unauthenticated
from guilder.contracts.pricing.v1 import Pricing, Question
from guilder.contracts.values import Money
from guilder.serving.plan import GATEWAY, pair_keys

pytestmark = pytest.mark.slow

ROOT_KEY = CallKeys(b"of this test")
SERVE = [sys.executable, "-m", "guilder.cli", "serve"]


def dsn(admin, database, user=None, password="secret"):
    """An address of a database for a setting."""
    who = f"{user or database}:{quote(password)}"
    where = urlencode({"host": admin["host"], "port": admin["port"]})
    return f"postgresql://{who}@/{database}?{where}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def prices(admin):
    """The address of a provisioned database of pricing."""
    name = f"t{secrets.token_hex(3)}_pricing"
    await provision(admin, "pricing", name, "secret")
    return dsn(admin, name)


@pytest.fixture
def env(tmp_path, prices):
    (tmp_path / "keys.json").write_text(json.dumps(pair_keys(ROOT_KEY, "pricing")))
    kept = {name: value for name, value in os.environ.items() if "GUILDER" not in name}
    return kept | {
        "GUILDER_SERVE_LISTEN": f"unix:{tmp_path}/pricing.sock",
        "GUILDER_SERVE_DATABASE": prices,
        "GUILDER_SERVE_PEERS": f"*=unix:{tmp_path}/{{name}}.sock",
        "GUILDER_SERVE_KEYS": str(tmp_path / "keys.json"),
    }


class Serving:
    """A process that serves; ended with the block."""

    def __init__(self, env, *argv):
        self.process = subprocess.Popen(
            [*SERVE, *argv], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def ready(self):
        """What it says once it serves."""
        return json.loads(self.process.stdout.readline())

    def ended(self):
        """Its status and everything it said."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def caller(address, keys, name="payments"):
    return Remote(Address.read(address), name, keys)


async def quoted(remote):
    question = Question(
        operation="book_transfer",
        product="current",
        amount=Money(10_000, "EUR"),
        at=datetime.now(UTC),
    )
    client = make_client(Pricing, remote.send)
    (answer,) = await client.quote([Call(somebody(7).ctx(), question)])
    return answer


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


async def test_a_service_is_an_edition_for_whom_the_operator_names(env):
    url = env["GUILDER_SERVE_LISTEN"] = f"http://127.0.0.1:{free_port()}"
    signer, loopback = Signer(bytes(range(32))), Rules((ip_network("127.0.0.0/8"),))

    def failed(signer):
        found = conform("pricing", f"{url}/editions/pricing", loopback, signer=signer, examples=2)
        return {one.name for one in found.checks if not one.passed and not one.skipped}

    env["GUILDER_EDITION_KEY"] = json.dumps(signer.public_jwk())
    with Serving(env, "pricing", "--json") as serving:
        serving.ready()
        assert failed(signer) == set()
        assert "status" in failed(signer.stranger())
    del env["GUILDER_EDITION_KEY"]
    with Serving(env, "pricing", "--json") as serving:
        serving.ready()
        assert failed(signer) == {"manifest"}
    env["GUILDER_EDITION_KEY"] = "a key"
    with Serving(env, "pricing", "--json") as serving:
        code, _, err = serving.ended()
        assert code != 0
        assert "GUILDER_EDITION_KEY is no public key" in err


@pytest.mark.parametrize("where", ["unix", "tcp"])
async def test_a_service_answers_its_callers_and_nobody_else(env, tmp_path, where):
    if where == "tcp":
        env["GUILDER_SERVE_LISTEN"] = f"http://127.0.0.1:{free_port()}"
    address = env["GUILDER_SERVE_LISTEN"]
    with Serving(env, "pricing", "--json") as serving:
        assert serving.ready() == {"ok": True, "pid": serving.process.pid}
        payments = caller(address, PairKeys(pair_keys(ROOT_KEY, "payments")))
        assert (await quoted(payments)).fee == Money(0, "EUR")
        payments.close()

        stranger = caller(address, CallKeys(b"somebody else's"))
        refused = await quoted(stranger)
        assert isinstance(refused, Unauthenticated)
        assert "not ours" in refused.detail
        # With the platform's root key, too, what calls.toml does not name stays outside: the
        # process does not even hold the key.
        parties = caller(address, ROOT_KEY, "parties")
        refused = await quoted(parties)
        assert isinstance(refused, Unauthenticated)
        assert "holds no key" in refused.detail
        for remote in (stranger, parties):
            remote.close()

        health = Wire(Address.read(address))
        said = json.loads((await health.request("GET", "/health", {}, b"")).body)
        assert (said["process"], said["ready"]) == ("pricing", True)
        health.close()
        serving.process.send_signal(signal.SIGTERM)
        assert serving.ended()[0] == 0


async def test_a_gateway_stands_in_front_of_what_is_not_there_yet(env, tmp_path):
    """It starts, says so, and gives no stranger anything but a problem."""
    (tmp_path / "keys.json").write_text(json.dumps(pair_keys(ROOT_KEY, GATEWAY)))
    env["GUILDER_SERVE_LISTEN"] = f"unix:{tmp_path}/gateway.sock"
    env["GUILDER_SERVE_PUBLIC"] = f"http://127.0.0.1:{free_port()}"
    del env["GUILDER_SERVE_DATABASE"]
    with Serving(env, "gateway") as serving:
        assert serving.process.stdout.readline() == "gateway serves\n"
        door = Wire(Address.read(env["GUILDER_SERVE_PUBLIC"]))
        reply = await door.request("GET", "/healthz", {}, b"")
        assert reply.status == 200
        reply = await door.request("GET", "/v1/accounts", {"Authorization": "Bearer x"}, b"")
        assert reply.status in (401, 503)
        door.close()
        serving.process.send_signal(signal.SIGINT)
        assert serving.ended()[0] == 0


# ---- what it says when it cannot


def refused(env, *argv):
    with Serving(env, *argv) as serving:
        code, out, err = serving.ended()
    assert code == 1, (out, err)
    assert "Traceback" not in out + err
    return out, err


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("GUILDER_SERVE_LISTEN", "", "GUILDER_SERVE_LISTEN"),
        ("GUILDER_SERVE_DATABASE", "nonsense", "database of pricing"),
        ("GUILDER_SERVE_DATABASE", "postgresql://x:y@127.0.0.1:1/p", "cannot be used"),
        ("GUILDER_SERVE_DATABASE", "postgresql://x:y@/p?host=/nowhere", "cannot be used"),
        ("GUILDER_SERVE_DATABASE", "postgresql://x@h:port/p", "database of pricing"),
        ("GUILDER_SERVE_KEYS", "/nowhere", "guilder keys pricing"),
    ],
)
def test_a_setting_that_does_not_work_is_a_sentence(env, setting, value, said):
    env[setting] = value
    out, err = refused(env, "pricing", "--json")
    assert json.loads(out) == {"ok": False, "error": err.removeprefix("guilder serve: ").strip()}
    assert said in err


async def test_a_wrong_password_an_unknown_and_an_empty_database_are_sentences(env, admin):
    known = env["GUILDER_SERVE_DATABASE"]
    for wrong in (known.replace(":secret@", ":other@"), known.replace("_pricing?", "_x?")):
        env["GUILDER_SERVE_DATABASE"] = wrong
        assert "the database of pricing cannot be used" in refused(env, "pricing")[1]
    name = f"t{secrets.token_hex(3)}_empty"
    connection = await asyncpg.connect(**admin)
    try:
        await connection.execute(f'CREATE ROLE "{name}" LOGIN')
        await connection.execute(f"ALTER ROLE \"{name}\" PASSWORD 'secret'")
        await connection.execute(f'CREATE DATABASE "{name}" OWNER "{name}"')
    finally:
        await connection.close()
    env["GUILDER_SERVE_DATABASE"] = dsn(admin, name)
    assert "holds no schema" in refused(env, "pricing")[1]


def test_a_setting_of_the_service_itself_is_named_too(env, tmp_path):
    (tmp_path / "keys.json").write_text(json.dumps(pair_keys(ROOT_KEY, GATEWAY)))
    env["GUILDER_SERVE_PUBLIC"] = f"http://127.0.0.1:{free_port()}"
    env["GUILDER_GATEWAY_TENANT_RATE"] = "many"
    assert "GUILDER_GATEWAY_TENANT_RATE" in refused(env, "gateway")[1]


def test_a_second_process_does_not_take_the_firsts_place(env):
    with Serving(env, "pricing", "--json") as first:
        first.ready()
        assert "in use" in refused(env, "pricing")[1]
        assert first.process.poll() is None


async def test_one_that_lingers_ends_at_once_when_told_again(env, tmp_path):
    (tmp_path / "keys.json").write_text(json.dumps(pair_keys(ROOT_KEY, GATEWAY)))
    env["GUILDER_SERVE_PUBLIC"] = f"http://127.0.0.1:{free_port()}"
    env["GUILDER_SERVE_LINGER_S"] = "50"
    with Serving(env, "gateway", "--json") as serving:
        serving.ready()
        door, idle = [Wire(Address.read(env["GUILDER_SERVE_PUBLIC"])) for _ in range(2)]
        for wire in (door, idle):
            assert (await wire.request("GET", "/healthz", {}, b"")).status == 200
        serving.process.send_signal(signal.SIGUSR1)
        last = ""
        while last != "close":
            reply = await door.request("GET", "/healthz", {}, b"")
            assert reply.status == 200
            last = reply.headers.get("connection", "")
        assert serving.process.poll() is None  # `idle` may still say something
        began = time.monotonic()
        serving.process.send_signal(signal.SIGTERM)
        assert serving.ended()[0] == 0
        assert time.monotonic() - began < 20
        idle.close()
