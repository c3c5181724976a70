"""Taking a base backup of both sides, from which on the log is archived."""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import asyncpg
import msgspec

from guilder.backup.folder import (
    REMEMBERED,
    BackupError,
    Base,
    Label,
    Remembered,
    Run,
    Side,
    Whose,
    lsn,
    moment,
    read,
    remove,
    slot_of,
    sync,
    write,
)
from guilder.backup.programs import check, copy
from guilder.backup.state import archive_state
from guilder.backup.wal import segment_name
from guilder.chassis.postgres import Cluster
from guilder.embedded import Home

Tell = Callable[[str, int, int], None]
"""Shows how far a stage is: its name, done, total."""

ARCHIVE_SECONDS = 60.0
"""Within which the archive must hold a new base backup's end."""
KEYS_KEPT = 1
"""Base backups of the vault: an older one would keep keys that were destroyed since."""


class Taken(msgspec.Struct, frozen=True):
    """A finished backup."""

    name: str
    data: str
    vault: str
    size: int
    """Bytes of both base backups."""
    seconds: float
    archived_until: datetime
    gap_since: datetime | None
    """The archive had stopped for too long: from then until now no moment can be restored."""
    kept: list[str]
    """Base backups of the data, oldest first."""


def take(home: Home, data: Path, vault: Path, keep: int, tell: Tell) -> Taken:
    """Take a base backup of both clusters and see that the log from there on is archived."""
    started = time.monotonic()
    with _alone(home):
        before = read(home.data / REMEMBERED, Remembered)
        sides = {"data": Side(data), "vault": Side(vault)}
        platform = before.platform if before else str(uuid4())
        for name, side in sides.items():
            _open(side, platform, known=before is not None and before.sides[name] == side)
        clusters = {"data": home.cluster(), "vault": home.vault_cluster()}
        name = moment(datetime.now(UTC))
        same = before is not None and before.sides == sides
        run, gap = name, None
        if before is not None and same:
            if _unbroken(clusters, before.run):
                run = before.run
            elif (archived := sides["data"].run(before.run).archived()) is not None:
                gap = archived.until
        asyncio.run(_reserve(clusters, slot_of(run)))
        bases = {
            side: _base(clusters[side], sides[side].run(run), name, side, tell) for side in sides
        }
        write(home.data / REMEMBERED, Remembered(platform, run, str(data), str(vault)))
        until = _wait_archived(home, run, bases, tell)
        prune(sides["data"], run, keep)
        prune(sides["vault"], run, KEYS_KEPT)
        return Taken(
            name=name,
            data=str(bases["data"].folder),
            vault=str(bases["vault"].folder),
            size=sum(base.label.size for base in bases.values()),
            seconds=round(time.monotonic() - started, 1),
            archived_until=until,
            gap_since=gap,
            kept=[base.label.name for base in sides["data"].complete()],
        )


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    """One backup of a platform at a time."""
    handle = os.open(home.run / "backup.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BackupError("Another backup of this platform is under way.") from None
    finally:
        os.close(handle)


def _open(side: Side, platform: str, *, known: bool) -> None:
    """Make a side's folder ours, private; BackupError if it is somebody else's, or lost."""
    whose = side.whose()
    if whose is None and known:
        raise BackupError(
            f"{side.folder} holds nothing, although this platform is backed up there: is its disk "
            "mounted? To begin anew, name another folder."
        )
    if whose is None:
        side.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(side.folder / "platform.json", Whose(platform))
    elif whose.platform != platform:
        raise BackupError(
            f"{side.folder} holds the backup of another platform, or of the one that this was "
            "restored from; it stays untouched. Name another folder."
        )


def _unbroken(clusters: dict[str, Cluster], run: str) -> bool:
    """Whether the log of a run still goes on: its slots exist and have lost nothing."""

    async def kept(cluster: Cluster) -> bool:
        return await _ask(
            cluster,
            "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name=$1"
            " AND wal_status<>'lost')",
            slot_of(run),
        )

    async def all_kept() -> bool:
        return all([await kept(cluster) for cluster in clusters.values()])

    return asyncio.run(all_kept())


async def _reserve(clusters: dict[str, Cluster], slot: str) -> None:
    """Keep the log from now on until it is archived."""
    for cluster in clusters.values():
        await _ask(
            cluster,
            "SELECT pg_create_physical_replication_slot($1, true)"
            " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name=$1)",
            slot,
        )


async def _ask(cluster: Cluster, sql: str, *args: object, database: str = "postgres") -> bool:
    connection = await asyncpg.connect(**cluster.superuser_dsn(database))
    try:
        return bool(await connection.fetchval(sql, *args))
    finally:
        await connection.close()


def _base(cluster: Cluster, run: Run, name: str, side: str, tell: Tell) -> Base:
    """A verified base backup, complete or not there at all."""
    for folder in (run.folder, run.wal, run.bases):
        folder.mkdir(mode=0o700, exist_ok=True)
    for left in run.bases.glob(".*.draft"):
        remove(left)
    draft = run.bases / f".{name}.draft"
    draft.mkdir(mode=0o700)
    migrations = asyncio.run(_prepare(cluster, rewrite=side == "vault"))
    started = datetime.now(UTC)
    try:
        copy(cluster, draft / "cluster", lambda done, total: tell(side, done, total))
        check(draft / "cluster")
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    manifest = json.loads((draft / "cluster" / "backup_manifest").read_bytes())
    (log,) = manifest["WAL-Ranges"]
    label = Label(
        name=name,
        guilder=version("guilder"),
        postgresql=int((draft / "cluster" / "PG_VERSION").read_text()),
        timeline=log["Timeline"],
        started=started,
        ended=datetime.now(UTC),
        start_lsn=log["Start-LSN"],
        end_lsn=log["End-LSN"],
        size=sum(file["Size"] for file in manifest["Files"]),
        migrations=migrations,
    )
    write(draft / "label.json", label)
    draft.rename(run.bases / name)
    sync(run.bases)
    return Base(run, label)


async def _prepare(cluster: Cluster, *, rewrite: bool) -> dict[str, list[str]]:
    """Migrations of every database. `rewrite`: no byte of a row that is gone stays in its files."""
    found = {}
    connection = await asyncpg.connect(**cluster.superuser_dsn())
    try:
        names = await connection.fetch("SELECT datname FROM pg_database WHERE NOT datistemplate")
    finally:
        await connection.close()
    for database in [row["datname"] for row in names]:
        connection = await asyncpg.connect(**cluster.superuser_dsn(database))
        try:
            if await connection.fetchval("SELECT to_regclass('schema_migration')"):
                rows = await connection.fetch("SELECT name FROM schema_migration ORDER BY name")
                found[database] = [row["name"] for row in rows]
                if rewrite:
                    await connection.execute("VACUUM FULL")
        finally:
            await connection.close()
    return found


def _wait_archived(home: Home, run: str, bases: dict[str, Base], tell: Tell) -> datetime:
    """Wait until the archive holds the end of each base backup; how far it is then."""
    deadline = time.monotonic() + ARCHIVE_SECONDS
    while True:
        far = {side: base.run.archived() for side, base in bases.items()}
        held = [a for s, a in far.items() if a and lsn(a.lsn) >= lsn(bases[s].label.end_lsn)]
        tell("archive", len(held), len(bases))
        if len(held) == len(bases):
            return min(archived.until for archived in held)
        if time.monotonic() > deadline:
            state = archive_state(home, datetime.now(UTC))
            why = state.problem if state and state.problem else f"look into {home.run}/archive.log"
            raise BackupError(
                "the base backup is complete, but the log after it is not being archived, so "
                f"nothing later can be restored: {why}"
            )
        time.sleep(0.1)


def prune(side: Side, current: str, keep: int) -> None:
    """Keep the newest base backups, and of the log what they need."""
    complete = list(side.complete())
    for base in complete[:-keep]:
        remove(base.folder)
    kept = complete[-keep:]
    for run in side.runs():
        needed = [base.label for base in kept if base.run == run]
        if needed:
            first = segment_name(needed[0].timeline, lsn(needed[0].start_lsn))
            for path in run.wal.iterdir():
                if path.name[:24] < first:
                    path.unlink()
        elif run.folder.name != current:
            remove(run.folder)
