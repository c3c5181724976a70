"""The road to somebody else's edition: sign, call, decode, check again what came back.

What leaves: the fields that the operation's `sees` names, of one tenant. What comes back is an
answer of the contract's type that the contract allows, or it is none: a caller hears that the
service does not answer, and never a word of the edition's own. `CHECKS` are in the order in which
they are made.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from guilder.chassis.bindings import Binding
from guilder.chassis.contract import convert, decode, encode, plain, read_json
from guilder.chassis.outbound import Outbound
from guilder.chassis.serve import Outcome, latest, left_s
from guilder.chassis.signature import SigningKey
from guilder.chassis.versions import older
from guilder.chassis.wire import MAX_ANSWER, Reply, TooLarge
from guilder.contracts import edition as wire
from guilder.contracts.context import Call
from guilder.contracts.declare import Operation
from guilder.contracts.errors import AddressRefused, InvalidRequest, Problem, Unavailable
from guilder.contracts.registry.observations import Failure

log = structlog.get_logger()

CHECKS: Final = (
    "time",  # an answer in all, before the deadline
    "size",  # no more of it than LARGEST_ANSWER
    "status",  # 200: no error, no redirect
    "banner",  # contract, edition, version and the digest that was tested
    "content-type",  # JSON, and says so
    "json",  # strictly: no member twice, no NaN, not nested deep
    "envelope",  # {"items": [{"answer": …} | {"problem": …}]} and nothing else
    "count",  # one for each that was asked
    "type",  # what the contract declares
    "unknown",  # and no member more
    "problem",  # one that the contract declares for this operation
    "invariants",  # the operation's `faults`
)
"""What an answer must pass. Each stops something that no other stops."""

SKIMMED: Final = 16 * 1024
"""From so many bytes an answer is skimmed before it is read strictly, and that in a thread: strict
reading takes a second a megabyte, and other tenants' calls go through the same loop."""

MOST_OF_A_PROBLEM: Final = 8 * 1024
HOUR_S: Final = 3600.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)


class _Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    problem: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    items: list[_Item]


class Wrong(Exception):
    """What an edition did is no answer: which check says so, and what it counts as."""

    def __init__(self, check: str, failure: Failure) -> None:
        """Nothing of the edition's own words comes along."""
        super().__init__(check)
        self.check, self.failure = check, failure


class EditionRoad:
    """Calls to one binding's edition."""

    def __init__(
        self,
        binding: Binding,
        out: Outbound,
        key: SigningKey,
        checks: Collection[str] = CHECKS,
    ) -> None:
        """`checks` names those that are made; tests leave one out to see what then gets through."""
        self._binding, self._out, self._key = binding, out, key
        self._checks = frozenset(checks)
        self._known = older(binding.contract, binding.contract_version)
        """What its version of the contract knows, where that is not the present one."""

    async def send(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Answer the calls of one tenant, one outcome each; ValueError for those of two."""
        if len({call.ctx.tenant for call in calls}) != 1:
            raise ValueError("a batch for an edition is of one tenant")
        parts = range(0, len(calls), wire.MOST_ITEMS)
        sent = [await self._batch(operation, calls[i : i + wire.MOST_ITEMS]) for i in parts]
        return [outcome for part in sent for outcome in part]

    async def _batch(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        stopped: Counter[str] = Counter()
        try:
            reply = await self._ask(operation, calls)
            judge = partial(self._outcomes, operation, calls, reply, stopped)
            large = len(reply.body) > SKIMMED
            outcomes = await asyncio.to_thread(judge) if large else judge()
        except Wrong as wrong:
            stopped[wrong.check] += len(calls)
            outcomes = [lost(operation, wrong.failure) for _ in calls]
        for check, count in stopped.items():  # whatever it said stays out of the log
            log.warning(
                "edition",
                binding=str(self._binding.id),
                edition=self._binding.label,
                operation=operation.id,
                check=check,
                calls=count,
                requests=[call.ctx.request for call in calls[:3]],
            )
        return outcomes

    def _outcomes(
        self, operation: Operation, calls: Sequence[Call[Any]], reply: Reply, stopped: Counter[str]
    ) -> list[Outcome]:
        items = self._items(operation, reply, len(calls))
        return [
            self._outcome(operation, call.request, item, stopped)
            for call, item in zip(calls, items, strict=True)
        ]

    def _skim(self, operation: Operation, body: bytes, count: int) -> None:
        """Stop at the speed of C what the checks would stop slowly; they still make sure."""
        try:
            items = msgspec.json.decode(body, type=_Envelope).items
        except msgspec.ValidationError:
            raise Wrong("envelope", "broken") from None
        except (msgspec.DecodeError, RecursionError):
            raise Wrong("json", "broken") from None
        if len(items) != count:
            raise Wrong("count", "broken")
        for item in items:
            if check := _fault_of(operation, item):
                raise Wrong(check, "broken")

    async def _ask(self, operation: Operation, calls: Sequence[Call[Any]]) -> Reply:
        """Sign, send, and wait for whatever comes back; Wrong where nothing does."""
        left = left_s(operation, latest(calls))
        try:
            url = self._out.rules.check(f"{self._binding.address}{wire.path(operation)}")
            body = encode(
                {
                    "tenant": calls[0].ctx.tenant,
                    "items": [self._shown(operation, call.request) for call in calls],
                }
            )
            headers = {
                "Content-Type": "application/json",
                wire.DEADLINE: str(max(0, int(left * 1000))),
                wire.REQUEST: _name(calls[0].ctx.request),
                **self._key.sign("POST", url.authority, url.path, body, int(time.time())),
            }
            return await self._out.request(
                "POST",
                str(url),
                headers,
                body,
                timeout_s=left if "time" in self._checks else HOUR_S,
                most=wire.LARGEST_ANSWER if "size" in self._checks else MAX_ANSWER,
                repeatable=not operation.command,
            )
        except AddressRefused:
            raise Wrong("address", "refused-address") from None
        except TimeoutError:
            raise Wrong("time", "late") from None
        except TooLarge:
            raise Wrong("size", "too-large") from None
        except ConnectionAbortedError:
            raise Wrong("http", "broken") from None
        except OSError:
            raise Wrong("reach", "unreachable") from None

    def _items(self, operation: Operation, reply: Reply, count: int) -> list[Any]:
        """The items of an answer, judged as a whole."""
        self._demand(reply.status == 200, "status", "broken")
        of = self._binding
        banner = f"{of.contract} {of.edition}.{of.version} {of.digest}"
        said = reply.headers.get(wire.EDITION.lower())
        self._demand(of.digest is not None and said == banner, "banner", "stale-digest")
        kind = reply.headers.get("content-type", "").replace(" ", "").lower()
        self._demand(kind in wire.JSON_TYPES, "content-type", "broken")
        if len(reply.body) > SKIMMED:
            self._skim(operation, reply.body, count)
        value = self._value(reply.body)
        items = value.get("items") if isinstance(value, dict) else None
        enveloped = isinstance(items, list) and set(value) == {"items"}
        self._demand(enveloped, "envelope", "broken")
        items = items if isinstance(items, list) else []
        self._demand(len(items) == count, "count", "broken")
        return [*items[:count], *[None] * (count - len(items))]

    def _value(self, body: bytes) -> Any:
        try:
            return (read_json if "json" in self._checks else json.loads)(body)
        except (InvalidRequest, ValueError, RecursionError):
            self._demand(False, "json", "broken")
            return None

    def _outcome(
        self, operation: Operation, request: Any, item: Any, stopped: Counter[str]
    ) -> Outcome:
        """One item, judged alone: what is wrong with it does not touch its neighbours."""
        try:
            alone = isinstance(item, dict) and len(item) == 1
            known = alone and next(iter(item)) in ("answer", "problem")
            self._demand(known, "envelope", "broken")
            if isinstance(item, dict) and "problem" in item:
                problem = self._problem(operation, item["problem"])
                return Outcome(problem=problem, status=problem.status)
            given = item.get("answer", item) if isinstance(item, dict) else item
            return Outcome(self._answer(operation, request, given), status=operation.status)
        except Wrong as wrong:
            stopped[wrong.check] += 1
            return lost(operation, wrong.failure)

    def _shown(self, operation: Operation, request: Any) -> Any:
        """What the contract's `sees` names, as far as the edition's version knows it."""
        seen = _seen(operation, request)
        return seen if self._known is None else self._known[operation.name].ask(plain(seen))

    def _promises(self, operation: Operation, given: Any) -> bool:
        """Whether the edition's version of the contract knows all that was answered."""
        known = self._known
        return known is None or known[operation.name].answer(given) == given

    def _answer(self, operation: Operation, request: Any, given: Any) -> Any:
        try:
            answer = convert(given, operation.answer)
        except (InvalidRequest, ValueError, TypeError, RecursionError):
            self._demand(False, "type", "broken")
            return given
        understood = not unknown(given, plain(answer)) and self._promises(operation, given)
        self._demand(understood, "unknown", "broken")
        if operation.faults is not None:
            try:
                fault = next(iter(operation.faults(request, answer)), None)
            except Exception:  # an answer that the invariants stumble over keeps none of them
                fault = "none can be told"
            self._demand(fault is None, "invariants", "untruthful")
        return answer

    def _problem(self, operation: Operation, members: Any) -> Problem:
        """A refusal that the contract declares, in the contract's own words."""
        members = members if isinstance(members, dict) else {}
        for kind in operation.problems:
            if members.get("code") == kind.code and members.get("status") == kind.status:
                return kind()
        self._demand(False, "problem", "broken")
        return Problem.restore(members)

    def _demand(self, fulfilled: bool, check: str, failure: Failure) -> None:
        if not fulfilled and check in self._checks:
            raise Wrong(check, failure)


def lost(operation: Operation, failure: Failure) -> Outcome:
    """The outcome of a call that brought no answer of use; whoever asked hears no details."""
    problem = Unavailable(f"{operation.contract} does not answer", retry_after=1)
    return Outcome(problem=problem, status=problem.status, failure=failure)


def _seen(operation: Operation, request: Any) -> dict[str, Any]:
    """What an edition is shown: the fields that the contract names, and nothing of who asks."""
    return {name: getattr(request, name) for name in operation.sees}


def _fault_of(operation: Operation, item: _Item) -> str:
    """The check that an item of an answer cannot pass, as far as that is seen quickly; or ""."""
    if not isinstance(item.problem, msgspec.UnsetType):
        return "problem" if len(bytes(item.problem)) > MOST_OF_A_PROBLEM else ""
    if isinstance(item.answer, msgspec.UnsetType):
        return "envelope"
    given = bytes(item.answer)
    try:
        understood = encode(decode(given, operation.answer))
    except (InvalidRequest, ValueError, TypeError, RecursionError):
        return "type"
    # every member that is understood is written again: more commas are members that are not
    return "unknown" if given.count(b",") > understood.count(b",") else ""


def _name(request: str) -> str:
    return request if _REQUEST_ID.fullmatch(request) else "none"


def unknown(given: Any, known: Any) -> str:
    """A member, anywhere, that is not in what was understood of it, by its path; or ""."""
    if isinstance(given, dict) and isinstance(known, dict):
        for name, inner in given.items():
            if name not in known:
                return name or '""'
            if found := unknown(inner, known[name]):
                return f"{name}.{found}"
    if isinstance(given, list) and isinstance(known, list):
        return next(filter(None, map(unknown, given, known)), "")
    return ""
