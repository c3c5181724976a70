"""Restoring a platform: the data to a moment, the vault always to its newest state.

Everything is checked before anything is made, and made beside its place: a restore that is killed
leaves nothing at the place of the data directory, and the next one clears what it left.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec

from guilder.backup.archive import SUPERUSERS
from guilder.backup.folder import Archived, BackupError, Base, Side, iso, remove
from guilder.backup.programs import check, program
from guilder.backup.recovery import Recovery, recover
from guilder.backup.wal import Reading, read_log
from guilder.chassis.store import migrations
from guilder.contracts.catalogue import all_contracts
from guilder.embedded import Home, stop_databases

Tell = Callable[[str, int, int], None]
"""Shows how far a stage is: its name, done, total."""
_LOCK = "restore.lock"


class Restored(msgspec.Struct, frozen=True):
    """A platform that `guilder up` starts."""

    data: str
    base: str
    """The base backup that it was made of."""
    reached: datetime
    """The last transaction that is in it, or the base backup's end."""
    archived_until: datetime
    """The end of what the backup holds."""
    lost: int
    """Transactions in the backup that came later and are not in it."""
    last_lost: datetime | None
    vault_reached: datetime
    seconds: float
    size: int
    """Bytes of the base backups."""
    segments: int
    """Segments of the log that were replayed, 16 MiB each."""


SLACK = timedelta(minutes=1)
"""How much further the data may go than the vault's archive: both are read every few seconds, one
after the other."""


@dataclass(frozen=True)
class Chosen:
    """What one side is restored from."""

    base: Base
    reading: Reading
    archived: Archived


def restore(data: Side, vault: Side, to: datetime | None, target: Path, tell: Tell) -> Restored:
    """Make the data directory `target`; BackupError says why it cannot be done."""
    started = time.monotonic()
    with _draft_of(target) as draft:
        _same_platform(data, vault)
        keys = choose(vault, None)
        books = choose(data, to)
        if to is not None and to > keys.archived.until:
            raise BackupError(
                f"the vault is archived until {iso(keys.archived.until)}, before {iso(to)}; "
                "what was sealed later would not open. Name an earlier moment with --to."
            )
        if books.reading.reached > keys.archived.until + SLACK:
            raise BackupError(
                f"the data go on until {iso(books.reading.reached)}, but the vault is archived "
                f"until {iso(keys.archived.until)} only: what was sealed with keys of the time "
                f"between would never open. Restore with --to {iso(keys.archived.until)}, or "
                "bring back the rest of the vault's archive."
            )
        for step, chosen in enumerate((books, keys)):
            tell("check", step, 2)
            _readable(chosen.base)
            check(chosen.base.cluster)
        tell("check", 2, 2)
        home = Home(draft)
        _lay_secrets(home, vault)
        recoveries = [
            Recovery(home.cluster(), books.base, books.reading),
            Recovery(home.vault_cluster(), keys.base, keys.reading),
        ]
        for name, recovery in zip(("data", "vault"), recoveries, strict=True):
            recovery.fill(lambda done, total, name=name: tell(name, done, total))  # type: ignore[misc]
        _lay_passwords(home, vault)
        clusters = [recovery.cluster for recovery in recoveries]
        try:
            recover(recoveries, tell)
            asyncio.run(_vault_is_ahead(home))
        finally:
            stop_databases(clusters)
        os.sync()
    return Restored(
        data=str(target),
        base=books.base.label.name,
        reached=books.reading.reached,
        archived_until=books.archived.until,
        lost=books.reading.lost,
        last_lost=books.reading.last if books.reading.lost else None,
        vault_reached=keys.reading.reached,
        seconds=round(time.monotonic() - started, 1),
        size=books.base.label.size + keys.base.label.size,
        segments=len(books.reading.segments) + len(keys.reading.segments),
    )


def choose(side: Side, to: datetime | None) -> Chosen:
    """The newest base backup before a moment, and the log after it."""
    if side.whose() is None:
        raise BackupError(f"{side.folder} holds no backup: it is empty or absent")
    bases = list(side.complete())
    if not bases:
        raise BackupError(f"{side.folder} holds no complete base backup: run `guilder backup`")
    before = [base for base in bases if to is None or base.label.ended <= to]
    if to is not None and not before:
        raise BackupError(
            f"{iso(to)} is before the oldest base backup in {side.folder} was complete; the "
            f"earliest moment that can be restored is {iso(bases[0].label.ended)}."
        )
    base = before[-1]
    archived = base.run.archived() or Archived(base.label.ended, base.label.end_lsn)
    if to is not None and to > archived.until:
        raise BackupError(
            f"{side.folder} is archived until {iso(archived.until)}, and {iso(to)} is after "
            "that. Name an earlier moment, or leave --to away to restore everything."
        )
    return Chosen(base, read_log(base, to), archived)


def _same_platform(data: Side, vault: Side) -> None:
    sides = [side.whose() for side in (data, vault)]
    if None not in sides and sides[0] != sides[1]:
        raise BackupError(f"{data.folder} and {vault.folder} are of different platforms")


def _readable(base: Base) -> None:
    """BackupError where this installation is too old, or of another PostgreSQL."""
    said = subprocess.run(
        [program("postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    ours = int(said.split()[-1].split(".")[0])
    if base.label.postgresql != ours:
        raise BackupError(
            f"the backup is of PostgreSQL {base.label.postgresql}, this Guilder has {ours}: "
            f"restore with Guilder {base.label.guilder}, which made it"
        )
    for service, names in base.label.migrations.items():
        known = {name for name, _ in migrations(service)} if service in all_contracts() else set()
        if newer := sorted(set(names) - known):
            raise BackupError(
                f"the backup was made by Guilder {base.label.guilder}, which is newer: this one "
                f"does not know {newer[0]} of {service}. Restore with that version."
            )


@contextlib.contextmanager
def _draft_of(target: Path) -> Iterator[Path]:
    """A folder beside the target that takes its place when all went well, and else is removed."""
    if target.is_mount() or (target.exists() and any(target.iterdir())):
        raise BackupError(
            f"{target} is not empty: a restore never overwrites a platform. Name another folder "
            "with --data, or move this one away."
        )
    draft = target.with_name(f".{target.name}.restoring")
    draft.mkdir(parents=True, exist_ok=True)
    lock = os.open(draft / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BackupError(f"Another restore into {target} is under way.") from None
    try:
        _clear(draft)
        yield draft
        (draft / _LOCK).unlink()
        draft.replace(target)
    except BaseException:
        _clear(draft)
        remove(draft)
        raise
    finally:
        os.close(lock)


def _clear(draft: Path) -> None:
    """Remove what a killed restore left, its servers first."""
    home = Home(draft)
    stop_databases([c for c in (home.cluster(), home.vault_cluster()) if c.root.exists()])
    for path in draft.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def _lay_secrets(home: Home, vault: Side) -> None:
    """The key files, private as they were."""
    passwords = shutil.ignore_patterns(*SUPERUSERS.values(), ".*")
    shutil.copytree(vault.secrets, home.secrets, ignore=passwords)
    for path in [home.secrets, *home.secrets.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)


def _lay_passwords(home: Home, vault: Side) -> None:
    """The passwords of the clusters' administrators."""
    for cluster, kept in SUPERUSERS.items():
        path = home.data / cluster / "superuser.json"
        shutil.copyfile(vault.secrets / kept, path)
        path.chmod(0o600)


async def _vault_is_ahead(home: Home) -> None:
    """BackupError when somebody has followed the vault's log further than the vault goes.

    It happens when the vault's side was cut off before the other. What the vault writes next would
    take the places of what was lost, and be passed over.
    """
    connection = await asyncpg.connect(**home.vault_cluster().superuser_dsn("vault"))
    try:
        last = await connection.fetchval("SELECT coalesce(max(xid::text::bigint), 0) FROM event")
    finally:
        await connection.close()
    for service in sorted(set(all_contracts()) - {"vault"}):
        connection = await asyncpg.connect(**home.cluster().superuser_dsn(service))
        try:
            followed = await connection.fetchval(
                "SELECT max(split_part(position, '.', 1)::bigint) FROM feed_position"
                " WHERE split_part(feed, ':', 1)='vault' AND position<>''"
            )
        finally:
            await connection.close()
        if followed is not None and followed > last:
            raise BackupError(
                f"{service} has followed the vault further than the vault's backup goes: its side "
                "was cut off earlier. Restore to an earlier moment with --to."
            )
