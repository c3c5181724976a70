"""How much is worked on at once; what is beyond that is refused, never queued.

Each service has a limiter of its own, so that a slow one holds nobody else's work. A limiter bounds
the requests in flight and steers that bound as TCP does (additive increase, multiplicative
decrease): up while it is what refuses and answers come in time, down when one in ten comes late.
Capacity thus goes into work that ends in time, on any machine and without tuning.

When a limiter is full it tells requests apart (`Limiter.room`): whoever has more than a fair share
in flight is refused first, and new work before reads.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from guilder.chassis.clock import Clock
from guilder.contracts.context import PLATFORM
from guilder.contracts.errors import Problem

STRANGERS = -1
"""Those who have not shown a token yet stand together where a tenant would."""

FLOOR = 24
"""Even a service that answers late is asked so much at once; otherwise it could never recover."""
START = 48
WINDOW_SECONDS = 0.25
WINDOW_LEAST = 10
"""The bound moves at most once a window, and only on so many answers."""
LATE_SHARE = 0.1
UP, DOWN = 1.05, 0.8
PATIENCE_SECONDS = 5


class Overloaded(Problem):
    """The platform has as much work as it can finish in time; nothing of this request was begun."""

    code = "overloaded"
    status = 503
    title = "The platform is overloaded"
    fix = "Wait `Retry-After` seconds and repeat with the same key; wait longer after each time."


def spread() -> int:
    """Seconds for `Retry-After`, at random: who was refused together must not come back so."""
    return random.randint(1, PATIENCE_SECONDS)


class Limiter:
    """The requests in flight to one service, and their bound."""

    def __init__(self, clock: Clock, aim_s: float, most: int) -> None:
        """An answer later than `aim_s` is late; the bound moves between FLOOR and `most`."""
        self._clock, self._aim, self._most = clock, aim_s, most
        self.limit = float(min(START, most))
        self.in_flight = 0
        self.admitted = 0
        self.refused = 0
        self._of: Counter[int] = Counter()
        self._since = clock.monotonic()
        self._ended = self._late = 0
        self._short = False
        """Whether the bound refused anybody in this window."""

    def room(self, tenant: int, *, read: bool) -> bool:
        """Whether a request would be admitted now. The platform's operators always are.

        The bound is for new work of tenants at or above their fair share. Reads may pass it by a
        tenth, and tenants below their share by four tenths: so they find room beside a tenant that
        fills the bound alone, even when it has just come down.
        """
        if tenant == PLATFORM:
            return True
        mine = self._of.get(tenant, 0)
        tenants = len(self._of) + (tenant not in self._of)
        modest = mine < self.limit / tenants
        return self.in_flight < self.limit * (10 + read + 4 * modest) / 10

    @contextmanager
    def slot(self, tenant: int, *, read: bool) -> Iterator[None]:
        """Hold a place in flight; Overloaded when there is none."""
        if not self.room(tenant, read=read):
            self.refuse()
            raise Overloaded(retry_after=spread())
        begun = self._clock.monotonic()
        self.admitted += 1
        self.in_flight += 1
        self._of[tenant] += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._of[tenant] -= 1
            if not self._of[tenant]:
                del self._of[tenant]
            self._learn(begun)

    def refuse(self) -> None:
        """Count a request that found no room."""
        self.refused += 1
        self._short = True

    def _learn(self, begun: float) -> None:
        now = self._clock.monotonic()
        self._ended += 1
        self._late += now - begun > self._aim
        if now - self._since < WINDOW_SECONDS or self._ended < WINDOW_LEAST:
            return
        if self._late > self._ended * LATE_SHARE:
            self.limit = max(min(FLOOR, self._most), self.limit * DOWN)
        elif self._short:
            self.limit = min(self._most, max(self.limit + 1, self.limit * UP))
        self._since, self._ended, self._late, self._short = now, 0, 0, False


class Admission:
    """The limiters of this process by service; their figures are read by whoever measures."""

    def __init__(self, clock: Clock, aim_ms: float, most: int) -> None:
        """Every limiter gets the same aim and the same most."""
        self._clock, self._aim, self._most = clock, aim_ms / 1000, most
        self.limiters: dict[str, Limiter] = {}

    def limiter(self, service: str) -> Limiter:
        """The limiter of a service, or of another thing that is worked on at the door."""
        if service not in self.limiters:
            self.limiters[service] = Limiter(self._clock, self._aim, self._most)
        return self.limiters[service]
