"""An edition in a process of its own that passes, and is told later what goes wrong with it.

    python -m tests.editions.turning pricing --port 0       prints its URL

Its digest stays what it was when it was tested, whatever it does: that is what makes it a liar.
"""

import argparse
import hashlib
import logging
import signal
import subprocess
import sys
from http.client import HTTPConnection

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.editions.faulty import EVERY, FAULTS, Faulty, Running
from tests.editions.running import ROOT

TURN = "/turn"


class Turning(Faulty):
    """Right until it is told otherwise."""

    @property
    def digest(self) -> str:
        """Always the same."""
        return "sha256:" + hashlib.sha256(f"{self.name} turning".encode()).hexdigest()

    def app(self) -> Starlette:
        """Its door, with one more for the test."""
        app = super().app()
        app.router.routes.append(Route(TURN, self._turn, methods=["POST"]))
        return app

    async def _turn(self, http: Request) -> Response:
        fault = (await http.body()).decode() or None
        if fault is not None and self.name not in FAULTS[fault]:
            raise ValueError(f"{self.name} cannot be had with the fault {fault!r}")
        self.fault = self.decision.fault = fault  # type: ignore[attr-defined]
        return Response(str(self.calls))


class Child:
    """Such an edition, as a process."""

    def __init__(self, contract: str) -> None:
        """Starts it, on a free port that it keeps over its deaths."""
        self.contract, self.url = contract, ""
        self._start(0)

    def _start(self, port: int) -> None:
        command = [sys.executable, "-m", "tests.editions.turning", self.contract]
        self._process = subprocess.Popen(
            [*command, "--port", str(port)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the edition did not start"

    def turn(self, fault: str | None) -> int:
        """From now on this is wrong with it, or nothing; how often it was called so far."""
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        try:
            connection.request("POST", TURN, fault or "")
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 200, said
            return int(said)
        finally:
            connection.close()

    def die(self) -> None:
        """Be killed, as by a machine that runs out of memory."""
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def rise(self) -> None:
        """Start again where it was."""
        self._start(int(self.url.rpartition(":")[2]))


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contract", choices=EVERY)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # its faults are meant
    running = Running(Turning(given.contract), given.port)
    print(running.url, flush=True)  # noqa: T201
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    running.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
