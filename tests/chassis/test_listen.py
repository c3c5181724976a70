"""Servers on one held socket that take turns: whoever asks meanwhile gets a whole answer."""

import asyncio
import json
import os
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httptools
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from guilder.chassis.listen import Server, private_server
from guilder.chassis.wire import Address, Wire
from guilder.gateway.strict import server_settings

GET = b"GET /now HTTP/1.1\r\nHost: bank.example\r\n\r\n"


class Desk:
    """What is served: at once, or when `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = 0
        self.seen: list[str] = []

    async def now(self, request: Request) -> Response:
        return JSONResponse({"pid": os.getpid()})

    async def slow(self, request: Request) -> Response:
        self.begun += 1
        await self.go.wait()
        return JSONResponse({"slow": True})

    async def take(self, request: Request) -> Response:
        said = (await request.body()).decode()
        await asyncio.sleep(0)
        self.seen.append(said)
        return JSONResponse({"said": said})

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/now", self.now),
                Route("/slow", self.slow),
                Route("/take", self.take, methods=["POST"]),
            ]
        )


class Door:
    """A held socket, and servers on copies of it."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.held.bind(self.path)
        self.held.listen(1024)
        self.desk = Desk()

    async def serve(self, public: bool = False) -> tuple[Server, asyncio.Task[None]]:
        settings = server_settings()
        app = self.desk.app
        server = Server(app, **settings) if public else private_server(app)
        task = asyncio.create_task(server.serve(sockets=[self.held.dup()]))
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return server, task

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.path)


@pytest.fixture
def door(tmp_path):
    made = Door(tmp_path / "d.sock")
    yield made
    made.held.close()


class Whole:
    """An answer as a stranger's parser takes it."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body, self.done, self.keep_alive = b"", False, False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.done, self.keep_alive = True, self.parser.should_keep_alive()


async def answered(reader: asyncio.StreamReader) -> Whole:
    whole = Whole()
    whole.parser = httptools.HttpResponseParser(whole)
    async with asyncio.timeout(10):
        while not whole.done:
            data = await reader.read(65536)
            assert data, "hung up in the middle"
            whole.parser.feed_data(data)
    assert whole.parser.get_status_code() == 200, whole.body
    return whole


async def once(reader, writer) -> Whole:
    writer.write(GET)
    return await answered(reader)


@asynccontextmanager
async def ended(task):
    """The server's task must end within some seconds once the block is over."""
    yield
    async with asyncio.timeout(10):
        await task


async def test_what_is_being_answered_is_answered_and_then_closed(door):
    server, task = await door.serve()
    reader, writer = await door.connect()
    writer.write(GET.replace(b"/now", b"/slow"))
    while not door.desk.begun:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    async with ended(task):
        server.leave()
        await asyncio.sleep(0.3)
        assert not task.done()
        door.desk.go.set()
        whole = await answered(reader)
        assert json.loads(whole.body) == {"slow": True}
        assert await reader.read() == b""
    writer.close()


async def test_idle_private_connections_are_closed(door):
    server, task = await door.serve()
    fresh, used = await door.connect(), await door.connect()
    assert (await once(*used)).keep_alive
    async with ended(task):
        server.leave()
        for reader, writer in (fresh, used):
            assert await reader.read() == b""
            writer.close()


async def test_a_request_that_is_half_there_is_answered_as_the_last_or_not_begun(door):
    server, task = await door.serve()
    head = b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
    begun, unsaid = await door.connect(), await door.connect()
    begun[1].write(head + b"\r\nab")  # headers are whole: the app runs
    unsaid[1].write(head)
    await asyncio.sleep(0.05)
    async with ended(task):
        server.leave()
        await asyncio.sleep(0.2)
        begun[1].write(b"cd")
        whole = await answered(begun[0])
        assert json.loads(whole.body) == {"said": "abcd"}
        assert not whole.keep_alive
        assert await unsaid[0].read() == b""
    assert door.desk.seen == ["abcd"]
    for _, writer in (begun, unsaid):
        writer.close()


async def test_a_public_server_says_goodbye_on_the_connections_that_it_has(door):
    server, task = await door.serve(public=True)
    first, second, silent = [await door.connect() for _ in range(3)]
    assert (await once(*first)).keep_alive
    assert (await once(*silent)).keep_alive
    async with ended(task):
        server.leave(linger=1.0)
        await asyncio.sleep(0.2)
        for streams in (first, second):  # also one that had asked nothing yet
            whole = await once(*streams)
            assert not whole.keep_alive
            assert whole.headers["connection"] == "close"
            assert await streams[0].read() == b""
        late = await door.connect()  # waits in the queue that nobody takes from
        late[1].write(GET)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await late[0].read(1)
        assert await silent[0].read() == b""  # when the time is over
    successor, task = await door.serve(public=True)
    assert (await answered(late[0])).keep_alive
    async with ended(task):
        successor.leave()
    for _, writer in (first, second, silent, late):
        writer.close()


async def test_the_lingering_ends_when_everybody_has_gone_or_when_told_so(door):
    clock = asyncio.get_running_loop().time
    server, task = await door.serve(public=True)
    streams = await door.connect()
    await once(*streams)
    began = clock()
    async with ended(task):
        server.leave(linger=60.0)
        await asyncio.sleep(0.2)
        streams[1].close()
    server, task = await door.serve(public=True)
    streams = await door.connect()
    await once(*streams)
    async with ended(task):
        server.leave(linger=60.0)
        await asyncio.sleep(0.2)
        server.linger = 0.0
        assert await streams[0].read() == b""
    assert clock() - began < 20
    streams[1].close()


async def test_what_waits_in_the_queue_is_served_by_the_successor(door):
    old, old_task = await door.serve()
    new, new_task = await door.serve()
    async with ended(old_task):
        old.leave()
    waiting = [await door.connect() for _ in range(20)]
    wholes = await asyncio.gather(*(once(*streams) for streams in waiting))
    assert all(whole.keep_alive for whole in wholes)
    async with ended(new_task):
        new.leave()
    for _, writer in waiting:
        writer.close()


async def test_without_anybody_the_queue_waits(door):
    """As between a crash and the restart after it."""
    early = [await door.connect() for _ in range(20)]
    for _, writer in early:
        writer.write(GET)
    server, task = await door.serve()
    wholes = [await answered(reader) for reader, _ in early]
    assert len(wholes) == 20
    async with ended(task):
        server.leave()
    for _, writer in early:
        writer.close()


async def test_twenty_successions_fail_nobody(door):
    """Repeatable requests through the wire, and strangers who are told before they are closed."""
    over, failures = asyncio.Event(), []
    acknowledged: list[str] = []

    async def inside(wire: Wire) -> None:
        while not over.is_set():
            said = str(uuid4())
            try:
                async with asyncio.timeout(10):
                    body = said.encode()
                    reply = await wire.request("POST", "/take", {}, body, repeatable=True)
                assert (reply.status, json.loads(reply.body)) == (200, {"said": said})
                acknowledged.append(said)
            except (OSError, AssertionError) as error:
                failures.append(repr(error))

    wires = [Wire(Address(path=door.path)) for _ in range(4)]
    server, task = await door.serve()
    asking = [asyncio.create_task(inside(wire)) for wire in wires for _ in range(10)]
    for _ in range(20):
        successor, successor_task = await door.serve()
        async with ended(task):
            server.leave()
        server, task = successor, successor_task
    over.set()
    await asyncio.gather(*asking)
    async with ended(task):
        server.leave()
    for wire in wires:
        wire.close()
    assert failures == []
    assert len(acknowledged) > 100
    assert set(acknowledged) <= set(door.desk.seen)


async def test_strangers_who_keep_their_connections_lose_no_request(door):
    """They never send again: an answer that says `close` is the only way to end a connection."""
    over, failures, count = asyncio.Event(), [], 0

    async def outside() -> None:
        nonlocal count
        streams = await door.connect()
        while not over.is_set():
            try:
                whole = await once(*streams)
                count += 1
            except (OSError, AssertionError, TimeoutError) as error:
                failures.append(repr(error))
                whole = Whole()
            if not whole.keep_alive:
                streams[1].close()
                streams = await door.connect()
            await asyncio.sleep(0.01)
        streams[1].close()

    server, task = await door.serve(public=True)
    asking = [asyncio.create_task(outside()) for _ in range(20)]
    for _ in range(10):
        successor, successor_task = await door.serve(public=True)
        async with ended(task):
            server.leave(linger=5.0)
        server, task = successor, successor_task
    over.set()
    await asyncio.gather(*asking)
    async with ended(task):
        server.leave()
    assert failures == []
    assert count > 100
