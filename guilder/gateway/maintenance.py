"""Is the platform open for changes? Windows and read-only mode, as this process has heard them.

Every answer while a window is announced or in force carries `Guilder-Maintenance`, a list of
structured fields (RFC 9651): each window's id with its state and times, and `read-only`.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from guilder.chassis.clock import Clock
from guilder.chassis.directory import DirectoryFollower
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import Operation
from guilder.contracts.registry.held import held
from guilder.contracts.registry.v1 import Directory
from guilder.contracts.registry.windows import OpenWindow, Switch

HEADER: Final = "Guilder-Maintenance"
ANNOUNCED: Final = timedelta(hours=72)
"""How long before its beginning a window shows in every answer: as long as its first reminder."""


class Maintenance:
    """What is planned and in force, for whom."""

    def __init__(self, directory: DirectoryFollower, clock: Clock) -> None:
        """`directory` is what this process has heard of the registry."""
        self.directory, self._clock = directory, clock

    def admit(self, operation: Operation, tenant: int) -> UUID | None:
        """Refuse a command that must not be now; the window for which it is only taken in."""
        hold = held(operation, tenant, self.directory.latest, self._clock.now())
        if hold is None:
            return None
        if hold.problem is not None:
            raise hold.problem
        return hold.id

    def header(self, tenant: int) -> str:
        """What every answer to a tenant says of it; strangers hear what concerns everyone."""
        directory, now = self.directory.latest, self._clock.now()
        if not (directory.windows or directory.read_only):  # nearly always
            return ""
        concerned = (PLATFORM, tenant)
        members = [_switch(s) for s in directory.read_only if s.tenant in concerned]
        members += [_window(w, now) for w in _shown(directory, now) if w.tenant in concerned]
        return ", ".join(members)

    def everyone(self) -> tuple[list[OpenWindow], list[Switch]]:
        """The windows that are not over and the read-only mode of the whole platform."""
        directory, now = self.directory.latest, self._clock.now()
        windows = [w for w in directory.windows if w.tenant == PLATFORM]
        return (
            [w for w in windows if w.state(now) != "completed"],
            [s for s in directory.read_only if s.tenant == PLATFORM],
        )


def _shown(directory: Directory, now: datetime) -> Iterator[OpenWindow]:
    for window in directory.windows:
        if window.state(now) != "completed" and window.begins_at - now <= ANNOUNCED:
            yield window


def _switch(switch: Switch) -> str:
    return f"read-only;since=@{int(switch.since.timestamp())}"


def _window(window: OpenWindow, now: datetime) -> str:
    begins, ends = int(window.begins_at.timestamp()), int(window.ends_at.timestamp())
    service = f";service={window.service}" if window.service else ""
    state = f'"{window.id}";state={window.state(now)}{service};writes={window.writes}'
    return f"{state};begins=@{begins};ends=@{ends}"
