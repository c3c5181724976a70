"""The tenants' look-up keys, kept for at most a minute like every other key."""

from typing import Final

from guilder.chassis.clock import Clock
from guilder.chassis.events import SYSTEM
from guilder.contracts.context import Context
from guilder.contracts.vault.v1 import IndexQuestion, Vault
from guilder.services.parties.person import name_hash

CACHE_SECONDS: Final = 60.0
CACHE_KEYS: Final = 10_000


class LookUp:
    """Turns names into what they are found by."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        """`vault` hands out the keys."""
        self._vault, self._clock = vault, clock
        self._keys: dict[int, tuple[float, bytes]] = {}

    async def hash(self, ctx: Context, name: str) -> bytes:
        """The 32-byte hash under which the tenant of the call finds a whole name."""
        now = self._clock.monotonic()
        found = self._keys.get(ctx.tenant)
        if found is None or found[0] < now:
            asking = Context(tenant=ctx.tenant, principal=SYSTEM, request=ctx.request)
            key = (await self._vault.index_key(asking, IndexQuestion())).key
            if len(self._keys) >= CACHE_KEYS:
                self._keys.clear()
            found = self._keys[ctx.tenant] = (now + CACHE_SECONDS, key)
        return name_hash(found[1], name)
