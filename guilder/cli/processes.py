"""`guilder status`, `guilder restart`, `guilder migrate`, `guilder serve` and `guilder keys`."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from guilder.backup.folder import iso
from guilder.backup.state import ARCHIVER, ArchiveState, archive_state
from guilder.chassis.control import ask
from guilder.chassis.supervise import State, SuperviseError, control_socket, read_state
from guilder.chassis.wire import Address, Wire
from guilder.cli.platform import data_option, json_option
from guilder.cli.running import prepare_databases
from guilder.embedded import CALL_KEY, Home
from guilder.serving.plan import ServeError, from_settings, names, pair_keys

LINE_SECONDS = 150.0
"""How long a step of a restart may take before we stop waiting for news of it."""
HEALTH_SECONDS = 2.0


@click.command()
@click.argument("names_", metavar="[NAME]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every process, one after the other.")
@data_option
@json_option
def restart(names_: tuple[str, ...], everything: bool, data: Path, as_json: bool) -> None:
    """Replace processes while they serve: the new one is ready before the old one leaves.

    One at a time; ends at the first that does not get ready, and the old one goes on.

    Example: guilder restart pricing
    """
    home = Home(data.absolute())
    state = _running(home)
    chosen = [child.name for child in state.children] if everything else list(names_)
    if not chosen:
        raise click.UsageError("name a process, or say --all")
    ok, steps, error = False, [], "the platform ended meanwhile"
    try:
        for line in ask(control_socket(home.run), LINE_SECONDS, restart=chosen):
            if "name" not in line:
                ok, error = line["ok"], line.get("detail", "")
                break
            steps.append(line)
            if not as_json:
                more = f" ({line['detail']})" if line["detail"] else ""
                click.echo(f"{line['name']:<14} {line['state']}{more}")
    except SuperviseError as problem:
        error = str(problem)
    if as_json:
        click.echo(json.dumps({"ok": ok, "steps": steps} | ({"error": error} if error else {})))
    if error:
        click.echo(f"guilder restart: {error}", err=True)
    if not ok:
        sys.exit(1)


def _running(home: Home) -> State:
    state = read_state(home.run)
    if state is None or not state.alive:
        raise click.ClickException(
            f"no platform is running in {home.data}; start it with `guilder up`"
        )
    return state


@click.command()
@data_option
@json_option
def status(data: Path, as_json: bool) -> None:
    """Show the processes: versions, health, what they know of bindings, feeds and their lag; and
    how far the backup is.

    Ends with status 1 unless everything is ready and the archive, if there is one, is not behind.

    Example: guilder status
    """
    home = Home(data.absolute())
    state = _running(home)
    found = asyncio.run(_ask_all(home, state))
    backup, now = archive_state(home, datetime.now(UTC)), datetime.now(UTC)
    ok = all(process["ready"] for process in found) and not (backup and backup.behind(now))
    if as_json:
        facts = {"ok": ok, "supervisor": state.pid, "addresses": state.addresses}
        facts["backup"] = None if backup is None else msgspec.to_builtins(backup)
        click.echo(json.dumps(facts | {"processes": found}))
    else:
        api = state.addresses.get("api", "not yet")
        click.echo(f"supervisor {state.pid}   API {api}")
        click.echo("\n".join(_table(found)))
        click.echo(f"\n{_backup(backup, now)}")
    if not ok:
        sys.exit(1)


def _backup(state: ArchiveState | None, now: datetime) -> str:
    if state is None:
        return "backup: none; `guilder backup FOLDER` begins one"
    until = iso(state.until) if state.until else "never"
    behind = "BEHIND, " if state.behind(now) else ""
    return f"backup: {behind}archived until {until}" + (
        f": {state.problem}" if state.problem else ""
    )


async def _ask_all(home: Home, state: State) -> list[dict[str, Any]]:
    serving = [child for child in state.children if child.name != ARCHIVER]
    return list(await asyncio.gather(*(_ask(home, child) for child in serving)))


async def _ask(home: Home, child: Any) -> dict[str, Any]:
    """What a process says of itself; `ready` is false where it says nothing."""
    facts = {**msgspec.to_builtins(child), "ready": False}
    del facts["identity"]
    wire = Wire(Address(path=home.socket_of(child.name)))
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            reply = await wire.request("GET", "/health", {}, b"", repeatable=True)
        said: dict[str, Any] = json.loads(reply.body)
        return facts | said | {"name": child.name}
    except (OSError, TimeoutError, ValueError) as error:
        return facts | {"error": str(error) or "no answer"}
    finally:
        wire.close()


def _table(found: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'process':<14} {'pid':>7} {'version':<8} {'restarts':>8}  health"]
    for process in found:
        health = "ready" if process["ready"] else process.get("error") or "not ready"
        directory = process.get("directory") or {}
        if directory.get("stale"):
            silent = directory["heard_s"]
            long = "since it started" if silent is None else f"for {silent:.0f} s"
            health += f", registry not heard {long}"
        version = process.get("version", "?")
        lines.append(
            f"{process['name']:<14} {process['pid']:>7} {version:<8} {process['restarts']:>8}"
            f"  {health}"
        )
    feeds = [feed for process in found for feed in process.get("feeds", ())]
    if feeds:
        lines += ["", f"{'follower':<14} {'feed':<22} {'position':<16} behind"]
        for feed in feeds:
            trouble = f"  {feed['error']}" if feed.get("error") else ""
            lines.append(
                f"{feed['follower']:<14} {feed['feed']:<22} {feed['position'] or '0.0':<16}"
                f" {feed['behind_s']:.1f} s{trouble}"
            )
    return lines


@click.command()
@data_option
@json_option
def migrate(data: Path, as_json: bool) -> None:
    """Bring the databases up to this release's schema while the release before it serves.

    `guilder up` does so by itself. Before `guilder restart --all` into a newer release, this comes
    first: a migration only adds, so that both releases work on what it leaves.

    Example: guilder migrate
    """
    home = Home(data.absolute())
    _running(home)
    try:
        prepare_databases(home)
    except SuperviseError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps({"ok": True}) if as_json else "the databases are up to date")


@click.command()
@click.argument("name", type=click.Choice(names()), metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="Say as JSON that it is ready, or why not.")
def serve(name: str, as_json: bool) -> None:
    """Run the gateway or one service as a process of its own, from settings alone.

    The settings are environment variables (docs/reference/settings.md): where it listens, where
    its database is, where the others are, and its call keys.

    Example: GUILDER_SERVE_LISTEN=unix:/run/pricing.sock guilder serve pricing
    """
    import uvloop

    from guilder.serving.host import Host  # takes long to import, and no other command needs it

    def ready() -> None:
        click.echo(json.dumps({"ok": True, "pid": os.getpid()}) if as_json else f"{name} serves")

    try:
        uvloop.run(Host(from_settings(name, os.environ), ready).run())
    except ServeError as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "error": str(error)}))
        click.echo(f"guilder serve: {error}", err=True)
        sys.exit(1)


@click.command()
@click.argument("name", type=click.Choice(names()), metavar="NAME")
@data_option
@click.option("--json", "as_json", is_flag=True, help="The same: it is JSON.")
def keys(name: str, data: Path, as_json: bool) -> None:
    """Print the call keys that a process needs to run elsewhere. They are secrets.

    Example: guilder keys pricing > pricing.keys
    """
    home = Home(data.absolute())
    if not (home.secrets / CALL_KEY).exists():
        raise click.ClickException(f"there is no platform in {data}")
    click.echo(json.dumps(pair_keys(home.call_keys(), name), indent=1))
