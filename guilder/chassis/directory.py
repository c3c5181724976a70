"""What every process must know within a second: the registry's directory, followed and kept.

A process that does not hear goes on with what it heard last, and says that it is stale.
"""

import time
from uuid import UUID

import msgspec
import structlog

from guilder.chassis.bindings import Bindings
from guilder.chassis.clock import Clock
from guilder.chassis.events import SYSTEM
from guilder.chassis.logs import named
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.registry.v1 import Bound, Directory, DirectoryQuery, Registry

log = structlog.get_logger()

WAIT_MS = 2_000
"""How long a question waits at the registry, so that a silent one is told from a quiet one."""

GRACE_S = 1.0
"""How long past that an answer may take."""

PAGE_S = 5.0
"""How long one page of many may take; a process that starts reads the whole directory."""

STALE_S = 5.0
"""A process that has heard nothing for so long is stale."""

SHORTEST_S, LONGEST_S = 0.05, 0.5
"""Pauses between questions; longer while there is no answer, and recovery is still noticed within
a second."""

FIRST_S = 5.0
"""How long a process that starts waits for its first answer."""


class DirectoryFollower:
    """Keeps the last directory heard, and the process' bindings by it."""

    def __init__(self, registry: Registry, bindings: Bindings, clock: Clock) -> None:
        """`registry` is asked, `bindings` are kept."""
        self._registry, self._bindings, self._clock = registry, bindings, clock
        self.latest = Directory(generation=-1, bindings=[])
        """The last answer; generation -1 until there was one."""
        self.heard: float | None = None
        """When the registry last answered (`Clock.monotonic`); None = never."""
        self._hears = True

    @property
    def stale(self) -> bool:
        """Whether what is known may be out of date: nothing was heard for STALE_S."""
        return self.silent_s is None or self.silent_s > STALE_S

    @property
    def silent_s(self) -> float | None:
        """Seconds since the registry last answered; None = it never has."""
        return None if self.heard is None else self._clock.monotonic() - self.heard

    async def refresh(self, wait_ms: int = 0) -> None:
        """Ask once and take what has changed; raises the problem when there is no answer."""
        deadline = time.monotonic() + wait_ms / 1000 + GRACE_S
        ctx = msgspec.structs.replace(_CTX, deadline=deadline)
        query = DirectoryQuery(known=self.latest.generation, wait_ms=wait_ms)
        answer = await self._registry.directory(ctx, query)
        self.heard = self._clock.monotonic()
        if answer.generation != self.latest.generation:
            bound = answer.bindings + await self._other_pages(answer.next)
            self._bindings.apply(bound, answer.ended, answer.whole)
            # its lines are in `bindings`, and there can be many
            self.latest = msgspec.structs.replace(answer, bindings=[], ended=[], next=None)

    async def _other_pages(self, after: UUID | None) -> list[Bound]:
        """The rest of a whole directory. What changes meanwhile, the next question tells."""
        bound: list[Bound] = []
        while after is not None:
            ctx = msgspec.structs.replace(_CTX, deadline=time.monotonic() + PAGE_S)
            page = await self._registry.directory(ctx, DirectoryQuery(known=-1, after=after))
            self.heard = self._clock.monotonic()
            bound += page.bindings
            after = page.next
        return bound

    async def begin(self) -> None:
        """Hear once before anything is served; without an answer, go on knowing nothing."""
        until, pause = self._clock.monotonic() + FIRST_S, SHORTEST_S
        while not await self._try(0) and self._clock.monotonic() < until:
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_S)

    async def run(self) -> None:
        """Follow until cancelled, with a pause even after an answer: none may keep us busy."""
        pause = SHORTEST_S
        while True:
            heard = await self._try(WAIT_MS)
            pause = SHORTEST_S if heard else min(pause * 2, LONGEST_S)
            await self._clock.sleep(pause)

    async def _try(self, wait_ms: int) -> bool:
        """Whether there was an answer; only the first silence and its end are logged."""
        try:
            await self.refresh(wait_ms)
        except Exception as error:
            if self._hears:
                log.warning("directory", generation=self.latest.generation, error=named(error))
            self._hears = False
            return False
        if not self._hears:
            log.info("directory heard again", generation=self.latest.generation)
        self._hears = True
        return True


_CTX = Context(tenant=PLATFORM, principal=SYSTEM)
