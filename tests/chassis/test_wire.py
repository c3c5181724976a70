"""The client between our own processes: what it sends again, and what never."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, strategies as st

from guilder.chassis import wire as module
from guilder.chassis.listen import KEEP_ALIVE_SECONDS
from guilder.chassis.wire import Address, Wire
from guilder.contracts.errors import Unavailable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast"

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server whose n-th connection behaves as the n-th of the given; the last one again."""

    def __init__(self, path: str, *behaviours: Behave) -> None:
        self.path, self.behaviours = path, behaviours
        self.requests: list[bytes] = []
        self.connections = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behave = self.behaviours[min(self.connections, len(self.behaviours) - 1)]
        self.connections += 1
        try:
            await behave(reader, writer)
        finally:
            writer.close()

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """One whole request, noted."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        self.requests.append(head + await reader.readexactly(length))
        return self.requests[-1]


@asynccontextmanager
async def peer(tmp_path, *behaviours):
    made = Peer(str(tmp_path / "peer.sock"))
    made.behaviours = tuple(behaviour(made) for behaviour in behaviours)
    server = await asyncio.start_unix_server(made.take, made.path)
    wire = Wire(Address(path=made.path))
    try:
        yield made, wire
    finally:
        wire.close()
        server.close()


def answers(*replies: bytes):
    """Answers so many requests, then hangs up."""

    def bound(made):
        async def behave(reader, writer):
            for reply in replies:
                await made.read(reader)
                writer.write(reply)
                await writer.drain()

        return behave

    return bound


def reads_and_dies(made):
    async def behave(reader, writer):
        await made.read(reader)

    return behave


def dies_at_once(made):
    async def behave(reader, writer):
        writer.transport.abort()

    return behave


def begins_and_dies(made):
    async def behave(reader, writer):
        await made.read(reader)
        writer.write(OK[:20])

    return behave


def hangs(made):
    async def behave(reader, writer):
        await made.read(reader)
        await reader.read()  # until the other side goes

    return behave


async def ask(wire, *, repeatable=False, body=b"x"):
    return await wire.request("POST", "/a", {"K": "v"}, body, repeatable=repeatable)


async def test_one_connection_serves_many_requests(tmp_path):
    async with peer(tmp_path, answers(OK, OK, LAST), answers(OK)) as (made, wire):
        bodies = [(await ask(wire)).body for _ in range(4)]
    assert bodies == [b"ok", b"ok", b"last", b"ok"]
    assert made.connections == 2
    assert made.requests[0] == (
        b"POST /a HTTP/1.1\r\nHost: guilder\r\nContent-Length: 1\r\nK: v\r\n\r\nx"
    )


@pytest.mark.parametrize("dies", [reads_and_dies, dies_at_once])
async def test_repeatable_is_sent_once_more_before_the_first_byte(tmp_path, dies):
    async with peer(tmp_path, dies, answers(OK)) as (made, wire):
        assert (await ask(wire, repeatable=True)).body == b"ok"
    assert made.connections == 2
    assert len(set(made.requests)) == 1


@pytest.mark.parametrize("dies", [reads_and_dies, dies_at_once])
async def test_once_more_is_not_twice_more(tmp_path, dies):
    async with peer(tmp_path, dies, dies, answers(OK)) as (made, wire):
        with pytest.raises(OSError):
            await ask(wire, repeatable=True)
    assert made.connections == 2


@pytest.mark.parametrize("dies", [reads_and_dies, dies_at_once, begins_and_dies])
async def test_what_may_not_be_repeated_never_is(tmp_path, dies):
    async with peer(tmp_path, dies, answers(OK)) as (made, wire):
        with pytest.raises(OSError):
            await ask(wire)
    assert made.connections == 1


async def test_an_answer_that_has_begun_ends_the_matter(tmp_path):
    async with peer(tmp_path, begins_and_dies, answers(OK)) as (made, wire):
        with pytest.raises(OSError):
            await ask(wire, repeatable=True)
    assert made.connections == 1


@pytest.mark.parametrize("garbage", [b"\r\n\r\n", b"SSH-2.0\r\n", b"\0" * 99, b"HTTP/1.1 x\r\n"])
async def test_garbage_is_no_answer_and_not_asked_again(tmp_path, garbage):
    async with peer(tmp_path, answers(garbage), answers(OK)) as (made, wire):
        with pytest.raises(OSError):
            await ask(wire, repeatable=True)
    assert made.connections == 1


async def test_kept_connections_that_were_closed_meanwhile_are_passed_over(tmp_path):
    """Also by what may not be sent again: none of it was sent."""
    gone = asyncio.Event()

    def answers_once(made):
        async def behave(reader, writer):
            await made.read(reader)
            writer.write(OK)
            await gone.wait()

        return behave

    kept = [answers_once] * 5
    async with peer(tmp_path, *kept, answers(OK)) as (made, wire):
        await asyncio.gather(*(ask(wire) for _ in kept))
        gone.set()
        assert len(wire._idle) == 5
        while not all(reader.at_eof() for (reader, _), _ in wire._idle):  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert (await ask(wire)).body == b"ok"
    assert made.connections == 6
    assert len(made.requests) == 6


async def test_one_that_was_idle_for_long_is_not_used_again(tmp_path, monkeypatch):
    assert module.IDLE_SECONDS < KEEP_ALIVE_SECONDS - 10
    monkeypatch.setattr(module, "IDLE_SECONDS", -1.0)
    async with peer(tmp_path, answers(OK, OK)) as (made, wire):
        for _ in range(2):
            await ask(wire)
        assert len(wire._idle) == 1
    assert made.connections == 2


async def test_one_that_closes_as_the_request_arrives_costs_a_repeatable_one_nothing(tmp_path):
    def answers_then_drops(made):
        async def behave(reader, writer):
            await made.read(reader)
            writer.write(OK)
            await made.read(reader)  # and leaves

        return behave

    async with peer(tmp_path, answers_then_drops, answers(OK)) as (made, wire):
        for _ in range(2):
            assert (await ask(wire, repeatable=True)).body == b"ok"
    assert (made.connections, len(made.requests)) == (2, 3)


async def test_an_answer_too_many_is_not_taken_for_the_next(tmp_path):
    other = OK.replace(b"200", b"500").replace(b"ok", b"no")
    async with peer(tmp_path, answers(OK + other), answers(OK)) as (made, wire):
        for _ in range(2):
            reply = await ask(wire)
            assert (reply.status, reply.body) == (200, b"ok")
    assert made.connections == 2


async def test_nobody_there_is_said_at_once(tmp_path):
    wire = Wire(Address(path=str(tmp_path / "nobody.sock")))
    with pytest.raises(OSError):
        await ask(wire, repeatable=True)


async def test_a_caller_who_gives_up_leaves_no_connection_behind(tmp_path):
    async with peer(tmp_path, hangs, answers(OK)) as (made, wire):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(wire, repeatable=True)
        assert wire._idle == []
        assert (await ask(wire)).body == b"ok"
    assert made.connections == 2


async def test_answers_and_idle_connections_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_ANSWER", 1)
    async with peer(tmp_path, answers(OK), answers(OK)) as (made, wire):
        with pytest.raises(Unavailable, match="too large"):
            await ask(wire, repeatable=True)
    assert made.connections == 1
    monkeypatch.undo()
    monkeypatch.setattr(module, "MAX_IDLE", 2)
    together = asyncio.Barrier(5)

    def at_the_same_time(made):
        async def behave(reader, writer):
            await made.read(reader)
            await together.wait()
            writer.write(OK)
            await reader.read()

        return behave

    (tmp_path / "peer.sock").unlink()
    async with peer(tmp_path, at_the_same_time) as (made, wire):
        await asyncio.gather(*(ask(wire) for _ in range(5)))
        assert len(wire._idle) == 2


# ---- addresses

HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
PATHS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=60)


@given(PATHS)
def test_a_path_is_read_as_it_is_written(path):
    address = Address(path=f"/{path}")
    assert Address.read(str(address)) == address


@given(HOSTS, st.integers(1, 65535))
def test_a_host_is_read_as_it_is_written(host, port):
    address = Address(host=host, port=port)
    assert Address.read(str(address)) == address


@given(st.text(max_size=40))
def test_whatever_is_read_is_read_again_the_same(text):
    for given_ in (text, f"http://{text}", f"http://{text}:80", f"unix:/{text}"):
        try:
            address = Address.read(given_)
        except ValueError:
            continue
        assert Address.read(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unix:",
        "unix:relative.sock",
        "/run/x.sock",
        "UNIX:/x",
        "unix:/a\0b",
        "http://",
        "http://host",
        "http://:80",
        "http://host:0",
        "http://host:65536",
        "http://host:-1",
        "http://host:eighty",
        "http://host:80/",
        "http://host:80/path",
        "http://host:80?x",
        "http://host:80#x",
        "http://user@host:80",
        "http://user:secret@host:80",
        "http://ho st:80",
        "http://host:80 ",
        " http://host:80",
        "http://host\n:80",
        "http://[::1:80",
        "http://::1:80",
        "https://host:80",
        "host:80",
    ],
)
def test_what_is_no_address_is_refused_with_the_form_wanted(text):
    with pytest.raises(ValueError, match="write unix:/path or http://host:port"):
        Address.read(text)
