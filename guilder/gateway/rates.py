"""Rate limits: a token bucket per tenant and per principal, in this process's memory."""

from collections import OrderedDict
from collections.abc import Hashable

from guilder.chassis.clock import Clock
from guilder.contracts.errors import TooManyRequests

MAX_BUCKETS = 50_000
BURST_SECONDS = 2.0


class Rates:
    """Buckets that refill with `rate` tokens a second and hold two seconds' worth."""

    def __init__(self, rate: float, clock: Clock) -> None:
        """`rate` > 0, in requests a second."""
        self._rate, self._clock = rate, clock
        self._most = max(1.0, rate * BURST_SECONDS)
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, who: Hashable) -> None:
        """Take one token; TooManyRequests when the bucket is empty."""
        if not self.try_take(who):
            wait = max(1, round(1 / self._rate))
            raise TooManyRequests("the rate limit is reached", retry_after=wait)

    def try_take(self, who: Hashable) -> bool:
        """Take one token if there is one."""
        now = self._clock.monotonic()
        level, at = self._buckets.pop(who, (self._most, now))
        level = min(self._most, level + (now - at) * self._rate)
        taken = level >= 1.0
        self._buckets[who] = (level - 1.0 if taken else level, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return taken
