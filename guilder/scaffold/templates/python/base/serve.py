"""The wire: a manifest, and one operation that answers a batch of one tenant."""

import ipaddress
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn
from urllib.parse import urlsplit

import edition
from manifest import banner, read_manifest
from problems import Problem, internal, invalid, not_found
from reading import members
from signature import Keys, verify

MANIFEST = "/.well-known/guilder-edition"
MOST_ITEMS = 256
LARGEST_REQUEST = 4 * 1024 * 1024
DEADLINE_MS = 10_000


def log(event: str, **fields: Any) -> None:
    """One JSON object a line. Never put a name, an address or an amount into it."""
    line = {"at": datetime.now(UTC).isoformat(), "event": event, **fields}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Server(ThreadingHTTPServer):
    """A thread a connection. Without keys it believes everybody: for trying only."""

    daemon_threads = False  # what is being answered when we stop is answered
    request_queue_size = 128

    def __init__(self, host: str, port: int, keys: Keys | None) -> None:
        """Listen, but serve nothing yet."""
        self.manifest, self.keys, self.ending = read_manifest(), keys, False
        self.open: set[Handler] = set()
        super().__init__((host, port), Handler)

    def hang_up(self) -> None:
        """Take no more requests of connections on which none is being answered."""
        for handler in list(self.open):
            if not handler.busy:
                with suppress(OSError):
                    handler.connection.shutdown(socket.SHUT_RD)


class Handler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536  # head and body leave together
    timeout = 75  # longer than the platform keeps an idle connection
    busy = False

    def setup(self) -> None:
        """Enter the connection."""
        super().setup()
        self.server.open.add(self)

    def finish(self) -> None:
        """Strike it out."""
        self.server.open.discard(self)
        super().finish()

    def do_GET(self) -> None:
        """Answer, whatever was asked."""
        self.busy = True
        try:
            self._respond()
        finally:
            self.busy = False

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_GET

    def _respond(self) -> None:
        began, about, status = time.monotonic(), dict[str, Any](), 200
        try:
            document = self._document(about)
        except Exception as error:
            problem = error if isinstance(error, Problem) else internal()
            document, status = problem.document(), problem.status
            about["problem"] = problem.code
            if problem is not error:  # its kind alone: its message may quote what somebody sent
                about["kind"] = type(error).__name__
            if problem.code == "not-found" or status == 413:
                self.close_connection = True  # the body was not read
        body = json.dumps(document).encode()
        self.send_response(status)
        kind = "application/json" if status == 200 else "application/problem+json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Guilder-Edition", banner(self.server.manifest))
        if status == 405:
            self.send_header("Allow", "POST" if self._path() == edition.PATH else "GET")
        if self.server.ending:
            self.close_connection = True
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        about["request"] = (self.headers.get("Guilder-Request") or "")[:80]
        log("answered", status=status, ms=round(1000 * (time.monotonic() - began)), **about)

    def _path(self) -> str:
        return urlsplit(self.path).path

    def _document(self, about: dict[str, Any]) -> dict[str, Any]:
        match self.command, self._path():
            case "GET", path if path == MANIFEST:
                return self.server.manifest
            case "POST", path if path == edition.PATH:
                began = time.monotonic()
                tenant, items = self._batch()
                wait = self.headers.get("Guilder-Deadline-Ms") or ""
                most = min(int(wait), DEADLINE_MS) if re.fullmatch("[0-9]{1,9}", wait) else 10_000
                results = edition.answer_batch(tenant, items, began + most / 1000)
                failed = sum("problem" in result for result in results)
                about |= {"tenant": tenant, "items": len(items), "problems": failed}
                return {"items": results}
            case _, path if path in (MANIFEST, edition.PATH):
                raise not_found("this method is not offered here", 405)
        raise not_found("nothing is offered here")

    def _batch(self) -> tuple[int, list[Any]]:
        length = self.headers.get("Content-Length") or ""
        if not re.fullmatch("[0-9]{1,9}", length) or int(length) > LARGEST_REQUEST:
            raise invalid("a body of at most 4 MiB is needed, with its length", 413)
        body = self.rfile.read(int(length))
        if self.server.keys is not None:
            verify("POST", self._path(), self.headers, body, self.server.keys, time.time())
        if self.headers.get_content_type() != "application/json":
            raise invalid("the content type must be application/json", 415)
        try:
            value = json.loads(body, object_pairs_hook=_pairs, parse_constant=_constant)
        except (ValueError, RecursionError):
            raise invalid("the body is not JSON") from None
        batch = members(value, "tenant items")
        tenant, items = batch["tenant"], batch["items"]
        if type(tenant) is not int or not 1 <= tenant < 2**53:
            raise invalid("tenant must be a positive whole number")
        if not isinstance(items, list) or not 1 <= len(items) <= MOST_ITEMS:
            raise invalid(f"items must be a list of 1 to {MOST_ITEMS}")
        return tenant, items

    def log_message(self, *_: Any) -> None:
        """Say nothing here: `log` does."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise invalid("a member appears twice")
    return found


def _constant(text: str) -> NoReturn:
    raise invalid(f"{text} is not JSON")


def main() -> None:
    """Serve until a signal comes; what is being answered then is answered."""
    host, port = os.environ.get("HOST") or "127.0.0.1", int(os.environ.get("PORT") or 8401)
    source = os.environ.get("GUILDER_EDITION_KEYS")
    if not source and not ipaddress.ip_address(host).is_loopback:
        raise SystemExit("set GUILDER_EDITION_KEYS: without keys only loopback is served")
    server = Server(host, port, Keys(source) if source else None)

    def stop(*_: Any) -> None:
        server.ending = True
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    url = f"http://{host}:{server.server_address[1]}"
    log("listening", url=url, digest=server.manifest["digest"], signed=bool(source))
    server.serve_forever(poll_interval=0.1)
    log("stopping")
    server.hang_up()
    closing = threading.Thread(target=server.server_close, daemon=True)
    closing.start()
    closing.join(10)
    os._exit(0)


if __name__ == "__main__":
    main()
