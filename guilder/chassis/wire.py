"""The thin HTTP/1.1 client between our own processes: keep-alive, one parser, nothing else."""

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httptools

from guilder.contracts.errors import Unavailable

MAX_IDLE = 32
IDLE_SECONDS = 60.0
"""A connection idle for longer is not used again: the server closes it soon (listen.py), and what
may not be sent twice must not meet that moment."""
MAX_ANSWER = 64 * 1024 * 1024

INTERIM = frozenset({100, 102, 103})
"""Statuses that only announce an answer (RFC 9110); proxies send them unasked."""


@dataclass(frozen=True)
class Address:
    """Where a process listens: a unix socket's path, or host and port."""

    path: str | None = None
    host: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def read(cls, text: str) -> "Address":
        """Read `unix:/path` or `http://host:port`; ValueError says which form is wanted."""
        if text.startswith("unix:/") and "\0" not in text:
            return cls(path=text.removeprefix("unix:"))
        try:
            parts = urlsplit(text)
            if (
                parts.scheme == "http"
                and parts.hostname
                and parts.port
                and text == (f"http://{parts.netloc}")
                and not re.search(r"[@\s]", text)
            ):
                return cls(host=parts.hostname, port=parts.port)
        except ValueError:
            pass
        raise ValueError(f"{text!r} is no address: write unix:/path or http://host:port")

    def __str__(self) -> str:
        """As `read` takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix:{self.path}" if self.path is not None else f"http://{host}:{self.port}"


class TooLarge(OSError):
    """The answer is larger than whoever asked can take."""


@dataclass
class Reply:
    """An HTTP answer as the parser builds it."""

    parser: Any = None
    most: int | None = None
    """The largest body that is taken, in bytes; None = MAX_ANSWER."""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    too_large: bool = False
    began: bool = False
    done: bool = False
    keep_alive: bool = False
    until_closed: bool = False
    """Whether its body ends where the connection does: it says nothing else."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if self.done:
            return
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Note how the body will end."""
        if not self.done:
            self.status = self.parser.get_status_code()
            self.until_closed = not {"content-length", "transfer-encoding"} & self.headers.keys()

    def on_body(self, data: bytes) -> None:
        """Take a part of the body; bounded."""
        if self.done:
            return
        self.size += len(data)
        if self.size > (MAX_ANSWER if self.most is None else self.most):
            self.too_large = True
        else:
            self.parts.append(data)

    def on_message_complete(self) -> None:
        """Note the end; now, because the parser does not know any more afterwards."""
        if self.done:  # nobody asked for a second answer
            self.keep_alive = False
            return
        if self.status in INTERIM:  # the answer is still to come, over the same connection
            self.headers.clear()
            self.until_closed = False
            return
        self.done = True
        self.keep_alive = self.parser.should_keep_alive()

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.parts)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

HEADROOM = 64 * 1024
"""How many bytes of an answer may be no body: status, headers, sizes of chunks."""


async def exchange(stream: Stream, data: bytes, reply: Reply) -> None:
    """Send a request and read its answer into `reply`; OSError for what is no HTTP, or no answer.

    TooLarge for what is larger than `reply` takes, in its body or around it.
    """
    reader, writer = stream
    writer.write(data)
    reply.parser, taken = httptools.HttpResponseParser(reply), 0
    while not reply.done:
        chunk = await reader.read(65536)
        if not chunk and reply.until_closed:
            reply.done = True
            break
        if not chunk:
            raise ConnectionResetError("the connection was closed before the answer")
        reply.began, taken = True, taken + len(chunk)
        try:
            reply.parser.feed_data(chunk)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise ConnectionAbortedError(f"the answer is not HTTP: {error}") from None
        if reply.too_large or taken > 8 * reply.size + HEADROOM:
            raise TooLarge("the answer is too large")
    reply.parser = None  # they hold each other


class Wire:
    """Connections to one address, reused."""

    def __init__(self, address: Address) -> None:
        """Opens nothing until the first request."""
        self.address = address
        self._idle: list[tuple[Stream, float]] = []
        self._closed = False

    async def request(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        *,
        repeatable: bool = False,
    ) -> Reply:
        """Send one request and read its answer; OSError when nobody answers, or not in HTTP.

        `repeatable`: sending it twice does no harm. Such a request is sent once more, on a new
        connection, when the first one ended before any byte of an answer: the process behind it
        has just been replaced, or has died, and the next one takes its connections.
        """
        lines = [f"{method} {path} HTTP/1.1", "Host: guilder", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        data = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        stream = self._kept()
        while True:
            stream = stream or await self._connect()
            reply = Reply()
            try:
                await exchange(stream, data, reply)
            except TooLarge:
                stream[1].close()
                raise Unavailable("the answer is too large", retry_after=1) from None
            except BaseException as error:
                stream[1].close()
                if repeatable and not reply.began and isinstance(error, OSError):
                    stream, repeatable = None, False  # the other kept ones may be as old
                    continue
                raise
            if reply.keep_alive and not self._closed and len(self._idle) < MAX_IDLE:
                self._idle.append((stream, time.monotonic()))
            else:
                stream[1].close()
            return reply

    def _kept(self) -> Stream | None:
        """A kept connection that the other side has not closed meanwhile and is not about to."""
        while self._idle:
            stream, since = self._idle.pop()
            old = time.monotonic() - since > IDLE_SECONDS
            if not old and not stream[0].at_eof() and not stream[1].is_closing():
                return stream
            stream[1].close()
        return None

    async def _connect(self) -> Stream:
        if self.address.path is not None:
            return await asyncio.open_unix_connection(self.address.path)
        return await asyncio.open_connection(self.address.host, self.address.port)

    def close(self) -> None:
        """Close what is idle now, and what is in use as soon as its answer is there."""
        self._closed = True
        for (_, writer), _ in self._idle:
            writer.close()
        self._idle.clear()
