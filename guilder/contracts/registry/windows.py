"""Planned downtime as `registry` promises it: windows, their notices, read-only mode.

A window's state follows from its times and the clock alone (`state_at`), so every process that has
the window in its directory decides the same, also when registry itself is down.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.declare import Answer, Request
from guilder.contracts.errors import Conflict, NotFound, Refused, Unavailable

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone; what comes back is UTC."""

Said = Annotated[str, msgspec.Meta(min_length=3, max_length=500)]
"""A sentence for people: shown to everyone concerned, so it names no person."""

Title = Annotated[str, msgspec.Meta(min_length=3, max_length=100)]
Slug = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{1,30}(?!\n)$")]
"""The short name of a tenant.

Patterns end in `(?!\\n)$` because `$` alone also matches before a last line break.
"""

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{1,30}(?!\n)$")]

Writes = Literal["refuse", "queue"]
"""What happens to commands meanwhile: all refused, or payments accepted as `waiting`."""

WindowState = Literal["scheduled", "in_progress", "verifying", "completed", "cancelled"]

NoticeKind = Literal[
    "announced", "72h", "24h", "1h", "begun", "extended", "verifying", "completed", "cancelled"
]


class NoticeTooShort(Refused):
    """The window begins too soon for those concerned."""

    code = "notice-too-short"
    title = "The window begins too soon"
    fix = "Choose a later beginning, or say in `urgent` why it cannot wait."


class WindowTimes(Refused):
    """The window ends before it begins, is too long, or lies too far ahead."""

    code = "window-times"
    title = "These times make no window"
    fix = "Read `detail`; split a long piece of work into several windows."


class WindowOverlaps(Conflict):
    """Another window of the same scope lies in this time."""

    code = "window-overlaps"
    title = "Another window of this scope lies in this time"
    fix = "Choose another time, or cancel the window that `window` names."


class WindowStateForbids(Conflict):
    """The window is not in a state in which this is possible."""

    code = "window-state"
    title = "Not possible in the window's present state"
    fix = "Read the window: a scheduled one can be cancelled, one that has begun completed."


class TooManyWindows(Conflict):
    """Every process keeps the open windows in memory: there is a bound."""

    code = "too-many-windows"
    title = "Too many windows are open"
    fix = "Wait until one is over, or cancel one."


class UnknownWindow(NotFound):
    """No such window, or none that concerns this tenant."""

    code = "unknown-window"
    title = "There is no such window"
    fix = "List the windows with GET /v1/maintenance-windows."


class NotReadOnly(Conflict):
    """Read-only mode is to be ended where it is not on."""

    code = "not-read-only"
    title = "Read-only mode is not on here"
    fix = "List where it is on with GET /v1/read-only."


class UnderMaintenance(Unavailable):
    """A window is in force: reads go on, this command does not."""

    code = "maintenance"
    title = "Planned maintenance: no changes at the moment"
    fix = "Repeat the request with the same key after `Retry-After` seconds; /status says more."


class ReadOnlyMode(Unavailable):
    """An operator has switched writing off."""

    code = "read-only"
    title = "Read-only at the moment"
    fix = "Repeat the request with the same key after `Retry-After` seconds; /status says more."


class ScheduleWindow(Request, frozen=True, kw_only=True):
    """A window to be: for the platform, for one tenant, for one service, or for both together.

    `urgent` says why those concerned get less than the usual notice. With
    `completes_after_minutes` the window completes by itself so long after its end; without it
    somebody must complete it, and writes wait until then.
    """

    begins_at: Moment
    ends_at: Moment
    title: Title
    reason: Said
    tenant: Slug | None = None
    service: Name | None = None
    writes: Writes = "refuse"
    urgent: Said | None = None
    completes_after_minutes: Annotated[int, msgspec.Meta(ge=0, le=1_440)] | None = None


class WindowId(Request, frozen=True, kw_only=True):
    """Which window."""

    window_id: UUID


class CancelWindow(Request, frozen=True, kw_only=True):
    """Which window will not be, and why."""

    window_id: UUID
    reason: Said


class ExtendWindow(Request, frozen=True, kw_only=True):
    """Which window ends later, and when."""

    window_id: UUID
    ends_at: Moment
    reason: Said


class WindowQuery(Request, frozen=True, kw_only=True):
    """Newest first; pass `next` as `before`."""

    before: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class Window(Answer, frozen=True, kw_only=True):
    """A maintenance window. `tenant` None = all tenants, `service` None = all services."""

    id: UUID
    state: WindowState
    tenant: str | None
    service: str | None
    writes: Writes
    title: str
    reason: str
    urgent: str | None
    scheduled_at: datetime
    begins_at: datetime
    ends_at: datetime
    completes_at: datetime | None
    """When it completes by itself; None = when somebody says so."""
    extensions: int
    completed_at: datetime | None
    cancelled_at: datetime | None


class Windows(Answer, frozen=True, kw_only=True):
    """Windows, newest first."""

    items: list[Window]
    next: UUID | None


class NoticeId(Request, frozen=True, kw_only=True):
    """Which notice."""

    notice_id: UUID


class Notice(Answer, frozen=True, kw_only=True):
    """One thing that everyone concerned is told about a window, once.

    Times and reason are those of the moment at which the notice fell due; `tenant` 0 = all.
    """

    id: UUID
    window: UUID
    kind: NoticeKind
    tenant: int
    service: str | None
    writes: Writes
    title: str
    reason: str
    begins_at: datetime
    ends_at: datetime


class SetReadOnly(Request, frozen=True, kw_only=True):
    """Switch read-only mode on or off for a tenant, or (None) for the whole platform."""

    on: bool
    reason: Said
    tenant: Slug | None = None


class ReadOnly(Answer, frozen=True, kw_only=True):
    """Read-only mode from when to when, and why."""

    id: UUID
    tenant: str | None
    since: datetime
    reason: str
    until: datetime | None
    until_reason: str | None


class ReadOnlyList(Answer, frozen=True, kw_only=True):
    """Where read-only mode is on."""

    items: list[ReadOnly]


class OpenWindow(Answer, frozen=True, kw_only=True):
    """A window that is not over, as every process keeps it; `tenant` 0 = all."""

    id: UUID
    tenant: int
    service: str | None
    writes: Writes
    title: str
    begins_at: datetime
    ends_at: datetime
    completes_at: datetime | None

    def state(self, now: datetime) -> WindowState:
        """Where it stands."""
        return state_at(self.begins_at, self.ends_at, self.completes_at, now)


class Switch(Answer, frozen=True, kw_only=True):
    """Read-only mode where it is on; `tenant` 0 = all."""

    id: UUID
    tenant: int
    since: datetime


def state_at(
    begins_at: datetime, ends_at: datetime, completes_at: datetime | None, now: datetime
) -> WindowState:
    """The state by the clock, of a window that nobody has cancelled or completed."""
    if now < begins_at:
        return "scheduled"
    if now < ends_at:
        return "in_progress"
    return "completed" if completes_at is not None and now >= completes_at else "verifying"
