"""The gateway's own HTTP layer: a request is whole and well-formed, or the app never sees it.

httptools alone lets pass two Hosts or none, absolute targets, names with underscores, trailers,
HTTP/1.0 and headers of any size. Here `limits.RequestReader` judges the bytes and frames the body
first, and httptools, fed one whole request at a time, is a second opinion. Store and forward costs
at most 256 kB a connection, and buys that a slow or malformed body never occupies the app and that
a refusal can never fall into the middle of an answer.
"""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from guilder.chassis.listen import is_leaving
from guilder.gateway.answers import STALLED, answer, count_refusal
from guilder.gateway.limits import Incoming, Phase, Refusal, RequestReader

INTERNAL_PREFIXES = (b"x-forwarded", b"x-tenant", b"guilder-")
INTERNAL_NAMES = frozenset({b"forwarded", b"x-real-ip"})


def server_settings() -> dict[str, Any]:
    """What the gateway passes to `uvicorn.Config` besides the app and the address."""
    return {
        "http": StrictProtocol,
        "ws": "none",
        "interface": "asgi3",
        "proxy_headers": False,
        "server_header": False,
        "date_header": True,
        "access_log": False,
        "log_config": None,
        "limit_concurrency": 512,  # connections a process; within a usual limit of 1024 files
        "backlog": 1024,
        "timeout_keep_alive": 15,  # seconds
        "timeout_graceful_shutdown": 10,  # seconds; a gateway request has a shorter deadline
    }


class HeldBytes:
    """Unfinished requests in memory. (A class attribute would spoil Python's caches each time.)"""

    count = 0


held_by_all = HeldBytes()


class StrictProtocol(HttpToolsProtocol):
    """One connection; requests are served one after the other, and the first refusal ends it.

    All times are seconds on the event loop's clock.
    """

    header_seconds: ClassVar[float] = 5.0
    body_seconds: ClassVar[float] = 10.0
    write_seconds: ClassVar[float] = 10.0
    linger_seconds: ClassVar[float] = 1.0
    linger_bytes: ClassVar[int] = 1024 * 1024
    ahead_bytes: ClassVar[int] = 64 * 1024
    """How much of later requests is read while an earlier one is answered."""
    held_bytes_max: ClassVar[int] = 64 * 1024 * 1024
    """Unfinished requests of all connections of the process together."""

    # The reader found the headers already; httptools need not tell them again, which is slow.
    # It also keeps uvicorn from answering `Expect`, which `_await_more` does.
    on_header = None  # type: ignore[assignment]
    _incoming: Incoming

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """As uvicorn calls it; every leniency of httptools is switched off."""
        super().__init__(config, server_state, app_state, _loop)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        # Ours counts connections when they are made; uvicorn's would answer without a problem.
        self._connections_max, self.limit_concurrency = self.limit_concurrency, None
        self._early: Callable[[Incoming], bytes | None] | None
        self._early = getattr(self.app, "early_refusal", None)
        self._reader = RequestReader()
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timed = Phase.IDLE
        self._write_timer: asyncio.TimerHandle | None = None
        self._done = False
        """Nothing that still comes in is looked at."""
        self._discarded = 0
        self._ready: list[tuple[RequestResponseCycle, ASGI3Application]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the peer the time of a header to send its first one."""
        super().connection_made(transport)
        if self._connections_max is not None and len(self.connections) > self._connections_max:
            self._refuse(Refusal("gateway-busy"))
        else:
            self._arm(Phase.HEADER, self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every timer and give the memory back."""
        self._done = True
        self._disarm()
        self._stop_write_timer()
        self._unset_keepalive_if_required()
        self._account(0)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Judge, and hand on what is whole."""
        if self._done:
            self._discard(len(data))
            return
        self._unset_keepalive_if_required()
        self._reader.feed(data)
        self._advance()

    def on_response_complete(self) -> None:
        """Go on with what the peer sent ahead."""
        super().on_response_complete()
        if not self._done and not self.transport.is_closing() and self._reader.held:
            self._unset_keepalive_if_required()
            self._advance()

    def on_headers_complete(self) -> None:
        """Drop what only a proxy of ours, or we ourselves, may say; the body is here already."""
        self.headers += [
            pair
            for pair in self._incoming.headers
            if pair[0] not in INTERNAL_NAMES and not pair[0].startswith(INTERNAL_PREFIXES)
        ]
        super().on_headers_complete()
        if is_leaving(self.server_state):
            self.cycle.keep_alive = False  # told in the answer, so that nobody sends into a void

    def pause_writing(self) -> None:
        """The peer reads too slowly: it has `write_seconds` to catch up."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.write_seconds, self._stalled)

    def resume_writing(self) -> None:
        """The peer caught up."""
        self._stop_write_timer()
        super().resume_writing()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _advance(self) -> None:
        """Hand on the next request, unless an earlier one is still being answered."""
        if self._answering():
            self._read_ahead()
            return
        try:
            request = self._reader.next()
            while request is not None and self._turned_away(request):
                request = self._reader.next()
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if request is None:
            self._await_more()
        else:
            self._disarm()
            self._account(self._reader.held)
            self._hand_on(request)

    def _turned_away(self, request: Incoming) -> bool:
        """Whether the app refuses by the headers alone; the answer is then written."""
        if self._early is None or self.flow.write_paused or is_leaving(self.server_state):
            return False
        refusal = self._early(request)
        if refusal is None:
            return False
        self._disarm()
        default = self.server_state.default_headers
        first, _, rest = refusal.partition(b"\r\n")
        lines = [first, *(b"%b: %b" % pair for pair in default), rest]
        self.transport.write(b"\r\n".join(lines))
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        return True

    def _read_ahead(self) -> None:
        self._account(self._reader.held)
        if self._reader.held > 4 * self.ahead_bytes:
            # Pausing was undone again and again: answer this one, then close.
            self.cycle.keep_alive = False
            self._done = True
            self._reader = RequestReader()
            self._account(0)
        elif self._reader.held > self.ahead_bytes:
            self.flow.pause_reading()

    def _await_more(self) -> None:
        phase = self._reader.phase
        self._account(self._reader.held)
        if held_by_all.count > self.held_bytes_max:
            self._refuse(Refusal("gateway-busy", "Too many unfinished requests."))
        elif phase is not self._timed:
            if phase is Phase.BODY and self._reader.expects_continue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = phase is Phase.BODY
            self._arm(phase, self.body_seconds if body else self.header_seconds)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Called by httptools' callbacks: only noted, `_hand_on` decides."""
        self._ready.append((cycle, app))

    def _hand_on(self, request: Incoming) -> None:
        """Start the app if httptools, too, finds exactly one request and all of its body."""
        self._incoming = request
        try:
            self.parser.feed_data(request.wire())
            # Each message that it begins gets a new scope.
            same = [cycle.scope is self.scope for cycle, _ in self._ready]
            one = same == [True] and not self.cycle.more_body
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            one = False
        if one:
            self._done = not self.cycle.keep_alive
            super()._start_asgi_task(*self._ready.pop())
        else:
            self._refuse(Refusal("http-malformed"))
            if self.cycle is not None:
                self.cycle.response_complete = True

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with the problem, then close so that the peer can still read it."""
        self._done = True
        self._disarm()
        self._account(0)
        count_refusal(refusal.code)
        if self.transport.is_closing():
            return
        default = self.server_state.default_headers
        self.transport.write(answer(refusal, default, headless=self._reader.method == b"HEAD"))
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        # A close with unread input resets the connection and may destroy the answer on its way.
        self.flow.resume_reading()
        self.transport.write_eof()
        self._timer = self.loop.call_later(self.linger_seconds, self.transport.abort)

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > self.linger_bytes and not self._answering():
            self.transport.abort()

    def _arm(self, phase: Phase, seconds: float) -> None:
        self._disarm()
        self._timed = phase
        self._timer = self.loop.call_later(seconds, self._refuse, Refusal(f"{phase.value}-timeout"))

    def _disarm(self) -> None:
        self._timed = Phase.IDLE
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stalled(self) -> None:
        count_refusal(STALLED)
        self.transport.abort()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _account(self, held: int) -> None:
        held_by_all.count += held - self._held
        self._held = held
