"""Counts and times of what this process does: plain numbers, because they lie on every call's way.

Each object keeps its own; `metrics.py` reads them when somebody asks.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeVar

from opentelemetry.trace import SpanKind

from guilder.chassis.hop import span
from guilder.contracts.context import Call
from guilder.contracts.declare import Operation

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)

OK, CANCELLED = "ok", "cancelled"
"""Outcomes besides the codes of problems: an answer; a caller who stopped waiting."""

LAG_SECONDS = 0.5
"""How often the event loop is asked how late it is."""

T = TypeVar("T", bound=Sequence[Any])


class Spread:
    """A histogram."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` are the upper bounds of the buckets, rising; a last one without is added."""
        self.bounds, self.counts, self.total = bounds, [0] * (len(bounds) + 1), 0.0

    def take(self, value: float, times: int = 1) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


@dataclass(slots=True)
class Line:
    """What is known of one operation."""

    outcomes: dict[str, int] = field(default_factory=dict)
    seconds: Spread = field(default_factory=lambda: Spread(SECONDS))
    sizes: Spread = field(default_factory=lambda: Spread(SIZES))
    running: int = 0

    def end(self, outcome: str, times: int = 1) -> None:
        """Count how calls ended."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + times


class Meter:
    """A line for each operation: how calls ended, how long they took, how many went together."""

    def __init__(self, kind: SpanKind) -> None:
        """`kind` of the spans: of who serves, or of who calls."""
        self.lines: dict[str, Line] = {}
        self._kind = kind

    async def watch(
        self, operation: Operation, calls: Sequence[Call[Any]], work: Awaitable[T]
    ) -> T:
        """Wait for the outcomes of calls, and count them."""
        count, name = len(calls), operation.id
        line = self.lines.get(name)
        if line is None:
            line = self.lines[name] = Line()
        line.running += count
        started, outcomes = perf_counter(), None
        try:
            with span(operation, calls, self._kind) as seen:
                outcomes = await work
                if seen is not None:
                    seen.set_attribute("guilder.outcome", [_word(o) for o in outcomes[:16]])
            return outcomes
        finally:
            line.running -= count
            line.seconds.take(perf_counter() - started, count)
            line.sizes.take(count)
            if outcomes is None:
                line.end(CANCELLED, count)
            else:
                for outcome in outcomes:
                    line.end(_word(outcome))


def _word(outcome: Any) -> str:
    code: str = outcome.problem.code if outcome.problem is not None else OK
    return code


@dataclass(frozen=True)
class Measure:
    """A number of a service's own that is worth watching; a name in `_total` only ever rises.

    With a `label` it is a number for each of its values, of a closed list.
    """

    name: str
    text: str
    read: Callable[[], float | Mapping[str, float]]
    label: str = ""


class Lag:
    """How late the event loop is: when it is, everything in this process is."""

    def __init__(self) -> None:
        """Measures nothing until it runs."""
        self.seconds = Spread(SECONDS)

    async def run(self) -> None:
        """Measure until cancelled. On real time, whatever the clock of the business says."""
        while True:
            due = perf_counter() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self.seconds.take(max(0.0, perf_counter() - due))
