"""What changed between two documents of a contract, and which version that needs.

Clients and we upgrade at different times, and so do an edition and the platforms it is bound on:
what either side does today must be understood by the other tomorrow.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from guilder.chassis.shapes import WORDING, Fit, Misfit, Schema, reached

Step = Literal["major", "minor", "none"]

_EDITIONS = "editions"


class Change(msgspec.Struct, frozen=True):
    """One change of one operation, in a sentence; `breaks` somebody who relied on how it was."""

    operation: str
    audience: str
    breaks: bool
    text: str


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Every change of an operation, in the order of their paths; wording is none."""
    before, after = _operations(old), _operations(new)
    found: list[Change] = []
    for key, one in before.items():
        if key in after:
            comparison = _Comparison(one, after[key], old, new)
            found += comparison.changes()
        else:
            found.append(_change(one, True, _gone(key, one, after)))
    for key in after.keys() - before.keys():
        text = f"{key[0].upper()} {key[1]} is new"
        found.append(_change(after[key], False, text))
    return sorted(set(found), key=lambda c: (c.operation, not c.breaks, c.text))


def step(found: list[Change]) -> Step:
    """Which part of the version must be raised for these changes."""
    if any(change.breaks for change in found):
        return "major"
    return "minor" if found else "none"


def raised(old: str, new: str) -> Step:
    """Which part of the version was raised; from a draft to anything, the major one."""
    before, after = _numbers(old), _numbers(new)
    if old.endswith("-draft") or after[0] > before[0]:
        return "major"
    return "minor" if after > before else "none"


def enough(needed: Step, given: Step) -> bool:
    """Whether the version that was raised is the one that had to be."""
    order = ("none", "minor", "major")
    return order.index(given) >= order.index(needed)


def without_wording(value: Any) -> Any:
    """A document without what only explains: that may be improved at any time."""
    if isinstance(value, list | tuple):
        return [without_wording(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: without_wording(item)
        for name, item in value.items()
        # a member that is called "title" is an object here, and no wording
        if name not in WORDING - {"default"} or (isinstance(item, dict) and name != "discriminator")
    }


def part(document: dict[str, Any], audience: str) -> dict[str, Any]:
    """The operations for one audience by method and path, with every schema that they name."""
    found = {
        f"{method} {path}": {"operation": operation}
        for (method, path), operation in _operations(document).items()
        if operation.get("x-audience") == audience
    }
    for entry in found.values():
        entry["schemas"] = reached(entry["operation"], document["components"]["schemas"])
    return without_wording(found)  # type: ignore[no-any-return]


Operations = dict[tuple[str, str], dict[str, Any]]
_METHODS = ("get", "put", "post", "delete", "patch")


def _operations(document: dict[str, Any]) -> Operations:
    """What somebody outside relies on, by method and path; what only our own services call is not
    promised to anybody.
    """
    return {
        (method, path): item[method]
        for path, item in sorted(document.get("paths", {}).items())
        for method in _METHODS
        if method in item and item[method].get("x-audience") != "house"
    }


def _change(operation: dict[str, Any], breaks: bool, text: str) -> Change:
    audience = operation.get("x-audience", "clients")
    return Change(operation.get("operationId", "?"), audience, breaks, text)


def _gone(key: tuple[str, str], one: dict[str, Any], after: Operations) -> str:
    """Removed, moved or renamed."""
    said = f"{key[0].upper()} {key[1]}"
    for (method, path), other in after.items():
        if other.get("operationId") == one.get("operationId"):
            return f"{said} has moved to {method.upper()} {path}"
    return f"{said} is gone"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removesuffix("-draft").split("."))


class _Comparison:
    """One operation in two documents."""

    def __init__(
        self,
        one: dict[str, Any],
        other: dict[str, Any],
        old: dict[str, Any],
        new: dict[str, Any],
    ) -> None:
        self.one, self.other = one, other
        schemas = old["components"]["schemas"], new["components"]["schemas"]
        self.forth, self.back = Fit(*schemas), Fit(schemas[1], schemas[0])
        self.edition = other.get("x-audience") == _EDITIONS

    def changes(self) -> Iterator[Change]:
        for breaks, text in (*self._requests(), *self._answers(), *self._declared()):
            yield _change(self.other, breaks, text)

    def _requests(self) -> Iterator[tuple[bool, str]]:
        one, other = _request(self.one), _request(self.other)
        for misfit in self.forth.misfits(one, other):
            yield True, f"a request of before may be refused: {misfit}"
        for misfit in self.back.misfits(other, one):
            # what is new and may be left out is not sent to editions of before
            breaks = self.edition and not _new_member(misfit)
            whom = "an edition of before may be asked" if breaks else "a request may now say"
            yield breaks, f"{whom} more: {misfit}"

    def _answers(self) -> Iterator[tuple[bool, str]]:
        one, other = _answers(self.one), _answers(self.other)
        for status in sorted(one.keys() | other.keys()):
            if status not in other:
                yield status.startswith("2") or self.edition, f"{status} is no longer answered"
            elif status not in one:
                yield True, f"{status} may be answered"
            else:
                yield from self._answer(one[status], other[status])

    def _answer(self, one: Schema, other: Schema) -> Iterator[tuple[bool, str]]:
        for misfit in self.back.misfits(other, one):
            if not _new_member(misfit):
                yield True, f"an answer may be what nobody expected: {misfit}"
        for misfit in self.forth.misfits(one, other):
            text = f"an answer of before may be refused: {misfit}"
            yield self.edition, text if self.edition else f"an answer promises more: {misfit}"
        for place in sorted(self._members(one, self.forth) - self._members(other, self.back)):
            yield True, f"`{place}` is no longer answered"
        for place in sorted(self._members(other, self.back) - self._members(one, self.forth)):
            yield False, f"`{place}` is answered too"

    def _members(self, schema: Schema, fit: Fit) -> set[str]:
        return set(members(schema, fit.ours))

    def _declared(self) -> Iterator[tuple[bool, str]]:
        """What the document says of an operation beside its types."""
        one, other = self.one, self.other
        sees = [set(operation.get("x-sees", ())) for operation in (one, other)]
        for name in sorted(sees[1] - sees[0]):
            yield True, f"more is seen: `{name}`, which nobody agreed to show"
        for name in sorted(sees[0] - sees[1]):
            yield True, f"`{name}` is no longer seen"
        ms = [operation.get("x-deadline-ms", 0) for operation in (one, other)]
        if ms[0] != ms[1]:
            longer = "longer" if ms[1] > ms[0] else "shorter"
            yield ms[1] < ms[0], f"the deadline is {longer}: {ms[1]} ms, and was {ms[0]} ms"
        yield from self._problems(one.get("x-problems", {}), other.get("x-problems", {}))
        for name, said in (("x-right", "the right"), ("x-audience", "the audience")):
            if one.get(name) != other.get(name):
                yield True, f"{said} is {other.get(name)}, and was {one.get(name)}"
        if one.get("operationId") != other.get("operationId"):
            yield True, f"it was called {one.get('operationId')}"

    def _problems(self, one: dict[str, int], other: dict[str, int]) -> Iterator[tuple[bool, str]]:
        for code in sorted(one.keys() | other.keys()):
            if code not in other:
                yield True, f"the problem {code} is no longer understood"
            elif code not in one:
                new = other[code] not in one.values()
                yield new, f"the problem {code} ({other[code]}) may be answered"
            elif one[code] != other[code]:
                yield True, f"the problem {code} has status {other[code]}, and had {one[code]}"


def _new_member(misfit: Misfit) -> bool:
    return misfit.why == "there is no such member on the other side"


def _request(operation: dict[str, Any]) -> Schema:
    """Parameters and body as members of one object."""
    members: dict[str, Schema] = {}
    required = []
    for parameter in operation.get("parameters", ()):
        name = f"{parameter['in']} {parameter['name']}"
        members[name] = parameter["schema"]
        if parameter.get("required"):
            required.append(name)
    body = operation.get("requestBody")
    if body is not None:
        members["body"] = body["content"]["application/json"]["schema"]
        if body.get("required"):
            required.append("body")
    return _object(members, required)


def _answers(operation: dict[str, Any]) -> dict[str, Schema]:
    """What is answered by status: the body, and the headers that are promised."""
    found = {}
    for status, answer in operation.get("responses", {}).items():
        content = answer.get("content", {})
        inner: Schema = next((kind["schema"] for kind in content.values()), {})
        headers = answer.get("headers", {})
        members = {"body": inner} | {f"header {n}": h["schema"] for n, h in headers.items()}
        required = ["body", *(f"header {n}" for n, h in headers.items() if h.get("required"))]
        found[str(status)] = _object(members, required)
    return found


def _object(members: dict[str, Schema], required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": members,
        "required": required,
        "additionalProperties": False,
    }


def members(
    schema: Schema,
    components: dict[str, Schema],
    place: str = "",
    seen: frozenset[str] = frozenset(),
) -> Iterator[str]:
    """The places of every member that a value may have: `body.items[].fee.amount`."""
    name = schema.get("$ref", "")
    if name in seen:
        return
    if name:
        schema = components[name.rpartition("/")[2]]
        seen |= {name}
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from members(choice, components, place, seen)
    for member, inner in schema.get("properties", {}).items():
        here = f"{place}.{member}" if place else member
        yield here
        yield from members(inner, components, here, seen)
    if isinstance(schema.get("items"), dict):
        yield from members(schema["items"], components, f"{place}[]", seen)
