"""Reads what an edition answered, strictly, and says which rule it breaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from guilder.chassis.contract import convert, plain, read_json
from guilder.chassis.edition import unknown
from guilder.chassis.outbound import TooLarge
from guilder.chassis.wire import Reply
from guilder.conformance.checks import Broken, shown
from guilder.conformance.client import Came
from guilder.contracts.declare import Operation
from guilder.contracts.edition import EDITION, JSON_TYPES, LARGEST_ANSWER
from guilder.contracts.errors import InvalidRequest

PROBLEM_TEXTS: Final = ("type", "title", "code", "detail", "fix")


@dataclass(frozen=True)
class Refusal:
    """A problem that an edition answered with, as it stands there."""

    status: int
    code: str
    detail: str


def transported(came: Came) -> Reply:
    """The reply, if one came whole, in time, and from where it was asked for."""
    asked = came.sent.body
    if isinstance(came.error, TooLarge):
        raise Broken("size", f"more than {LARGEST_ANSWER} bytes", asked)
    if came.late:
        missing = "nothing whole" if came.error else "the answer"
        raise Broken("deadline", f"{missing} after {came.seconds:.2f} s", asked)
    if came.error is not None or came.reply is None:
        raise Broken("reachable", f"{type(came.error).__name__}: {came.error}", asked)
    reply = came.reply
    if 300 <= reply.status < 400:
        where = reply.headers.get("location", "nowhere")
        raise Broken("no-redirect", f"status {reply.status} to {where}", asked)
    if reply.status >= 500:
        raise Broken("no-5xx", f"status {reply.status}: {shown(reply.body)}", asked)
    return reply


def document(reply: Reply, asked: Any) -> Any:
    """The JSON of a reply, if it says that it is JSON."""
    kind = reply.headers.get("content-type", "none").replace(" ", "").lower()
    if reply.status < 400:
        wanted = kind in JSON_TYPES
    else:
        wanted = kind.partition(";")[0] == "application/problem+json"
    if not wanted:
        raise Broken("content-type", f"{kind} with status {reply.status}", asked)
    try:
        return read_json(reply.body)
    except InvalidRequest as error:
        raise Broken("json", f"{error.detail}: {shown(reply.body)}", asked) from None


def refusal(value: Any, asked: Any, status: int | None = None) -> Refusal:
    """A problem document, if it is one; `status` is that of the whole answer where it is that."""
    if not isinstance(value, dict):
        raise Broken("problem-shape", shown(value), asked)
    for name in PROBLEM_TEXTS:
        if not isinstance(value.get(name), str) or not value[name]:
            raise Broken("problem-shape", f"no text `{name}` in {shown(value)}", asked)
    said = value.get("status")
    if type(said) is not int or not 400 <= said < 500:
        raise Broken("problem-shape", f"`status` is {shown(said)} in {shown(value)}", asked)
    if status is not None and said != status:
        raise Broken("problem-shape", f"the answer has status {status}, `status` is {said}", asked)
    return Refusal(said, value["code"], value["detail"])


def items(reply: Reply, banner: str, asked: Sequence[Any]) -> list[dict[str, Any]]:
    """The items of a batch's answer, each with `answer` or `problem`."""
    value = document(reply, asked)
    if reply.status >= 400:
        found = refusal(value, asked, reply.status)
        raise Broken("status", f"status {reply.status}, {found.code}: {found.detail}", asked)
    if reply.status != 200:
        raise Broken("status", f"status {reply.status}", asked)
    if reply.headers.get(EDITION.lower()) != banner:
        said = shown(reply.headers.get(EDITION.lower(), "no such header"))
        raise Broken("banner", f"{said}, the manifest makes it {banner}", asked)
    return enveloped(value, asked)


def enveloped(value: Any, asked: Sequence[Any]) -> list[dict[str, Any]]:
    """What stands in the envelope, one for each that was asked."""
    if not isinstance(value, dict) or set(value) != {"items"}:
        raise Broken("envelope", shown(value), asked)
    found = value["items"]
    if not isinstance(found, list):
        raise Broken("envelope", shown(value), asked)
    if len(found) != len(asked):
        raise Broken("count", f"{len(found)} for {len(asked)} items", asked)
    for item in found:
        if not isinstance(item, dict) or set(item) not in ({"answer"}, {"problem"}):
            raise Broken("envelope", f"an item is {shown(item)}", asked)
    return found


def answer(operation: Operation, value: Any, asked: Any) -> Any:
    """One answer as the contract's type, if it is exactly that."""
    try:
        found = convert(value, operation.answer)
    except InvalidRequest as error:
        place = f" at {error.at}" if error.at else ""
        raise Broken("answer-shape", f"{error.detail}{place}: {shown(value)}", asked) from None
    if extra := unknown(value, plain(found)):
        raise Broken("extra-members", f"`{shown(extra)}` in {shown(value)}", asked)
    return found


def told(error: Broken) -> str:
    """What came, and on which question, as two sentences of a report."""
    asked = error.asked
    if isinstance(asked, msgspec.Struct):
        asked = plain(asked)
    elif isinstance(asked, list | tuple):
        asked = [plain(one) if isinstance(one, msgspec.Struct) else one for one in asked]
    question = "" if asked is None else f"Asked: {shown(asked)}. "
    return f"{question}Came: {shown(error.came)}."
