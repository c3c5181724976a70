"""Who are you? A bearer token is verified by `identity` once and believed for a few seconds."""

import hashlib
from collections import OrderedDict

from guilder.chassis.clock import Clock
from guilder.contracts.context import Context
from guilder.contracts.errors import Problem, Unauthenticated
from guilder.contracts.identity.v1 import Authenticated, Identity, Presented
from guilder.gateway.admission import STRANGERS, Limiter

MAX_TOKENS = 20_000
MAX_LENGTH = 4096
AGAIN = 1 / 3
"""The last part of a token's time in which one request verifies it again, ahead of the others:
at its end all of them together would."""


class Authenticator:
    """Turns the Authorization header into tenant and principal."""

    def __init__(
        self, identity: Identity, clock: Clock, cache_s: float, anybody: Context, limiter: Limiter
    ) -> None:
        """`cache_s` bounds how long a revoked token lives on; `anybody` asks for strangers."""
        self._identity, self._clock, self._cache_s = identity, clock, cache_s
        self._anybody, self._limiter = anybody, limiter
        self._known: OrderedDict[bytes, tuple[float, Authenticated]] = OrderedDict()
        self._asking: set[bytes] = set()

    def known(self, header: str) -> Authenticated | None:
        """Whom a header names, if that was verified within the last seconds."""
        found = self._known.get(_digest(header.partition(" ")[2]))
        if found is None or found[0] <= self._clock.monotonic():
            return None
        return found[1] if found[1].expires_at > self._clock.now().timestamp() else None

    async def who(self, header: str) -> Authenticated:
        """Verify `Bearer TOKEN`; Unauthenticated says no more than that it does not hold."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > MAX_LENGTH:
            raise Unauthenticated("send `Authorization: Bearer TOKEN`")
        if not token.isascii():
            raise Unauthenticated("the token does not hold")
        name = _digest(token)
        found = self._known.get(name)
        left = 0.0 if found is None else found[0] - self._clock.monotonic()
        if found is None or left <= 0:
            with self._limiter.slot(STRANGERS, read=True):
                return await self._ask(name, token)
        if found[1].expires_at <= self._clock.now().timestamp():
            del self._known[name]
            raise Unauthenticated("the token has expired")
        if left > self._cache_s * AGAIN or name in self._asking:
            return found[1]
        return await self._ask_again(name, token, found[1])

    async def _ask_again(self, name: bytes, token: str, found: Authenticated) -> Authenticated:
        self._asking.add(name)
        try:
            return await self._ask(name, token)
        except Unauthenticated:
            self._known.pop(name, None)
            raise
        except Problem:  # an outage: what was verified holds until its time is over
            return found
        finally:
            self._asking.discard(name)

    async def _ask(self, name: bytes, token: str) -> Authenticated:
        until = self._clock.monotonic() + self._cache_s
        who = await self._identity.authenticate(self._anybody, Presented(token=token))
        self._known[name] = (until, who)
        self._known.move_to_end(name)
        if len(self._known) > MAX_TOKENS:
            self._known.popitem(last=False)
        return who


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
