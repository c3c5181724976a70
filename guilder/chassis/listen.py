"""HTTP servers that can be replaced while they serve: told to leave, they drop nothing.

The listening socket belongs to whoever started the process, so what connects meanwhile waits in its
queue for the successor.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection between our own processes is kept."""

GRACE_SECONDS = 40
"""How long what is being answered may take: longer than the deadline of every ordinary call."""


class LeavingState(ServerState):
    """What uvicorn shares between a server and its connections, and whether the server leaves."""

    leaving = False


def is_leaving(state: ServerState) -> bool:
    """Whether every answer from now on ends its connection."""
    return isinstance(state, LeavingState) and state.leaving


class PrivateProtocol(HttpToolsProtocol):
    """A connection from one of our own processes, which sends again what it got no answer to."""

    def on_headers_complete(self) -> None:
        """Once the server leaves, answer this request as the last one."""
        super().on_headers_complete()
        if is_leaving(self.server_state):
            self.cycle.keep_alive = False


class Server(uvicorn.Server):
    """A server that leaves signals to its host and is done when its last answer is out."""

    server_state: LeavingState

    def __init__(self, app: Any, **settings: Any) -> None:
        """`settings` are those of `uvicorn.Config`."""
        super().__init__(uvicorn.Config(app, lifespan="off", loop="none", **settings))
        self.server_state = LeavingState()
        self.linger = 0.0
        """Seconds for which idle connections are kept after the last `leave`: strangers' programs
        do not send again what meets a closed connection, so they are first told in an answer."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield

    def leave(self, linger: float = 0.0) -> None:
        """Take no more connections; `serve` returns when the present ones are done."""
        self.linger, self.should_exit = linger, True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door, let those inside finish."""
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        self.server_state.leaving = True
        clock = asyncio.get_running_loop().time
        since = clock()
        while self.server_state.connections and clock() < since + self.linger:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await super().shutdown()


def private_server(app: Any) -> Server:
    """The door for our own processes."""
    return Server(
        app,
        http=PrivateProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=1024,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
