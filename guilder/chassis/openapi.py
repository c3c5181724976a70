"""Contracts as OpenAPI 3.1 documents: the one API, what an edition serves, what is frozen.

Three readers, three documents: clients of the gateway read `openapi`, who writes an edition reads
`edition_document`, and what a released version promises is `contract_document`.
"""

from typing import Any

import msgspec

from guilder.chassis.shapes import reached
from guilder.contracts import edition
from guilder.contracts.declare import Contract, Operation
from guilder.contracts.values import Money

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


def openapi(contracts: list[type[Contract]], title: str, version: str) -> dict[str, Any]:
    """Make the document of the one API: every public operation, below `/v1`."""
    return _document(title, version, _clients([o for c in contracts for o in _all(c) if o.public]))


def edition_document(contract: type[Contract]) -> dict[str, Any]:
    """Make the document of what an edition of this contract serves: its manifest, and each
    replaceable operation as a batch of one tenant, with no more than `sees` names.
    """
    title = f"Guilder edition of {contract.contract_name}"
    return _document(title, contract.contract_version, _editions(contract))


def contract_document(contract: type[Contract], *, house: bool = False) -> dict[str, Any]:
    """Make the document of what a version promises: to editions what `edition_document` says, to
    clients the public operations. `house` adds what only our own services call, below `/NAME`,
    which no version promises.
    """
    name = contract.contract_name
    parts = [_editions(contract), _clients([o for o in _all(contract) if o.public])]
    if house:
        inner = [o for o in _all(contract) if not o.public and not o.replaceable]
        parts.append(_clients(inner, f"/{name}", "house"))
    return _document(f"Guilder contract: {name}", contract.contract_version, *parts)


Part = tuple[dict[str, Any], dict[str, Any]]
"""Paths and the schemas that they name."""


def _all(contract: type[Contract]) -> list[Operation]:
    return list(contract.operations().values())


def _document(title: str, version: str, *parts: Part) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": PROBLEM_SCHEMA}
    for more_paths, more_schemas in parts:
        paths |= more_paths
        for name, schema in more_schemas.items():
            assert schemas.setdefault(name, schema) == schema, f"two types are called {name}"
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "license": {"name": "Apache-2.0"}},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(reached(paths, schemas).items()))},
    }


def _schemas(kinds: list[Any]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """The schema of each type, and the components that they name."""
    schemas, components = msgspec.json.schema_components(
        kinds, schema_hook=_schema_hook, ref_template="#/components/schemas/{name}"
    )
    return dict(zip(kinds, schemas, strict=True)), components


def _clients(chosen: list[Operation], prefix: str = "/v1", audience: str = "clients") -> Part:
    """Operations as they are called one by one."""
    kinds = list({o.answer: None for o in chosen} | {o.request: None for o in chosen})
    refs, components = _schemas(kinds)
    bodies = _bodies(chosen, refs, components)
    paths: dict[str, Any] = {}
    for operation in chosen:
        described = _describe(operation, refs, bodies) | {"x-audience": audience}
        paths.setdefault(prefix + operation.path, {})[operation.method.lower()] = described
    return paths, components


# ── what an edition serves ───────────────────────────────────────────────────────────────────

_PROMISE = (
    f"Sent with `{edition.DEADLINE}` (milliseconds until nobody waits any more),"
    f" `{edition.REQUEST}` (the platform's name of the request) and a signature (RFC 9421) over"
    f" {', '.join(f'`{part}`' for part in edition.SIGNED)}. All items are of one tenant; there is"
    " one answer or problem per item, in order."
)

_BANNER = {
    "description": "What answered: `CONTRACT EDITION.VERSION DIGEST`, as the manifest says it.",
    "required": True,
    "schema": {
        "type": "string",
        "pattern": r"^[a-z][a-z-]{1,30} [A-Z]\.[0-9]+(\.[0-9]+){2} sha256:[0-9a-f]{64}$",
    },
}


def _editions(contract: type[Contract]) -> Part:
    """The manifest and the replaceable operations; nothing where there are none."""
    chosen = contract.replaceable()
    if not chosen:
        return {}, {}
    kinds = {edition.Manifest} | {o.request for o in chosen} | {o.answer for o in chosen}
    refs, components = _schemas(sorted(kinds, key=lambda kind: kind.__name__))
    paths: dict[str, Any] = {edition.MANIFEST: {"get": _manifest(contract, refs)}}
    for operation in chosen:
        item = refs[operation.request]
        hidden = set(operation.request.__struct_fields__) - set(operation.sees)
        if hidden:
            name = f"{operation.request.__name__}Seen"
            whole = components[operation.request.__name__]
            components[name] = _without(whole, tuple(hidden)) | {"title": name}
            item = {"$ref": f"#/components/schemas/{name}"}
        described = _batch(operation, item, refs[operation.answer])
        paths[edition.path(operation)] = {operation.method.lower(): described}
    return paths, components


def _manifest(contract: type[Contract], refs: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    answer = {
        "description": "What this edition says of itself.",
        "content": {"application/json": {"schema": refs[edition.Manifest]}},
    }
    return {
        "operationId": "manifest",
        "summary": "Say which edition this is, and which digest it runs.",
        "tags": [contract.contract_name],
        "responses": {"200": answer},
        "x-audience": "editions",
    }


def _batch(operation: Operation, item: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """A replaceable operation with its envelope, as `contracts/edition.py` describes it."""
    asked = {
        "tenant": {"type": "integer", "minimum": 1},
        "items": {"type": "array", "items": item, "minItems": 1, "maxItems": edition.MOST_ITEMS},
    }
    problem = {"$ref": "#/components/schemas/Problem"}
    said = {"oneOf": [_closed({"answer": answer}), _closed({"problem": problem})]}
    answered = {
        "items": {"type": "array", "items": said, "minItems": 1, "maxItems": edition.MOST_ITEMS}
    }
    return {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": _PROMISE,
        "tags": [operation.contract],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _closed(asked)}},
        },
        "responses": {
            "200": {
                "description": "One answer or problem per item, in order.",
                "headers": {edition.EDITION: _BANNER},
                "content": {"application/json": {"schema": _closed(answered)}},
            },
            "400": _problem_answer("The batch itself is not as described: nothing was answered."),
            "default": _problem_answer("No answer to any item."),
        },
        "x-audience": "editions",
        "x-deadline-ms": operation.deadline_ms,
        "x-sees": list(operation.sees),
        "x-problems": {p.code: p.status for p in sorted(operation.problems, key=lambda p: p.code)},
    }


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    """An object of exactly these members."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
