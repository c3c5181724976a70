"""Who are you? A bearer token is verified by `identity` once and believed for a few seconds.

While identity does not answer, what it verified within the last minute is still believed: nobody
can be removed while the service that removes people is gone. What it has denied never is.
"""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

from guilder.chassis.clock import Clock
from guilder.contracts.context import Context
from guilder.contracts.errors import Problem, Unauthenticated
from guilder.contracts.identity.v1 import Authenticated, Identity, Presented
from guilder.gateway.admission import STRANGERS, Limiter, Overloaded
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
        self._questions: dict[bytes, asyncio.Task[Authenticated]] = {}
        self._silent_until = 0.0
        """Until then identity is not asked again after tokens that are known; 0 = it answers."""

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
        found, now = self._known.get(name), self._clock.monotonic()
        if found is None:
            return await self._ask(name, token, None)
        if found.who.expires_at <= self._clock.now().timestamp():
            self._known.pop(name, None)
            raise Unauthenticated("the token has expired")
        left = found.until - now
        if left > self._cache_s * AGAIN or (left > 0 and name in self._questions):
            return found.who
        if now < min(self._silent_until, found.at_most):
            return found.who
        return await self._ask(name, token, found)

    async def _ask(self, name: bytes, token: str, found: Known | None) -> Authenticated:
        """One question for all who show the same token at once."""
        question = self._questions.get(name)
        if question is None:
            question = asyncio.create_task(self._verify(name, token, found))
            self._questions[name] = question
            question.add_done_callback(partial(self._answered, name))
        return await asyncio.shield(question)

    def _answered(self, name: bytes, question: "asyncio.Task[Authenticated]") -> None:
        del self._questions[name]
        if not question.cancelled():
            question.exception()  # seen, even where everybody who asked has left

    async def _verify(self, name: bytes, token: str, found: Known | None) -> Authenticated:
        now = self._clock.monotonic()
        if self._silent_until:  # let one find out whether that is over, not all of them
            self._silent_until = now + self._cache_s
        try:
            with self._limiter.slot(STRANGERS, read=True):
                who = await self._identity.authenticate(self._anybody, Presented(token=token))
        except Unauthenticated:
            self._known.pop(name, None)
            self._silent_until = 0.0
            raise
        except Overloaded:
            if found is None or now >= found.until:
                raise
            return found.who
        except Problem:
            self._silent_until = self._clock.monotonic() + self._cache_s
            if found is None or self._clock.monotonic() >= found.at_most:
                raise
            return found.who
        self._silent_until = 0.0
        self._known[name] = Known(who, now + self._cache_s, now + self._alone_s)
        self._known.move_to_end(name)
        if len(self._known) > MAX_TOKENS:
            self._known.popitem(last=False)
        return who


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
