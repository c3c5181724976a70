"""Every refusal at the door leaves an entry in the audit; a flood is counted instead."""

import asyncio
from collections import Counter

import structlog

from guilder.chassis.batch import one
from guilder.chassis.clock import Clock
from guilder.chassis.logs import named
from guilder.contracts.audit.v1 import Audit, Record
from guilder.contracts.context import Context
from guilder.contracts.errors import Problem
from guilder.contracts.values import uuid7
from guilder.gateway.rates import Rates

log = structlog.get_logger()

NOT_RECORDED = frozenset(
    {
        "too-many-requests",
        "overloaded",
        "unavailable",
        "maintenance",
        "read-only",
        "deadline-exceeded",
        "internal",
    }
)
"""Load, outages, planned downtime: to record them would add work when there is too much already."""
WAIT_SECONDS = 2.0


class Refusals:
    """Records refusals."""

    def __init__(self, audit: Audit, clock: Clock, rate: float) -> None:
        """At most `rate` entries a second are written."""
        self._audit, self._clock = audit, clock
        self._rates = Rates(rate, clock)
        self.unrecorded: Counter[str] = Counter()

    async def record(self, ctx: Context, operation: str, problem: Problem) -> None:
        """Write the entry before the answer leaves; the audit's failure never hides the answer."""
        if problem.code in NOT_RECORDED or not self._rates.try_take("all"):
            self.unrecorded[problem.code] += 1
            return
        now = self._clock.now()
        entry = Record(id=uuid7(now), at=now, operation=operation, outcome=problem.code)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await one(self._audit.record, ctx, entry)
        except (Problem, TimeoutError) as error:
            self.unrecorded[problem.code] += 1
            log.warning("refusal not recorded", request=ctx.request, error=named(error))
