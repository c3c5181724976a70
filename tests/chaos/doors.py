"""Doors in front of the sockets of a split platform, which let everything through, or a fault."""

import asyncio
import json
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal

Fault = Literal["refused", "silent", "slow", "half", "no-http", "no-json", "wrong-shape"]

FAULTS: dict[str, tuple[Fault, ...]] = {
    "down": ("refused", "silent"),
    "slow": ("slow",),
    "half": ("half", "half", "half"),
    "garbage": ("no-http", "no-json", "wrong-shape"),
}
"""The faults of the table and the ways in which each is tried.

Down has two faces: nobody listens at the address, as on a machine that is gone, or connections are
taken and nothing ever comes, as while a stopped process' supervisor still holds its socket.
"""

SLOW_SECONDS = 5.0

_SPOILT = {
    "no-http": b"\x16\x03\x01 this is no HTTP\x00\xff\r\n\r\n",
    "no-json": b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"items":',
    "wrong-shape": b'HTTP/1.1 200 OK\r\ncontent-length: 27\r\n\r\n{"items": [[1]], "id": [1]}',
}
_FAILED = json.dumps({"title": "Internal Server Error", "status": 500}).encode()
_ERROR = (
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/problem+json\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_FAILED), _FAILED)
)


class Door:
    """Listens where a service is looked for; the service's own socket is moved behind it.

    But for `down`, the service gets every request and acts on it; its answer is what goes wrong,
    for that is the harder case.
    """

    def __init__(self, path: str) -> None:
        self.path, self._behind = Path(path), f"{path}.b"
        self.path.rename(self._behind)
        self._fault: Fault | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._requests = 0
        self.spoilt = 0
        """How many answers went wrong here."""

    async def set(self, fault: Fault | None) -> None:
        before, self._fault = self._fault, fault
        cut = {before, fault} & {"refused", "silent"}
        if fault == "refused" and self._server is not None:
            self._server.close()
            self._server = None
            self.path.unlink(missing_ok=True)
        if cut:
            for task in self._connections:
                task.cancel()
        if fault != "refused" and self._server is None:
            self._server = await asyncio.start_unix_server(self._take, self.path, limit=2**26)

    async def close(self) -> None:
        await self.set("refused")
        Path(self._behind).rename(self.path)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while answer := await self._answer(await _message(reader)):
                writer.write(answer)
                await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # somebody left; the other side is to see nothing but that
        finally:
            writer.close()
            self._connections.discard(task)

    async def _answer(self, request: bytes) -> bytes:
        """What the caller gets; nothing = the connection is closed."""
        self._requests += 1
        fault, failing = self._fault, self._requests % 4
        self.spoilt += fault is not None and (fault != "half" or failing in (1, 3))
        if fault == "silent":
            await asyncio.Event().wait()
        answer = await self._pass_on(request)
        if fault == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        elif fault == "half":
            return {1: _ERROR, 3: b""}.get(failing, answer)
        elif fault is not None:
            return _SPOILT[fault]
        return answer

    async def _pass_on(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._behind, limit=2**26)
        try:
            writer.write(request)
            return await _message(reader)
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A whole HTTP message whose length stands in its head, as between our processes."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    raise EOFError


class Doors:
    """The doors of a platform, served by a thread of their own."""

    def __init__(self, sockets: dict[str, str]) -> None:
        """`sockets`: where each service is looked for."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._doors = {name: Door(path) for name, path in sockets.items()}
        for name in self._doors:
            self.set(name, None)

    def set(self, name: str, fault: Fault | None) -> None:
        """From now on, this goes wrong at a service; None: nothing."""
        self._do(self._doors[name].set(fault))

    def spoilt(self, name: str) -> int:
        """How many answers of a service went wrong so far."""
        return self._doors[name].spoilt

    def close(self) -> None:
        """Give the services their sockets back."""
        for door in self._doors.values():
            self._do(door.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(30)
