"""What the HTTP layer answers by itself: every one of its problems, counted, and their bytes."""

import json
from collections import Counter

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from guilder.gateway import limits
from guilder.gateway.admission import spread
from guilder.gateway.limits import Refusal

_PLAIN = "Send the request with an unmodified HTTP/1.1 client library."

PROBLEMS: dict[str, tuple[int, str, str]] = {
    "request-line-malformed": (400, "The request line is malformed", _PLAIN),
    "bare-line-feed": (400, "A line ends without CR LF", "End every line with CR LF."),
    "target-form": (
        400,
        "The target is not a path",
        "Send the path and query alone, beginning with `/`; put the name into Host.",
    ),
    "target-illegal": (
        400,
        "The target has illegal characters",
        "Percent-encode values in the query; use no dot segments, no encoded slashes.",
    ),
    "target-too-long": (
        414,
        "The target is too long",
        f"Keep the target within {limits.TARGET_BYTES} bytes; move values into the body.",
    ),
    "http-version-unsupported": (400, "Only HTTP/1.1 is spoken here", "Use HTTP/1.1."),
    "method-unknown": (405, "The method is not known", "Use GET, HEAD or POST."),
    "host-missing": (400, "There is no Host header", "Send exactly one Host header."),
    "host-repeated": (400, "There are two Host headers", "Send exactly one Host header."),
    "host-illegal": (400, "The Host header is not a name", "Send a name or an address."),
    "header-malformed": (400, "A header line is malformed", "Write headers as `Name: value`."),
    "header-folded": (400, "A header value is folded", "Send each header on one line."),
    "header-name-illegal": (400, "A header name has illegal characters", _PLAIN),
    "header-name-underscore": (
        400,
        "A header name has an underscore",
        "Use `-` in header names: some software reads `_` and `-` as the same.",
    ),
    "header-value-illegal": (400, "A header value is illegal", "Use visible ASCII and spaces."),
    "header-repeated": (400, "A header is repeated", "Send the header named in `detail` once."),
    "headers-too-large": (
        431,
        "The headers are too large",
        f"Keep all headers together within {limits.HEADER_BYTES} bytes.",
    ),
    "too-many-headers": (431, "Too many headers", f"Send at most {limits.HEADER_LINES}."),
    "length-ambiguous": (400, "Two lengths", "Send Content-Length or Transfer-Encoding alone."),
    "content-length-repeated": (400, "There are two Content-Lengths", "Send exactly one."),
    "content-length-illegal": (400, "Content-Length is no number", "Send it in plain digits."),
    "transfer-encoding-unsupported": (
        400,
        "The Transfer-Encoding is not supported",
        "Send `Transfer-Encoding: chunked`, exactly so, or a Content-Length.",
    ),
    "chunk-malformed": (400, "A chunk is malformed", _PLAIN),
    "chunk-extension-too-long": (400, "A chunk line is too long", "Send no chunk extensions."),
    "chunks-too-small": (
        400,
        "The body is cut into too many chunks",
        "Send larger chunks, or a Content-Length.",
    ),
    "trailers-unsupported": (400, "Trailers are not accepted", "Send these fields as headers."),
    "body-too-large": (
        413,
        "The body is too large",
        f"Keep the body within {limits.BODY_BYTES} bytes; send several smaller requests.",
    ),
    "content-encoding-unsupported": (415, "The body is encoded", "Send it without encoding."),
    "expectation-unsupported": (
        417,
        "The expectation is not supported",
        "Send no Expect header, or `Expect: 100-continue`.",
    ),
    "upgrade-unsupported": (
        400,
        "The connection cannot be upgraded",
        "Send no Upgrade header; neither websockets nor h2c are spoken here.",
    ),
    "http-malformed": (400, "The request is malformed", _PLAIN),
    "header-timeout": (
        408,
        "The headers came too slowly",
        "Connect again and send the headers in one go.",
    ),
    "body-timeout": (
        408,
        "The body came too slowly",
        "Connect again, on a faster line or with a smaller body; a command keeps its key.",
    ),
    "gateway-busy": (503, "Too many connections", "Try again after the seconds in Retry-After."),
}
"""code → (status, title, fix): every answer of this layer. Codes are stable."""

STALLED = "answer-not-read"
"""Counted, never sent: the peer does not read, so it was cut off."""

refused: Counter[str] = Counter()
"""Refusals of this process by code: the keys of `PROBLEMS`, and `STALLED`."""

SAMPLE = 100
"""One refusal of each code in so many is logged."""

_EXTRA = {
    "content-encoding-unsupported": b"accept-encoding: identity\r\n",
    "method-unknown": b"allow: GET, HEAD, POST\r\n",
}
_log = structlog.get_logger(__name__)


def count_refusal(code: str) -> None:
    """Count, and log a sample without anything that the peer sent."""
    if refused[code] % SAMPLE == 0:
        _log.warning("gateway.http_refused", code=code, before=refused[code])
    refused[code] += 1


def answer(refusal: Refusal, default: list[tuple[bytes, bytes]], *, headless: bool) -> bytes:
    """The whole response; `headless` leaves the body out, as HEAD wants it."""
    status, title, fix = PROBLEMS[refusal.code]
    document = {
        "type": f"/problems/{refusal.code}",
        "title": title,
        "status": status,
        "detail": refusal.detail or title,
        "code": refusal.code,
        "fix": fix,
    }
    body = json.dumps(document).encode()
    lines = [STATUS_LINE[status]]
    lines += [b"%b: %b\r\n" % pair for pair in default]
    lines.append(_EXTRA.get(refusal.code, b""))
    if status == 503:
        lines.append(b"retry-after: %d\r\n" % spread())
    lines.append(b"content-type: application/problem+json\r\ncache-control: no-store\r\n")
    lines.append(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body))
    return b"".join(lines) + (b"" if headless else body)
