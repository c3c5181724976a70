"""Every refusal at the door leaves an entry in the audit; a flood is counted instead.

The entry is written before the answer leaves. While the audit does not answer, entries are kept and
written once it does: a part that is down makes no refusal slow.
"""

import asyncio
from collections import Counter, deque
from itertools import islice

import structlog

from guilder.chassis.batch import MAX_BATCH, one
from guilder.chassis.clock import Clock
from guilder.chassis.logs import named
from guilder.contracts.audit.v1 import Audit, Record
from guilder.contracts.context import Call, Context
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
WAIT_SECONDS = 0.5
KEPT = 1_000
"""The most entries that wait for the audit; more are counted. They end with the process."""
SHORTEST_S, LONGEST_S = 0.5, 5.0
"""Pauses between attempts to write what is kept."""


class Refusals:
    """Records refusals."""

    def __init__(self, audit: Audit, clock: Clock, rate: float) -> None:
        """At most `rate` entries a second are written."""
        self._audit, self._clock = audit, clock
        self._rates = Rates(rate, clock)
        self._kept: deque[Call[Record]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.unrecorded: Counter[str] = Counter()

    async def record(self, ctx: Context, operation: str, problem: Problem) -> None:
        """Write the entry before the answer leaves; the audit's failure never hides the answer."""
        if problem.code in NOT_RECORDED or not self._rates.try_take("all"):
            self.unrecorded[problem.code] += 1
            return
        now = self._clock.now()
        entry = Record(id=uuid7(now), at=now, operation=operation, outcome=problem.code)
        if self._kept:  # the audit is known not to answer
            self._keep(Call(ctx, entry))
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await one(self._audit.record, ctx, entry)
        except (Problem, TimeoutError) as error:
            log.warning("refusal kept", request=ctx.request, error=named(error))
            self._keep(Call(ctx, entry))

    def _keep(self, call: Call[Record]) -> None:
        if len(self._kept) >= KEPT:
            self.unrecorded[call.request.outcome] += 1
            return
        self._kept.append(call)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Write what is kept; what was written before without our knowing is not written again."""
        pause = SHORTEST_S
        while self._kept:
            await self._clock.sleep(pause)
            pause = SHORTEST_S if await self._write_some() else min(pause * 2, LONGEST_S)

    async def _write_some(self) -> bool:
        """Write the oldest; whether the audit answers."""
        for answer in await self._audit.record(list(islice(self._kept, MAX_BATCH))):
            if isinstance(answer, Problem) and not answer.final:
                return False
            call = self._kept.popleft()
            if isinstance(answer, Problem):
                self.unrecorded[call.request.outcome] += 1
        return True
