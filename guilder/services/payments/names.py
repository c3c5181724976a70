"""Whom a payment is between, for screening: asked of parties, remembered as long as a key is."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from guilder.chassis.batch import one
from guilder.chassis.clock import Clock
from guilder.chassis.store import Tx
from guilder.contracts.context import Context
from guilder.contracts.declare import Event
from guilder.contracts.errors import NotFound, Problem
from guilder.contracts.parties.v1 import NamedParty, Parties, PartyId

FRESH_SECONDS: Final = 60.0
"""How long a name is used without asking again."""

KNOWN_SECONDS: Final = 86_400.0
"""How long it is used where parties does not answer: people pay as long as they were seen today."""

SILENT_SECONDS: Final = 5.0
"""How long parties, once it did not answer, is not asked after somebody who is known."""

MOST: Final = 50_000


@dataclass(frozen=True)
class _Known:
    party: NamedParty
    at: float


class Names:
    """The names that this process knows. Kept in memory alone."""

    def __init__(self, parties: Parties, clock: Clock) -> None:
        """`parties` is the service's client."""
        self._parties, self._clock = parties, clock
        self._known: dict[tuple[int, UUID], _Known] = {}
        self._silent_until = 0.0
        self._forgotten = 0

    async def of_all(self, ctx: Context, parties: Sequence[UUID]) -> list[NamedParty]:
        """These parties, as `of` gives each; mostly all are known, and nobody is waited for."""
        known = [party for each in parties if (party := self._fresh(ctx, each)) is not None]
        if len(known) == len(parties):
            return known
        return await asyncio.gather(*(self.of(ctx, each) for each in parties))

    async def of(self, ctx: Context, party: UUID) -> NamedParty:
        """A party; NotFound or Erased where there is nobody, an outage where nobody knows."""
        if (fresh := self._fresh(ctx, party)) is not None:
            return fresh
        key, now = (ctx.tenant, party), self._clock.monotonic()
        known = self._known.get(key)
        before = self._forgotten
        try:
            found = await one(self._parties.names, ctx, PartyId(party_id=party))
        except NotFound:
            self._known.pop(key, None)
            raise
        except Problem:
            if known is None or key not in self._known or now > known.at + KNOWN_SECONDS:
                raise
            self._silent_until = self._clock.monotonic() + SILENT_SECONDS
            return known.party
        if before == self._forgotten:  # else it may be the very name that is to be forgotten
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = _Known(found, now)
        return found

    def _fresh(self, ctx: Context, party: UUID) -> NamedParty | None:
        """A party that is used without asking."""
        known = self._known.get((ctx.tenant, party))
        if known is None:
            return None
        until = max(known.at + FRESH_SECONDS, self._trusted(known))
        return known.party if self._clock.monotonic() < until else None

    def _trusted(self, known: _Known) -> float:
        """Until when a name is used without asking, because nobody answers."""
        return min(self._silent_until, known.at + KNOWN_SECONDS)

    async def forget(self) -> None:
        """Drop what is older than any use of it (a sweep)."""
        oldest = self._clock.monotonic() - KNOWN_SECONDS
        for key in [key for key, known in self._known.items() if known.at < oldest]:
            del self._known[key]

    async def keys_destroyed(self, tx: Tx, event: Event) -> None:
        """Forget somebody whose keys the vault has destroyed (a reaction)."""
        self._forgotten += 1
        self._known.pop((event.tenant, UUID(event.ids["subject"])), None)
