"""up, down, and what a killed supervisor leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
from urllib.parse import quote, urlencode

import psutil
import pytest

from guilder.chassis.postgres import Cluster
from guilder.chassis.testing import soon
from guilder.serving.plan import names
from tests.journeys.bare_hands import GUILDER, ROOT, TOPOLOGIES, Client, guilder, up

MEGABYTE = 1024 * 1024


def ours(data):
    """Processes that belong to the platform in `data`."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = " ".join(process.info["cmdline"] or [])
        if not alive(process.pid):
            continue
        if str(data) in line or (process.info["cwd"] or "").startswith(str(data)):
            found.append(process)
    return found


def alive(pid):
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(params=TOPOLOGIES)
def topology(request):
    """What `up` is told for each topology, where it makes a difference."""
    return TOPOLOGIES[request.param]


def children(data):
    """The pids of the platform's processes by name."""
    state = json.loads((data / "run" / "supervisor.json").read_text())
    return {child["name"]: child["pid"] for child in state["children"]}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "private" / "data"
    folder.parent.mkdir(mode=0o700)
    yield folder
    guilder("down", data=folder, check=False)
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_a_killed_supervisor_is_followed_by_one_that_cleans_up(data, topology):
    first = up(data, *topology)
    left = children(data)
    supervisor = json.loads((data / "run" / "supervisor.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGKILL)
    second = up(data, *topology)
    assert second["pid"] != first["pid"]
    assert Client(second["api"]).send("GET", "/healthz").status == 200
    assert [name for name, pid in left.items() if alive(pid)] == []
    assert json.loads(guilder("down", "--json", data=data).stdout)["stopped"] is True
    assert ours(data) == []
    assert json.loads(guilder("down", "--json", data=data).stdout)["stopped"] is False


def test_down_stops_what_a_killed_supervisor_left(data, topology):
    up(data, *topology)
    supervisor = json.loads((data / "run" / "supervisor.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGKILL)
    guilder("down", data=data)
    assert ours(data) == []


def test_a_second_up_finds_the_first(data, topology):
    first, second = up(data, *topology), up(data)
    assert (first["api"], first["pid"]) == (second["api"], second["pid"])


def test_what_was_begun_together_goes_on_split_and_back(data):
    seen = []
    for more in [*TOPOLOGIES.values(), ()]:
        facts = up(data, "--demo", *more)
        assert len(children(data)) == (len(names()) if more else 1)
        seen.append(facts["demo"][0]["accounts"])
        guilder("down", data=data)
    assert seen[0] == seen[1] == seen[2]


def outbound(data):
    """What the platform's processes were told of networks that are not public."""
    pids = children(data).values()
    return {psutil.Process(pid).environ().get("GUILDER_OUTBOUND_ALLOW") for pid in pids}


def test_a_demo_alone_may_have_editions_on_this_machine(data, topology, monkeypatch):
    """It says so, and it is the same after a restart; the same platform without --demo may not."""
    monkeypatch.delenv("GUILDER_OUTBOUND_ALLOW", raising=False)
    said = guilder("up", "--port", "0", "--detach", "--demo", *topology, data=data).stdout
    assert "also be in 127.0.0.0/8, ::1/128 (GUILDER_OUTBOUND_ALLOW)" in said
    guilder("restart", next(iter(children(data))), data=data)
    assert outbound(data) == {"127.0.0.0/8, ::1/128"}
    guilder("down", data=data)
    assert up(data, *topology)["outbound"] == ""
    assert outbound(data) == {None}


def test_a_demo_keeps_the_networks_that_its_operator_named(data, monkeypatch):
    monkeypatch.setenv("GUILDER_OUTBOUND_ALLOW", "10.20.0.0/24")
    assert up(data, "--demo")["outbound"] == "10.20.0.0/24"
    assert outbound(data) == {"10.20.0.0/24"}


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_stops_everything(data, topology, name):
    command = [*GUILDER, "up", "--port", "0", *topology, "--data", str(data)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert "Guilder is up" in running.stdout.readline()
    running.send_signal(name)
    running.wait(30)
    assert ours(data) == []


def test_dead_processes_and_a_dead_postgresql_are_started_again(data, topology):
    facts = up(data, *topology)
    api = Client(facts["api"])
    killed = children(data)
    assert facts["pid"] in killed.values()
    for pid in killed.values():
        os.kill(pid, signal.SIGKILL)
    soon(lambda: api.send("GET", "/healthz").status, lambda status: status == 200)
    soon(
        lambda: children(data),
        lambda now: now.keys() == killed.keys() and not set(now.values()) & set(killed.values()),
    )
    for process in [*ours(data / "postgres"), *ours(data / "vault")]:
        process.kill()
    soon(
        lambda: guilder("tenant", "list", data=data, check=False).returncode,
        lambda code: code == 0,
    )


def test_nothing_listens_beyond_loopback_and_memory_is_small(data, topology):
    up(data, "--demo", *topology)
    for process in ours(data):
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1"
    for pid in children(data).values():
        most = 150 if topology else 350
        assert psutil.Process(pid).memory_info().rss <= most * MEGABYTE


def test_a_command_without_a_platform_says_what_to_do(data):
    done = guilder("tenant", "list", data=data, check=False)
    assert done.returncode == 1
    assert "guilder up" in done.stderr


def test_every_command_has_help_with_an_example():
    from guilder.cli import main

    for path, command in walk(main, ()):
        done = subprocess.run(
            [sys.executable, "-m", "guilder.cli", *path, "--help"],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        if not hasattr(command, "commands"):
            assert "Example:" in done.stdout, path
            assert "--json" in done.stdout, path


def walk(command, path):
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*path, name))


def test_external_servers_are_settings_of_which_the_vault_has_its_own(
    data, topology, tmp_path, monkeypatch
):
    servers = [Cluster(tmp_path / name, {"fsync": "off"}) for name in ("books", "keys")]
    try:
        for name, server in zip(
            ("GUILDER_DATABASE", "GUILDER_VAULT_DATABASE"), servers, strict=True
        ):
            server.start()
            admin = server.superuser_dsn()
            address = f"postgresql://{admin['user']}:{quote(admin['password'])}@/postgres"
            where = urlencode({"host": admin["host"], "port": admin["port"]})
            monkeypatch.setenv(name, f"{address}?{where}")
        facts = up(data, "--demo", *topology)
        assert Client(facts["api"]).send("GET", "/healthz").status == 200
        assert json.loads(guilder("verify", "--json", data=data).stdout)["ok"] is True
        assert not (data / "postgres").exists()
        assert not (data / "vault").exists()
        guilder("down", data=data)
        assert all(server.running() for server in servers)
        monkeypatch.delenv("GUILDER_VAULT_DATABASE")
        done = guilder("up", "--port", "0", "--detach", data=data, check=False)
        assert done.returncode == 1
        assert "GUILDER_VAULT_DATABASE" in done.stderr
    finally:
        for server in servers:
            server.stop()


def test_a_lost_vault_is_said_and_never_made_anew(data):
    up(data)
    guilder("down", data=data)
    shutil.rmtree(data / "vault")
    done = guilder("up", "--port", "0", "--detach", data=data, check=False)
    assert done.returncode == 1
    assert "Restore it from its backup" in done.stderr


def test_lost_secrets_are_said_and_never_made_anew(data):
    up(data)
    guilder("down", data=data)
    shutil.rmtree(data / "secrets")
    done = guilder("up", "--port", "0", "--detach", data=data, check=False)
    assert done.returncode == 1
    assert "backup" in done.stderr
    assert list((data / "secrets").iterdir()) == []
