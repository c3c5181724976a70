"""`guilder up` and `guilder down`."""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import click
import msgspec

from guilder.backup.state import Archiving
from guilder.chassis.postgres import Cluster, ClusterError
from guilder.chassis.schema import SchemaMismatch
from guilder.chassis.supervise import (
    AlreadyRunning,
    SuperviseError,
    Supervisor,
    detach,
    read_state,
    stop_running,
)
from guilder.cli.demo import Seeded, seed
from guilder.cli.platform import data_option, json_option, with_platform
from guilder.embedded import (
    Home,
    children,
    keep_databases,
    processes,
    provision_all,
    start_databases,
    stop_databases,
    where,
)

START_SECONDS = 60.0
ADDRESS = "127.0.0.1"
DEFAULT_PORT = 8321
BACKLOG = 1024
DEMO_FILE = "demo.json"
OUTBOUND = "GUILDER_OUTBOUND_ALLOW"
LOOPBACK = "127.0.0.0/8, ::1/128"
"""Networks in which an edition may be that is bound to a demo, unless the setting says others."""


@click.command()
@data_option
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port on loopback; 0 = any.",
)
@click.option("--split", is_flag=True, help="Every service a process of its own.")
@click.option("--demo", is_flag=True, help="Make two demo banks with people and accounts.")
@click.option("--detach", "in_background", is_flag=True, help="Return when the platform is ready.")
@json_option
def up(data: Path, port: int, split: bool, demo: bool, in_background: bool, as_json: bool) -> None:
    """Run the platform: PostgreSQL, the gateway and every service.

    All of it in one process, or with --split in one process a service, so that each can be
    restarted and upgraded apart from the others.

    Ctrl-C or `guilder down` stops it. External servers are used when GUILDER_DATABASE and
    GUILDER_VAULT_DATABASE hold their addresses (postgresql://admin:password@host/postgres).

    With --demo, editions and webhooks may be on this machine, unless GUILDER_OUTBOUND_ALLOW is set.

    Example: guilder up --demo --detach
    """
    home = Home(data.absolute())
    if demo:
        os.environ.setdefault(OUTBOUND, LOOPBACK)  # every process inherits it, restarted ones too
    try:
        home.prepare()
        if in_background:
            _up_detached(home, port, split)
            _announce(home, data, demo, as_json)
        else:
            _up_here(home, port, split, lambda: _announce(home, data, demo, as_json))
    except AlreadyRunning:
        _announce(home, data, demo, as_json)
    except (SuperviseError, ClusterError) as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "error": str(error)}))
        click.echo(f"guilder up: {error}", err=True)
        sys.exit(1)


def _up_here(home: Home, port: int, split: bool, ready: Callable[[], None]) -> None:
    """Supervise in this process until told to stop."""
    databases = home.clusters(os.environ)
    supervisor = Supervisor(home.run)
    supervisor.claim()
    try:
        supervisor.sweep()
        home.ready.unlink(missing_ok=True)
        listening = _listen(port)  # first: cheap to refuse, and nothing is started in vain
        start_databases(databases)
        prepare_databases(home)
        started = children(home, split, listening)
        pids = {child.name: supervisor.start(child) for child in started}
        for child in started:
            supervisor.wait_ready(child, START_SECONDS)
        facts = {
            "api": "http://{}:{}".format(*listening.getsockname()[:2]),
            "split": split,
            "outbound": os.environ.get(OUTBOUND, ""),
            "pid": pids[started[0].name],
            "sockets": where(home, split),
        }
        supervisor.publish(facts)
        _tell(home, facts)
        ready()
        archiving = Archiving(supervisor, home)
        supervisor.run_forever(check=lambda: _keep(databases, archiving))
    finally:
        home.ready.unlink(missing_ok=True)
        supervisor.stop_all()
        for name in processes(split):
            (home.run / f"{name}.sock").unlink(missing_ok=True)
        stop_databases(databases)


def _tell(home: Home, facts: dict[str, Any]) -> None:
    """Write down what runs where, whole or not at all."""
    draft = home.ready.with_suffix(".new")
    draft.write_text(json.dumps(facts))
    draft.replace(home.ready)


def _listen(port: int) -> socket.socket:
    """The public socket; SuperviseError says what to do when the port is not to be had."""
    try:
        return socket.create_server((ADDRESS, port), backlog=BACKLOG)
    except OSError as error:
        raise SuperviseError(
            f"port {port} cannot be opened ({error.strerror}); choose another with --port"
        ) from error


def prepare_databases(home: Home) -> None:
    """Prepare every service's database; SuperviseError says why it cannot be done."""
    try:
        asyncio.run(provision_all(home, os.environ))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SuperviseError(f"the databases cannot be prepared: {error}") from error
    except SchemaMismatch as error:
        raise SuperviseError(str(error)) from error


def _keep(databases: Sequence[Cluster], archiving: Archiving) -> None:
    """Once a second: databases that died start again, the log is archived if it is wanted."""
    keep_databases(databases)
    if databases:
        archiving.keep()


def _up_detached(home: Home, port: int, split: bool) -> None:
    """Start a supervisor in the background and wait until it serves."""
    state = read_state(home.run)
    if state is not None and state.alive:
        raise AlreadyRunning(state.pid, state.addresses)
    log = home.run / "supervisor.log"
    argv = [
        sys.executable,
        "-m",
        "guilder.cli",
        "up",
        "--data",
        str(home.data),
        "--port",
        str(port),
        *(["--split"] if split else []),
    ]
    home.ready.unlink(missing_ok=True)
    pid = detach(argv, log)
    until = time.monotonic() + START_SECONDS
    while not home.ready.exists():
        if time.monotonic() > until or not _alive(pid):
            tail = log.read_text("utf-8", "replace")[-2000:]
            raise SuperviseError(f"the platform did not start; its log {log} ends:\n{tail}")
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        done, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return done == 0


def _announce(home: Home, data: Path, demo: bool, as_json: bool) -> None:
    """Print where to look and how to sign in."""
    facts: dict[str, Any] = json.loads(home.ready.read_text())
    del facts["sockets"]
    facts |= {"ok": True, "data": str(data), "docs": f"{facts['api']}/docs"}
    seeded: list[Seeded] = []
    if demo:
        seeded = with_platform(data, as_json, seed)
        facts["demo"] = msgspec.to_builtins(seeded)
        path = home.data / DEMO_FILE
        path.touch(mode=0o600)
        path.write_text(json.dumps(facts["demo"], indent=2))
    if as_json:
        click.echo(json.dumps(facts))
        return
    where = "" if str(data) == ".guilder" else f" --data {data}"
    click.echo(f"Guilder is up.   API   {facts['api']}/v1   read it at {facts['docs']}")
    if facts.get("outbound"):
        click.echo(f"Editions and webhooks may also be in {facts['outbound']} ({OUTBOUND}).")
    for bank in seeded:
        people = ", ".join(f"{login} ({role})" for login, role in bank.people.items())
        click.echo(f"\n{bank.tenant}: {people}")
        for owner, iban in bank.accounts.items():
            click.echo(f"  {owner:<14} {iban}")
        click.echo(f"  machine client {bank.client_id}  secret {bank.client_secret}")
    if seeded:
        click.echo(f"\nSign in:  TOKEN=$(guilder token --tenant nordbank --user mia{where})")
    click.echo(f"Stop:     guilder down{where}")


@click.command()
@data_option
@json_option
def down(data: Path, as_json: bool) -> None:
    """Stop the platform of a data directory; its data stays.

    Example: guilder down
    """
    home = Home(data.absolute())
    stopped = stop_running(home.run, timeout=30.0) if home.run.exists() else False
    left = [c for c in (home.cluster(), home.vault_cluster()) if c.root.exists()]
    stopped = any(cluster.running() for cluster in left) or stopped
    stop_databases(left)  # those that a killed supervisor left alone
    home.ready.unlink(missing_ok=True)
    if as_json:
        click.echo(json.dumps({"ok": True, "stopped": stopped}))
    else:
        click.echo("stopped" if stopped else f"nothing was running in {data}")
