"""How far the archive of a platform is, and who keeps the archiver running."""

import sys
from datetime import datetime, timedelta

import msgspec

from guilder.backup.folder import REMEMBERED, read
from guilder.chassis.supervise import Child, Supervisor
from guilder.embedded import Home

BEHIND = timedelta(seconds=30)
"""An archive that is further behind is a fault that somebody must look at."""
STATE = "archive.json"
ARCHIVER = "archive"
"""The child of the supervisor that archives; it serves nobody."""


class SideState(msgspec.Struct, frozen=True):
    """How far one side is archived, and what hinders it."""

    until: datetime | None
    problem: str | None


class ArchiveState(msgspec.Struct, frozen=True):
    """How far the archive is."""

    at: datetime
    run: str
    sides: dict[str, SideState]

    @property
    def problem(self) -> str | None:
        """What hinders it, in a sentence."""
        said = [f"{name}: {s.problem}" for name, s in self.sides.items() if s.problem]
        return "; ".join(said) or None

    def behind(self, now: datetime) -> bool:
        """Whether somebody must look at it."""
        return self.until is None or now - self.until > BEHIND

    @property
    def until(self) -> datetime | None:
        """Until when everything that was committed is archived."""
        known = [side.until for side in self.sides.values()]
        return min((u for u in known if u is not None), default=None) if all(known) else None


def archive_state(home: Home, now: datetime) -> ArchiveState | None:
    """How far the archive of a platform is; None if it has no backup.

    A platform whose archiver does not say anything has a problem as well.
    """
    if not (home.data / REMEMBERED).exists():
        return None
    said = read(home.run / "archive.json", ArchiveState)
    if said is not None and now - said.at <= BEHIND:
        return said
    silent = SideState(None, "the archiver is not running; it runs with `guilder up`")
    return ArchiveState(now, "", {"data": silent, "vault": silent})


class Archiving:
    """The supervisor's part: runs the archiver once there is something to archive to."""

    def __init__(self, supervisor: Supervisor, home: Home) -> None:
        """Nothing is started yet."""
        self._supervisor, self._home, self._started = supervisor, home, False

    def keep(self) -> None:
        """Start it if it is wanted and was not started; the supervisor starts it again."""
        if not self._started and (self._home.data / REMEMBERED).exists():
            self._started = True
            command = [sys.executable, "-m", "guilder.backup.archive", str(self._home.data)]
            self._supervisor.start(Child(ARCHIVER, command))
