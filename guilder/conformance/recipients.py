"""Recipients that a suite owns: a mailbox and a webhook receiver, so that it sees what arrives.

The edition under examination hands its mail to the suite's mail server (its relay, for the time of
the run) and posts to the suite's receiver.
"""

import contextlib
import email
import email.policy
import re
import socketserver
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final

from guilder.chassis.settings import BadSetting
from guilder.conformance.settings import RecipientSettings

NEVER: Final = "never"
"""A recipient whose name begins so takes nothing, ever: 550 in SMTP, 410 in HTTP."""

DOMAIN: Final = "conformance.example"
LARGEST: Final = 256 * 1024
IDLE_S: Final = 30


@dataclass
class Arrivals:
    """What has arrived, and what was tried in vain, in order."""

    mails: list[tuple[str, EmailMessage]] = field(default_factory=list)
    posts: list[tuple[str, bytes]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def bodies(self, to: str) -> list[str]:
        """The texts that one recipient got: an address, or the last part of a URL."""
        found = [_text(mail) for whom, mail in self.mails if whom == to]
        place = to.rpartition("/")[2]
        return found + [body.decode("utf-8", "replace") for at, body in self.posts if at == place]

    def tries(self, to: str) -> int:
        """How often a recipient that takes nothing was tried."""
        return self.refused.count(to if "@" in to else to.rpartition("/")[2])


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain", "html"))
    return "" if body is None else str(body.get_content())


class Recipients:
    """The mailbox and the receiver of one run."""

    def __init__(self, settings: RecipientSettings) -> None:
        """Listens at once; BadSetting for what is no place to listen at."""
        self.arrivals = Arrivals()
        self._smtp = _listen(_Mail, settings.smtp, "SMTP", self.arrivals)
        self._http = _listen(_Post, settings.webhook, "WEBHOOK", self.arrivals)
        host, port = self._http.server_address[:2]
        self._base = settings.webhook_url.rstrip("/") or f"http://{host!s}:{port}"
        self.smtp = str(self._smtp.server_address[0]), int(self._smtp.server_address[1])

    def address(self, channel: str, name: str) -> str:
        """The address of a recipient of this name."""
        return f"{name}@{DOMAIN}" if channel == "email" else f"{self._base}/{name}"

    def close(self) -> None:
        """Take nothing more."""
        for server in (self._smtp, self._http):
            server.shutdown()
            server.server_close()


@contextlib.contextmanager
def receiving(env: Mapping[str, str] | None = None) -> Iterator[Recipients]:
    """Recipients while the block lasts, where the settings say."""
    found = Recipients(RecipientSettings.load(env))
    try:
        yield found
    finally:
        found.close()


def _listen(kind: Any, text: str, name: str, arrivals: Arrivals) -> socketserver.TCPServer:
    host, colon, port = text.rpartition(":")
    made = ThreadingHTTPServer if kind is _Post else _MailServer
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise BadSetting(f"GUILDER_CONFORMANCE_{name}={text!r} is not host:port")
    bound = type(kind.__name__, (kind,), {"arrivals": arrivals})
    try:
        server = made((host, int(port)), bound)
    except OSError as error:
        raise BadSetting(f"GUILDER_CONFORMANCE_{name}={text!r}: {error}") from None
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class _MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class _Mail(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as is needed to take a mail."""

    arrivals: ClassVar[Arrivals]
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Speak until the other side says goodbye."""
        to: list[str] = []
        self._say("220 conformance")
        with contextlib.suppress(OSError):
            while line := self.rfile.readline(2000):
                verb = line[:4].upper().strip()
                if verb == b"QUIT":
                    self._say("221 bye")
                    return
                self._command(verb, line.decode("utf-8", "replace"), to)

    def _command(self, verb: bytes, line: str, to: list[str]) -> None:
        if verb in (b"MAIL", b"RSET"):
            to.clear()
        if verb == b"RCPT":
            self._recipient(line, to)
        elif verb == b"DATA" and to:
            self._say("354 go on")
            self._say(self._data(to))
        elif verb == b"EHLO":
            self._say("250-conformance\r\n250-8BITMIME\r\n250 SMTPUTF8")
        elif verb in (b"HELO", b"MAIL", b"RSET", b"NOOP"):
            self._say("250 fine")
        else:
            self._say("503 not now")

    def _recipient(self, line: str, to: list[str]) -> None:
        found = re.search(r"<([^<>]+)>", line)
        if found is None:
            self._say("501 whose?")
        elif found[1].startswith(NEVER):
            self.arrivals.refused.append(found[1])
            self._say("550 5.1.1 takes nothing, ever")
        else:
            to.append(found[1])
            self._say("250 fine")

    def _data(self, to: list[str]) -> str:
        lines: list[bytes] = []
        while (line := self.rfile.readline(LARGEST)) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
            if sum(map(len, lines)) > LARGEST:
                return "552 too large"
        mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        self.arrivals.mails += [(whom, mail) for whom in to]
        to.clear()
        return "250 taken"

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class _Post(BaseHTTPRequestHandler):
    """Takes what is posted."""

    arrivals: ClassVar[Arrivals]
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Take it, or say that nothing will ever be taken here."""
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) > LARGEST:
            self._end(411)
            return
        body, name = self.rfile.read(int(size)), self.path.rpartition("/")[2]
        if name.startswith(NEVER):
            self.arrivals.refused.append(name)
            self._end(410)
            return
        self.arrivals.posts.append((name, body))
        self._end(204)

    def _end(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the run reports."""
