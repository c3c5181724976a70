"""The page of a contract, from its declaration: operations, their types, their problems."""

import sys
import typing
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from guilder.contracts.declare import Contract, Operation, Personal
from guilder.contracts.values import Money

SIMPLE = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true/false",
    bytes: "bytes (base64)",
    UUID: "UUID",
    datetime: "moment",
    date: "date",
    Money: "money",
    type(None): "null",
    Any: "anything",
}
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "≥", "max_length": "≤"}


def contract_page(contract: type[Contract], note: str) -> str:
    """Write the page."""
    module = sys.modules[contract.__module__]
    _, _, meaning = (module.__doc__ or "").partition(": ")
    lines = [f"# {contract.contract_name}", "", note, ""]
    lines += [f"Version `{contract.contract_version}`, a {contract.contract_kind}.", ""]
    lines += [meaning[:1].upper() + meaning[1:].strip(), ""]
    inherited = set(Contract.operations())
    chosen = [o for n, o in contract.operations().items() if n not in inherited]
    for title, public in (("Offered to the outside", True), ("For other services only", False)):
        part = [o for o in chosen if o.public is public]
        if part:
            lines += [f"## {title}", ""]
        for operation in part:
            lines += _operation(operation)
    lines += ["## Types", ""]
    for kind in _structs(chosen):
        lines += _struct(kind)
    return "\n".join(lines).rstrip() + "\n"


def _operation(operation: Operation) -> list[str]:
    path = ("/v1" if operation.public else "") + operation.path
    notes = [f"deadline {operation.deadline_ms} ms"]
    if operation.batch:
        notes.append("batch: one answer or problem per item")
    if operation.command:
        key = "required" if operation.moves_money else "optional"
        notes.append(f"command (`Idempotency-Key` {key})")
    if operation.may:
        notes.append(f"right `{operation.may}` {_scope(operation)}")
    elif operation.public:
        notes.append("the service itself decides who may")
    if operation.four_eyes:
        notes.append("four eyes: answers 202 with a proposal")
    takes, gives = operation.request.__name__, _type(operation.answer)
    lines = [f"### {operation.name}", f"`{operation.method} {path}` · {' · '.join(notes)}", ""]
    lines += [operation.summary, "", f"Takes `{takes}`, answers {operation.status} {gives}.", ""]
    if operation.sees:
        lines += [f"An edition sees: {', '.join(f'`{s}`' for s in operation.sees)}.", ""]
    if operation.problems:
        links = [f"[`{p.code}`](../problems.md#{p.code})" for p in operation.problems]
        lines += [f"Refuses with {', '.join(links)}.", ""]
    return lines


def _scope(operation: Operation) -> str:
    if operation.on is None:
        return "on the tenant"
    return "on what it is about" if operation.on == "inside" else f"on `{operation.on}`"


def _structs(operations: list[Operation]) -> list[type[msgspec.Struct]]:
    """Every structure that the operations take or give, by name."""
    found: dict[str, type[msgspec.Struct]] = {}
    waiting: list[Any] = [kind for o in operations for kind in (o.request, o.answer)]
    while waiting:
        kind = waiting.pop()
        waiting += [a for a in typing.get_args(kind) if not isinstance(a, str)]
        is_struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        if is_struct and kind.__name__ not in found:
            found[kind.__name__] = kind
            waiting += [field.type for field in msgspec.structs.fields(kind)]
    return [found[name] for name in sorted(found)]


def _struct(kind: type[msgspec.Struct]) -> list[str]:
    lines = [f"### {kind.__name__}", " ".join((kind.__doc__ or "").split()), ""]
    fields = msgspec.structs.fields(kind)
    if fields:
        lines += ["| field | type | |", "|---|---|---|"]
    for field in fields:
        note = "" if field.required else "optional"
        if field.default not in (msgspec.NODEFAULT, None) and _plain(field.default):
            note = f"default `{field.default}`"
        lines.append(f"| `{field.encode_name}` | {_type(field.type)} | {note} |")
    return [*lines, ""] if fields else lines


def _plain(value: Any) -> bool:
    return isinstance(value, str | int) and value != ""


def _type(kind: Any) -> str:
    """A type as a reader of the API would say it."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _annotated(args[0], args[1:])
    if origin is Literal:
        return " \\| ".join(f"`{value}`" for value in args)
    if origin is list:
        return f"list of {_type(args[0])}"
    if origin is dict:
        return f"{_type(args[1])} by {_type(args[0])}"
    if args:
        return " or ".join(_type(arg) for arg in args)
    return f"[{kind.__name__}](#{kind.__name__.lower()})"


def _annotated(kind: Any, notes: tuple[Any, ...]) -> str:
    bounds = []
    for meta in (n for n in notes if isinstance(n, msgspec.Meta)):
        for name, sign in BOUNDS.items():
            value = getattr(meta, name)
            if value is not None:
                what = "length " if "length" in name else ""
                bounds.append(f"{what}{sign} {value}")
        if meta.pattern is not None:
            pattern = meta.pattern.replace("|", r"\|")
            bounds.append(f"`{pattern}`")
    if any(isinstance(n, Personal) for n in notes):
        bounds.append("personal")
    return f"{_type(kind)} ({', '.join(bounds)})" if bounds else _type(kind)
