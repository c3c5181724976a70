"""The archiver: receives the log of both clusters into the backup, as long as the platform is up.

    python -m guilder.backup.archive DATA

One process of the supervisor, which never ends by itself: what goes wrong is said in its log and in
`run/archive.json`, and tried again. A replication slot keeps the log until it is archived, so that
nothing is missed over restarts; PostgreSQL gives a slot up after `max_slot_wal_keep_size`, because
a full disk would stop every payment, and then only a new `guilder backup` helps.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec
import structlog

from guilder.backup.folder import REMEMBERED, BackupError, Remembered, read, slot_of, sync
from guilder.backup.state import BEHIND, STATE, ArchiveState, SideState
from guilder.backup.stream import Stream
from guilder.chassis.logs import named
from guilder.chassis.postgres import Cluster
from guilder.embedded import Home

log = structlog.get_logger()

TICK = 1.0
SAY_AGAIN = timedelta(seconds=60)
SUPERUSERS = {"postgres": "data.superuser.json", "vault": "vault.superuser.json"}
"""Clusters, and where in the backup the passwords of their administrators are."""


class Archiver:
    """Both streams, and the secrets of the vault's side."""

    def __init__(self, home: Home) -> None:
        """Nothing is received yet."""
        self._home = home
        self._remembered: Remembered | None = None
        self._streams: dict[str, Stream] = {}
        self._current_at = datetime.now(UTC)
        self._loud_at: datetime | None = None

    async def tick(self) -> None:
        """Look after everything once."""
        remembered = read(self._home.data / REMEMBERED, Remembered)
        if remembered is None:
            return
        if remembered != self._remembered:
            await self._turn_to(remembered)
        problem = await asyncio.to_thread(self._copy_secrets, remembered)
        await asyncio.gather(*(stream.look() for stream in self._streams.values()))
        self._tell(problem)

    async def close(self) -> None:
        """Let what was committed arrive, then stop."""
        for _ in range(3):
            await asyncio.gather(*(s.look(last=True) for s in self._streams.values()))
            await asyncio.sleep(0.2)
        for stream in self._streams.values():
            await stream.close()

    async def _turn_to(self, remembered: Remembered) -> None:
        """Archive into another run; slots of earlier ones keep nothing any longer."""
        for stream in self._streams.values():
            await stream.close()
        clusters = {"data": self._home.cluster(), "vault": self._home.vault_cluster()}
        slot = slot_of(remembered.run)
        self._streams = {
            name: Stream(
                clusters[name],
                side.run(remembered.run),
                slot,
                self._home.run / f"archive-{name}.said",
            )
            for name, side in remembered.sides.items()
        }
        for cluster in clusters.values():
            await _drop_others(cluster, slot)
        self._remembered = remembered

    def _copy_secrets(self, remembered: Remembered) -> str | None:
        """Copy key files that are new, before the log that relies on them counts as archived."""
        side = remembered.sides["vault"]
        try:
            if side.whose() is None:  # never into the empty place where a disk is mounted
                return f"{side.folder} is empty: is its disk mounted?"
            copy_secrets(self._home, side.secrets)
        except (OSError, BackupError) as error:
            return f"secrets are not copied: {error}"
        return None

    def _tell(self, problem: str | None) -> None:
        """Write the state, and be loud while the archive is behind."""
        now = datetime.now(UTC)
        sides = {
            name: SideState(s.until, s.problem or (problem if name == "vault" else None))
            for name, s in self._streams.items()
        }
        assert self._remembered is not None
        state = ArchiveState(now, self._remembered.run, sides)
        draft = self._home.run / f"{STATE}.new"
        draft.write_bytes(msgspec.json.encode(state))
        draft.replace(self._home.run / STATE)
        self._current_at = state.until or self._current_at
        behind = now - self._current_at > BEHIND
        if behind and (self._loud_at is None or now - self._loud_at > SAY_AGAIN):
            self._loud_at = now
            log.error("archive behind", until=str(state.until), problem=state.problem)
        elif not behind and self._loud_at is not None:
            self._loud_at = None
            log.info("archive current", until=str(state.until))


def copy_secrets(home: Home, into: Path) -> None:
    """Copy what is absent or has changed; nothing is ever removed there."""
    wanted = {path.relative_to(home.secrets): path for path in home.secrets.rglob("*")}
    for cluster, kept in SUPERUSERS.items():
        wanted[Path(kept)] = home.data / cluster / "superuser.json"
    into.mkdir(mode=0o700, exist_ok=True)
    for name, path in sorted(wanted.items()):
        copy = into / name
        if path.is_dir():
            copy.mkdir(mode=0o700, exist_ok=True)
        elif not path.name.startswith(".") and not (
            copy.exists() and copy.read_bytes() == path.read_bytes()
        ):
            draft = copy.with_name(f".{copy.name}.new")
            shutil.copyfile(path, draft)
            draft.chmod(0o600)
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(copy)
            sync(copy.parent)


async def _drop_others(cluster: Cluster, slot: str) -> None:
    """Drop slots of ours that nobody will receive from again."""
    connection = await asyncpg.connect(**cluster.superuser_dsn(), timeout=5)
    try:
        await connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name LIKE 'guilder\\_%' AND slot_name<>$1 AND NOT active",
            slot,
        )
    finally:
        await connection.close()


async def run(home: Home) -> None:
    """Archive until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    archiver = Archiver(home)
    while not stop.is_set():
        try:
            await archiver.tick()
        except Exception as error:
            log.error("archive", error=named(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), TICK)
    await archiver.close()


if __name__ == "__main__":
    asyncio.run(run(Home(Path(sys.argv[1]))))
