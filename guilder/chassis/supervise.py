"""One supervisor per folder: starts child processes, restarts what dies, ends all it started.

    supervisor.lock   held (flock) for the supervisor's life   supervisor.json   who runs, and where
    NAME.log          what the child NAME prints; kept below LOG_BYTES, the older part in NAME.log.1

Children live in sessions of their own, so Ctrl-C in a terminal reaches the supervisor alone. What a
killed supervisor leaves, its successor or `stop_running` ends (see supervised.py).
"""

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from guilder.chassis import short_path
from guilder.chassis.child import Child, Run, spawn
from guilder.chassis.control import SOCKET, Control, Request
from guilder.chassis.ending import identity, living
from guilder.chassis.succession import Rolling, Succession
from guilder.chassis.supervised import (
    CLAIM_SECONDS,
    GRACE_SECONDS,
    LOCK,
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
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
DOUBLINGS = 6
"""From so many quick deaths in a row on, the pause is the longest."""
LOG_BYTES = 16 * 1024 * 1024
SOCKETS_LINK = "sockets.link"
"""Notes where a short path to the folder is (short_path.py)."""
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Runs children out of the folder `run_dir`; not thread-safe, meant for a main thread."""

    def __init__(self, run_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds; it decides when a dead child is started again."""
        self._folder = run_dir
        self._clock = clock
        self._lock: int | None = None
        self._addresses: dict[str, Any] = {}
        self._runs: dict[str, Run] = {}
        self._successions: dict[str, Succession] = {}
        self._rolling: Rolling | None = None
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
            if run.is_ready():
                return
            if time.monotonic() > deadline:
                raise SuperviseError(
                    f"{child.name} was not ready within {timeout:g} s. {self._said(child)}"
                )
            time.sleep(POLL_SECONDS / 5)
        raise SuperviseError(
            f"{child.name} ended while starting, {run.how_it_ended()}. {self._said(child)}"
        )

    def watch(self, ready_again: Callable[[Child], None] | None = None) -> None:
        """Look once: start the dead again after a pause that doubles with each quick death.

        Never gives up: what a child lacks (its database, a file) may come back, and nobody else
        would notice. `ready_again` is told when a restarted child is ready.
        """
        self._look_at_successions()
        for run in list(self._runs.values()):
            succession = self._successions.get(run.child.name)
            if succession is not None and succession.state == "starting":
                continue  # its successor is about to take over
            if run.restart_at is not None:
                if self._clock() >= run.restart_at:
                    self._restart(run)
            elif run.process.poll() is not None:
                self._bury(run)
            elif not run.announced and run.is_ready():
                run.announced = True
                if ready_again is not None:
                    ready_again(run.child)

    def _restart(self, run: Run) -> None:
        try:
            new = self._spawn(run.child)
        except SuperviseError:  # as while an upgrade replaces the program
            run.restart_at = self._clock() + LONGEST_PAUSE
            return
        new.quick_deaths, new.announced = run.quick_deaths, False
        new.restarts = run.restarts + 1
        self._runs[run.child.name] = new
        self._note()

    def replace(self, name: str) -> Succession:
        """Begin to replace a child; `watch` goes on with it."""
        old = self._runs[name]
        new = spawn(old.child, self._folder, self._log(old.child), self._clock(), successor=True)
        made = self._successions[name] = Succession(old, new, self._clock())
        self._note()
        return made

    def _look_at_successions(self) -> None:
        for name, each in list(self._successions.items()):
            before = each.state
            each.look(self._clock())
            if each.state == before:
                continue
            if each.state == "leaving":
                self._runs[name] = each.new
            if each.state in ("done", "failed"):
                del self._successions[name]
            if each.state == "failed":
                each.detail += f". {self._said(each.new.child)}"
            self._note()
        if self._rolling is not None and self._rolling.step():
            self._rolling = None

    def answer(self, request: Request) -> None:
        """Do what was asked over the control socket: `{"restart": [NAME, …]}`."""
        names = request.words.get("restart")
        if not isinstance(names, list) or not names:
            request.say(done=True, ok=False, detail="this can be asked: restart, with names")
            request.end()
        elif unknown := [str(name) for name in names if name not in list(self._runs)]:
            running = f"running are {', '.join(self._runs)}"
            request.say(done=True, ok=False, detail=f"no {', '.join(unknown)} here; {running}")
            request.end()
        elif self._rolling is not None:
            request.say(done=True, ok=False, detail="another restart is under way; try again later")
            request.end()
        else:
            self._rolling = Rolling(names, request, self.replace)

    def run_forever(
        self,
        ready_again: Callable[[Child], None] | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Watch until SIGINT, SIGTERM or SIGHUP; `check` is called about once a second.

        Returns with the children still running: stop_all comes next. What `check` raises ends it.
        """
        self._on_signals(self._note_stop, _STOPS)
        control = Control(Path(control_socket(self._folder)))
        try:
            check_at = self._clock() + CHECK_SECONDS
            while not self._stopping:
                self.watch(ready_again)
                if self._clock() >= check_at:
                    check_at = self._clock() + CHECK_SECONDS
                    self._keep_logs_small()
                    if check is not None:
                        check()
                for request in control.poll(POLL_SECONDS):
                    self.answer(request)
        finally:
            control.close()

    def stop_all(self, grace: float = GRACE_SECONDS) -> None:
        """End every child, SIGTERM first, and forget the state; signals cannot interrupt it.

        The claim stays until the process ends (or `release`), so that no successor starts while
        the caller still stops the rest.
        """
        if self._lock is None:
            return
        self._on_signals(self._note_stop, _STOPS)
        runs = [*self._runs.values(), *(each.new for each in self._successions.values())]
        runs += [each.old for each in self._successions.values()]
        self._runs, self._successions, self._rolling = {}, {}, None
        end_all(living([(run.process.pid, run.identity) for run in runs]), grace)
        for run in runs:
            run.process.wait(grace)
            if run.ready_file is not None:
                run.ready_file.unlink(missing_ok=True)
        sweep_folder(self._folder, grace)
        short_path.forget(self._folder / SOCKETS_LINK)

    def release(self) -> None:
        """Give the folder and the signals back."""
        for name, handler in self._handlers.items():
            signal.signal(name, handler)
        self._handlers.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _spawn(self, child: Child) -> Run:
        return spawn(child, self._folder, self._log(child), self._clock())

    def _bury(self, run: Run) -> None:
        quick = self._clock() - run.since < QUICK_SECONDS
        run.quick_deaths = run.quick_deaths + 1 if quick else 0
        pause = min(FIRST_PAUSE * 2 ** min(run.quick_deaths, DOUBLINGS), LONGEST_PAUSE)
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
                with contextlib.suppress(OSError):  # on a full disk the older part is lost
                    shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)  # the child appends, so it goes on at the start

    def _note(self) -> None:
        """Write, if it can be: a full disk stops nothing that runs, and the mark finds children."""
        with contextlib.suppress(OSError):
            self._write()

    def _write(self) -> None:
        children = [_recorded(run) for run in self._runs.values()]
        for each in self._successions.values():
            other = each.new if each.state == "starting" else each.old
            children.append(_recorded(other))
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


def _recorded(run: Run) -> Recorded:
    return Recorded(run.child.name, run.process.pid, run.identity, run.restarts)


def control_socket(run_dir: Path) -> str:
    """Where the supervisor of a folder listens; short enough for an address."""
    folder = short_path.to(run_dir.resolve(), SOCKET, run_dir / SOCKETS_LINK)
    return f"{folder}/{SOCKET}"
