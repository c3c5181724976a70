"""The server side of every contract: one seam for direct calls and for HTTP.

`Endpoint` takes each call through the same steps, whoever asks and by whatever road: allowed
caller, key, right, four eyes, deadline, method. `service_app` is the HTTP door between our own
processes; the public door is the gateway, which uses the same endpoints.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog
from opentelemetry.trace import SpanKind
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from guilder.chassis.bindings import Binding
from guilder.chassis.contract import convert, decode, encode, read_json, read_request
from guilder.chassis.hop import HERE, received
from guilder.chassis.idempotency import Accepted, Replayed
from guilder.chassis.logs import named
from guilder.chassis.meter import Meter
from guilder.chassis.store import OUTAGES, STALE_PLAN
from guilder.chassis.token import HEADER, CallKeys, digest
from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Contract, Operation
from guilder.contracts.errors import (
    DeadlineExceeded,
    Internal,
    InvalidRequest,
    KeyMissing,
    Problem,
    Unauthenticated,
    Unavailable,
)
from guilder.contracts.registry.observations import Failure

log = structlog.get_logger()

GATEWAY = "gateway"
"""The caller behind which a stranger stands: rights and four eyes are checked for it alone."""

REPLAYED = "Idempotent-Replayed"

OWN_KEY = "c:"
"""Stands before a stranger's key: whatever he chooses, it is no key of the platform's own steps."""

MAX_KEY = 255
"""The longest key, in characters."""


@dataclass
class Outcome:
    """How one call ended: an answer or a problem; `raw` when it is a stored answer."""

    answer: Any = None
    problem: Problem | None = None
    replayed: bool = False
    raw: bytes | None = None
    status: int = 200
    by: Binding | None = None
    """Which release answered, as the caller's side knows it."""
    failure: Failure | None = None
    """Why another edition brought no answer of use."""

    def body(self) -> bytes:
        """The bytes of the answer or of the problem document."""
        if self.raw is not None:
            return self.raw
        return encode(self.problem.document() if self.problem else self.answer)

    def value(self, operation: Operation) -> Any:
        """The answer as the contract's type; raises the problem."""
        if self.problem is not None:
            raise self.problem
        if self.answer is None and self.raw is not None:
            return decode(self.raw, operation.answer)
        return self.answer


class Guard(Protocol):
    """Rights and four eyes, as the endpoint needs them (chassis/guard.py has the real one)."""

    async def check(self, operation: Operation, call: Call[Any]) -> None:
        """Raise Forbidden or NotFound unless the principal may."""
        ...

    async def propose(self, operation: Operation, call: Call[Any]) -> Any:
        """Record a proposal and return it."""
        ...


class Endpoint:
    """One service behind its contract."""

    def __init__(self, service: Contract, guard: Guard | None) -> None:
        """`guard` None: public operations are refused altogether (tools, tests of parts)."""
        self.service = service
        self.contract = type(service)
        self.operations = service.operations()
        self.meter = Meter(SpanKind.SERVER)
        self._guard = guard

    @property
    def name(self) -> str:
        """The contract's name."""
        return self.contract.contract_name

    async def dispatch(
        self, operation: Operation, caller: str, calls: Sequence[Call[Any]]
    ) -> list[Outcome]:
        """Answer calls of one operation; never raises."""
        if caller == GATEWAY:
            calls = [_with_own_key(call) for call in calls]
        here = HERE.set((self.name, calls))
        try:
            work = self._batch if operation.batch else self._singles
            return await self.meter.watch(operation, calls, work(operation, caller, calls))
        finally:
            HERE.reset(here)

    async def _singles(
        self, operation: Operation, caller: str, calls: Sequence[Call[Any]]
    ) -> list[Outcome]:
        if len(calls) == 1:
            return [await self._single(operation, caller, calls[0])]
        return list(await asyncio.gather(*(self._single(operation, caller, c) for c in calls)))

    async def _single(self, operation: Operation, caller: str, call: Call[Any]) -> Outcome:
        async def run() -> Outcome:
            proposal = await self._admit(operation, caller, call)
            if proposal is not None:
                return Outcome(proposal, status=202)
            method = getattr(self.service, operation.name)
            return _outcome(await method(call.ctx, call.request), operation)

        outcome: Outcome = await _guarded(operation, call.ctx, run)
        return outcome

    async def _batch(
        self, operation: Operation, caller: str, calls: Sequence[Call[Any]]
    ) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(calls)
        admitted: list[int] = []
        for i, call in enumerate(calls):
            try:
                await self._admit(operation, caller, call)
                admitted.append(i)
            except Problem as problem:
                outcomes[i] = Outcome(problem=problem, status=problem.status)
        if admitted:
            batch = [calls[i] for i in admitted]

            async def run() -> list[Any]:
                answers: list[Any] = await getattr(self.service, operation.name)(batch)
                return answers

            ctx = msgspec.structs.replace(batch[0].ctx, deadline=latest(batch))
            result = await _guarded(operation, ctx, run)
            if isinstance(result, list) and len(result) != len(admitted):
                log.error("defect", operation=operation.id, calls=len(batch), answers=len(result))
                result = Outcome(problem=Internal(f"request {ctx.request}"), status=500)
            for n, i in enumerate(admitted):
                outcomes[i] = (
                    result if isinstance(result, Outcome) else _outcome(result[n], operation)
                )
        return [o or Outcome(problem=Internal(), status=500) for o in outcomes]

    async def _admit(self, operation: Operation, caller: str, call: Call[Any]) -> Any:
        """Check key, right and four eyes; returns a proposal when somebody else must approve."""
        key = call.ctx.key
        if operation.command and operation.moves_money and key is None:
            raise KeyMissing()
        own = None if key is None else key.removeprefix(OWN_KEY)
        if own is not None and not (
            0 < len(own) <= MAX_KEY and own.isascii() and own.isprintable()
        ):
            raise InvalidRequest("the key must be 1 to 255 printable ASCII characters", at="key")
        if caller != GATEWAY or not operation.public:
            return None  # one of our own processes; strangers reach public operations alone
        if operation.may is None:
            return None  # the service itself looks: on = "inside"
        if self._guard is None:
            raise Unauthenticated("this operation is not offered to the outside")
        await self._guard.check(operation, call)
        if not operation.four_eyes:
            return None
        await self.service.foresee(operation.name, call.ctx, call.request)
        return await self._guard.propose(operation, call)


def _with_own_key(call: Call[Any]) -> Call[Any]:
    if call.ctx.key is None:
        return call
    ctx = msgspec.structs.replace(call.ctx, key=OWN_KEY + call.ctx.key)
    return msgspec.structs.replace(call, ctx=ctx)


def _outcome(answer: Any, operation: Operation) -> Outcome:
    if isinstance(answer, Problem):
        return Outcome(problem=answer, status=answer.status)
    if isinstance(answer, Accepted):
        return Outcome(answer.answer, status=202)
    if not isinstance(answer, Replayed):
        return Outcome(answer, status=operation.status)
    if answer.status == 200:
        return Outcome(raw=answer.raw, replayed=True, status=operation.status)
    problem = Problem.restore(msgspec.json.decode(answer.raw))
    return Outcome(problem=problem, raw=answer.raw, replayed=True, status=answer.status)


async def _guarded(operation: Operation, ctx: Context, run: Callable[[], Awaitable[Any]]) -> Any:
    """Run within the deadline; turn whatever goes wrong into an outcome."""
    problem: Problem
    try:
        async with asyncio.timeout(max(left_s(operation, ctx.deadline), 0)):
            try:
                return await run()
            except STALE_PLAN:  # a release beside this one has migrated: nobody is to notice
                return await run()
    except Problem as found:
        problem = found
    except TimeoutError:
        problem = DeadlineExceeded(f"{operation.id} took longer than allowed", retry_after=1)
    except OUTAGES as error:
        log.warning("unavailable", operation=operation.id, error=named(error))
        problem = Unavailable(f"{operation.contract} does not answer", retry_after=1)
    except Exception:
        log.exception("defect", operation=operation.id)
        problem = Internal(f"request {ctx.request}")
    return Outcome(problem=problem, status=problem.status)


# ── HTTP between our own processes ───────────────────────────────────────────────────────────


def service_routes(endpoint: Endpoint, keys: CallKeys, may_call: set[str]) -> list[Route]:
    """The routes of one contract under `/<contract>`; `may_call` are the admitted callers."""
    return [
        Route(
            f"/{endpoint.name}{operation.path}",
            _handler(endpoint, operation, keys, may_call),
            methods=[operation.method],
        )
        for operation in endpoint.operations.values()
    ]


def _handler(
    endpoint: Endpoint, operation: Operation, keys: CallKeys, may_call: set[str]
) -> Callable[[HttpRequest], Awaitable[Response]]:
    async def handle(http: HttpRequest) -> Response:
        body = await http.body()
        target = _target(http)
        try:
            token = http.headers.get(HEADER, "")
            claims = keys.verify(token, endpoint.name, operation.id, digest(target, body))
            if claims.iss not in may_call:
                raise Unauthenticated(f"{claims.iss} may not call {endpoint.name} (calls.toml)")
            deadline = time.monotonic() + claims.left / 1000
            if operation.batch:
                calls = read_batch(operation, body, deadline)
            else:
                query = list(http.query_params.multi_items())
                request = read_request(operation, dict(http.path_params), query, body)
                if claims.ctx is None:
                    raise InvalidRequest("the call token holds no context")
                ctx = msgspec.structs.replace(claims.ctx, deadline=deadline)
                calls = [Call(ctx, request)]
        except Problem as problem:
            return respond(Outcome(problem=problem, status=problem.status))
        with received(http.headers.get("traceparent")):
            outcomes = await endpoint.dispatch(operation, claims.iss, calls)
        return respond(outcomes[0]) if not operation.batch else write_batch(outcomes)

    return handle


def _target(http: HttpRequest) -> str:
    """Path and query exactly as they were sent."""
    path: bytes = http.scope["raw_path"].partition(b"?")[0]
    query: bytes = http.scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def latest(calls: Sequence[Call[Any]]) -> float:
    """Until when a batch is worked on: nobody's haste ends what another still waits for."""
    deadlines = [call.ctx.deadline for call in calls]
    return max(deadlines) if all(deadlines) else 0.0


def left_s(operation: Operation, deadline: float) -> float:
    """Seconds until a deadline (0 = none), at most those that the operation may take."""
    whole = operation.deadline_ms / 1000
    return min(whole, deadline - time.monotonic()) if deadline else whole


def until(call: Call[Any], deadline: float) -> Call[Any]:
    """The same call with another deadline."""
    return Call(msgspec.structs.replace(call.ctx, deadline=deadline), call.request)


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    context: Context
    request: Any


class _Items(msgspec.Struct, forbid_unknown_fields=True):
    items: list[_Item]


def read_batch(operation: Operation, body: bytes, deadline: float) -> list[Call[Any]]:
    """Read `{"items": [{"context": …, "request": …}]}`."""
    return [
        Call(
            msgspec.structs.replace(item.context, deadline=deadline),
            convert(item.request, operation.request),
        )
        for item in convert(read_json(body), _Items).items
    ]


def write_batch(outcomes: list[Outcome]) -> Response:
    """Write `{"items": [{"status": …, "answer"|"problem": …}]}`."""
    items = [
        {"status": o.status, "problem": o.problem.document()}
        if o.problem
        else {"status": o.status, "answer": o.answer}
        for o in outcomes
    ]
    return Response(encode({"items": items}), media_type="application/json")


def respond(outcome: Outcome) -> Response:
    """One outcome as an HTTP response."""
    headers = {REPLAYED: "true"} if outcome.replayed else {}
    if outcome.problem is not None:
        if outcome.problem.retry_after is not None:
            headers["Retry-After"] = str(outcome.problem.retry_after)
        if outcome.problem.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
    kind = "application/problem+json" if outcome.problem else "application/json"
    return Response(outcome.body(), outcome.status, headers, media_type=kind)
