"""A child of the supervisor: what to run, and one run of it."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from guilder.chassis.ending import identity
from guilder.chassis.supervised import MARK, SuperviseError


@dataclass(frozen=True)
class Child:
    """What to run. It is ready once `ready()` holds or `ready_file` exists; else when it lives."""

    READY: ClassVar[str] = "GUILDER_READY_FILE"
    """Environment variable that tells a child where to write that it is ready."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    """Added to the supervisor's own environment."""
    ready: Callable[[], bool] | None = None
    ready_file: Path | None = None
    """Written by the child; removed before each start."""
    sockets: Sequence[socket.socket] = ()
    """Listening sockets that the supervisor holds, so that a restart drops no connection."""
    make_way: signal.Signals = signal.SIGTERM
    """What tells it that its successor serves."""

    def __post_init__(self) -> None:
        """ValueError for a name that cannot name its log."""
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", self.name):
            raise ValueError(f"{self.name!r} cannot name a child: a-z, 0-9, - and _, at most 64")


@dataclass
class Run:
    """A child's process."""

    child: Child
    process: "subprocess.Popen[bytes]"
    identity: str
    since: float
    ready_file: Path | None
    quick_deaths: int = 0
    restarts: int = 0
    restart_at: float | None = None
    announced: bool = True

    def is_ready(self) -> bool:
        """Whether it says so; the caller makes sure that it lives."""
        if self.ready_file is not None and not self.ready_file.exists():
            return False
        return self.child.ready is None or self.child.ready()

    def how_it_ended(self) -> str:
        """By which signal, or with which code."""
        code = self.process.returncode
        return f"by signal {-code}" if code < 0 else f"with exit code {code}"


def spawn(child: Child, folder: Path, log: Path, now: float, *, successor: bool = False) -> Run:
    """Start a process in a session of its own; a `successor` says elsewhere that it is ready."""
    ready_file = child.ready_file
    if ready_file is not None:
        ready_file = ready_file.with_name(f"{ready_file.name}.next") if successor else ready_file
        ready_file.unlink(missing_ok=True)
    environment = {**os.environ, **(child.env or {}), MARK: str(folder.resolve())}
    environment |= {Child.READY: str(ready_file)} if ready_file is not None else {}
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(child.argv),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=[held.fileno() for held in child.sockets],
            )
    except OSError as error:
        raise SuperviseError(f"{child.name} cannot be run: {error}.") from error
    return Run(child, process, identity(process.pid), now, ready_file)
