"""What follows from a contract alone: reading and writing its requests and answers.

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

from guilder.contracts.declare import Operation
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


def as_uuid(text: str) -> UUID | None:
    """Read a UUID in its canonical form, else None."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None
