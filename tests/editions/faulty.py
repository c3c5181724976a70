"""A small edition as a stranger would write it: right by default, and wrong in one named way.

    python -m tests.editions.faulty pricing --fault negative-fee --port 0      prints its URL

    with serving("pricing", "hangs") as url: ...            in this process, on a thread of its own

`FAULTS` names what can be wrong, and with which contracts. What an edition answers is decided in
`decide.py`; this file is its door.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from guilder.chassis.contract import convert, encode, read_json
from guilder.chassis.signature import BadSignature, verify
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.declare import Operation
from guilder.contracts.edition import EDITION, LARGEST_ANSWER, MANIFEST, MOST_ITEMS, path
from guilder.contracts.errors import InvalidRequest, Problem, Unauthenticated
from tests.editions.decide import DECISIONS, Decision

WORKERS = 4
"""How many requests an edition that is slow under load answers at once."""

SMALL = 60
"""The most items that an edition takes which the contract's 256 are too many for."""

EVERY = ("pricing", "screening", "notifications")

FAULTS: dict[str, tuple[str, ...]] = {
    # what it decides (decide.py)
    "one-cent": ("pricing",),
    "negative-fee": ("pricing",),
    "huge-fee": ("pricing",),
    "wrong-currency": ("pricing",),
    "too-many-decimals": ("pricing",),
    "float-amount": ("pricing",),
    "control-characters": ("pricing", "screening"),
    "nondeterministic": ("pricing", "screening"),
    "remembers": ("pricing",),
    "forgets-zone": ("pricing",),
    "batch-discount": ("pricing",),
    "leaks-tenant": ("pricing", "screening"),
    "turns-bad": ("pricing",),
    "refuses-valid": ("pricing", "screening", "notifications"),
    "overflows": ("pricing",),
    "two-tenants": ("pricing",),
    "misses-name": ("screening",),
    "exact-only": ("screening",),
    "ignores-birth": ("screening",),
    "hits-everybody": ("screening",),
    "echoes-personal": ("screening", "notifications"),
    "verdict-without-hits": ("screening",),
    "delivers-twice": ("notifications",),
    "delivers-nothing": ("notifications",),
    "out-of-order": ("notifications",),
    "retries-forever": ("notifications",),
    "other-id": ("notifications",),
    "rewrites": ("notifications",),
    "smuggles-headers": ("notifications",),
    # how it answers (here)
    "late": EVERY,
    "hangs": EVERY,
    "slow-drip": EVERY,
    "slow-under-load": EVERY,
    "errors": EVERY,
    "errors-sometimes": EVERY,
    "breaks-off": EVERY,
    "redirects": EVERY,
    "giant-body": EVERY,
    "content-type": EVERY,
    "not-json": EVERY,
    "duplicate-members": EVERY,
    "extra-field": EVERY,
    "missing-field": EVERY,
    "item-count": EVERY,
    "small-batches": EVERY,
    "swapped-order": EVERY,
    "bare-answer": EVERY,
    "bare-problem": EVERY,
    "accepts-anything": EVERY,
    "wrong-banner": EVERY,
    "stale-digest": EVERY,
    "changes-digest": EVERY,
    "other-contract": EVERY,
    "unsigned": EVERY,
}
"""Every fault and the contracts that it can be had with."""


class Faulty:
    """One edition: what it says it is, and how its door answers."""

    def __init__(
        self,
        contract: str,
        fault: str | None = None,
        *,
        public_key: dict[str, Any] | None = None,
        healthy: int = 40,
        **more: Any,
    ) -> None:
        """`public_key` (JWK) makes it verify signatures; `healthy` calls come before `turns-bad`.

        `more` is for the decision: where a notification's mail is handed over (`smtp`).
        """
        if fault is not None and contract not in FAULTS.get(fault, ()):
            raise ValueError(f"{contract} cannot be had with the fault {fault!r}")
        self.contract = all_contracts()[contract]
        self.name, self.fault, self.public_key = contract, fault, public_key
        self.decision: Decision = DECISIONS[contract](fault, healthy=healthy, **more)
        self.calls = self.asked = 0
        self.ending: asyncio.Event | None = None
        self._inside = 0

    @property
    def digest(self) -> str:
        """Of what it runs: another fault, another digest."""
        seed = f"{self.name} {self.fault}"
        if self.fault == "changes-digest":
            seed += str(self.asked)
        return "sha256:" + hashlib.sha256(seed.encode()).hexdigest()

    def manifest(self) -> dict[str, Any]:
        """What it says it is."""
        disclaims = list(self.decision.disclaims)
        if self.public_key is None and self.fault != "unsigned":
            disclaims.append("signatures")
        other = self.fault == "other-contract"
        return {
            "contract": "catering" if other else self.name,
            "contract_version": self.contract.contract_version,
            "edition": "B",
            "version": "1.0.0",
            "digest": self.digest,
            "disclaims": disclaims,
        }

    def banner(self) -> str:
        """The header of every answer."""
        if self.fault == "wrong-banner":
            return f"{self.name} C.9.9.9 {self.digest}"
        digest = "sha256:" + "0" * 64 if self.fault == "stale-digest" else self.digest
        return f"{self.name} B.1.0.0 {digest}"

    def app(self) -> Starlette:
        """Its door."""
        routes = [Route(MANIFEST, self._said, methods=["GET"])]
        for operation in self.contract.operations().values():
            if operation.replaceable:
                routes.append(Route(path(operation), self._door(operation), methods=["POST"]))
        return Starlette(routes=routes)

    async def _said(self, http: Request) -> Response:
        self.asked += 1
        return self._reply(encode(self.manifest()))

    def _door(self, operation: Operation) -> Any:
        async def handle(http: Request) -> Response:
            body = await http.body()
            self.calls += 1
            self._inside += 1
            try:
                wait = await self._dawdle(operation)
            finally:
                self._inside -= 1
            if wait is not None:
                return wait
            try:
                if self.public_key is not None and self.fault != "unsigned":
                    self._verify(http, body)
                items = await self._items(operation, body)
            except Problem as problem:
                return self._problem(problem)
            return self._spoil(encode({"items": items}))

        return handle

    def _verify(self, http: Request, body: bytes) -> None:
        assert self.public_key is not None
        try:
            verify(
                self.public_key,
                method=http.method,
                authority=http.headers.get("host", ""),
                path=http.url.path,
                headers=dict(http.headers),
                body=body,
                now=time.time(),
            )
        except BadSignature as error:
            raise Unauthenticated(str(error)) from None

    async def _dawdle(self, operation: Operation) -> Response | None:
        """What is slow, or answers before anything was read."""
        seconds = operation.deadline_ms / 1000
        if self.fault == "late":
            await self._pause(seconds * 1.2)
        elif self.fault == "hangs":
            await self._pause(3600)
        elif self.fault == "slow-under-load":
            await self._pause(seconds * 1.2 if self._inside > WORKERS else 0.002)
        elif self.fault == "redirects":
            return RedirectResponse("http://169.254.169.254/latest/meta-data/", 307)
        elif self.fault == "errors" or (self.fault == "errors-sometimes" and self.calls % 9 == 0):
            return Response("Traceback (most recent call last): ...", 500, media_type="text/plain")
        return None

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of this server."""
        assert self.ending is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ending.wait(), seconds)

    async def _items(self, operation: Operation, body: bytes) -> list[Any]:
        if self.fault == "accepts-anything":
            try:
                return await self._read(operation, body)
            except InvalidRequest:
                answer = self.decision.fallback()
                return [{"answer": answer} for _ in _anything(body)]
        return await self._read(operation, body)

    async def _read(self, operation: Operation, body: bytes) -> list[Any]:
        asked = read_json(body)
        if not isinstance(asked, dict) or set(asked) != {"tenant", "items"}:
            raise InvalidRequest("expected tenant and items", at="$")
        tenant, items = asked["tenant"], asked["items"]
        if type(tenant) is not int or not 1 <= tenant < 2**31:
            raise InvalidRequest("a tenant is a number from 1 to 2^31 - 1", at="$.tenant")
        if not isinstance(items, list) or not 0 < len(items) <= MOST_ITEMS:
            raise InvalidRequest(f"items is a list of 1 to {MOST_ITEMS}", at="$.items")
        if self.fault == "small-batches" and len(items) > SMALL:
            raise InvalidRequest(f"at most {SMALL} items", at="$.items")
        questions = [convert(item, operation.request) for item in items]
        answered = await self.decision.answer(tenant, questions)
        return self._twist([self._item(one) for one in answered])

    def _item(self, one: Any) -> dict[str, Any]:
        if isinstance(one, Problem):
            bare = self.fault == "bare-problem"
            return {"problem": {"error": "no"} if bare else one.document()}
        return {"answer": one}

    def _twist(self, items: list[dict[str, Any]]) -> list[Any]:
        """What is wrong with the list of answers, whatever they say."""
        if self.fault == "item-count":
            return [*items, items[-1]] if items else items
        if self.fault == "swapped-order":
            return items[::-1]
        if self.fault == "bare-answer":
            return [item.get("answer", item) for item in items]
        for item in items:
            answer = item.get("answer")
            if answer is not None and self.fault == "extra-field":
                answer["discount_code"] = "SPRING"
            if answer is not None and self.fault == "missing-field":
                del answer[next(iter(answer))]
        return items

    def _spoil(self, body: bytes) -> Response:
        """What is wrong with the answer as bytes."""
        if self.fault == "giant-body":
            return self._stream(b" " * 65536, LARGEST_ANSWER // 65536 + 4, 0.0)
        if self.fault == "slow-drip":
            return self._stream(b" ", 10_000, 0.05)
        if self.fault == "breaks-off":
            reply = self._reply(body)  # uvicorn closes a connection that was promised more
            reply.headers["Content-Length"] = str(len(body) + 10)
            return reply
        if self.fault == "not-json":
            return self._reply(b"<html>maintenance</html>")
        if self.fault == "duplicate-members":
            return self._reply(b'{"items": [],' + body[1:])
        if self.fault == "content-type":
            return self._reply(body, kind="text/html")
        return self._reply(body)

    def _stream(self, part: bytes, parts: int, pause: float) -> Response:
        async def chunks() -> Any:
            for _ in range(parts):
                yield part
                if pause and self.ending is not None and not self.ending.is_set():
                    await self._pause(pause)

        headers = {EDITION: self.banner()}
        return StreamingResponse(chunks(), headers=headers, media_type="application/json")

    def _problem(self, problem: Problem) -> Response:
        bare = self.fault == "bare-problem"
        body = b'{"error": "no"}' if bare else encode(problem.document())
        return self._reply(body, problem.status, "application/problem+json")

    def _reply(self, body: bytes, status: int = 200, kind: str = "application/json") -> Response:
        return Response(body, status, {EDITION: self.banner()}, media_type=kind)


def _anything(body: bytes) -> list[Any]:
    try:
        found = json.loads(body)["items"]
        return found if isinstance(found, list) else [found]
    except (ValueError, TypeError, KeyError):
        return [None]


class _Quiet(uvicorn.Server):
    """Leaves signals to whoever started the thread."""

    def install_signal_handlers(self) -> None:
        """Take none."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


class Running:
    """An edition that is served on a thread of its own."""

    def __init__(self, edition: Faulty, port: int = 0) -> None:
        """Listens at once; `url` is its base."""
        self.edition = edition
        # asyncio sends small answers at once only where the socket names its protocol
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(128)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: _Quiet | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        self._ready.wait(10)

    async def _run(self) -> None:
        self._loop, self.edition.ending = asyncio.get_running_loop(), asyncio.Event()
        config = uvicorn.Config(
            self.edition.app(),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = _Quiet(config)
        self._loop.call_soon(self._ready.set)
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Answer nobody any more."""
        loop, server, ending = self._loop, self._server, self.edition.ending
        assert loop is not None
        assert server is not None
        assert ending is not None
        server.should_exit = True
        loop.call_soon_threadsafe(ending.set)
        self._thread.join(10)


@contextlib.contextmanager
def serving(
    contract: str, fault: str | None = None, *, port: int = 0, **more: Any
) -> Iterator[str]:
    """Serve an edition on a thread of this process while the block lasts; gives its URL."""
    running = Running(Faulty(contract, fault, **more), port)
    try:
        yield running.url
    finally:
        running.stop()


def main() -> None:
    """Serve one edition until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contract", choices=EVERY)
    parser.add_argument("--fault", choices=sorted(FAULTS))
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # its faults are meant
    running = Running(Faulty(given.contract, given.fault), given.port)
    print(running.url, flush=True)  # noqa: T201
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    running.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
