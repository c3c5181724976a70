"""The language contracts are written in: `Contract`, `@operation`, and the types around it.

    class Pricing(Contract, name="pricing", version="1.0.0-draft", kind="decision"):
        @operation("POST /quotes", command=False, deadline_ms=50, sees=("amount", "product"))
        async def quote(self, calls: Batch[Question]) -> Answers[Quoted]: ...

A single operation is `(self, ctx: Context, request: In) -> Out`; a batch operation is
`(self, calls: Batch[In]) -> Answers[Out]`, one answer or Problem per call, in order.
"""

import re
import typing
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from guilder.contracts.context import Call, Context
from guilder.contracts.errors import Problem

R = TypeVar("R")
A = TypeVar("A")
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

Batch = Sequence[Call[R]]
Answers = list[A | Problem]

Kind = Literal["decision", "delivery", "service"]
May = Literal["view", "make", "approve", "administer", "operate"]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every input: unknown members are refused, never ignored."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every output: a reader ignores members it does not know."""


class Nothing(Request, frozen=True, kw_only=True):
    """No input."""


@dataclass(frozen=True)
class Personal:
    """Marks a field as personal data (`Annotated[str, Personal()]`)."""


@dataclass(frozen=True)
class Operation:
    """One operation as its contract declares it."""

    contract: str
    name: str
    method: str
    path: str
    public: bool
    command: bool
    moves_money: bool
    batch: bool
    may: May | None
    on: str | None
    four_eyes: bool
    waits: bool
    replaceable: bool
    closed: bool
    deadline_ms: int
    status: int
    sees: tuple[str, ...]
    faults: Callable[[Any, Any], Iterator[str]] | None
    problems: tuple[type[Problem], ...]
    subject: str | None
    request: type[Any]
    answer: Any
    summary: str

    @property
    def id(self) -> str:
        """`contract.operation`, the name used in calls, audit and docs."""
        return f"{self.contract}.{self.name}"

    @property
    def path_fields(self) -> tuple[str, ...]:
        """Fields of the request that stand in the path."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))


def operation(
    route: str,
    *,
    public: bool = False,
    command: bool | None = None,
    moves_money: bool = False,
    may: May | None = None,
    on: str | None = None,
    four_eyes: bool = False,
    waits: bool = False,
    replaceable: bool = False,
    closed: bool = False,
    deadline_ms: int = 5_000,
    status: int = 200,
    sees: tuple[str, ...] = (),
    faults: Callable[[Any, Any], Iterator[str]] | None = None,
    problems: tuple[type[Problem], ...] = (),
    subject: str | None = None,
) -> Callable[[F], F]:
    """Declare an operation of a contract.

    `route` is `METHOD /path/{field}`. `public` operations are offered under `/v1` and are checked
    against `may` (a right) on `on`: the request's field that holds an account id, `"inside"` where
    the service itself must look the resource up first, or None for the whole tenant. `command` is
    True for everything but GET unless said otherwise. `waits`: what cannot be decided now is
    stored, answered with 202 and the same type, and ends later by itself. `subject` is the answer's
    field naming the data subject whose key seals the stored answer. A `replaceable` operation is
    what an edition of somebody else's answers in place of ours: `sees` lists the fields of the
    request that it receives, `faults` names what an answer to a request must never be (both as
    the contract's types), whoever gives it. `closed`: where what is bound does not answer nobody
    else does, whatever the binding says.
    """
    method, path = route.split(" ", 1)

    def declare(function: F) -> F:
        function.__operation__ = {  # type: ignore[attr-defined]
            "name": function.__name__,
            "method": method,
            "path": path,
            "public": public,
            "command": method != "GET" if command is None else command,
            "moves_money": moves_money,
            "may": may,
            "on": on,
            "four_eyes": four_eyes,
            "waits": waits,
            "replaceable": replaceable,
            "closed": closed,
            "deadline_ms": deadline_ms,
            "status": status,
            "sees": sees,
            "faults": faults,
            "problems": problems,
            "subject": subject,
            "summary": (function.__doc__ or "").strip().split("\n")[0],
        }
        return function

    return declare


class Event(Answer, frozen=True, kw_only=True):
    """One line of a service's log. Carries ids, never personal data."""

    position: str
    """Opaque; pass it as `after` to go on behind this event."""
    type: str
    at: datetime
    tenant: int
    principal: str
    request: str
    ids: dict[str, str]


class EventQuery(Request, frozen=True, kw_only=True):
    """Where to go on in the feed, how many events, how long to wait for the next."""

    after: str = ""
    limit: int = 500
    wait_ms: int = 0


class EventPage(Answer, frozen=True, kw_only=True):
    """Events in commit order; `next` is the position to ask after."""

    events: list[Event]
    next: str


class Finding(Answer, frozen=True, kw_only=True):
    """Something that is not as it must be."""

    check: str
    detail: str
    tenant: int | None = None


class SelfCheck(Answer, frozen=True, kw_only=True):
    """What a service says of its own books; `facts` feed the checks across services."""

    service: str
    checked: dict[str, int]
    findings: list[Finding]
    facts: dict[str, str]


class Contract:
    """Base of every contract. Subclasses only declare; services implement, clients call."""

    contract_name: ClassVar[str] = ""
    contract_version: ClassVar[str] = ""
    contract_kind: ClassVar[Kind] = "service"
    release: ClassVar[str] = "1.0.0"
    """Version of the stock service (edition A) of this tree, raised apart from the contract's."""
    disclaims: ClassVar[tuple[str, ...]] = ()
    """Capabilities of the contract's suite that the stock service does not offer as an edition."""
    _operations: ClassVar[dict[str, Operation] | None] = None

    def __init_subclass__(
        cls, name: str | None = None, version: str = "", kind: Kind = "service", **kwargs: Any
    ) -> None:
        """Take name, version and kind of the contract; implementations inherit them."""
        super().__init_subclass__(**kwargs)
        if name is not None:
            cls.contract_name, cls.contract_version, cls.contract_kind = name, version, kind
            cls._operations = None
            for found in cls.operations().values():
                if wrong := _contradiction(found):
                    raise TypeError(f"{found.id}: {wrong}")

    @classmethod
    def operations(cls) -> dict[str, Operation]:
        """The operations by name, in order of declaration."""
        home = next(c for c in cls.__mro__ if "contract_name" in c.__dict__)
        if home.__dict__.get("_operations") is None:
            home._operations = _collect(home)  # type: ignore[attr-defined]
        found: dict[str, Operation] = home._operations  # type: ignore[attr-defined]
        return found

    @classmethod
    def replaceable(cls) -> list[Operation]:
        """Those that an edition of somebody else may answer."""
        return [operation for operation in cls.operations().values() if operation.replaceable]

    async def foresee(self, operation: str, ctx: Context, request: Any) -> None:
        """Refuse at once what could not run if it were approved; asked before it is proposed."""

    @operation("GET /events", deadline_ms=35_000)
    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the service's log, in commit order; waits up to `wait_ms` for the next event."""
        raise NotImplementedError

    @operation("GET /self-check", deadline_ms=600_000)
    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Check the service's own books."""
        raise NotImplementedError


def _collect(contract: type[Contract]) -> dict[str, Operation]:
    found: dict[str, Operation] = {}
    for base in reversed(contract.__mro__):
        for name, member in base.__dict__.items():
            declared = getattr(member, "__operation__", None)
            if declared is not None:
                request, answer, batch = _shape(member)
                found[name] = Operation(
                    contract=contract.contract_name,
                    batch=batch,
                    request=request,
                    answer=answer,
                    **declared,
                )
    return found


def _contradiction(declared: Operation) -> str:
    """Why an operation cannot work as it is declared, or ""."""
    fields = set(declared.request.__struct_fields__)
    reads = fields | set(getattr(declared.answer, "__struct_fields__", ()))
    named = {*declared.path_fields, *([] if declared.on in (None, "inside") else [declared.on])}
    rules = {
        "a batch cannot be under four eyes: a proposal holds one call": (
            declared.batch and declared.four_eyes
        ),
        "an edition answers batches, and sees no more than `sees` names": (
            declared.replaceable and not (declared.batch and declared.sees)
        ),
        "a batch has no fields in its path: it is sent as one body": (
            declared.batch and bool(declared.path_fields)
        ),
        "only a command can move money or be under four eyes": (
            not declared.command and (declared.moves_money or declared.four_eyes)
        ),
        "only a command with a key of its own can wait": (
            declared.waits and not declared.moves_money
        ),
        "GET is no command": declared.command and declared.method == "GET",
        "four eyes look at public operations alone, and need a right": (
            declared.four_eyes and not (declared.public and declared.may)
        ),
        "`on` without a right means nothing": (
            declared.on not in (None, "inside") and declared.may is None
        ),
        "a public operation is checked: name `may`, or `on` = inside": (
            declared.public and declared.may is None and declared.on != "inside"
        ),
        f"the request has no field {', '.join(sorted(named - fields))}": bool(named - fields),
        "`sees` names a field that is not there": not set(declared.sees) <= reads,
        "`subject` names no field of the answer": (
            declared.subject is not None
            and declared.subject not in getattr(declared.answer, "__struct_fields__", ())
        ),
    }
    return next((text for text, broken in rules.items() if broken), "")


def _shape(function: Callable[..., Any]) -> tuple[type[Any], Any, bool]:
    """Read input type, output type and whether it is a batch from the annotations."""
    hints = typing.get_type_hints(function)
    if "calls" not in hints:
        return hints["request"], hints["return"], False
    (call,) = typing.get_args(hints["calls"])
    (request,) = typing.get_args(call)
    (answers,) = typing.get_args(hints["return"])
    answer = typing.get_args(answers)[0]
    return request, answer, True
