"""A supervisor seen from outside: what it wrote down, and how to stop it, dead or alive.

A supervisor that is killed leaves its children. They are found again by what was recorded (pid and
identity, so a pid given to another program is never mistaken) and by a mark in their environment
(so is one that was started but not yet recorded, and what a child started itself).
"""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from guilder.chassis.ending import end, living, marked

POLL_SECONDS = 0.05
GRACE_SECONDS = 10.0
"""How long a child may take to end after SIGTERM."""
CLAIM_SECONDS = 30.0
"""How long a start or stop waits for another that is under way."""
MARK = "GUILDER_SUPERVISED_IN"
"""Environment variable of every child: the supervisor's folder."""
STATE, LOCK = "supervisor.json", "supervisor.lock"
_detached: dict[int, "subprocess.Popen[bytes]"] = {}


class SuperviseError(RuntimeError):
    """A child or a supervisor does not start, stay or end; the text says what to do next."""


class AlreadyRunning(SuperviseError):
    """Another supervisor holds the folder."""

    def __init__(self, pid: int, addresses: Mapping[str, Any]) -> None:
        """`pid` of that supervisor and what it published."""
        super().__init__(f"It is running already, as process {pid}. Stop that one first.")
        self.pid = pid
        self.addresses = addresses


class Recorded(msgspec.Struct, frozen=True):
    """A child as its supervisor wrote it down."""

    name: str
    pid: int
    identity: str
    restarts: int = 0


class State(msgspec.Struct, frozen=True):
    """A supervisor as it wrote itself down; it may be dead since."""

    pid: int
    identity: str
    addresses: dict[str, Any] = {}
    children: tuple[Recorded, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether that very supervisor still runs."""
        return bool(living([(self.pid, self.identity)]))


def read_state(run_dir: Path) -> State | None:
    """What the last supervisor wrote; None if it ended in order or never ran."""
    try:
        return msgspec.json.decode((run_dir / STATE).read_bytes(), type=State)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def stop_running(run_dir: Path, timeout: float) -> bool:
    """Stop the supervisor, and whatever one left; whether there was anything to stop.

    It gets `timeout` seconds to end by itself and is then killed. SuperviseError if it cannot be.
    """
    if not run_dir.is_dir():
        return False
    stopped, deadline = False, time.monotonic() + timeout + CLAIM_SECONDS
    while True:
        state = read_state(run_dir)
        if state is not None and state.alive:
            end_all(living([(state.pid, state.identity)]), timeout)
            stopped = True
        lock = try_lock(run_dir)
        if lock is not None:
            try:
                return bool(sweep_folder(run_dir)) or stopped
            finally:
                os.close(lock)
        if time.monotonic() > deadline:
            raise SuperviseError(f"Another start or stop in {run_dir} does not finish. Try again.")
        time.sleep(POLL_SECONDS)


def detach(argv: Sequence[str], log: Path) -> int:
    """Start a process in the background, without terminal, appending to `log`; its pid."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(argv),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _detached[process.pid] = process  # kept: a dropped one is reaped behind its caller's back
    return process.pid


def sweep_folder(run_dir: Path, grace: float = GRACE_SECONDS) -> list[str]:
    """For the holder of the lock: end recorded and marked processes, forget the state."""
    state = read_state(run_dir)
    recorded = state.children if state is not None else ()
    found = living([(child.pid, child.identity) for child in recorded])
    names = [c.name for c in recorded if c.pid in {process.pid for process in found}]
    found += [p for p in marked(MARK, str(run_dir.resolve())) if p not in found]
    end_all(found, grace)
    (run_dir / STATE).unlink(missing_ok=True)
    return names or [str(process.pid) for process in found]


def end_all(processes: list[psutil.Process], grace: float) -> None:
    """SIGTERM, `grace` seconds, SIGKILL; SuperviseError if some may not or do not end."""
    try:
        left = end(processes, {signal.SIGTERM: grace})
    except psutil.AccessDenied as error:
        raise SuperviseError(
            f"Process {error.pid} belongs to another user. Run as that user or as root."
        ) from error
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise SuperviseError(f"These processes cannot be killed: {pids}. Restart the machine.")


def try_lock(run_dir: Path) -> int | None:
    """The folder's lock as a file descriptor to keep open; None while another holds it."""
    try:
        lock = os.open(run_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except PermissionError as error:
        raise SuperviseError(
            f"{run_dir} belongs to another user. Run as its owner or as root."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
