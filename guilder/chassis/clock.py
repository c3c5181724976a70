"""The one source of time; tests set it by hand."""

import asyncio
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Wall-clock time in UTC and monotonic seconds for deadlines."""

    def now(self) -> datetime:
        """The present moment, UTC, with zone."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; a test's clock returns at once."""
        await asyncio.sleep(seconds)


class SetClock(Clock):
    """A clock that stands still until a test moves it."""

    def __init__(self, at: datetime) -> None:
        """Start at a moment with zone."""
        self.at = at.astimezone(UTC)

    def now(self) -> datetime:
        """The moment the test set."""
        return self.at

    def move(self, **delta: float) -> None:
        """Move by `timedelta(**delta)`; may go backwards."""
        self.at += timedelta(**delta)

    async def sleep(self, seconds: float) -> None:
        """Yield once; time stands still."""
        await asyncio.sleep(0)
