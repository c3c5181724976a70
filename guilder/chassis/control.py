"""Talking to a running supervisor: JSON lines over a unix socket in its private folder.

The supervisor is no server: it looks here between two looks at its children.
"""

import json
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guilder.chassis.supervised import SuperviseError

SOCKET = "control.sock"
MAX_LINE = 4096
MAX_WAITING = 16


class Request:
    """One question; answered in lines until `end`."""

    def __init__(self, connection: socket.socket, words: dict[str, Any]) -> None:
        """`words` are what was asked."""
        self.words = words
        self._connection = connection

    def say(self, **facts: Any) -> None:
        """Send a line; who has gone meanwhile, or does not read, hears nothing more."""
        try:
            self._connection.sendall(json.dumps(facts).encode() + b"\n")
        except OSError:
            self._connection.close()  # a line may be torn: none may follow it

    def end(self) -> None:
        """Nothing more comes."""
        self._connection.close()


class Control:
    """The supervisor's side."""

    def __init__(self, path: Path) -> None:
        """Listen at a path, whose folder lets nobody else in."""
        path.unlink(missing_ok=True)
        self._path = path
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen(MAX_WAITING)
        self._listening.setblocking(False)
        self._heard: dict[socket.socket, bytes] = {}

    def poll(self, seconds: float) -> list[Request]:
        """Whoever has asked something, waiting at most `seconds` for the first."""
        readable, _, _ = select.select([self._listening, *self._heard], [], [], seconds)
        found = []
        for sock in readable:
            if sock is self._listening:
                self._let_in()
            elif (request := self._read(sock)) is not None:
                found.append(request)
        return found

    def _let_in(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:  # gone again, or we have no file left for it
            return
        connection.setblocking(False)
        self._heard[connection] = b""
        for oldest in list(self._heard)[:-MAX_WAITING]:  # who says nothing makes room
            del self._heard[oldest]
            oldest.close()

    def _read(self, connection: socket.socket) -> Request | None:
        if connection not in self._heard:  # has just made room
            return None
        try:
            data = connection.recv(MAX_LINE)
        except OSError:
            data = b""
        line = self._heard.pop(connection) + data
        if b"\n" not in line and data and len(line) < MAX_LINE:
            self._heard[connection] = line
            return None
        try:
            words = json.loads(line)
        except (ValueError, RecursionError):
            words = None
        if isinstance(words, dict):
            return Request(connection, words)
        connection.close()
        return None

    def close(self) -> None:
        """Hang up."""
        for connection in self._heard:
            connection.close()
        self._listening.close()
        self._path.unlink(missing_ok=True)


def ask(path: str, timeout: float, **words: Any) -> Iterator[dict[str, Any]]:
    """Ask a supervisor and yield the lines of its answer; SuperviseError if none is there.

    `timeout` is how long each line may take, in seconds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(path)
            connection.sendall(json.dumps(words).encode() + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    yield json.loads(line)
        except ValueError as error:
            raise SuperviseError("The supervisor ended in the middle of its answer.") from error
        except (TimeoutError, BlockingIOError) as error:  # the latter: too many wait already
            raise SuperviseError("The supervisor does not answer. Look into its log.") from error
        except OSError as error:
            raise SuperviseError(
                "No supervisor is running there. Start it with `guilder up`."
            ) from error
