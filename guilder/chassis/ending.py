"""Telling processes apart for certain, and ending them: asked first, then made to."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import psutil

KILL_SECONDS = 10.0
"""How long a killed process may take to be gone; one that takes longer hangs in the kernel."""
_POLL_SECONDS = 0.01


def identity(pid: int) -> str:
    """What a pid alone is not: never given again. Empty if no such process lives.

    On Linux the boot and the tick at which it started: both stay when the clock is set.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        if sys.platform != "linux":
            return f"{process.create_time():.2f}"
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return ""
    return f"{_boot()}:{fields[19]}"


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def living(recorded: Iterable[tuple[int, str]]) -> list[psutil.Process]:
    """The processes among (pid, identity) that are still the recorded ones."""
    found = []
    for pid, known in recorded:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if known and identity(pid) == known:
                found.append(process)
    return found


def marked(name: str, value: str) -> list[psutil.Process]:
    """Processes with this in their environment, but for this one and those it came from."""
    here = psutil.Process()
    mine = {here.pid, *(parent.pid for parent in here.parents())}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in mine and process.environ().get(name) == value:
                found.append(process)
    return found


def end(
    processes: list[psutil.Process], patience: Mapping[signal.Signals, float]
) -> list[psutil.Process]:
    """Send each signal in turn, wait its seconds, at last SIGKILL; returns what survived even that.

    psutil.AccessDenied if a process belongs to another user.
    """
    for step, seconds in {**patience, signal.SIGKILL: KILL_SECONDS}.items():
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(step)
        deadline = time.monotonic() + seconds
        while processes := [process for process in processes if not _dead(process)]:
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
    return processes


def _dead(process: psutil.Process) -> bool:
    """Ended, if perhaps not buried: in a container the first process may never reap orphans."""
    try:
        process.wait(0)  # buries a child of ours
    except psutil.TimeoutExpired:
        return not identity(process.pid)
    except psutil.NoSuchProcess:
        pass
    return True
