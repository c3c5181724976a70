"""Making a cluster out of a base backup and the log after it."""

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from guilder.backup.folder import BackupError, Base, lsn
from guilder.backup.programs import SYNC
from guilder.backup.wal import SEGMENT, Reading
from guilder.chassis.postgres import Cluster
from guilder.chassis.postgres_programs import Account, account_for

RECOVERY_SECONDS = 24 * 3600.0
"""The longest a recovery may take."""
_SHOW_SECONDS = 0.5


@dataclass(frozen=True)
class Recovery:
    """One cluster to be made: where, and out of what."""

    cluster: Cluster
    base: Base
    reading: Reading

    def fill(self, tell: Callable[[int, int], None]) -> None:
        """Lay base backup and log into the folder, owned by PostgreSQL's account."""
        data = self.cluster.root / "data"
        account = account_for(data)
        data.parent.mkdir(mode=0o700, parents=True)
        total, done = self.base.label.size + len(self.reading.segments) * SEGMENT, 0
        for source in [self.base.cluster, *sorted(self.base.cluster.rglob("*"))]:
            done += _lay(source, data / source.relative_to(self.base.cluster), account)
            tell(done, max(total, done))
        for segment in self.reading.segments:
            done += _lay(segment, data / "pg_wal" / segment.name[:24], account)
            tell(min(done, total), total)
        signal = data / "recovery.signal"
        signal.touch(mode=0o600)
        os.chown(signal, account.uid, account.gid)

    def run(self) -> None:
        """Replay the log and open the cluster; BackupError if it does not come as far as it must.

        Everything has been laid in place before: the log is fetched from nowhere else.
        """
        settings = {
            **self.cluster.settings,
            "restore_command": "false",
            "recovery_target_timeline": "current",
            "recovery_init_sync_method": SYNC,
            "hot_standby": "off",
        }
        if self.reading.cut is not None:
            settings["recovery_target_lsn"] = self.reading.cut
            settings["recovery_target_inclusive"] = "off"
            settings["recovery_target_action"] = "promote"
        replace(self.cluster, settings=settings, timeout=RECOVERY_SECONDS).start()
        ended = self._ended()
        if self.reading.cut is None and ended < lsn(self.reading.end):
            raise BackupError(
                f"PostgreSQL ended its recovery at {ended:X}, before the end of the archive at "
                f"{self.reading.end}; look into {self.cluster.root / 'log'}."
            )

    def _ended(self) -> int:
        """Where the new timeline branches off."""
        history = self.cluster.root / "data" / "pg_wal" / f"{self.base.label.timeline + 1:08X}"
        *_, last = history.with_suffix(".history").read_text().strip().splitlines()
        return lsn(last.split("\t")[1])

    def progress(self) -> tuple[int, int]:
        """Segments replayed, of how many; from the title of PostgreSQL's startup process."""
        names = [path.name[:24] for path in self.reading.segments]
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            name = line.rpartition(" recovering ")[2][:24]
            if name in names and self.cluster.settings.get("cluster_name", "guilder") in line:
                return names.index(name), len(names)
        return 0, len(names)


def recover(recoveries: Sequence[Recovery], tell: Callable[[str, int, int], None]) -> None:
    """Recover clusters side by side."""
    ended = threading.Event()

    def show() -> None:
        while not ended.wait(_SHOW_SECONDS):
            tell("replay", *recoveries[0].progress())

    shown = threading.Thread(target=show, daemon=True)
    shown.start()
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Recovery.run, recoveries))
    finally:
        ended.set()
        shown.join()


def _lay(source: Path, target: Path, account: Account) -> int:
    """Copy one file or folder, owned by the account; its bytes."""
    if source.is_dir():
        target.mkdir(mode=0o700, exist_ok=True)
        os.chown(target, account.uid, account.gid)
        return 0
    if source.is_symlink() or source.name == "backup_manifest":
        return 0
    shutil.copyfile(source, target)
    target.chmod(0o600)
    os.chown(target, account.uid, account.gid)
    return source.stat().st_size
