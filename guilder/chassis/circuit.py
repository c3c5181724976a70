"""Whether a call may leave for what is bound: a bound on calls under way, and a circuit breaker.

After OPENS_AFTER calls in a row without an answer of use nothing is sent for PAUSE_S seconds; then
one batch tries, and its end decides. So an edition that hangs costs its own tenant a try now and
then, and others nothing.
"""

from typing import Final

from guilder.chassis.clock import Clock

OPENS_AFTER: Final = 5
PAUSE_S: Final = 2.0
MOST_UNDER_WAY: Final = 32
"""Batches under way to one binding, from one process."""


class Circuit:
    """The circuit to one binding: closed (calls go), open (none goes), or tried by one call."""

    def __init__(self, clock: Clock) -> None:
        """Closed."""
        self._clock = clock
        self._under_way = self._failures = 0
        self._opened: float | None = None
        self._trying = False

    @property
    def quiet(self) -> bool:
        """Whether it is as when it was made."""
        return not (self._under_way or self._failures)

    @property
    def shut(self) -> bool:
        """Whether a call would be kept at home because of what failed before."""
        if self._opened is None:
            return False
        return self._trying or self._clock.monotonic() - self._opened < PAUSE_S

    def enter(self) -> bool:
        """Whether a call may leave now; whoever may must `leave` again."""
        if self.shut or self._under_way >= MOST_UNDER_WAY:
            return False
        self._trying = self._opened is not None
        self._under_way += 1
        return True

    def leave(self, *, answered: bool | None, calls: int = 1) -> None:
        """A batch of so many calls has ended, with any answer of use or with none.

        None = whoever asked gave up, and nothing was learnt.
        """
        self._under_way -= 1
        self._trying = False
        if answered is None:
            return
        if answered:
            self._failures, self._opened = 0, None
        else:
            self._failures += calls
            if self._failures >= OPENS_AFTER:
                self._opened = self._clock.monotonic()
