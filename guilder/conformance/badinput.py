"""What no edition may answer: bodies that its document does not allow."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from guilder.chassis.contract import convert, encode, plain
from guilder.chassis.wire import Reply
from guilder.conformance import judge
from guilder.conformance.checks import Broken
from guilder.conformance.session import TENANTS, Session
from guilder.contracts.declare import Operation
from guilder.contracts.edition import MOST_ITEMS
from guilder.contracts.errors import InvalidRequest


def by_hand(session: Session) -> int:
    """Send each body that is wrong; how many, if all are refused in the right shape."""
    count = 0
    for body in _wrong(session):
        must_refuse(session, body)
        count += 1
    for body in _odd(session):
        must_survive(session, body)
    return count


def must_refuse(session: Session, body: bytes) -> None:
    """Broken unless the body is refused, whole or in one of its items."""
    reply, value = must_survive(session, body)
    if reply.status >= 400:
        return
    items = value.get("items") if isinstance(value, dict) else None
    problems = [
        item["problem"]
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict) and "problem" in item
    ]
    for problem in problems:
        judge.refusal(problem, body)
    if not problems:
        raise Broken("bad-input", f"status {reply.status}, and no problem in {value}", body)


def must_survive(session: Session, body: bytes) -> tuple[Reply, Any]:
    """Broken where the edition falls over; whether it refuses is its own matter.

    The reply and its document.
    """
    reply = judge.transported(session.send(session.sent(body)))
    value = judge.document(reply, body)
    if reply.status >= 400:
        judge.refusal(value, body, reply.status)
    return reply, value


def allowed(operation: Operation, body: Any) -> bool:
    """Whether a body is a batch as the contract describes it."""
    item = operation.request
    many = Annotated[list[item], msgspec.Meta(min_length=1, max_length=MOST_ITEMS)]  # type: ignore[valid-type]
    tenant = Annotated[int, msgspec.Meta(ge=1)]
    whole = msgspec.defstruct(
        "Whole", [("tenant", tenant), ("items", many)], forbid_unknown_fields=True
    )
    try:
        convert(body, whole)
    except InvalidRequest:
        return False
    return True


def _wrong(session: Session) -> Iterator[bytes]:
    """Bodies that the document does not allow."""
    (one,) = session.fresh_questions("bad input", 1)
    item: dict[str, Any] = plain(one)
    good: dict[str, Any] = {"tenant": TENANTS[0], "items": [item]}
    yield from (b"", b"{", b"null", b"[]", b'"x"', encode(good)[:-1], encode(good) + b"]")
    yield b'{"tenant": NaN, "items": []}'
    yield from (encode({"tenant": TENANTS[0]}), encode({"items": [item]}))
    for tenant in ("7", 7.5, None, True, 0, -1, [7]):
        yield encode({**good, "tenant": tenant})
    for items in ({}, "x", None, [], [None], ["x"], [1], [[item]], {"0": item}):
        yield encode({**good, "items": items})
    yield encode({**good, "more": 1})
    yield encode({**good, "items": [item] * (MOST_ITEMS + 1)})
    for wrong in (*_spoilt(session.operation, item), *session.subject.bad(item)):
        yield encode({**good, "items": [wrong]})


def _spoilt(operation: Operation, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An item with one member missing, unknown, or of another type."""
    yield {**item, "tenant": 1}
    for field in msgspec.structs.fields(operation.request):
        if field.required:
            yield {name: value for name, value in item.items() if name != field.name}
        for value in (17, 1.5, True, [], ["x"], {"x": "y"}):
            wrong = {**item, field.name: value}
            if not allowed(operation, {"tenant": 1, "items": [wrong]}):
                yield wrong


def _odd(session: Session) -> Iterator[bytes]:
    """What some readers of JSON take and others do not; nobody falls over it."""
    (one,) = session.fresh_questions("odd input", 1)
    good = encode({"tenant": TENANTS[0], "items": [plain(one)]})
    yield good[:-1] + b', "tenant": 8}'
    yield b"\xef\xbb\xbf" + good
    yield good.replace(b'"', b'"\xff', 1)
    yield b'{"tenant": 7, "items": ' + b"[" * 2000 + b"]" * 2000 + b"}"
    yield b'{"tenant": 7, "items": [' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"]}"
    yield json.dumps({"tenant": 10**40, "items": [plain(one)]}).encode()
