"""Raw bytes against a real server: what is refused never reaches the app (abuse list 55-58)."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import httptools
import pytest
import structlog
import uvicorn
from hypothesis import given, settings, strategies as st

from guilder.contracts.errors import CATALOGUE
from guilder.gateway import strict
from guilder.gateway.answers import PROBLEMS, STALLED, refused
from guilder.gateway.limits import BODY_BYTES, HEADER_BYTES, Incoming, Refusal, RequestReader
from guilder.gateway.strict import StrictProtocol, server_settings

HOST = b"Host: bank.example\r\n"
GET = b"GET / HTTP/1.1\r\n"
POST = b"POST /v1/x HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def with_header(line: bytes) -> bytes:
    return GET + HOST + line + b"\r\n\r\n"


def with_target(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"


ABUSE: dict[str, tuple[bytes, int, str]] = {
    # 57: who is asked
    "no host": (GET + b"\r\n", 400, "host-missing"),
    "two hosts": (GET + HOST + b"host: evil.example\r\n\r\n", 400, "host-repeated"),
    "same host twice": (GET + HOST + HOST + b"\r\n", 400, "host-repeated"),
    "empty host": (GET + b"Host:\r\n\r\n", 400, "host-illegal"),
    "host list": (GET + b"Host: a, b\r\n\r\n", 400, "host-illegal"),
    "host with user": (GET + b"Host: a@b\r\n\r\n", 400, "host-illegal"),
    "host with path": (GET + b"Host: a/b\r\n\r\n", 400, "host-illegal"),
    "host with port name": (GET + b"Host: a:http\r\n\r\n", 400, "host-illegal"),
    # 57: where the body ends
    "CL and TE": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "length-ambiguous",
    ),
    "TE and CL": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
        "length-ambiguous",
    ),
    "CL twice": (
        POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
        400,
        "content-length-repeated",
    ),
    "CL list": (POST + b"Content-Length: 1, 1\r\n\r\na", 400, "content-length-illegal"),
    "CL plus": (POST + b"Content-Length: +1\r\n\r\na", 400, "content-length-illegal"),
    "CL minus": (POST + b"Content-Length: -1\r\n\r\na", 400, "content-length-illegal"),
    "CL hex": (POST + b"Content-Length: 0x1\r\n\r\na", 400, "content-length-illegal"),
    "CL underscore": (POST + b"Content-Length: 1_0\r\n\r\na", 400, "content-length-illegal"),
    "CL empty": (POST + b"Content-Length:\r\n\r\n", 400, "content-length-illegal"),
    "TE list": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer-encoding-unsupported",
    ),
    "TE twice": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        400,
        "transfer-encoding-unsupported",
    ),
    "TE xchunked": (
        POST + b"Transfer-Encoding: xchunked\r\n\r\n",
        400,
        "transfer-encoding-unsupported",
    ),
    "chunk 0x5": (CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", 400, "chunk-malformed"),
    "chunk +5": (CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n", 400, "chunk-malformed"),
    "chunk space": (CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n", 400, "chunk-malformed"),
    "chunk nameless": (CHUNKED + b"\r\nhello\r\n0\r\n\r\n", 400, "chunk-malformed"),
    "chunk 9 digits": (CHUNKED + b"000000005\r\nhello\r\n0\r\n\r\n", 400, "chunk-malformed"),
    "chunk longer": (CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n", 400, "chunk-malformed"),
    "chunk bare LF": (CHUNKED + b"5\nhello\r\n0\r\n\r\n", 400, "bare-line-feed"),
    "chunk end bare LF": (CHUNKED + b"5\r\nhello\n0\r\n\r\n", 400, "chunk-malformed"),
    "chunk extension": (
        CHUNKED + b"5;" + b"a" * 100 + b"\r\nhello\r\n0\r\n\r\n",
        400,
        "chunk-extension-too-long",
    ),
    "tiny chunks": (CHUNKED + b"1\r\na\r\n" * 10_000, 400, "chunks-too-small"),
    "trailers": (CHUNKED + b"0\r\nX-Role: admin\r\n\r\n", 400, "trailers-unsupported"),
    # 57: lines and names
    "bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400, "bare-line-feed"),
    "bare LF in headers": (GET + b"Host: a\nX: b\r\n\r\n", 400, "bare-line-feed"),
    "bare LF at the end": (GET + HOST + b"\n", 400, "bare-line-feed"),
    "bare CR": (GET + b"Host: a\rX: b\r\n\r\n", 400, "header-value-illegal"),
    "NUL": (with_header(b"X: a\x00b"), 400, "header-value-illegal"),
    "line separator": (with_header("X: a\u2028b".encode()), 400, "header-value-illegal"),
    "obs-fold": (with_header(b"X: a\r\n b"), 400, "header-folded"),
    "obs-fold tab": (with_header(b"X: a\r\n\tb"), 400, "header-folded"),
    "space before colon": (GET + b"Host : a\r\n\r\n", 400, "header-name-illegal"),
    "quote in name": (with_header(b'X"Y: a'), 400, "header-name-illegal"),
    "non-ASCII name": (with_header(b"X\xe9: a"), 400, "header-name-illegal"),
    "underscore": (with_header(b"X_Tenant: a"), 400, "header-name-underscore"),
    "no colon": (with_header(b"Hello"), 400, "header-malformed"),
    "no name": (with_header(b": a"), 400, "header-malformed"),
    "two tokens": (
        with_header(b"Authorization: a\r\nAuthorization: b"),
        400,
        "header-repeated",
    ),
    "70 kB header": (with_header(b"X: " + b"a" * 70_000), 431, "headers-too-large"),
    "16 kB of small headers": (
        with_header(b"\r\n".join([b"X: " + b"a" * 600] * 30)),
        431,
        "headers-too-large",
    ),
    "65 headers": (with_header(b"\r\n".join([b"X: a"] * 64)), 431, "too-many-headers"),
    # 57: the request line
    "absolute": (with_target(b"http://bank.example/"), 400, "target-form"),
    "authority": (with_target(b"bank.example:443"), 400, "target-form"),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 400, "target-form"),
    "connect": (b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n", 405, "method-unknown"),
    "unknown method": (b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", 405, "method-unknown"),
    "lower-case method": (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 405, "method-unknown"),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\n" + HOST + b"\r\n", 400, "http-version-unsupported"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "http-version-unsupported"),
    "HTTP/0.9": (b"GET /\r\n", 400, "request-line-malformed"),
    "HTTP/1.10": (b"GET / HTTP/1.10\r\n", 400, "request-line-malformed"),
    "empty first line": (b"\r\n" + with_target(b"/"), 400, "request-line-malformed"),
    "TLS hello": (b"\x16\x03\x01\x02\r\n", 400, "request-line-malformed"),
    "space in target": (with_target(b"/a b"), 400, "target-illegal"),
    "two spaces": (with_target(b" /a"), 400, "target-form"),
    "tab in target": (with_target(b"/a\tb"), 400, "target-illegal"),
    "control in target": (with_target(b"/a\x01"), 400, "target-illegal"),
    "CR in target": (with_target(b"/a\rb"), 400, "target-illegal"),
    "non-ASCII target": (with_target("/é".encode()), 400, "target-illegal"),
    "fragment": (with_target(b"/a#b"), 400, "target-illegal"),
    "bad percent": (with_target(b"/a%zz"), 400, "target-illegal"),
    "encoded line feed": (with_target(b"/a%0ab"), 400, "target-illegal"),
    "encoded slash": (with_target(b"/a/..%2fb"), 400, "target-illegal"),
    "dot segment": (with_target(b"/a/../b"), 400, "target-illegal"),
    "encoded dot segment": (with_target(b"/a/%2e%2E?x"), 400, "target-illegal"),
    "network path": (with_target(b"//evil.example/"), 400, "target-illegal"),
    "9 kB target": (with_target(b"/" + b"a" * 9_000), 414, "target-too-long"),
    "8193 byte target": (with_target(b"/" + b"a" * 8_192), 414, "target-too-long"),
    "expectation": (with_header(b"Expect: payment"), 417, "expectation-unsupported"),
    "websocket": (
        with_header(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"),
        400,
        "upgrade-unsupported",
    ),
    "h2c": (with_header(b"Connection: Upgrade\r\nUpgrade: h2c"), 400, "upgrade-unsupported"),
    # 55, 56: size and compression, refused at the declaration
    "50 MB declared": (POST + b"Content-Length: 52428800\r\n\r\n", 413, "body-too-large"),
    "one byte over": (
        POST + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES + 1),
        413,
        "body-too-large",
    ),
    "5000 digits": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 413, "body-too-large"),
    "huge chunk": (CHUNKED + b"FFFFFFFF\r\n", 413, "body-too-large"),
    "gzip": (
        POST + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
        415,
        "content-encoding-unsupported",
    ),
    "identity and gzip": (
        POST + b"Content-Encoding: identity, gzip\r\nContent-Length: 0\r\n\r\n",
        415,
        "content-encoding-unsupported",
    ),
    "deflate in a second line": (
        POST + b"Content-Encoding: identity\r\nContent-Encoding: deflate\r\n\r\n",
        415,
        "content-encoding-unsupported",
    ),
}

FAIR: dict[str, tuple[bytes, bytes]] = {
    # name → (request, the body that the app must see)
    "plain": (with_header(b"Accept: */*"), b""),
    "port": (GET + b"Host: 127.0.0.1:8080\r\n\r\n", b""),
    "IPv6": (GET + b"Host: [::1]:8080\r\n\r\n", b""),
    "query": (with_target(b"/v1/a?value_date=2026-01-01&q=%C3%A9%0a/../"), b""),
    "sized": (POST + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "identity": (POST + b"Content-Encoding: Identity\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    "chunked": (CHUNKED + b"5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n", b"hello, world"),
    "chunked upper-case": (CHUNKED + b"00A\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
    "chunked empty": (CHUNKED + b"0\r\n\r\n", b""),
    "64 headers": (with_header(b"\r\n".join([b"X: a"] * 63)), b""),
    "8192 byte target": (with_target(b"/" + b"a" * 8_191), b""),
    "16 kB of headers": (with_header(b"X: " + b"a" * (HEADER_BYTES - len(HOST) - 7)), b""),
    "256 kB": (
        POST + b"Content-Length: %d\r\n\r\n" % BODY_BYTES + b"z" * BODY_BYTES,
        b"z" * BODY_BYTES,
    ),
}


class App:
    """Records every request; `/wait` answers when told to, `/flood` answers 32 MB."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        record = {"path": scope["path"], "headers": scope["headers"], "method": scope["method"]}
        self.seen.append(record)
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        record["body"] = body
        if scope["path"] == "/wait":
            await self.go.wait()
        content = b"x" * (32 << 20) if scope["path"] == "/flood" else b"seen " + body[:20]
        length = str(len(content)).encode()
        start = {"type": "http.response.start", "status": 200}
        await send({**start, "headers": [(b"content-length", length)]})
        for at in range(0, len(content), 1 << 20):
            await send(
                {"type": "http.response.body", "body": content[at : at + (1 << 20)]}
                | {"more_body": at + (1 << 20) < len(content)}
            )


class Quick(StrictProtocol):
    header_seconds = 0.1
    body_seconds = 0.1
    write_seconds = 0.1
    held_bytes_max = 100_000


class Gateway:
    """A running server, and raw connections to it."""

    def __init__(self, app: App, server: uvicorn.Server, port: int) -> None:
        self.app = app
        self.server = server
        self.port = port

    @asynccontextmanager
    async def connect(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(10):
                yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def exchange(self, *pieces: bytes) -> bytes:
        """Send the pieces, read until the server closes."""
        async with self.connect() as (reader, writer):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            return await read_all(reader)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Everything until the end; a reset after the answer counts as the end too."""
    data = bytearray()
    with suppress(ConnectionResetError):
        while piece := await reader.read(65536):
            data += piece
    return bytes(data)


async def read_one(reader: asyncio.StreamReader, *, body: bool = True) -> tuple[bytes, bytes]:
    """One answer with a Content-Length from a connection that stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    match = re.search(rb"content-length: (\d+)", head)
    return head, await reader.readexactly(int(match[1])) if body and match else b""


async def until(holds: Callable[[], bool]) -> None:
    """Let others work until it holds; at most 5 seconds."""
    for _ in range(2500):
        if holds():
            return
        await asyncio.sleep(0.002)
    raise TimeoutError


@asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Gateway]:
    app = App()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, **{**server_settings(), **changes}))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started)
    yield Gateway(app, server, listener.getsockname()[1])
    server.should_exit = True
    await task


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Gateway]:
    with structlog.testing.capture_logs():
        async with serving() as gateway:
            yield gateway


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    running.app.seen.clear()
    running.app.go.clear()
    return running


@pytest.fixture(scope="module")
async def quick() -> AsyncIterator[Gateway]:
    async with serving(http=Quick) as gateway:
        yield gateway


def problem(answer: bytes) -> dict[str, Any]:
    """The document of an answer that must be exactly one refusal."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    assert "date" in headers
    assert "server" not in headers
    document: dict[str, Any] = json.loads(body)
    assert document.keys() == {"type", "title", "status", "detail", "code", "fix"}
    assert status.split()[1] == str(document["status"])
    assert all(document.values())
    return document


FOLLOWER = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.mark.abuse(55)
@pytest.mark.abuse(56)
@pytest.mark.abuse(57)
@pytest.mark.parametrize("name", ABUSE)
async def test_abuse_is_refused_before_the_app(gateway: Gateway, name: str) -> None:
    request, status, code = ABUSE[name]
    before = refused[code]
    found = problem(await gateway.exchange(request + FOLLOWER))
    assert (found["status"], found["code"]) == (status, code)
    assert gateway.app.seen == []
    assert refused[code] == before + 1


@pytest.mark.parametrize("name", [name for name in ABUSE if len(ABUSE[name][0]) < 300])
async def test_abuse_byte_by_byte_is_the_same(gateway: Gateway, name: str) -> None:
    request, status, code = ABUSE[name]
    found = problem(await gateway.exchange(*(bytes([byte]) for byte in request)))
    assert (found["status"], found["code"]) == (status, code)
    assert gateway.app.seen == []


@pytest.mark.parametrize("name", FAIR)
async def test_fair_requests_reach_the_app_whole(gateway: Gateway, name: str) -> None:
    request, body = FAIR[name]
    async with gateway.connect() as (reader, writer):
        writer.write(request)
        assert (await read_one(reader))[0].startswith(b"HTTP/1.1 200 ")
        writer.write(request)
        assert (await read_one(reader))[1] == b"seen " + body[:20]
    assert [record["body"] for record in gateway.app.seen] == [body, body]


async def test_head_gets_no_body_served_or_refused(gateway: Gateway) -> None:
    head = b"HEAD / HTTP/1.1\r\n" + HOST
    served = await gateway.exchange(head + b"Connection: close\r\n\r\n" + FOLLOWER)
    assert served.startswith(b"HTTP/1.1 200 ")
    assert served.endswith(b"\r\n\r\n")
    turned_away = await gateway.exchange(head + b"X_Y: 1\r\n\r\n")
    assert turned_away.startswith(b"HTTP/1.1 400 ")
    assert turned_away.endswith(b"connection: close\r\n\r\n")
    assert [record["path"] for record in gateway.app.seen] == ["/"]


async def test_expect_is_answered_before_the_body_and_once(gateway: Gateway) -> None:
    async with gateway.connect() as (reader, writer):
        writer.write(POST + b"Content-Length: 4\r\nExpect: 100-Continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert gateway.app.seen == []
        writer.write(b"body")
        assert (await read_one(reader))[1] == b"seen body"
    too_large = POST + b"Content-Length: 999999\r\nExpect: 100-continue\r\n\r\n"
    assert problem(await gateway.exchange(too_large))["code"] == "body-too-large"


async def test_pipelined_requests_are_answered_in_order(gateway: Gateway) -> None:
    numbers = range(20)
    sent = b"".join(POST + b"Content-Length: 2\r\n\r\n%02d" % n for n in numbers)
    async with gateway.connect() as (reader, writer):
        writer.write(sent)
        assert [(await read_one(reader))[1] for _ in numbers] == [b"seen %02d" % n for n in numbers]


async def test_a_refusal_waits_for_the_answer_before_it(gateway: Gateway) -> None:
    wait = b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n"
    async with gateway.connect() as (reader, writer):
        writer.write(wait + ABUSE["two hosts"][0] + FOLLOWER)
        await until(lambda: bool(gateway.app.seen))
        gateway.app.go.set()
        assert (await read_one(reader))[1] == b"seen "
        assert problem(await read_all(reader))["code"] == "host-repeated"
    assert [record["path"] for record in gateway.app.seen] == ["/wait"]


async def test_a_refusal_does_not_cut_a_long_answer(gateway: Gateway) -> None:
    async with gateway.connect() as (reader, writer):
        writer.write(b"GET /flood HTTP/1.1\r\n" + HOST + b"\r\n" + ABUSE["chunk 0x5"][0])
        assert (await read_one(reader))[1] == b"x" * (32 << 20)
        assert problem(await read_all(reader))["code"] == "chunk-malformed"


async def test_a_flood_of_pipelined_requests_is_cut_off(gateway: Gateway) -> None:
    async with gateway.connect() as (reader, writer):
        writer.write(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n" + FOLLOWER * 100_000)
        await until(lambda: bool(gateway.app.seen))
        await asyncio.sleep(0.05)
        assert strict.held_by_all.count < 1 << 20
        gateway.app.go.set()
        assert (await read_one(reader))[1] == b"seen "


@pytest.mark.abuse(55)
async def test_55_a_body_streamed_over_the_bound_is_cut_off(gateway: Gateway) -> None:
    chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    async with gateway.connect() as (reader, writer):
        writer.write(CHUNKED)
        answer = asyncio.create_task(read_all(reader))
        with suppress(ConnectionError):
            for _ in range(800):
                writer.write(chunk)
                await writer.drain()
        assert problem(await answer)["code"] == "body-too-large"
    assert gateway.app.seen == []


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "header-timeout"),
        (GET + b"Host: a\r\nX: ", "header-timeout"),
        (POST + b"Content-Length: 9\r\n\r\nslow", "body-timeout"),
        (CHUNKED + b"5\r\nhello\r\n", "body-timeout"),
        (CHUNKED + b"0\r\n", "body-timeout"),
    ],
)
async def test_55_slow_requests_time_out(quick: Gateway, sent: bytes, code: str) -> None:
    found = problem(await quick.exchange(sent))
    assert (found["status"], found["code"]) == (408, code)
    assert quick.app.seen == []


async def test_55_dripping_bytes_wins_no_time(quick: Gateway) -> None:
    async with quick.connect() as (reader, writer):
        writer.write(POST + b"Content-Length: 9999\r\n\r\n")
        answer = asyncio.create_task(read_all(reader))
        with suppress(ConnectionError):
            while not answer.done():
                writer.write(b"a")
                await asyncio.sleep(0.01)
        assert problem(await answer)["code"] == "body-timeout"
    assert quick.app.seen == []


async def test_who_does_not_read_the_answer_is_cut_off(quick: Gateway) -> None:
    before = refused[STALLED]
    async with quick.connect() as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /flood HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: refused[STALLED] > before)


async def test_unfinished_requests_share_a_bound_of_memory(quick: Gateway) -> None:
    request = POST + b"Content-Length: 200000\r\n\r\n" + b"a" * 150_000
    assert problem(await quick.exchange(request))["code"] == "gateway-busy"
    assert strict.held_by_all.count == 0


async def test_connections_are_bounded() -> None:
    async with serving(limit_concurrency=1) as gateway, gateway.connect() as (reader, writer):
        writer.write(FOLLOWER)
        await read_one(reader)
        answer = await gateway.exchange(FOLLOWER)
        assert re.search(rb"\r\nretry-after: [1-5]\r\n", answer)
        assert problem(answer)["status"] == 503
        writer.write(FOLLOWER)
        assert (await read_one(reader))[0].startswith(b"HTTP/1.1 200 ")


@pytest.mark.abuse(58)
async def test_58_spoofed_headers_have_no_effect(gateway: Gateway) -> None:
    spoofed = [
        b"X-Forwarded-For: 10.0.0.1",
        b"X-FORWARDED-PROTO: https",
        b"x-forwarded-host: evil.example",
        b"Forwarded: for=10.0.0.1",
        b"X-Real-IP: 10.0.0.1",
        b"X-Tenant: companyx",
        b"X-Tenant-Id: companyx",
        b"Guilder-Principal: admin",
        b"gUiLdEr-Call: token",
    ]
    async with gateway.connect() as (reader, writer):
        writer.write(with_header(b"\r\n".join([*spoofed, b"X-Mine: kept \t"])))
        await read_one(reader)
    assert gateway.app.seen[0]["headers"] == [(b"host", b"bank.example"), (b"x-mine", b"kept")]


async def test_refusals_are_sampled_in_the_log_without_the_request() -> None:
    refused.clear()
    with structlog.testing.capture_logs() as lines:
        for _ in range(201):
            strict.count_refusal("host-missing")
    assert [line["before"] for line in lines] == [0, 100, 200]
    assert refused == {"host-missing": 201}


@pytest.mark.parametrize(
    "wire",
    [
        b"nonsense",
        POST + b"Content-Length: 9\r\n\r\nshort",
        FOLLOWER + FOLLOWER,
        FOLLOWER + b"GET / HT",
        with_header(b"Connection: Upgrade\r\nUpgrade: websocket"),
    ],
)
async def test_when_the_second_parser_disagrees_the_app_is_not_asked(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, wire: bytes
) -> None:
    monkeypatch.setattr(Incoming, "wire", lambda self: wire)
    assert problem(await gateway.exchange(FOLLOWER))["code"] == "http-malformed"
    assert gateway.app.seen == []


def test_every_code_has_a_test_and_no_other_meaning() -> None:
    elsewhere = {"header-timeout", "body-timeout", "gateway-busy", "http-malformed"}
    assert PROBLEMS.keys() == {code for _, _, code in ABUSE.values()} | elsewhere
    assert not PROBLEMS.keys() & CATALOGUE.keys()
    assert STALLED not in PROBLEMS


def verdict(pieces: list[bytes]) -> list[Incoming | str]:
    """All requests in the pieces, then the code of the refusal if there is one."""
    reader, found = RequestReader(), list[Incoming | str]()
    try:
        for piece in pieces:
            reader.feed(piece)
            while (request := reader.next()) is not None:
                found.append(request)
    except Refusal as refusal:
        found.append(refusal.code)
    return found


def cut(data: bytes, points: list[int]) -> list[bytes]:
    edges = [0, *sorted(point % (len(data) + 1) for point in points), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


FAIR_REQUESTS = [request for request, _ in FAIR.values() if len(request) < 20_000]
ABUSIVE_REQUESTS = [request for request, _, _ in ABUSE.values() if len(request) < 20_000]
POINTS = st.lists(st.integers(0, 1 << 20), max_size=12)
STREAMS = st.builds(
    lambda fair, abuse: b"".join(fair) + abuse,
    st.lists(st.sampled_from(FAIR_REQUESTS), max_size=3),
    st.sampled_from([b"", *ABUSIVE_REQUESTS]),
)
NASTY = st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"0", b"\x00", b";", b"_"])


@given(STREAMS, POINTS)
@settings(max_examples=300, deadline=None)
def test_the_verdict_does_not_depend_on_the_cuts(stream: bytes, points: list[int]) -> None:
    assert verdict(cut(stream, points)) == verdict([stream])


@given(
    st.sampled_from([request for request in FAIR_REQUESTS if len(request) < 400]),
    st.lists(st.tuples(st.integers(0, 400), NASTY | st.binary(max_size=3)), max_size=3),
    POINTS,
)
@settings(max_examples=500, deadline=None)
def test_what_passes_means_the_same_to_another_parser(
    request_bytes: bytes, changes: list[tuple[int, bytes]], points: list[int]
) -> None:
    data = bytearray(request_bytes)
    for at, change in changes:
        data[at : at + 1] = change
    found = verdict([bytes(data)])
    assert verdict(cut(bytes(data), points)) == found
    for request in found:
        if isinstance(request, Incoming):
            other = Other()
            httptools.HttpRequestParser(other).feed_data(request.wire())
            assert (other.hosts, other.ended, other.body) == (1, 1, request.body)


class Other:
    """What httptools finds."""

    def __init__(self) -> None:
        self.hosts, self.ended, self.body = 0, 0, b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.hosts += name.lower() == b"host"

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended += 1
