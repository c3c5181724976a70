"""Requests of a suite: plain calls, over the one way to an address that somebody outside chose."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from guilder.chassis.outbound import Outbound, Rules
from guilder.chassis.wire import Reply

T = TypeVar("T")

SPARE_S: Final = 0.25
"""How long after the deadline an answer still counts as late and not as missing, in seconds."""


@dataclass(frozen=True)
class Sent:
    """One request, as bytes."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    deadline_s: float = 5.0


@dataclass
class Came:
    """What came of a request: an answer or an error, and after how many seconds."""

    sent: Sent
    reply: Reply | None = None
    error: Exception | None = None
    seconds: float = 0.0

    @property
    def late(self) -> bool:
        """Whether nothing whole was there by the deadline."""
        return isinstance(self.error, TimeoutError) or self.seconds > self.sent.deadline_s


class Client:
    """An edition's door, for code that is not asynchronous."""

    def __init__(self, base: str, rules: Rules) -> None:
        """AddressRefused for an address that the operator's rules do not allow."""
        to = rules.check(base)
        self.base, self.authority, self.prefix = str(to), to.authority, to.path
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._outbound = Outbound(rules)

    def send_all(self, requests: Sequence[Sent]) -> list[Came]:
        """Send them at once."""

        async def together() -> list[Came]:
            return list(await asyncio.gather(*(self._send(sent) for sent in requests)))

        return self._wait(together())

    async def _send(self, sent: Sent) -> Came:
        began = time.monotonic()
        came = Came(sent)
        try:
            came.reply = await self._outbound.request(
                sent.method,
                self.base + sent.path,
                sent.headers,
                sent.body,
                timeout_s=sent.deadline_s + SPARE_S,
                repeatable=True,
            )
        except (OSError, TimeoutError) as error:
            came.error = error
        came.seconds = time.monotonic() - began
        return came

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Send nothing more."""

        async def end() -> None:
            self._outbound.close()

        self._wait(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
