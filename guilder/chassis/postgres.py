"""An embedded PostgreSQL: made, started, adopted and stopped in one folder of ours.

    root/data             the cluster's data            root/log           its log, seven days
    root/socket           the only way in, 0700         root/start.log     why a start failed
    root/superuser.json   its password, 0600            root/lock          one start or stop at once

It may live below folders that the database's account cannot enter (`/root/x`, 0700). PostgreSQL
therefore never sees an absolute path: it is started with its data as working directory, `-D
/proc/self/cwd` (which the kernel follows without looking at the parents) and paths relative to it
for socket and log. Nothing is opened up, moved or mounted. Clients connect as root or as the owner,
who can enter; where the socket's path is longer than an address may be, they use a symbolic link in
a private temporary folder, made again whenever it is missing.

Nothing listens on TCP, and every role needs its password even on the socket.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from guilder.chassis import short_path
from guilder.chassis.ending import end
from guilder.chassis.postgres_programs import (
    Account,
    ClusterError,
    account_for,
    cluster_binaries,
    programs_for,
    remove_temporary_programs,
)

__all__ = ["Cluster", "ClusterError", "cluster_binaries"]

DEFAULTS: Mapping[str, str] = {
    "cluster_name": "guilder",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "idle_in_transaction_session_timeout": "60s",
    # What an archiver that is gone may hold back; beyond it a full disk would stop everything.
    "max_slot_wal_keep_size": "4GB",
    # Young tables get statistics within seconds; until then look-ups may read whole tenants.
    "autovacuum_naptime": "10s",
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    # Statements and the details of errors quote rows: personal data has no place in a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
FIXED: Mapping[str, str] = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_directories": "../socket",
    "unix_socket_permissions": "0700",
    "log_directory": "../log",
    "password_encryption": "scram-sha-256",
}
"""What the promises above rest on: cannot be overridden."""
_INITDB = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--data-checksums"]
_INITDB += ["--builtin-locale=C.UTF-8", "--auth=scram-sha-256", "--no-instructions"]
_HERE = "/proc/self/cwd" if sys.platform == "linux" else "."
_POLL_SECONDS = 0.01
_spawned: dict[int, "subprocess.Popen[bytes]"] = {}
"""Postmasters started by this process, kept so that a dead one is reaped, not left a zombie."""


@dataclass(frozen=True)
class Cluster:
    """The PostgreSQL in the folder `root`, running or not; every method may be called anew.

    `settings` override DEFAULTS and take effect at the next real start, not when adopting.
    Every method raises ClusterError with what to do next.
    """

    root: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 120.0
    """Seconds within which it must be ready (crash recovery included) or stopped."""

    port = 5432
    """Part of the socket's file name; nothing listens on it."""
    superuser = "postgres"

    def start(self) -> None:
        """Make the cluster if new, adopt it if running, else start it; returns when ready."""
        if wrong := self.settings.keys() & FIXED.keys():
            raise ClusterError(f"These settings cannot be changed: {', '.join(sorted(wrong))}.")
        with self._permitted(), self._alone():
            account = account_for(self._data)
            self._prepare(account)
            if self._status() == "stopping":
                self._until(lambda: self._postmaster() is None, "did not finish stopping")
            if self._postmaster() is None:
                programs = programs_for(account, self.root)
                if not (self._data / "PG_VERSION").exists():
                    self._initialise(account, programs)
                self._clear_leftovers()
                self._launch(account, programs)
            self._until(self._ready, "was not ready")

    def stop(self) -> None:
        """Stop it, open sessions included, and wait; a stopped or unborn cluster is left alone."""
        with self._permitted():
            if not self._data.exists():
                return
        with self._permitted(), self._alone():
            postmaster = self._postmaster()
            if postmaster is not None:
                # Fast shutdown; if that hangs, immediate: the log recovers it at the next start.
                _end([postmaster], {signal.SIGINT: self.timeout / 2, signal.SIGQUIT: 20.0})
            self._clear_leftovers()
            remove_temporary_programs(self.root)
            short_path.forget(self.root / "socket.link")

    def running(self) -> bool:
        """Whether its server lives (it may still be starting or stopping)."""
        with self._permitted():
            return self._postmaster() is not None

    @property
    def socket_dir(self) -> str:
        """What a client passes as `host`: an absolute path short enough for a socket."""
        real = self.root.resolve() / "socket"
        return short_path.to(real, f".s.PGSQL.{self.port}", self.root / "socket.link")

    def superuser_dsn(self, database: str = "postgres") -> dict[str, Any]:
        """Keyword arguments of asyncpg.connect for the superuser."""
        try:
            with self._permitted():
                password = json.loads((self.root / "superuser.json").read_text())["password"]
        except FileNotFoundError as error:
            raise ClusterError(f"No database in {self.root}. Start it first.") from error
        return {
            "host": self.socket_dir,
            "port": self.port,
            "user": self.superuser,
            "password": password,
            "database": database,
        }

    @property
    def _data(self) -> Path:
        return self.root / "data"

    @contextlib.contextmanager
    def _permitted(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise ClusterError(
                f"{error.filename or self.root} belongs to another user. Run as its owner or as "
                "root, or choose another data directory."
            ) from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder against other starters and stoppers, for at most `timeout`."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            self._until(lambda: _locked(lock), "is being started or stopped by another process")
            yield
        finally:
            os.close(lock)

    def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + self.timeout
        while not holds():
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"The database in {self.root} {otherwise} within {self.timeout:.0f} s. "
                    f"Look into {self.root / 'log'}."
                )
            time.sleep(_POLL_SECONDS)

    def _prepare(self, account: Account) -> None:
        """Our own folders: PostgreSQL's account may enter `root` and owns socket and log."""
        if account.run_as() and self.root.stat().st_uid != account.uid:
            os.chown(self.root, -1, account.gid)
            self.root.chmod(0o710)
        for folder in (self.root / "socket", self.root / "log"):
            if not folder.exists():
                folder.mkdir(mode=0o700)
                os.chown(folder, account.uid, account.gid, follow_symlinks=False)

    def _initialise(self, account: Account, programs: Path) -> None:
        """Make the data beside its place and move it there whole: no half-made cluster stays."""
        new, secret = self.root / "data.new", self.root / "initdb.secret"
        uid = account.uid_with_name()
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        password = secrets.token_urlsafe(32)
        _write_private(secret, password)
        _write_private(self.root / "superuser.json", json.dumps({"password": password}))
        os.chown(new, uid, account.gid)
        os.chown(secret, uid, account.gid)
        quick = ["--no-sync"] if self.settings.get("fsync") == "off" else []
        command = [str(programs / "bin" / "initdb"), "-D", _HERE, "-U", self.superuser]
        command += ["--pwfile=../initdb.secret", *_INITDB, *quick]
        try:
            subprocess.run(
                command,
                cwd=new,
                env=account.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=self.timeout,
                **account.run_as(uid),
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = (error.stderr or b"").decode(errors="replace").strip()
            raise ClusterError(f"initdb could not make {self._data}: {said}") from error
        finally:
            secret.unlink()
        if uid != account.uid:
            for folder, folders, files in os.walk(new):
                for name in (*folders, *files):
                    os.chown(Path(folder, name), account.uid, account.gid, follow_symlinks=False)
            os.chown(new, account.uid, account.gid)
        new.rename(self._data)

    def _launch(self, account: Account, programs: Path) -> None:
        chosen = {**DEFAULTS, **self.settings, **FIXED}
        command = [str(programs / "bin" / "postgres"), "-D", _HERE]
        for name, value in chosen.items():
            command += ["-c", f"{name}={value}"]
        with (self.root / "start.log").open("wb") as log:
            child = subprocess.Popen(
                command,
                cwd=self._data,
                env=account.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **account.run_as(),
            )
        _spawned[child.pid] = child
        self._until(lambda: self._postmaster() is not None or child.poll() is not None, "hung")

    def _ready(self) -> bool:
        if self._status() == "ready":
            return True
        if self._postmaster() is None:
            said = (self.root / "start.log").read_text(errors="replace").splitlines()[-5:]
            raise ClusterError(
                f"PostgreSQL in {self.root} ended while starting. Look into {self.root / 'log'} "
                f"and {self.root / 'start.log'}; last lines: " + " | ".join(said)
            )
        return False

    def _pid_file(self) -> list[str]:
        """Lines of postmaster.pid: pid, data, start, port, socket, address, memory, status."""
        try:
            return (self._data / "postmaster.pid").read_text(errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _status(self) -> str:
        lines = self._pid_file()
        return lines[7].strip() if len(lines) > 7 and self._postmaster() is not None else ""

    def _postmaster(self) -> psutil.Process | None:
        """The server, if the recorded pid lives and truly serves this folder."""
        lines = self._pid_file()
        if not lines or not lines[0].isdecimal() or int(lines[0]) == 0:
            return None
        if child := _spawned.get(int(lines[0])):
            child.poll()
        try:
            process = psutil.Process(int(lines[0]))
        except psutil.NoSuchProcess:
            return None
        return process if self._serves(process) else None

    def _serves(self, process: psutil.Process) -> bool:
        """A pid may have been given to another program: ours has our data as working directory."""
        try:
            if process.name() != "postgres" or process.status() == psutil.STATUS_ZOMBIE:
                return False
            linux = sys.platform == "linux"
            where = f"/proc/{process.pid}/cwd" if linux else process.cwd()
            return Path(where).samefile(self._data)
        except (psutil.Error, OSError):
            return False

    def _clear_leftovers(self) -> None:
        """With no postmaster: end its orphans, drop lock files that could name a reused pid."""
        orphans = [process for process in psutil.process_iter() if self._serves(process)]
        _end(orphans, {signal.SIGQUIT: 1.0})
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        (self.root / "socket" / f".s.PGSQL.{self.port}.lock").unlink(missing_ok=True)


def _end(processes: list[psutil.Process], patience: Mapping[signal.Signals, float]) -> None:
    if left := end(processes, patience):
        pids = [process.pid for process in left]
        raise ClusterError(f"The processes {pids} do not end; they may hang on a failing disk.")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
