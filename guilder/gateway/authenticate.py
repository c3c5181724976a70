"""Who are you? A bearer token is verified by `identity` once and believed for a few seconds."""

import hashlib
from collections import OrderedDict

from guilder.chassis.clock import Clock
from guilder.contracts.context import Context
from guilder.contracts.errors import Unauthenticated
from guilder.contracts.identity.v1 import Authenticated, Identity, Presented

MAX_TOKENS = 20_000
MAX_LENGTH = 4096


class Authenticator:
    """Turns the Authorization header into tenant and principal."""

    def __init__(self, identity: Identity, clock: Clock, cache_s: float, anybody: Context) -> None:
        """`cache_s` bounds how long a revoked token lives on; `anybody` asks for strangers."""
        self._identity, self._clock, self._cache_s = identity, clock, cache_s
        self._anybody = anybody
        self._known: OrderedDict[bytes, tuple[float, Authenticated]] = OrderedDict()

    async def who(self, header: str) -> Authenticated:
        """Verify `Bearer TOKEN`; Unauthenticated says no more than that it does not hold."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > MAX_LENGTH:
            raise Unauthenticated("send `Authorization: Bearer TOKEN`")
        if not token.isascii():
            raise Unauthenticated("the token does not hold")
        name = hashlib.sha256(token.encode()).digest()
        found = self._known.get(name)
        now = self._clock.monotonic()
        if found is not None and found[0] > now:
            if found[1].expires_at > self._clock.now().timestamp():
                return found[1]
            del self._known[name]
            raise Unauthenticated("the token has expired")
        who = await self._identity.authenticate(self._anybody, Presented(token=token))
        self._known[name] = (now + self._cache_s, who)
        self._known.move_to_end(name)
        if len(self._known) > MAX_TOKENS:
            self._known.popitem(last=False)
        return who
