"""One supervisor per folder: starts child processes, restarts what dies, ends all it started.

    supervisor.lock   held (flock) for the supervisor's life   supervisor.json   who runs, and where
    NAME.log          what the child NAME prints; kept below LOG_BYTES, the older part in NAME.log.1

Children live in sessions of their own, so Ctrl-C in a terminal reaches the supervisor alone. What a
killed supervisor leaves, its successor or `stop_running` ends (see supervised.py).
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from guilder.chassis.ending import identity, living
from guilder.chassis.supervised import (
    CLAIM_SECONDS,
    GRACE_SECONDS,
    LOCK,
    MARK,
    POLL_SECONDS,
    STATE,
    AlreadyRunning,
    Recorded,
    State,
    SuperviseError,
    detach,
    end_all,
    read_state,
    stop_running,
    sweep_folder,
    try_lock,
)

__all__ = [
    "AlreadyRunning",
    "Child",
    "State",
    "SuperviseError",
    "Supervisor",
    "detach",
    "read_state",
    "stop_running",
]

CHECK_SECONDS = 1.0
QUICK_SECONDS = 10.0
"""A child that dies sooner after its start than this has died quickly."""
QUICK_DEATHS = 5
"""After so many quick deaths in a row the supervisor gives up."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
LOG_BYTES = 16 * 1024 * 1024
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Child:
    """What to run. It is ready once `ready()` holds or `ready_file` exists; else when it lives."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    """Added to the supervisor's own environment."""
    ready: Callable[[], bool] | None = None
    ready_file: Path | None = None
    """Written by the child; removed before each start."""
    pass_fds: Sequence[int] = ()
    """Listening sockets that the supervisor holds, so that a restart drops no connection."""

    def __post_init__(self) -> None:
        """ValueError for a name that cannot name its log."""
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", self.name):
            raise ValueError(f"{self.name!r} cannot name a child: a-z, 0-9, - and _, at most 64")

    def is_ready(self) -> bool:
        """Whether it says so; the caller makes sure that it lives."""
        if self.ready_file is not None and not self.ready_file.exists():
            return False
        return self.ready is None or self.ready()


@dataclass
class _Run:
    child: Child
    process: "subprocess.Popen[bytes]"
    identity: str
    since: float
    quick_deaths: int = 0
    restart_at: float | None = None
    announced: bool = True


class Supervisor:
    """Runs children out of the folder `run_dir`; not thread-safe, meant for a main thread."""

    def __init__(self, run_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds; it decides when a dead child is started again."""
        self._folder = run_dir
        self._clock = clock
        self._lock: int | None = None
        self._addresses: dict[str, Any] = {}
        self._runs: dict[str, _Run] = {}
        self._handlers: dict[signal.Signals, Any] = {}
        self._stopping = False

    def claim(self) -> None:
        """Become the one supervisor; AlreadyRunning if there is one.

        Waits a while for one that is ending. From here on SIGTERM and SIGHUP raise SystemExit, so
        that a caller's `finally` stops what it has started.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + CLAIM_SECONDS
        while (lock := try_lock(self._folder)) is None:
            state = read_state(self._folder)
            if state is not None and state.alive:
                raise AlreadyRunning(state.pid, state.addresses)
            if time.monotonic() > deadline:
                raise SuperviseError(
                    f"Another start or stop in {self._folder} does not finish. Look for it with "
                    f"`fuser {self._folder / LOCK}`, then try again."
                )
            time.sleep(POLL_SECONDS)
        self._lock = lock
        self._on_signals(_leave, _STOPS[1:])

    def sweep(self) -> list[str]:
        """End what a killed predecessor left; names of the recorded ones. To call before start."""
        left = sweep_folder(self._folder)
        self._write()
        return left

    def publish(self, addresses: Mapping[str, Any]) -> None:
        """Where it can be reached, for whoever reads the state."""
        self._addresses = dict(addresses)
        self._write()

    def start(self, child: Child) -> int:
        """Start a child in a session of its own (Ctrl-C reaches only us); its pid."""
        if self._lock is None:
            raise SuperviseError("Claim the folder before starting children.")
        if child.name in self._runs:
            raise ValueError(f"{child.name} has been started already")
        self._runs[child.name] = self._spawn(child)
        self._write()
        return self._runs[child.name].process.pid

    def wait_ready(self, child: Child, timeout: float) -> None:
        """Wait for its readiness; SuperviseError if it dies first or takes `timeout` seconds."""
        run, deadline = self._runs[child.name], time.monotonic() + timeout
        while run.process.poll() is None:
            if child.is_ready():
                return
            if time.monotonic() > deadline:
                raise SuperviseError(
                    f"{child.name} was not ready within {timeout:g} s. {self._said(child)}"
                )
            time.sleep(POLL_SECONDS / 5)
        raise SuperviseError(
            f"{child.name} ended while starting, {_how(run.process)}. {self._said(child)}"
        )

    def watch(self, ready_again: Callable[[Child], None] | None = None) -> None:
        """Look once: start the dead again after a pause that doubles with each quick death.

        `ready_again` is told when a restarted child is ready. SuperviseError after QUICK_DEATHS.
        """
        for run in list(self._runs.values()):
            if run.restart_at is not None:
                if self._clock() >= run.restart_at:
                    new = self._spawn(run.child)
                    new.quick_deaths, new.announced = run.quick_deaths, False
                    self._runs[run.child.name] = new
                    self._write()
            elif run.process.poll() is not None:
                self._bury(run)
            elif not run.announced and run.child.is_ready():
                run.announced = True
                if ready_again is not None:
                    ready_again(run.child)

    def run_forever(
        self,
        ready_again: Callable[[Child], None] | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Watch until SIGINT, SIGTERM or SIGHUP; `check` is called about once a second.

        Returns with the children still running: stop_all comes next. What `check` raises ends it.
        """
        self._on_signals(self._note_stop, _STOPS)
        check_at = self._clock() + CHECK_SECONDS
        while not self._stopping:
            self.watch(ready_again)
            if self._clock() >= check_at:
                check_at = self._clock() + CHECK_SECONDS
                self._keep_logs_small()
                if check is not None:
                    check()
            time.sleep(POLL_SECONDS)

    def stop_all(self, grace: float = GRACE_SECONDS) -> None:
        """End every child, SIGTERM first, and forget the state; signals cannot interrupt it.

        The claim stays until the process ends (or `release`), so that no successor starts while
        the caller still stops the rest.
        """
        if self._lock is None:
            return
        self._on_signals(self._note_stop, _STOPS)
        runs, self._runs = list(self._runs.values()), {}
        end_all(living([(run.process.pid, run.identity) for run in runs]), grace)
        for run in runs:
            run.process.wait(grace)
            if run.child.ready_file is not None:
                run.child.ready_file.unlink(missing_ok=True)
        sweep_folder(self._folder, grace)

    def release(self) -> None:
        """Give the folder and the signals back."""
        for name, handler in self._handlers.items():
            signal.signal(name, handler)
        self._handlers.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _spawn(self, child: Child) -> _Run:
        if child.ready_file is not None:
            child.ready_file.unlink(missing_ok=True)
        environment = {**os.environ, **(child.env or {}), MARK: str(self._folder.resolve())}
        with self._log(child).open("ab") as log:
            try:
                process = subprocess.Popen(
                    list(child.argv),
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=tuple(child.pass_fds),
                )
            except OSError as error:
                raise SuperviseError(f"{child.name} cannot be run: {error}.") from error
        return _Run(child, process, identity(process.pid), self._clock())

    def _bury(self, run: _Run) -> None:
        quick = self._clock() - run.since < QUICK_SECONDS
        run.quick_deaths = run.quick_deaths + 1 if quick else 0
        if run.quick_deaths >= QUICK_DEATHS:
            raise SuperviseError(
                f"{run.child.name} ended {run.quick_deaths} times in a row within "
                f"{QUICK_SECONDS:g} s of its start, at last {_how(run.process)}; it is not "
                f"started again. {self._said(run.child)}"
            )
        pause = min(FIRST_PAUSE * 2**run.quick_deaths, LONGEST_PAUSE)
        run.restart_at = self._clock() + pause

    def _log(self, child: Child) -> Path:
        return self._folder / f"{child.name}.log"

    def _said(self, child: Child) -> str:
        with contextlib.suppress(OSError), self._log(child).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
            lines = log.read().decode("utf-8", "replace").strip()
            return f"Its log {self._log(child)} ends:\n{lines}"
        return "It has no log."

    def _keep_logs_small(self) -> None:
        for run in self._runs.values():
            log = self._log(run.child)
            if log.exists() and log.stat().st_size > LOG_BYTES:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)  # the child appends, so it goes on at the start

    def _write(self) -> None:
        children = [Recorded(r.child.name, r.process.pid, r.identity) for r in self._runs.values()]
        me = os.getpid()
        state = State(me, identity(me), self._addresses, tuple(children))
        draft = self._folder / f"{STATE}.new"
        draft.write_bytes(msgspec.json.encode(state))
        draft.replace(self._folder / STATE)

    def _on_signals(self, handler: Callable[..., None], names: Sequence[signal.Signals]) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for name in names:
            if signal.getsignal(name) is not signal.SIG_IGN:  # as under nohup
                before = signal.signal(name, handler)
                self._handlers.setdefault(name, before)

    def _note_stop(self, *_: object) -> None:
        self._stopping = True


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _how(process: "subprocess.Popen[bytes]") -> str:
    code = process.returncode
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"
