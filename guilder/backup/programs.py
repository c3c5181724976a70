"""PostgreSQL's own programs, which copy, check and receive."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from guilder.backup.folder import BackupError
from guilder.chassis.postgres import Cluster, cluster_binaries

SYNC = "syncfs" if sys.platform == "linux" else "fsync"
"""How thousands of small files become durable: all at once where the system can."""


def program(name: str) -> str:
    """The path of a program."""
    return str(cluster_binaries() / "bin" / name)


def client(cluster: Cluster) -> dict[str, str]:
    """The environment of a program that connects to a cluster as its administrator."""
    admin = cluster.superuser_dsn()
    return {
        **os.environ,
        "PGHOST": admin["host"],
        "PGPORT": str(admin["port"]),
        "PGUSER": admin["user"],
        "PGPASSWORD": admin["password"],
        "PGAPPNAME": "guilder-backup",
        "LC_ALL": "C",
    }


def copy(cluster: Cluster, into: Path, tell: Callable[[int, int], None]) -> None:
    """pg_basebackup, with the log that it needs to be consistent by itself."""
    command = [program("pg_basebackup"), "--pgdata", str(into), "--checkpoint=fast"]
    command += ["--wal-method=stream", "--manifest-checksums=SHA256"]
    command += ["--progress", "--no-password", f"--sync-method={SYNC}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=client(cluster)) as copying:
        assert copying.stderr is not None
        said = b""
        while chunk := os.read(copying.stderr.fileno(), 4096):
            said = (said + chunk)[-4096:]
            if steps := re.findall(rb"(\d+)/(\d+) kB", said):
                tell(int(steps[-1][0]), int(steps[-1][1]))
    if copying.returncode:
        raise BackupError(f"pg_basebackup failed: {said.decode('utf-8', 'replace').strip()}")


def check(cluster: Path) -> None:
    """Hold every file of a base backup against its manifest; BackupError says what differs."""
    command = [program("pg_verifybackup"), "--exit-on-error", "--quiet", str(cluster)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().removeprefix("pg_verifybackup: error: ")
        raise BackupError(f"the base backup {cluster.parent} is damaged and of no use: {said}")
