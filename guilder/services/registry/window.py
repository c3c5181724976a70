"""A maintenance window: when it may be, where it stands, what is said of it and when. Pure.

scheduled → in_progress → verifying → completed
scheduled → cancelled

From its beginning to its completion writes are held. What the clock brings is a list of moments
(`moments`); which notices are due follows from it, whenever and however often somebody looks.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, get_args
from uuid import UUID

from guilder.contracts.errors import InvalidRequest, Problem
from guilder.contracts.registry.windows import (
    NoticeKind,
    NoticeTooShort,
    ScheduleWindow,
    WindowState,
    WindowTimes,
    state_at,
)
from guilder.contracts.values import uuid7

REMINDERS: Final[tuple[tuple[NoticeKind, timedelta], ...]] = (
    ("72h", timedelta(hours=72)),
    ("24h", timedelta(hours=24)),
    ("1h", timedelta(hours=1)),
)
"""What is said before a window begins, and how long before."""

KINDS: Final[tuple[NoticeKind, ...]] = get_args(NoticeKind)
"""In the order in which they can follow each other."""

URGENT: Final = timedelta(hours=1)
"""The least notice, whatever the reason; what cannot wait so long is what read-only mode is for."""

SHORTEST: Final = timedelta(minutes=1)
FARTHEST: Final = timedelta(days=366)
MOST_EXTENSIONS: Final = 3


@dataclass(frozen=True)
class Rules:
    """What the operator of a platform may choose."""

    notice: timedelta
    longest: timedelta


@dataclass(frozen=True)
class Life:
    """The times of a window."""

    scheduled_at: datetime
    begins_at: datetime
    ends_at: datetime
    completes_after: timedelta | None = None
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None

    @property
    def completes_at(self) -> datetime | None:
        """When it completes by itself, if it does."""
        return None if self.completes_after is None else self.ends_at + self.completes_after


def state(life: Life, now: datetime) -> WindowState:
    """Where the window stands: what somebody decided, else what the clock says."""
    if life.cancelled_at is not None:
        return "cancelled"
    if life.completed_at is not None:
        return "completed"
    return state_at(life.begins_at, life.ends_at, life.completes_at, now)


def moments(life: Life) -> Iterator[tuple[NoticeKind, datetime]]:
    """What the clock brings, in order, as long as nobody decides otherwise.

    A reminder whose time was over when the window was scheduled is left out; one announcement at
    once stands for all of these.
    """
    ahead = [
        (kind, at)
        for kind, before in REMINDERS
        if (at := life.begins_at - before) >= life.scheduled_at
    ]
    if len(ahead) < len(REMINDERS):
        yield "announced", life.scheduled_at
    yield from ahead
    yield "begun", life.begins_at
    yield "verifying", life.ends_at
    if life.completes_at is not None:
        yield "completed", life.completes_at


def due(life: Life, now: datetime) -> list[tuple[NoticeKind, datetime]]:
    """What has to have been said by now, in order."""
    return [(kind, at) for kind, at in moments(life) if at <= now]


def fault(request: ScheduleWindow, now: datetime, rules: Rules) -> Problem | None:
    """Why the times make no window, or None."""
    for name in ("title", "reason", "urgent"):
        text = getattr(request, name)
        if text is not None and not clean(text):
            return InvalidRequest("holds a character that cannot be shown", at=f"$.{name}")
    ahead = request.begins_at - now
    if ahead > FARTHEST:
        return WindowTimes(f"it lies more than {FARTHEST.days} days ahead", at="$.begins_at")
    least = rules.notice if request.urgent is None else min(URGENT, rules.notice)
    if ahead < least:
        return NoticeTooShort(
            f"it begins less than {spoken(least)} after its approval", at="$.begins_at"
        )
    return length_fault(request.begins_at, request.ends_at, rules)


def length_fault(begins_at: datetime, ends_at: datetime, rules: Rules) -> Problem | None:
    """Why a window of this length cannot be, or None."""
    length = ends_at - begins_at
    if length < SHORTEST:
        return WindowTimes("it does not last a minute", at="$.ends_at")
    if length > rules.longest:
        return WindowTimes(f"it lasts longer than {spoken(rules.longest)}", at="$.ends_at")
    return None


def clean(text: str) -> bool:
    """Whether a text for people is printable and has no blank at either end."""
    return text.isprintable() and text == text.strip()


def spoken(length: timedelta) -> str:
    """A length as people say it: `72 hours`, `1 hour`, `90 minutes`."""
    minutes = length // timedelta(minutes=1)
    count, unit = (minutes, "minute") if minutes % 60 else (minutes // 60, "hour")
    return f"{count} {unit}{'' if count == 1 else 's'}"


def notice_id(kind: NoticeKind, at: datetime) -> UUID:
    """A fresh id; those of one moment are in the order in which things happen to a window."""
    return uuid7(at, KINDS.index(kind) << 64 | secrets.randbits(64))


def utc(moment: datetime) -> datetime:
    """The same moment in UTC."""
    return moment.astimezone(UTC)
