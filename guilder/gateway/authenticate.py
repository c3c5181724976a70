"""Who are you? A bearer token is verified by `identity` once and believed for a few seconds.

While identity does not answer, what it verified within the last minute is still believed: nobody
can be removed while the service that removes people is gone. What it has denied never is.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace

from guilder.chassis.clock import Clock
from guilder.contracts.context import Context
from guilder.contracts.errors import Problem, Unauthenticated
from guilder.contracts.identity.v1 import Authenticated, Identity, Presented
from guilder.gateway.admission import STRANGERS, Limiter
from guilder.gateway.settings import GatewaySettings

MAX_TOKENS = 20_000
MAX_LENGTH = 4096
AGAIN = 1 / 3
"""The last part of a token's time in which one request verifies it again, ahead of the others:
at its end all of them together would."""


@dataclass(frozen=True)
class Known:
    """A verified token: believed until a moment, and without identity until a later one."""

    who: Authenticated
    until: float
    at_most: float


class Authenticator:
    """Turns the Authorization header into tenant and principal."""

    def __init__(
        self,
        identity: Identity,
        clock: Clock,
        settings: GatewaySettings,
        anybody: Context,
        limiter: Limiter,
    ) -> None:
        """`anybody` asks for strangers, within `limiter`."""
        self._identity, self._clock = identity, clock
        self._cache_s, self._alone_s = settings.token_cache_s, settings.token_alone_s
        self._anybody, self._limiter = anybody, limiter
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._asking: set[bytes] = set()

    def known(self, header: str) -> Authenticated | None:
        """Whom a header names, if that was verified within the last seconds."""
        found = self._known.get(_digest(header.partition(" ")[2]))
        if found is None or found.until <= self._clock.monotonic():
            return None
        return found.who if found.who.expires_at > self._clock.now().timestamp() else None

    async def who(self, header: str) -> Authenticated:
        """Verify `Bearer TOKEN`; Unauthenticated says no more than that it does not hold."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > MAX_LENGTH:
            raise Unauthenticated("send `Authorization: Bearer TOKEN`")
        if not token.isascii():
            raise Unauthenticated("the token does not hold")
        name = _digest(token)
        found = self._known.get(name)
        if found is None:
            with self._limiter.slot(STRANGERS, read=True):
                return await self._ask(name, token)
        if found.who.expires_at <= self._clock.now().timestamp():
            self._known.pop(name, None)
            raise Unauthenticated("the token has expired")
        left = found.until - self._clock.monotonic()
        if left <= 0:
            with self._limiter.slot(STRANGERS, read=True):
                return await self._ask_again(name, token, found)
        if left > self._cache_s * AGAIN or name in self._asking:
            return found.who
        self._asking.add(name)
        try:
            return await self._ask_again(name, token, found)
        finally:
            self._asking.discard(name)

    async def _ask_again(self, name: bytes, token: str, found: Known) -> Authenticated:
        try:
            return await self._ask(name, token)
        except Unauthenticated:
            self._known.pop(name, None)
            raise
        except Problem:
            now = self._clock.monotonic()
            if now >= found.at_most or name not in self._known:  # too old, or denied meanwhile
                raise
            until = min(now + self._cache_s, found.at_most)
            self._known[name] = replace(found, until=max(until, found.until))
            return found.who

    async def _ask(self, name: bytes, token: str) -> Authenticated:
        now = self._clock.monotonic()
        who = await self._identity.authenticate(self._anybody, Presented(token=token))
        self._known[name] = Known(who, now + self._cache_s, now + self._alone_s)
        self._known.move_to_end(name)
        if len(self._known) > MAX_TOKENS:
            self._known.popitem(last=False)
        return who


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
