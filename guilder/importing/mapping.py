"""What another system's files mean: a strict TOML mapping.

The mapping is data a person writes, so every refusal names the file, the table, the key and what
could stand there. The tables are described in `tables`; `mappings/berka.toml` is a full example.
"""

import re
import tomllib
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from guilder.importing.tables import Mapping

MAX_MAPPING_BYTES = 256 * 1024

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_KEY = re.compile(r"(?:unknown|required) field `(?P<key>[^`]*)`")
_PART = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]")


class MappingError(ValueError):
    """A mapping that cannot be used; the message says where it is wrong and what could stand there.

    `table` and `key` are empty where the file as a whole is at fault.
    """

    def __init__(self, file: str, table: str, key: str, reason: str) -> None:
        """Say where (file, table, key) and why."""
        where = [file]
        if table:
            where.append(f"table [{table}]")
        if key:
            where.append(f"key '{key}'")
        super().__init__(f"{', '.join(where)}: {reason}")
        self.file, self.table, self.key, self.reason = file, table, key, reason


def load_mapping(path: Path) -> Mapping:
    """Read and check a mapping file; raises `MappingError`."""
    try:
        with path.open("rb") as handle:
            raw = handle.read(MAX_MAPPING_BYTES + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise MappingError(path.name, "", "", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MappingError(path.name, "", "", "is not UTF-8 text, as TOML must be") from error
    if len(raw) > MAX_MAPPING_BYTES:
        raise MappingError(path.name, "", "", f"is larger than {MAX_MAPPING_BYTES} bytes")
    return parse_mapping(text, path.name)


def parse_mapping(text: str, file: str = "mapping") -> Mapping:
    """Check a mapping given as text; `file` is only for messages. Raises `MappingError`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(file, "", "", f"is not TOML: {error}") from error
    try:
        return msgspec.convert(data, Mapping, strict=True)
    except msgspec.ValidationError as error:
        raise _explain(file, str(error)) from error


def _explain(file: str, message: str) -> MappingError:
    """Turn msgspec's "... - at `$.a.b`" into file, table, key and what could stand there."""
    found = _AT.match(message)
    what, path = (found["what"], found["path"] or "$") if found else (message, "$")
    parts = [name or f"[{index}]" for name, index in _PART.findall(path)]
    named = _KEY.search(what)
    here = _type_at(parts)
    if named:
        table, key = parts, named["key"]
        if "unknown" in what:
            return MappingError(file, _dotted(table), key, f"unknown key; {_describe(here)}")
        missing = _describe(_type_at([*parts, key]))
        return MappingError(file, _dotted(table), key, f"is missing; it is {missing}")
    if _is_table(here) and "Expected" not in what:
        return MappingError(file, _dotted(parts), "", what)
    table, key = parts[:-1], parts[-1] if parts else ""
    return MappingError(file, _dotted(table), key, f"{what}; it is {_describe(here)}")


def _dotted(parts: list[str]) -> str:
    return ".".join(parts).replace(".[", "[")


def _type_at(parts: list[str]) -> Any:
    """The type the mapping has at a path, walking tables, lists and value tables."""
    here: Any = Mapping
    for part in parts:
        here = _plain(here)
        if _is_table(here):
            fields = {field.name: field.type for field in msgspec.structs.fields(here)}
            here = fields.get(part, str)
        else:
            here = (get_args(here) or (str,))[-1]
            if here is Ellipsis:
                here = str
    return _plain(here)


def _plain(kind: Any) -> Any:
    """`X | None` is X for someone who writes a mapping."""
    if get_origin(kind) in (Union, UnionType):
        present = [arg for arg in get_args(kind) if arg is not type(None)]
        return present[0] if len(present) == 1 else kind
    return kind


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _describe(kind: Any) -> str:
    """What could stand somewhere, in words."""
    if _is_table(kind):
        names = ", ".join(field.name for field in msgspec.structs.fields(kind))
        return f"a table with the keys {names}"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(repr(value) for value in get_args(kind))
    if get_origin(kind) is dict:
        return f"a table of values, each {_describe(_plain(get_args(kind)[1]))}"
    if get_origin(kind) is list:
        return f"a list, each {_describe(_plain(get_args(kind)[0]))}"
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_describe(arg) for arg in get_args(kind))
    return {str: "text", int: "a whole number", bool: "true or false"}.get(kind, str(kind))
