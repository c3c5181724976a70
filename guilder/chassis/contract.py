"""What follows from a contract alone: reading and writing its requests, answers and document.

One strict JSON reader serves every door: duplicate members, NaN, big or nested input are refused
before anything is interpreted.
"""

import json
import re
from functools import cache
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec

from guilder.contracts.declare import Contract, Operation
from guilder.contracts.errors import InvalidRequest
from guilder.contracts.values import Money

T = TypeVar("T")

MAX_DEPTH = 32
"""Deepest nesting of arrays and objects a body may have."""

MAX_TEXT = 20_000
"""Longest string a body may contain, in characters."""


def _encode_hook(value: Any) -> Any:
    if isinstance(value, Money):
        return {"amount": value.amount, "currency": value.currency}
    raise NotImplementedError(f"cannot encode {type(value).__name__}")


def _decode_hook(kind: type[Any], value: Any) -> Any:
    if kind is not Money:
        raise NotImplementedError(f"cannot decode {kind}")
    if not isinstance(value, dict) or set(value) != {"amount", "currency"}:
        raise ValueError('expected {"amount": "12.50", "currency": "EUR"}')
    amount, currency = value["amount"], value["currency"]
    if not isinstance(amount, str) or not isinstance(currency, str):
        raise ValueError("amount and currency must be strings")
    return Money.parse(amount, currency)


_encoder = msgspec.json.Encoder(enc_hook=_encode_hook, order="deterministic")


def encode(value: Any) -> bytes:
    """Write a value as JSON, the same bytes every time."""
    return _encoder.encode(value)


def plain(value: Any) -> Any:
    """Turn a value into what JSON would hold (dicts, lists, strings, numbers)."""
    return msgspec.to_builtins(value, enc_hook=_encode_hook)


def convert(value: Any, kind: Any) -> Any:
    """Build a value of `kind` from plain JSON values, or raise InvalidRequest naming the place."""
    try:
        return msgspec.convert(value, kind, dec_hook=_decode_hook)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `")
        raise InvalidRequest(text, at=place.rstrip("`") or "$") from None


def decode(raw: bytes, kind: Any) -> Any:
    """Read an answer that our own process wrote."""
    return msgspec.json.decode(raw, type=kind, dec_hook=_decode_hook)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidRequest(f"member {name[:60]!r} appears twice", at="$")
        found[name] = value
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise InvalidRequest(f"{text} is not JSON", at="$")


_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Strings and brackets. A string that never ends matches too: were it tried again from each quote
inside, one body could keep a process busy for minutes."""


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for mark in _MARKS.finditer(text):
        if mark[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidRequest(f"nested deeper than {MAX_DEPTH} levels", at="$")
        elif mark[0] in "]}":
            depth -= 1


def _check_texts(value: Any) -> None:
    """Refuse over-long strings, NUL and lone surrogates anywhere: no database stores them."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if len(item) > MAX_TEXT:
                raise InvalidRequest(f"a text is longer than {MAX_TEXT} characters", at="$")
            if re.search("[\x00\ud800-\udfff]", item):
                raise InvalidRequest("a text contains a character that cannot be stored", at="$")
        elif isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def read_json(raw: bytes) -> Any:
    """Read a stranger's JSON strictly; InvalidRequest says what is wrong with it."""
    try:
        text = raw.decode("utf-8")
        _check_depth(text)
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not UTF-8", at="$") from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}", at="$") from None
    _check_texts(value)
    return value


def read_request(
    operation: Operation, path: dict[str, str], query: list[tuple[str, str]], body: bytes
) -> Any:
    """Build an operation's request from the parts of an HTTP request."""
    if operation.method == "GET":
        if body:
            raise InvalidRequest("a GET request has no body", at="$")
        fields: dict[str, Any] = _no_duplicates(query)
        _check_texts(fields)
        clash = set(fields) & set(path)
    else:
        if query:
            raise InvalidRequest("this operation takes no query parameters", at="$")
        fields = read_json(body) if body else {}
        if not isinstance(fields, dict):
            raise InvalidRequest("the body must be a JSON object", at="$")
        clash = set(fields) & set(path)
    if clash:
        raise InvalidRequest(f"{min(clash)!r} belongs into the path", at="$")
    _check_texts(path)
    texts = fields if operation.method == "GET" else {}
    given = {n: _scalar(operation.request, n, v) for n, v in {**texts, **path}.items()}
    return convert({**fields, **given}, operation.request)


_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,39})", re.ASCII)


def _scalar(request: type[Any], name: str, text: str) -> Any:
    """Read a number or a flag from path or query; what is neither stays a text, to be judged.

    msgspec's own lenient reading also takes `1e1`, `1.0`, `null` and seconds since 1970.
    """
    kinds = _kinds(request).get(name, set())  # type: ignore[arg-type]
    if "int" in kinds and _INTEGER.fullmatch(text):
        return int(text)
    if "bool" in kinds and text in ("true", "false"):
        return text == "true"
    return text


@cache
def _kinds(request: type[Any]) -> dict[str, set[str]]:
    """Which of int and bool each field may be."""
    found = {}
    for field in msgspec.structs.fields(request):
        kind = msgspec.inspect.type_info(field.type)
        parts = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
        names = {msgspec.inspect.IntType: "int", msgspec.inspect.BoolType: "bool"}
        found[field.name] = {names[type(part)] for part in parts if type(part) in names}
    return found


def write_request(operation: Operation, request: Any) -> tuple[str, bytes]:
    """Turn a request into path (with query) and body, the reverse of `read_request`."""
    fields = plain(request)
    path = operation.path
    for name in operation.path_fields:
        path = path.replace(f"{{{name}}}", quote(str(fields.pop(name)), safe=""))
    if operation.method != "GET":
        return path, encode(fields)
    given = {k: v for k, v in fields.items() if v is not None}
    query = urlencode(
        {k: str(v).lower() if v is True or v is False else v for k, v in given.items()}
    )
    return (f"{path}?{query}" if query else path), b""


# ── OpenAPI 3.1 ──────────────────────────────────────────────────────────────────────────────

_MONEY = {
    "type": "object",
    "title": "Money",
    "description": "A decimal string with at most the currency's decimals, and ISO 4217 code.",
    "properties": {
        "amount": {"type": "string", "pattern": r"^-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,3})?$"},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
    },
    "required": ["amount", "currency"],
    "additionalProperties": False,
}


def _schema_hook(kind: type[Any]) -> dict[str, Any]:
    if kind is Money:
        return dict(_MONEY)
    raise NotImplementedError(f"no schema for {kind}")


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem; `code` is stable, `fix` says what to do next.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "fix": {"type": "string"},
        "at": {"type": "string"},
    },
    "required": ["type", "title", "status", "code", "detail", "fix"],
}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for field in msgspec.structs.fields(operation.request):
        in_path = field.name in operation.path_fields
        if not in_path and operation.method != "GET":
            continue
        schema, _ = msgspec.json.schema_components(
            [field.type], schema_hook=_schema_hook, ref_template="#/components/schemas/{name}"
        )
        found.append(
            {
                "name": field.name,
                "in": "path" if in_path else "query",
                "required": in_path or field.required,
                "schema": schema[0],
            }
        )
    if operation.command:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": operation.moves_money,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    return found


def _describe(
    operation: Operation,
    refs: dict[Any, dict[str, Any]],
    bodies: dict[str, tuple[dict[str, Any], bool]],
) -> dict[str, Any]:
    codes: dict[str, list[str]] = {}
    for problem in operation.problems:
        codes.setdefault(str(problem.status), []).append(f"`{problem.code}` {problem.title}")
    answers: dict[str, Any] = {
        str(operation.status): {
            "description": "The answer.",
            "content": {"application/json": {"schema": refs[operation.answer]}},
        }
    }
    if operation.waits:
        answers["202"] = {
            "description": "Stored, but not decided yet: it ends later by itself.",
            "content": {"application/json": {"schema": refs[operation.answer]}},
        }
    if operation.four_eyes:
        answers["202"] = {"description": "Proposed: somebody else must approve it first."}
    for status, lines in sorted(codes.items()):
        answers[status] = _problem_answer("; ".join(lines))
    answers["default"] = _problem_answer("Any other problem.")
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.contract],
        "parameters": _parameters(operation),
        "responses": answers,
        "x-deadline-ms": operation.deadline_ms,
    }
    if operation.may:
        described["x-right"] = operation.may
    if operation.sees:
        described["x-sees"] = list(operation.sees)
    if operation.method != "GET":
        body, required = bodies[operation.id]
        content = {"application/json": {"schema": body}}
        described["requestBody"] = {"required": required, "content": content}
    return described


def _bodies(
    chosen: list[Operation], refs: dict[Any, dict[str, Any]], components: dict[str, Any]
) -> dict[str, tuple[dict[str, Any], bool]]:
    """Schema of each operation's body, and whether there must be one.

    What stands in the path does not stand in the body. Where all operations agree on that, the
    component itself says so; where they differ, each has a schema of its own.
    """
    paths: dict[Any, set[tuple[str, ...]]] = {}
    for operation in chosen:
        if operation.method != "GET":
            paths.setdefault(operation.request, set()).add(operation.path_fields)
    names = {kind: refs[kind]["$ref"].rpartition("/")[2] for kind in paths}
    whole = {kind: components[name] for kind, name in names.items()}
    bodies: dict[str, tuple[dict[str, Any], bool]] = {}
    for operation in chosen:
        if operation.method == "GET":
            continue
        kind = operation.request
        body = _without(whole[kind], operation.path_fields)
        if len(paths[kind]) == 1:
            components[names[kind]] = body
        schema = refs[kind] if len(paths[kind]) == 1 else body
        bodies[operation.id] = schema, bool(body.get("required"))
    return bodies


def _without(schema: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """An object's schema without some of its properties."""
    properties = {n: s for n, s in schema.get("properties", {}).items() if n not in names}
    required = [n for n in schema.get("required", []) if n not in names]
    return {**schema, "properties": properties, "required": required}


def _problem_answer(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }


def openapi(
    contracts: list[type[Contract]], title: str, version: str, *, public: bool
) -> dict[str, Any]:
    """Make the OpenAPI 3.1 document: of the one API (`public`) or of whole contracts."""
    chosen = [
        operation
        for contract in contracts
        for operation in contract.operations().values()
        if operation.public or not public
    ]
    kinds = list({o.answer: None for o in chosen} | {o.request: None for o in chosen})
    schemas, components = msgspec.json.schema_components(
        kinds, schema_hook=_schema_hook, ref_template="#/components/schemas/{name}"
    )
    refs = dict(zip(kinds, schemas, strict=True))
    bodies = _bodies(chosen, refs, components)
    paths: dict[str, Any] = {}
    for operation in chosen:
        path = ("/v1" if public else "") + operation.path
        paths.setdefault(path, {})[operation.method.lower()] = _describe(operation, refs, bodies)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "license": {"name": "Apache-2.0"}},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted((components | {"Problem": PROBLEM_SCHEMA}).items()))},
    }


def contract_document(contract: type[Contract]) -> dict[str, Any]:
    """Make one contract's own OpenAPI document."""
    title = f"Guilder contract: {contract.contract_name}"
    return openapi([contract], title, contract.contract_version, public=False)


def as_uuid(text: str) -> UUID | None:
    """Read a UUID in its canonical form, else None."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None
