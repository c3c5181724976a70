"""The grammar and the bounds that one HTTP/1.1 request must keep, read without any I/O.

    RequestReader.feed(bytes) → RequestReader.next() → Incoming | None (more is needed) | Refusal

A verdict depends only on the bytes, never on how the network cut them into pieces: each check
is made at the line or the count that decides it, in stream order. The reader frames bodies
itself and hands on whole requests, so no parser behind it can disagree about where one ends.
"""

import re
from dataclasses import dataclass
from enum import Enum

TARGET_BYTES = 8 * 1024
HEADER_BYTES = 16 * 1024
HEADER_LINES = 64
BODY_BYTES = 256 * 1024
CHUNK_LINE_BYTES = 80
"""A chunk size of 8 hex digits and an extension of some 70 bytes, which nobody reads."""
FRAMING_BYTES = 32 * 1024
"""All chunk lines of one body together: else one-byte chunks cost far more than they carry."""

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
SINGLE = (b"authorization", b"content-type", b"idempotency-key", b"dpop")
"""Headers of which two would leave open which one was checked and which one is obeyed."""

_REQUEST_LINE_BYTES = TARGET_BYTES + 64
_LENGTH_DIGITS = 15
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_TARGET = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})+")
# In a path, what decodes to a control character, a slash or a backslash, and dot segments, would
# be one path for this check and another one for whoever decodes it later.
_PATH_TRICK = re.compile(rb"%(?:[01][0-9A-Fa-f]|2[Ff]|5[Cc]|7[Ff])|/(?:\.|%2[Ee]){1,2}(?:/|$)|^//")
_HEADER = re.compile(rb"([!#$%&'*+.^`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e]*)")
# The same grammar for a whole block at once, without backtracking.
_BLOCK = re.compile(rb"(?:[!#$%&'*+.^`|~0-9A-Za-z-]++:[\t\x20-\x7e]*+\r\n)*+\r\n")
_FIELDS = re.compile(rb"([^:]+):[ \t]*([\t\x20-\x7e]*)\r\n")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_DIGITS = re.compile(rb"[0-9]+")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e]*)?")


class Refusal(Exception):
    """This request is not served; `code` is a key of `strict.PROBLEMS`, `detail` what was seen."""

    def __init__(self, code: str, detail: str = "") -> None:
        """`detail` never repeats bytes of the request."""
        super().__init__(code)
        self.code = code
        self.detail = detail


class Phase(Enum):
    """What the reader waits for."""

    IDLE = "idle"
    HEADER = "header"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Incoming:
    """One whole request that keeps every rule."""

    head: bytes
    headers: list[tuple[bytes, bytes]]
    """Lower-case names, values without the spaces around them, as sent and in that order."""
    body: bytes
    chunked: bool

    def wire(self) -> bytes:
        """The request as bytes again; a chunked body becomes one chunk without extensions."""
        if not self.chunked:
            return self.head + self.body
        chunk = b"%x\r\n%b\r\n" % (len(self.body), self.body) if self.body else b""
        return self.head + chunk + b"0\r\n\r\n"


class RequestReader:
    """Cuts a stream of bytes into requests. After a `Refusal` it must not be used again."""

    def __init__(self) -> None:
        """Start between two requests."""
        self._buffer = bytearray()
        self._restart()

    def _restart(self) -> None:
        self.method = b""
        self.expects_continue = False
        self._at = 0
        self._headers_from = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._values: dict[bytes, list[bytes]] = {}
        self._head = b""
        self._head_done = False
        self._body = bytearray()
        self._wanted = 0
        self._chunked = False
        self._chunk_left: int | None = None
        self._framing = 0
        self._last_chunk = False

    @property
    def phase(self) -> Phase:
        """Where in a request the reader stands."""
        if self._head_done:
            return Phase.BODY
        return Phase.HEADER if self._buffer else Phase.IDLE

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return len(self._buffer) + len(self._head) + len(self._body)

    def feed(self, data: bytes) -> None:
        """Take what came from the network; judge nothing yet."""
        self._buffer += data

    def next(self) -> Incoming | None:
        """The next whole request, or None when more bytes are needed. Raises `Refusal`."""
        if not self._head_done and not self._read_head():
            return None
        complete = self._read_chunks() if self._chunked else self._read_sized()
        if not complete:
            return None
        request = Incoming(self._head, self._headers, bytes(self._body), self._chunked)
        self._restart()
        return request

    def _line(self, bound: int, code: str) -> bytes | None:
        """The next line without its CRLF, or None; `code` if line and CRLF pass `bound` bytes."""
        start = self._at
        end = self._buffer.find(b"\n", start, start + bound)
        if end < 0:
            if len(self._buffer) - start >= bound:
                raise Refusal(code)
            return None
        if end == start or self._buffer[end - 1] != 0x0D:
            raise Refusal("bare-line-feed")
        self._at = end + 1
        return bytes(self._buffer[start : end - 1])

    def _read_head(self) -> bool:
        if not self._at:
            line = self._line(_REQUEST_LINE_BYTES, "target-too-long")
            if line is None:
                return False
            self._judge_request_line(line)
            self._headers_from = self._at
            # Tried once a request: what does not come whole, or is not fair, is read by line.
            complete = self._take_block()
        else:
            complete = False
        if not complete and not self._take_lines():
            return False
        for name, value in self._headers:
            self._values.setdefault(name, []).append(value)
        self._judge_headers()
        self._head = bytes(self._buffer[: self._at])
        self._drop(self._at)
        self._head_done = True
        return True

    def _take_block(self) -> bool:
        block = _BLOCK.match(self._buffer, self._at, self._at + HEADER_BYTES)
        if block is None:
            return False
        fields = _FIELDS.findall(self._buffer, self._at, block.end() - 2)
        if len(fields) > HEADER_LINES:
            return False
        self._headers = [(name.lower(), value.rstrip(b" \t")) for name, value in fields]
        self._at = block.end()
        return True

    def _take_lines(self) -> bool:
        # Bounded: each turn takes a line of at least 2 of the HEADER_BYTES.
        while line := self._line(
            HEADER_BYTES - (self._at - self._headers_from), "headers-too-large"
        ):
            self._headers.append(_header(line))
            if len(self._headers) > HEADER_LINES:
                raise Refusal("too-many-headers", f"More than {HEADER_LINES} header lines.")
        return line is not None

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._at = 0

    def _judge_request_line(self, line: bytes) -> None:
        method, _, rest = line.partition(b" ")
        target, _, version = rest.rpartition(b" ")
        if not target or not _TOKEN.fullmatch(method) or not _VERSION.fullmatch(version):
            raise Refusal("request-line-malformed")
        self.method = method
        if version != b"HTTP/1.1":
            raise Refusal("http-version-unsupported")
        if method not in METHODS:
            raise Refusal("method-unknown")
        if len(target) > TARGET_BYTES:
            raise Refusal("target-too-long", f"The target has {len(target)} bytes.")
        if not target.startswith(b"/"):
            raise Refusal("target-form")
        if not _TARGET.fullmatch(target) or _PATH_TRICK.search(target.partition(b"?")[0]):
            raise Refusal("target-illegal")

    def _judge_headers(self) -> None:
        hosts = self._values.get(b"host", [])
        if len(hosts) != 1:
            raise Refusal("host-repeated" if hosts else "host-missing")
        if not _HOST.fullmatch(hosts[0]):
            raise Refusal("host-illegal")
        for name in SINGLE:
            if len(self._values.get(name, [])) > 1:
                raise Refusal("header-repeated", f"More than one {name.decode()} header.")
        self._judge_length()
        if any(value.lower() != b"identity" for value in self._values.get(b"content-encoding", [])):
            raise Refusal("content-encoding-unsupported")
        expected = self._values.get(b"expect", [])
        if expected and [value.lower() for value in expected] != [b"100-continue"]:
            raise Refusal("expectation-unsupported")
        self.expects_continue = bool(expected)
        if self._values.get(b"upgrade", []):
            raise Refusal("upgrade-unsupported")

    def _judge_length(self) -> None:
        lengths, codings = (
            self._values.get(b"content-length", []),
            self._values.get(b"transfer-encoding", []),
        )
        if lengths and codings:
            raise Refusal("length-ambiguous")
        if len(lengths) > 1:
            raise Refusal("content-length-repeated")
        if codings and codings != [b"chunked"]:
            raise Refusal("transfer-encoding-unsupported")
        self._chunked = bool(codings)
        if not lengths:
            return
        if not _DIGITS.fullmatch(lengths[0]):
            raise Refusal("content-length-illegal")
        # Digits are counted first: int() of thousands of digits is slow and then an error.
        if len(lengths[0]) > _LENGTH_DIGITS or int(lengths[0]) > BODY_BYTES:
            raise Refusal("body-too-large", "The declared Content-Length is over the bound.")
        self._wanted = int(lengths[0])

    def _read_sized(self) -> bool:
        self._take(self._wanted - len(self._body))
        return len(self._body) == self._wanted

    def _take(self, count: int) -> int:
        taken = min(count, len(self._buffer))
        self._body += self._buffer[:taken]
        self._drop(taken)
        return taken

    def _read_chunks(self) -> bool:
        # Bounded: each turn takes some of the FRAMING_BYTES or ends the body.
        while True:
            if self._chunk_left is None:
                size = self._chunk_size()
                if size is None:
                    return False
                if self._last_chunk:
                    return True
                self._chunk_left = size
            self._chunk_left -= self._take(self._chunk_left)
            if self._chunk_left or len(self._buffer) < 2:
                return False
            if not self._buffer.startswith(b"\r\n"):
                raise Refusal("chunk-malformed")
            self._drop(2)
            self._chunk_left = None

    def _chunk_size(self) -> int | None:
        """The size of the next chunk; sets `_last_chunk` once the end of the body was read."""
        if not self._last_chunk:
            line = self._line(CHUNK_LINE_BYTES, "chunk-extension-too-long")
            if line is None:
                return None
            self._drop(self._at)
            match = _CHUNK_LINE.fullmatch(line)
            if match is None:
                raise Refusal("chunk-malformed")
            self._framing += len(line) + 4
            if self._framing > FRAMING_BYTES:
                raise Refusal("chunks-too-small")
            size = int(match[1], 16)
            if len(self._body) + size > BODY_BYTES:
                raise Refusal("body-too-large", "The chunks together are over the bound.")
            if size:
                return size
        self._last_chunk = True
        end = self._buffer[:2]
        if end != b"\r\n"[: len(end)]:
            raise Refusal("trailers-unsupported")
        if len(end) < 2:
            return None
        self._drop(2)
        return 0


def _header(line: bytes) -> tuple[bytes, bytes]:
    """Lower-case name and value of one header line. Raises `Refusal`."""
    match = _HEADER.fullmatch(line)
    if match is not None:
        return match[1].lower(), match[2].rstrip(b" \t")
    if line[0] in b" \t":
        raise Refusal("header-folded")
    name, colon, _ = line.partition(b":")
    if not colon or not name:
        raise Refusal("header-malformed")
    if not _TOKEN.fullmatch(name):
        raise Refusal("header-name-illegal")
    raise Refusal("header-name-underscore" if b"_" in name else "header-value-illegal")
