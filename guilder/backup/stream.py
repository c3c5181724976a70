"""The log of one cluster on its way into the backup, received by pg_receivewal as it is written."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from guilder.backup.folder import Archived, BackupError, Run, lsn, write
from guilder.backup.programs import client, program
from guilder.chassis.postgres import Cluster, ClusterError

_LOOK = (
    "SELECT clock_timestamp() AS at, pg_current_wal_flush_lsn()::text AS written,"
    " restart_lsn::text AS received, active, wal_status, active_pid"
    " FROM pg_replication_slots WHERE slot_name=$1"
)
_PAGE = 8192
"""Bytes of a page of the log; at a page's end a record may still be half-written."""


@dataclass
class Stream:
    """The log of one cluster on its way into the backup."""

    cluster: Cluster
    run: Run
    slot: str
    said: Path
    """What pg_receivewal says."""
    until: datetime | None = None
    problem: str | None = None
    _receiver: asyncio.subprocess.Process | None = None
    _connection: Any = None
    _written: str = ""
    _awaited: tuple[datetime, str] | None = None

    async def look(self, *, last: bool = False) -> None:
        """See that the log is received; note how far. Says what is wrong in `problem`.

        `last`: on the way out, nothing is started again (a successor may be receiving).
        """
        try:
            self.problem = await self._look(last)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            self.problem = f"{type(error).__name__}: {error}"
        except (BackupError, ClusterError) as error:
            self.problem = str(error)

    async def _look(self, last: bool) -> str | None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                **self.cluster.superuser_dsn(), timeout=5, command_timeout=5
            )
        row = await self._connection.fetchrow(_LOOK, self.slot)
        if row is None or row["wal_status"] == "lost":
            return (
                "the log has a gap, because it was not received for too long: nothing after "
                f"{self.until or 'the last base backup'} can be restored. Run `guilder backup` now"
            )
        if self._receiver is None or self._receiver.returncode is not None:
            return None if last else await self._receive(row["active_pid"])
        if self._awaited and lsn(row["received"]) >= lsn(self._awaited[1]):
            self.until = self._awaited[0]
            write(self.run.folder / "archived.json", Archived(*self._awaited))
            self._awaited = None
        whole = lsn(row["written"]) % _PAGE != 0 or row["written"] == self._written
        self._written = row["written"]
        if self._awaited is None and whole:
            self._awaited = (row["at"], row["written"])
        return None

    async def _receive(self, other: int | None) -> str | None:
        """Start pg_receivewal, in place of one that has ended or that a killed archiver left."""
        ended = self._receiver is not None
        why = self.said.read_text("utf-8", "replace").strip()[-300:] if ended else ""
        if other is not None:
            await self._connection.execute("SELECT pg_terminate_backend($1, 2000)", other)
        if not self.run.wal.is_dir():
            return f"{self.run.wal} is gone: is its disk mounted?"
        command = [program("pg_receivewal"), "--no-loop", "--synchronous", "--no-password"]
        command += ["--directory", str(self.run.wal), "--slot", self.slot]
        with self.said.open("wb") as file:
            self._receiver = await asyncio.create_subprocess_exec(
                *command, stderr=file, stdout=file, env=client(self.cluster)
            )
        return f"pg_receivewal ended: {why}" if ended else None

    async def close(self) -> None:
        """Wait a moment for what is under way, then stop receiving."""
        async with contextlib.AsyncExitStack() as stack:
            if self._connection is not None:
                stack.push_async_callback(self._connection.close, timeout=2)
            if self._receiver is not None and self._receiver.returncode is None:
                self._receiver.terminate()
                await asyncio.wait_for(self._receiver.wait(), 10)
