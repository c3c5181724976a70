"""`guilder backup` and `guilder restore`."""

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import asyncpg
import click

from guilder.backup.folder import REMEMBERED, BackupError, Remembered, Side, iso, read
from guilder.backup.restore import Restored, restore
from guilder.backup.take import Taken, take
from guilder.chassis.contract import plain
from guilder.chassis.postgres import ClusterError
from guilder.chassis.supervise import SuperviseError, read_state
from guilder.cli.books import Bar
from guilder.cli.platform import data_option, json_option
from guilder.embedded import Home

T = TypeVar("T")


@click.command("backup")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--vault",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where keys and secrets go, best another disk; if absent as before, or FOLDER/vault.",
)
@click.option(
    "--keep",
    default=7,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="How many base backups of the data stay.",
)
@data_option
@json_option
def backup_command(folder: Path, vault: Path | None, keep: int, data: Path, as_json: bool) -> None:
    """Take a verified base backup; from it on, all that is committed is archived as well.

    The platform goes on working. Repeat it daily: a restore takes the base backup before the
    wanted moment and replays what was committed after it. Data and keys are in two folders:
    whoever holds both can read everything.

    Example: guilder backup /srv/backup --vault /srv/keys
    """
    home = Home(data.absolute())

    def work() -> Taken:
        if any(os.environ.get(n) for n in ("GUILDER_DATABASE", "GUILDER_VAULT_DATABASE")):
            raise BackupError(
                "these databases are external: back them up with the tools of their servers, and "
                "the secrets folder with those of the vault"
            )
        sides = [(folder / "data").absolute(), (vault or folder / "vault").absolute()]
        if any(side.resolve().is_relative_to(home.data.resolve()) for side in sides):
            raise BackupError(
                f"the backup would lie in {data} and be lost with it; name a folder elsewhere"
            )
        state = read_state(home.run)
        if state is None or not state.alive:
            raise BackupError(f"no platform is running in {data}; start it with `guilder up`")
        books, keys = sides[0], vault
        before = read(home.data / REMEMBERED, Remembered)
        if keys is None and before is not None and before.data == str(books):
            keys = Path(before.vault)
        return take(home, books, keys.absolute() if keys else sides[1], keep, Bar())

    _run("backup", work, _taken, as_json)


def _taken(taken: Taken) -> str:
    gap = ""
    if taken.gap_since is not None:
        gap = (
            f"The log had a gap: nothing between {iso(taken.gap_since)} and now can be restored.\n"
        )
    return (
        f"{gap}Base backup {taken.name}, {taken.size / 1e6:,.1f} MB, "
        f"verified in {taken.seconds} s.\n"
        f"  data    {taken.data}\n  keys    {taken.vault}\n"
        f"Archived until {iso(taken.archived_until)}, and from now on. "
        f"Base backups kept: {len(taken.kept)}.\n"
        "Keep the folder of the keys where no thief of the data finds it."
    )


@click.command("restore")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--to", help="The moment, with its zone (2026-11-24T09:30:00Z); the newest if absent."
)
@click.option(
    "--vault",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where keys and secrets are; FOLDER/vault if absent.",
)
@data_option
@json_option
def restore_command(
    folder: Path, to: str | None, vault: Path | None, data: Path, as_json: bool
) -> None:
    """Make a new data directory from a backup, as everything was at a moment.

    Keys and secrets are always the newest ones: who was erased stays erased. What was committed
    after the moment is not in it, payments that were acknowledged included. `guilder up` starts it.

    Example: guilder restore /srv/backup --to 2026-11-24T09:30:00Z --data restored
    """

    def work() -> Restored:
        sides = Side((folder / "data").absolute()), Side((vault or folder / "vault").absolute())
        return restore(*sides, _moment(to) if to else None, data.absolute(), Bar())

    _run("restore", work, lambda done: _restored(done, data), as_json)


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BackupError(
            f"--to {text}: not a moment in ISO 8601, as 2026-11-24T09:30:00Z"
        ) from None
    if at.tzinfo is None:
        raise BackupError(f"--to {text}: which zone? Write {text}Z for UTC, or {text}+02:00")
    return at.astimezone(UTC)


def _restored(done: Restored, data: Path) -> str:
    lost = "Nothing that the backup holds is missing."
    if done.last_lost is not None:
        lost = (
            f"{done.lost:,} transactions between then and {iso(done.last_lost)} are not in it; "
            "what they acknowledged, payments included, did not happen here."
        )
    return (
        f"Restored into {data} in {done.seconds} s, from base backup {done.base} "
        f"({done.size / 1e6:,.1f} MB) and {done.segments} segments of the log.\n"
        f"Its last transaction is of {iso(done.reached)}. {lost}\n"
        f"The vault's is of {iso(done.vault_reached)}: who was erased stays erased.\n"
        f"Next: guilder up --data {data}, then guilder verify --data {data}, and "
        "`guilder backup` into a new folder."
    )


def _run(name: str, work: Callable[[], T], told: Callable[[T], str], as_json: bool) -> None:
    """Run a command; what goes wrong is a sentence and status 1."""
    try:
        done = work()
    except (BackupError, ClusterError, SuperviseError, asyncpg.PostgresError) as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "error": str(error)}))
        click.echo(f"guilder {name}: {error}", err=True)
        sys.exit(1)
    click.echo(json.dumps({"ok": True} | plain(done)) if as_json else told(done))
