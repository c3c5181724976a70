"""What this process sees of bindings: told to the registry once a second, and to Prometheus.

Numbers, names of fields and amounts; no personal data.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

import structlog

from guilder.chassis.bindings import NO_ID, Binding
from guilder.chassis.clock import Clock
from guilder.chassis.events import SYSTEM
from guilder.chassis.logs import named
from guilder.chassis.meter import OK, SECONDS, Spread
from guilder.chassis.serve import Outcome
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.errors import (
    DeadlineExceeded,
    Internal,
    Problem,
    Unauthenticated,
    Unavailable,
)
from guilder.contracts.registry.observations import Difference, Failure, Observe, Seen
from guilder.contracts.registry.v1 import Registry

log = structlog.get_logger()

EVERY_S: Final = 1.0
LAST_S: Final = 1.0
"""How long a process that leaves tries to tell what it saw last."""

MOST_SEEN: Final = 500
"""Bindings of one report; more wait for the next."""

MOST_DIFFERENCES: Final = 50
"""Differences of one binding in one report."""

TOLD_APART: Final = 40
"""So many with their values; of further ones only the field is kept."""

MOST_NAMED: Final = 200
"""Bindings that have metrics of their own; the others share those of OTHERS."""

OTHERS: Final = "others"

Kind = tuple[str, str | None, int | None, str | None, str | None]
"""A difference without its count."""


@dataclass(slots=True)
class Tally:
    """What was seen of one binding since it was last told."""

    calls: int = 0
    failures: Counter[Failure] = field(default_factory=Counter)
    fallbacks: int = 0
    total_s: float = 0.0
    slowest_s: float = 0.0
    compared: int = 0
    equal: int = 0
    dropped: int = 0
    differences: Counter[Kind] = field(default_factory=Counter)

    def differs(self, found: Difference) -> None:
        """Count a difference; when there are too many kinds, its field alone."""
        kind = found.field, found.currency, found.delta_minor, found.serving, found.other
        if kind not in self.differences and len(self.differences) >= TOLD_APART:
            kind = found.field, None, None, None, None
        if kind not in self.differences and len(self.differences) >= MOST_DIFFERENCES - 1:
            kind = OTHERS, None, None, None, None
        self.differences[kind] += found.count

    def seen(self, binding: UUID) -> Seen:
        """As the registry takes it."""
        return Seen(
            binding=binding,
            calls=self.calls,
            failures=dict(self.failures),
            fallbacks=self.fallbacks,
            total_ms=round(self.total_s * 1000),
            slowest_ms=round(self.slowest_s * 1000),
            compared=self.compared,
            equal=self.equal,
            dropped=self.dropped,
            differences=[
                Difference(
                    field=name,
                    currency=currency,
                    delta_minor=delta,
                    serving=serving,
                    other=other,
                    count=count,
                )
                for (name, currency, delta, serving, other), count in self.differences.items()
            ],
        )


@dataclass(slots=True)
class Total:
    """What was seen of a binding since this process began, for Prometheus."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: Spread = field(default_factory=lambda: Spread(SECONDS))
    fallbacks: int = 0
    compared: Counter[str] = field(default_factory=Counter)


Labels = tuple[str, str, str, str]
"""Id of a binding, its contract, release and mode."""


class Observations:
    """What one process sees of bindings."""

    def __init__(self, process: str, clock: Clock) -> None:
        """`process` is its name in reports."""
        self._process, self._clock = process, clock
        self._since: dict[UUID, Tally] = {}
        self.totals: dict[Labels, Total] = {}
        self._something = asyncio.Event()
        self._report: tuple[str, Observe] | None = None
        self._heard = True

    def ended(self, found: Sequence[Binding], outcomes: Sequence[Outcome], seconds: float) -> None:
        """Calls to what is bound have ended, together, after so long."""
        for binding, outcome in zip(found, outcomes, strict=True):
            tally, total = self._of(binding)
            failure = failure_of(outcome)
            tally.calls += 1
            tally.total_s += seconds
            tally.slowest_s = max(tally.slowest_s, seconds)
            total.seconds.take(seconds)
            total.outcomes[failure or OK] += 1
            if failure is not None:
                tally.failures[failure] += 1

    def fell_back(self, binding: Binding) -> None:
        """Stock answered instead."""
        tally, total = self._of(binding)
        tally.fallbacks += 1
        total.fallbacks += 1

    def compared(self, binding: Binding, differences: Iterable[Difference]) -> None:
        """A shadow's answer was compared with that of who serves."""
        tally, total = self._of(binding)
        tally.compared += 1
        found = list(differences)
        for difference in found:
            tally.differs(difference)
        tally.equal += not found
        total.compared["different" if found else "equal"] += 1

    def dropped(self, binding: Binding, count: int = 1) -> None:
        """So many were not compared."""
        tally, total = self._of(binding)
        tally.dropped += count
        total.compared["dropped"] += count

    def _of(self, binding: Binding) -> tuple[Tally, Total]:
        if binding.id != NO_ID:
            self._something.set()
        tally = self._since.setdefault(binding.id, Tally())
        labels: Labels = (str(binding.id), binding.contract, binding.label, binding.mode)
        if labels not in self.totals and len(self.totals) >= MOST_NAMED:
            labels = (OTHERS, OTHERS, OTHERS, OTHERS)
        return tally, self.totals.setdefault(labels, Total())

    async def tell(self, registry: Registry) -> None:
        """Tell what there is; what could not be told is told again, as the same report."""
        self._since.pop(NO_ID, None)
        if self._report is None and self._since:
            some = list(self._since)[:MOST_SEEN]
            seen = [self._since.pop(binding).seen(binding) for binding in some]
            self._report = str(uuid4()), Observe(process=self._process, seen=seen)
        if self._report is not None:
            key, report = self._report
            ctx = Context(tenant=PLATFORM, principal=SYSTEM, key=key)
            await registry.observe(ctx, report)
            self._report = None
        if not self._since:
            self._something.clear()

    async def run(self, registry: Registry) -> None:
        """Tell until cancelled, at most once a second; only the first silence is logged."""
        while True:
            await self._something.wait()
            try:
                await self.tell(registry)
                self._heard = True
            except Exception as error:
                if self._heard:
                    log.warning("observations", error=named(error))
                self._heard = False
            await self._clock.sleep(EVERY_S)

    async def last(self, registry: Registry) -> None:
        """Tell what is left before this process ends; what finds nobody in time is lost."""
        with suppress(Problem, TimeoutError, OSError):
            async with asyncio.timeout(LAST_S):
                while self._report is not None or self._since.keys() - {NO_ID}:
                    await self.tell(registry)


def failure_of(outcome: Outcome) -> Failure | None:
    """What a call to what is bound counts as; None where there was an answer."""
    if outcome.failure is not None:
        return outcome.failure
    match outcome.problem:
        case DeadlineExceeded():
            return "late"
        case Unavailable():
            return "unreachable"
        case Internal() | Unauthenticated():
            return "broken"
    return None
