"""The client side of every contract: typed clients, bindings, and the roads a call can take.

A client is an instance of the contract whose methods send. Which edition answers is resolved anew
on every call. Roads: `Direct` (same process), `Encoded` (same process through the codec, used by
tests), `Remote` (HTTP/1.1 with a call token).
"""

import asyncio
import json
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import parse_qsl, unquote

import msgspec
from opentelemetry.trace import SpanKind

from guilder.chassis.batch import Gatherer
from guilder.chassis.contract import convert, decode, encode, plain, read_request, write_request
from guilder.chassis.hop import sent
from guilder.chassis.serve import REPLAYED, Endpoint, Outcome, latest, read_batch, write_batch
from guilder.chassis.tally import Tally
from guilder.chassis.token import HEADER, LIFETIME, CallKeys, Claims, digest
from guilder.chassis.wire import Address, Wire
from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Contract, Operation
from guilder.contracts.errors import DeadlineExceeded, Internal, Problem, Unavailable
from guilder.contracts.registry.v1 import Bound, OnFailure

C = TypeVar("C", bound=Contract)

TOOLS = "tools"
"""The caller name of the operator's own tools (import, verify, export)."""

PROCESS = "process"
"""The caller name of a process itself, whatever runs in it, when it follows the directory."""


@cache
def call_map() -> dict[str, dict[str, dict[str, str]]]:
    """`calls.toml`: who calls whom and who follows whose events, each with its reason."""
    text = (resources.files("guilder.contracts") / "calls.toml").read_text("utf-8")
    return tomllib.loads(text)


def callees(caller: str) -> set[str]:
    """The contracts that a caller may call or whose events it may follow."""
    book = call_map()
    return set(book["calls"].get(caller, {})) | set(book["events"].get(caller, {}))


def callers(contract: str) -> set[str]:
    """Everyone who may call a contract."""
    book = call_map()
    return {who for part in book.values() for who in part if contract in callees(who)}


class Binding(msgspec.Struct, frozen=True):
    """Which edition and version serves a contract for a tenant; `address` None = stock.

    `generation` is that of the directory when the binding took effect, 0 where there is none.
    """

    contract: str
    edition: str = "A"
    version: str = "1.0.0"
    generation: int = 0
    address: str | None = None
    on_failure: OnFailure = "closed"

    @property
    def label(self) -> str:
        """`pricing A.1.0.0`, as recorded on decisions."""
        return f"{self.contract} {self.edition}.{self.version}"


class Bindings:
    """The bindings this process knows; everything unnamed is the stock edition A."""

    def __init__(self) -> None:
        """Start with stock for everyone."""
        self._bound: dict[tuple[int, str], Binding] = {}
        self._stock: dict[str, Binding] = {}

    def replace(self, bound: Iterable[Bound]) -> None:
        """Put others in force, all at once; calls in flight end where they began."""
        self._bound = {
            (line.tenant, line.contract): Binding(
                line.contract,
                line.edition,
                line.version,
                line.generation,
                line.address,
                line.on_failure,
            )
            for line in bound
        }

    def resolve(self, tenant: int, contract: str) -> Binding:
        """The binding in force now."""
        found = self._bound.get((tenant, contract))
        if found is not None:
            return found
        if contract not in self._stock:
            self._stock[contract] = Binding(contract)
        return self._stock[contract]


class Road(Protocol):
    """How calls travel to a service."""

    async def send(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Answer the calls of one operation, one outcome each; never raises a Problem."""
        ...


class Direct:
    """A typed Python call in the same process."""

    def __init__(self, endpoint: Endpoint, caller: str) -> None:
        """Calls go to the endpoint in the caller's name."""
        self._endpoint, self._caller = endpoint, caller

    async def send(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Call."""
        return await self._endpoint.dispatch(operation, self._caller, calls)


class Unrepeatable(BaseException):
    """A command answered its repeat differently. No guard may turn this into an outcome."""


class Encoded:
    """The same process, but through bytes; every command is sent twice and must answer alike."""

    def __init__(self, endpoint: Endpoint, caller: str) -> None:
        """Calls go to the endpoint in the caller's name."""
        self._endpoint, self._caller = endpoint, caller

    async def send(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Encode, call (twice where a key makes it safe), decode."""
        first = await self._once(operation, calls)
        if not operation.command or any(call.ctx.key is None for call in calls):
            return first
        again = await self._once(operation, calls)
        for one, two in zip(first, again, strict=True):
            final = one.problem is None or one.problem.final
            if final and one.body() != two.body():
                raise Unrepeatable(
                    f"{operation.id} answered a repeat differently:\n{one.body()!r}\n{two.body()!r}"
                )
        return again

    async def _once(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        if operation.batch:
            sent = read_batch(operation, _batch_body(calls), latest(calls))
            outcomes = await self._endpoint.dispatch(operation, self._caller, sent)
            return _batch_outcomes(operation, bytes(write_batch(outcomes).body))
        return [await self._one(operation, call) for call in calls]

    async def _one(self, operation: Operation, call: Call[Any]) -> Outcome:
        path, body = write_request(operation, call.request)
        names, query = _split(operation, path)
        request = read_request(operation, names, query, body)
        (outcome,) = await self._endpoint.dispatch(
            operation, self._caller, [Call(call.ctx, request)]
        )
        return _read_outcome(operation, outcome.status, outcome.body(), outcome.replayed)


class Remote:
    """Another process, over HTTP."""

    def __init__(self, address: Address, caller: str, keys: CallKeys) -> None:
        """Calls go to the address, signed in the caller's name."""
        self._wire, self._caller, self._keys = Wire(address), caller, keys

    async def send(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Send within the deadline; an unreachable service is an Unavailable outcome."""
        if operation.batch:
            ctx = msgspec.structs.replace(calls[0].ctx, deadline=latest(calls))
            # the items of every batch are recognised by ids of their own
            body = _batch_body(calls)
            reply = await self._exchange(operation, operation.path, body, ctx, repeatable=True)
            if isinstance(reply, Problem):
                return [Outcome(problem=reply, status=reply.status) for _ in calls]
            if reply[0] != 200:
                return [_read_outcome(operation, *reply)] * len(calls)
            return _batch_outcomes(operation, reply[1])
        return list(await asyncio.gather(*(self._one(operation, call) for call in calls)))

    async def _one(self, operation: Operation, call: Call[Any]) -> Outcome:
        path, body = write_request(operation, call.request)
        repeatable = not operation.command or call.ctx.key is not None
        reply = await self._exchange(operation, path, body, call.ctx, repeatable=repeatable)
        if isinstance(reply, Problem):
            return Outcome(problem=reply, status=reply.status)
        return _read_outcome(operation, *reply)

    async def _exchange(
        self, operation: Operation, path: str, body: bytes, ctx: Context, *, repeatable: bool
    ) -> tuple[int, bytes, bool] | Problem:
        target, left = f"/{operation.contract}{path}", operation.deadline_ms
        if ctx.deadline:
            left = min(left, int((ctx.deadline - time.monotonic()) * 1000))
        claims = Claims(
            iss=self._caller,
            aud=operation.contract,
            op=operation.id,
            exp=int(time.time()) + LIFETIME,
            body=digest(target, body),
            left=left,
            ctx=None if operation.batch else msgspec.structs.replace(ctx, deadline=0.0),
        )
        headers = {HEADER: self._keys.sign(claims), "Content-Type": "application/json"}
        headers |= sent()
        try:
            async with asyncio.timeout(max(left, 0) / 1000):
                reply = await self._wire.request(
                    operation.method, target, headers, body, repeatable=repeatable
                )
        except TimeoutError:
            return DeadlineExceeded(f"{operation.id} did not answer in time", retry_after=1)
        except OSError:
            return Unavailable(f"{operation.contract} does not answer", retry_after=1)
        except Unavailable as problem:
            return problem
        return reply.status, reply.body, reply.headers.get(REPLAYED.lower()) == "true"

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()


def _batch_body(calls: Sequence[Call[Any]]) -> bytes:
    items = [
        {
            "context": plain(msgspec.structs.replace(call.ctx, deadline=0.0)),
            "request": plain(call.request),
        }
        for call in calls
    ]
    return encode({"items": items})


def _batch_outcomes(operation: Operation, raw: bytes) -> list[Outcome]:
    outcomes = []
    for item in json.loads(raw)["items"]:
        if "problem" in item:
            outcomes.append(
                Outcome(problem=Problem.restore(item["problem"]), status=item["status"])
            )
        else:
            answer = convert(item["answer"], operation.answer)
            outcomes.append(Outcome(answer, status=item["status"]))
    return outcomes


def _read_outcome(operation: Operation, status: int, body: bytes, replayed: bool) -> Outcome:
    if status >= 400:
        try:
            problem = Problem.restore(json.loads(body))
        except (ValueError, AttributeError):  # not from our own door
            return Outcome(problem=Internal(f"{operation.id}: status {status}"), status=500)
        return Outcome(problem=problem, replayed=replayed, raw=body, status=status)
    if status == 202 and operation.four_eyes:
        return Outcome(json.loads(body), status=status)
    answer = decode(body, operation.answer)
    return Outcome(answer, replayed=replayed, raw=body, status=status)


def _split(operation: Operation, path: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    bare, _, query = path.partition("?")
    names = {
        part[1:-1]: unquote(value)
        for part, value in zip(operation.path.split("/"), bare.split("/"), strict=True)
        if part.startswith("{")
    }
    return names, parse_qsl(query, keep_blank_values=True)


class Calls:
    """The clients of one caller, limited to what calls.toml allows it."""

    def __init__(self, caller: str, roads: Mapping[str, Road], bindings: Bindings) -> None:
        """`roads` maps a contract's name to the road to its stock edition."""
        self.caller, self.bindings = caller, bindings
        self.tally = Tally(SpanKind.CLIENT)
        self._roads, self._allowed = roads, callees(caller)

    def client(self, contract: type[C]) -> C:
        """A typed client of a contract."""
        if contract.contract_name not in self._allowed:
            raise LookupError(f"{self.caller} may not call {contract.contract_name}: calls.toml")
        return make_client(contract, self.send)

    async def send(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Resolve the binding of each call's tenant and send to where it points; counted."""
        return await self.tally.watch(operation, calls, self._send(operation, calls))

    async def _send(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        groups: dict[str, list[int]] = {}
        for i, call in enumerate(calls):
            binding = self.bindings.resolve(call.ctx.tenant, operation.contract)
            groups.setdefault(binding.edition, []).append(i)
        if len(groups) <= 1:
            return await self._road(operation.contract).send(operation, calls)
        raise Unavailable("no edition but A can be bound yet")

    def _road(self, contract: str) -> Road:
        return self._roads[contract]


Send = Callable[[Operation, Sequence[Call[Any]]], Awaitable[list[Outcome]]]


def make_client(contract: type[C], send: Send) -> C:
    """An instance of the contract whose methods send."""
    kind = type(f"{contract.__name__}Client", (contract,), {})
    client: Any = object.__new__(kind)
    gatherers: dict[str, Gatherer] = {}
    client.gatherers = gatherers
    for operation in contract.operations().values():
        method = _many(operation, send) if operation.batch else _one(operation, send)
        setattr(kind, operation.name, method)
        if operation.batch:
            gatherers[operation.name] = Gatherer(getattr(client, operation.name))
    return cast(C, client)


def _one(operation: Operation, send: Send) -> Callable[..., Awaitable[Any]]:
    async def method(self: Any, ctx: Context, request: Any) -> Any:
        (outcome,) = await send(operation, [Call(ctx, request)])
        return outcome.value(operation)

    method.__name__ = operation.name
    return method


def _many(operation: Operation, send: Send) -> Callable[..., Awaitable[Any]]:
    async def method(self: Any, calls: Sequence[Call[Any]]) -> list[Any]:
        if not calls:
            return []
        return [o.problem or o.answer for o in await send(operation, calls)]

    method.__name__ = operation.name
    return method
