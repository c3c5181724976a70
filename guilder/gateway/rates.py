"""Rate limits: a token bucket per tenant and per principal, in this process's memory."""

from collections import OrderedDict
from collections.abc import Hashable

from guilder.chassis.clock import Clock
from guilder.contracts.errors import TooManyRequests
from guilder.gateway.admission import spread

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
            wait = int(1 / self._rate) + spread()
            raise TooManyRequests("the rate limit is reached", retry_after=wait)

    def has(self, who: Hashable) -> bool:
        """Whether a token could be taken now."""
        return self._level(who) >= 1.0

    def try_take(self, who: Hashable) -> bool:
        """Take one token if there is one."""
        now = self._clock.monotonic()
        level = self._level(who)
        self._buckets.pop(who, None)
        taken = level >= 1.0
        self._buckets[who] = (level - 1.0 if taken else level, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return taken

    def _level(self, who: Hashable) -> float:
        now = self._clock.monotonic()
        level, at = self._buckets.get(who, (self._most, now))
        return min(self._most, level + (now - at) * self._rate)
