"""The client side of every contract: typed clients, bindings, and the roads a call can take.

A client is an instance of the contract whose methods send. Which edition answers is resolved anew
on every call. Roads: `Direct` (same process), `Encoded` (same process through the codec, used by
tests), `Remote` (HTTP/1.1 with a call token).
"""

import asyncio
import time
import tomllib
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import cache, partial
from importlib import resources
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote

import msgspec
from opentelemetry.trace import SpanKind

from guilder.chassis.answers import batch_outcomes, read_outcome
from guilder.chassis.batch import Gatherers
from guilder.chassis.bindings import Binding, Bindings
from guilder.chassis.contract import encode, plain, read_request, write_request
from guilder.chassis.hop import sent
from guilder.chassis.meter import Meter
from guilder.chassis.releases import Editions, Releases, Road
from guilder.chassis.serve import (
    GATEWAY,
    REPLAYED,
    Endpoint,
    Outcome,
    latest,
    read_batch,
    write_batch,
)
from guilder.chassis.token import HEADER, LIFETIME, CallKeys, Claims, digest
from guilder.chassis.versions import older
from guilder.chassis.wire import Address, Wire
from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Contract, Operation
from guilder.contracts.errors import DeadlineExceeded, Problem, Unavailable

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
            waits = one.status == 202 and not _proposes(operation, self._caller)
            final = one.problem.final if one.problem else not waits
            if final and one.body() != two.body():
                raise Unrepeatable(
                    f"{operation.id} answered a repeat differently:\n{one.body()!r}\n{two.body()!r}"
                )
        return again

    async def _once(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        if operation.batch:
            sent = read_batch(operation, _batch_body(calls), latest(calls))
            outcomes = await self._endpoint.dispatch(operation, self._caller, sent)
            return batch_outcomes(operation, bytes(write_batch(outcomes).body), len(calls))
        return [await self._one(operation, call) for call in calls]

    async def _one(self, operation: Operation, call: Call[Any]) -> Outcome:
        path, body = write_request(operation, call.request)
        names, query = _split(operation, path)
        request = read_request(operation, names, query, body)
        (outcome,) = await self._endpoint.dispatch(
            operation, self._caller, [Call(call.ctx, request)]
        )
        proposed = _proposes(operation, self._caller)
        return read_outcome(
            operation, outcome.status, outcome.body(), outcome.replayed, proposed=proposed
        )


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
                return [read_outcome(operation, *reply) for _ in calls]
            return batch_outcomes(operation, reply[1], len(calls))
        return list(await asyncio.gather(*(self._one(operation, call) for call in calls)))

    async def _one(self, operation: Operation, call: Call[Any]) -> Outcome:
        path, body = write_request(operation, call.request)
        repeatable = not operation.command or call.ctx.key is not None
        reply = await self._exchange(operation, path, body, call.ctx, repeatable=repeatable)
        if isinstance(reply, Problem):
            return Outcome(problem=reply, status=reply.status)
        return read_outcome(operation, *reply, proposed=_proposes(operation, self._caller))

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


def _proposes(operation: Operation, caller: str) -> bool:
    """Whether a 202 is a proposal: four eyes look at strangers, our own processes only wait."""
    return operation.four_eyes and caller == GATEWAY


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

    def __init__(
        self,
        caller: str,
        roads: Mapping[str, Road],
        bindings: Bindings,
        keys: CallKeys | None = None,
        editions: Editions | None = None,
    ) -> None:
        """`roads` maps a contract's name to the road to its stock edition.

        `keys` sign the calls to other releases; without them none is reached. `editions` is what
        all callers of a process share.
        """
        self.caller, self.bindings = caller, bindings
        self.meter = Meter(SpanKind.CLIENT)
        self._roads, self._keys, self._allowed = roads, keys, callees(caller)
        self._editions = editions or Editions(keys)
        self._releases = Releases(self._reach, self._editions)
        bindings.watch(self._releases.close_all_but)

    def client(self, contract: type[C]) -> C:
        """A typed client of a contract."""
        self._make_sure(contract)
        return make_client(contract, self.send, self._where)

    def stock(self, contract: type[C]) -> C:
        """A typed client of the stock edition, whatever is bound."""
        self._make_sure(contract)
        return make_client(contract, self._to_stock)

    def _make_sure(self, contract: type[Contract]) -> None:
        if contract.contract_name not in self._allowed:
            raise LookupError(f"{self.caller} may not call {contract.contract_name}: calls.toml")

    async def _to_stock(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Whatever is bound; each outcome says that stock answered."""
        outcomes = await self._roads[operation.contract].send(operation, calls)
        stock = self.bindings.stock(operation.contract)
        for outcome in outcomes:
            outcome.by = stock
        return outcomes

    def _bound(self, operation: Operation, call: Call[Any]) -> Binding:
        """What answers this call: another edition only what its contract lets it answer."""
        ctx, contract = call.ctx, operation.contract
        binding = self.bindings.resolve(ctx.tenant, contract, ctx.principal.id)
        if binding.foreign and not (operation.replaceable and speaks(binding, operation)):
            return self.bindings.stock(contract)
        return binding

    def _where(self, operation: Operation, call: Call[Any]) -> Hashable:
        return self._releases.place(self._bound(operation, call))

    async def send(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Resolve the binding of each call's tenant and send to where it points; counted."""
        return await self.meter.watch(operation, calls, self._send(operation, calls))

    async def _send(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Mostly everybody has stock; else calls are sent by what they are bound to."""
        if operation.contract not in self.bindings.contracts:
            return await self._to_stock(operation, calls)
        outcomes = await self._send_apart(operation, calls)
        if operation.replaceable and not operation.command:
            for call, outcome in zip(calls, outcomes, strict=True):
                shadow = self.bindings.shadow(call.ctx.tenant, operation.contract)
                if shadow is not None:
                    beside = (shadow, operation, call, outcome)
                    self._editions.shadows.offer(self._releases.ask, *beside)
        return outcomes

    async def _send_apart(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Calls are grouped by place: one process with one release, or one tenant's edition."""
        found = [self._bound(operation, call) for call in calls]
        groups: dict[Hashable, list[int]] = {}
        for i, binding in enumerate(found):
            groups.setdefault(self._releases.place(binding), []).append(i)
        if len(groups) == 1:
            return await self._send_to(operation, calls, found)
        parts: dict[int, Outcome] = {}

        async def part(places: list[int]) -> None:
            some = [calls[i] for i in places], [found[i] for i in places]
            parts.update(zip(places, await self._send_to(operation, *some), strict=True))

        await asyncio.gather(*(part(places) for places in groups.values()))
        return [parts[i] for i in range(len(calls))]

    async def _send_to(
        self, operation: Operation, calls: Sequence[Call[Any]], found: Sequence[Binding]
    ) -> list[Outcome]:
        """Send calls whose bindings are of one place; each outcome says who answered."""
        if found[0].address is None:
            return await self._to_stock(operation, calls)
        road, stock = self._roads[operation.contract], self.bindings.stock(operation.contract)
        return await self._releases.send(operation, calls, found, stock, road)

    def _reach(self, address: str) -> Remote:
        if self._keys is None:
            raise LookupError(f"{self.caller} has no keys for calls to other releases")
        return Remote(Address.read(address), self.caller, self._keys)


def speaks(binding: Binding, operation: Operation) -> bool:
    """Whether the version of the contract that is bound has this operation; else stock answers."""
    known = older(binding.contract, binding.contract_version)
    return known is None or operation.name in known


Send = Callable[[Operation, Sequence[Call[Any]]], Awaitable[list[Outcome]]]
Where = Callable[[Operation, Call[Any]], Hashable]


def _anywhere(operation: Operation, call: Call[Any]) -> None:
    """All calls go to one place."""


def make_client(contract: type[C], send: Send, where: Where = _anywhere) -> C:
    """An instance of the contract whose methods send.

    Single calls of a batch operation are gathered, apart for each place that `where` names.
    """
    kind = type(f"{contract.__name__}Client", (contract,), {})
    client: Any = object.__new__(kind)
    client.gatherers = {}
    for operation in contract.operations().values():
        method = _many(operation, send) if operation.batch else _one(operation, send)
        setattr(kind, operation.name, method)
        if operation.batch:
            client.gatherers[operation.name] = Gatherers(
                partial(send, operation), partial(where, operation)
            )
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
