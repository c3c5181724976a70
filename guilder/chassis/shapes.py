"""Whether every value of one JSON schema is a value of another; if not, where and why not.

For the schemas that our contracts make. What is not understood counts as a difference: rather one
warning too many than a client that breaks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

WORDING = frozenset({"title", "description", "summary", "default", "examples", "discriminator"})
"""What tells readers something and refuses no value."""

_KNOWN = WORDING | {"type", "enum", "const", "anyOf", "oneOf", "$ref", "properties", "required"}
_KNOWN |= {"additionalProperties", "items", "components"}

_LOWEST = {"minimum": "the least is", "minLength": "the shortest text has"}
_LOWEST |= {"minItems": "the fewest items are", "exclusiveMinimum": "it is more than"}
_HIGHEST = {"maximum": "the most is", "maxLength": "the longest text has"}
_HIGHEST |= {"maxItems": "the most items are", "exclusiveMaximum": "it is less than"}


def reached(value: Any, schemas: dict[str, Schema]) -> dict[str, Schema]:
    """The schemas that a part of a document names, and those that they name."""
    found, stack = dict[str, Schema](), [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list | tuple):
            stack.extend(item)
        elif isinstance(item, dict):
            name = str(item.get("$ref", "")).rpartition("/")[2]
            if name in schemas and name not in found:
                found[name] = schemas[name]
                stack.append(schemas[name])
            stack.extend(item.values())
    return found


@dataclass(frozen=True)
class Misfit:
    """A place of a value, as `items[].amount`, and what differs there."""

    place: str
    why: str

    def __str__(self) -> str:
        """`amount: the longest text has 9, before 20`."""
        return f"`{self.place}`: {self.why}" if self.place else self.why


@dataclass(frozen=True)
class Fit:
    """Compares schemas of two documents, each with its own components."""

    ours: dict[str, Schema]
    theirs: dict[str, Schema]

    def misfits(self, one: Schema, other: Schema) -> list[Misfit]:
        """What may be a value of `one` and is none of `other`."""
        return list(dict.fromkeys(self._compare(one, other, "", frozenset())))

    def _compare(
        self, one: Schema, other: Schema, place: str, seen: frozenset[tuple[str, str]]
    ) -> Iterator[Misfit]:
        pair = (str(one.get("$ref")), str(other.get("$ref")))
        if pair != ("None", "None"):
            if pair in seen:
                return
            seen |= {pair}
        wholes, targets = variants(one, self.ours), variants(other, self.theirs)
        for variant in wholes:
            tries = [list(self._variant(variant, target, place, seen)) for target in targets]
            if any(not found for found in tries):
                continue
            closest = _closest(variant, targets)
            if closest is not None:
                yield from tries[closest]
            else:
                yield Misfit(place, f"{words(variant)} is not among {_all(targets)}")

    def _variant(
        self, one: Schema, other: Schema, place: str, seen: frozenset[tuple[str, str]]
    ) -> Iterator[Misfit]:
        """The same where neither is a choice of several."""
        if "enum" in one:
            yield from self._values(one, other, place)
            return
        if "enum" in other:
            yield Misfit(place, f"{words(one)}, beside only {words(other)}")
            return
        kinds = kind(one), kind(other)
        if "type" in other and kinds[0] != kinds[1] and kinds != ("integer", "number"):
            yield Misfit(place, f"{words(one)} is not {words(other)}")
            return
        yield from _bounds(one, other, place)
        yield from _rest(one, other, place)
        if kind(other) == "object":
            yield from self._members(one, other, place, seen)
        if kind(other) == "array":
            inner = one.get("items", {}), other.get("items", {})
            yield from self._compare(*inner, f"{place}[]", seen)

    def _values(self, one: Schema, other: Schema, place: str) -> Iterator[Misfit]:
        gone = [value for value in one["enum"] if not _takes(other, value)]
        if gone:
            yield Misfit(place, f"{_all(gone)} is not among {words(other)}")

    def _members(
        self, one: Schema, other: Schema, place: str, seen: frozenset[tuple[str, str]]
    ) -> Iterator[Misfit]:
        """Members of objects. What an open object may hold besides is read by nobody."""
        own, taken = one.get("properties", {}), other.get("properties", {})
        rest = other.get("additionalProperties", True)
        for name, schema in own.items():
            here = f"{place}.{name}" if place else name
            if name in taken:
                yield from self._compare(schema, taken[name], here, seen)
            elif rest is False:
                yield Misfit(here, "there is no such member on the other side")
            elif isinstance(rest, dict):
                yield from self._compare(schema, rest, here, seen)
        for name in sorted(set(other.get("required", ())) - set(one.get("required", ()))):
            here = f"{place}.{name}" if place else name
            yield Misfit(here, "it must be there on one side, and need not be on the other")
        more = one.get("additionalProperties", True)
        if rest is not True and more is not False:
            if rest is False:
                yield Misfit(place, "other members are taken on one side only")
            else:
                inner = more if isinstance(more, dict) else {}
                yield from self._compare(inner, rest, f"{place}.*" if place else "*", seen)


def variants(schema: Schema, components: dict[str, Schema]) -> list[Schema]:
    """The schemas of which a value fits one: references followed, choices taken apart."""
    if "$ref" in schema:
        return variants(components[schema["$ref"].rpartition("/")[2]], components)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return [found for part in schema[choice] for found in variants(part, components)]
    if "const" in schema:
        return [{"enum": [schema["const"]]}]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": one} for one in schema["type"]]
    if schema.get("type") == "null":
        return [{"enum": [None]}]
    if schema.get("type") == "boolean":
        return [{"enum": [True, False]}]
    if "enum" in schema and len(schema["enum"]) > 1 and None in schema["enum"]:
        return [{"enum": [v for v in schema["enum"] if v is not None]}, {"enum": [None]}]
    return [schema]


def _closest(one: Schema, targets: list[Schema]) -> int | None:
    """Which of several is meant: the only one, the only one of the kind, the most alike object."""
    if len(targets) == 1:
        return 0
    alike = [i for i, target in enumerate(targets) if kind(target) == kind(one)]
    if len(alike) == 1:
        return alike[0]
    own = set(one.get("properties", {}))
    shared = {i: len(own & set(targets[i].get("properties", {}))) for i in alike}
    best = max(shared, key=lambda i: shared[i], default=None)
    return best if best is not None and shared[best] else None


def kind(schema: Schema) -> str:
    """The type of what stands for one alone; enums have that of their first value."""
    if "enum" in schema:
        return _kind_of(schema["enum"][0])
    return str(schema.get("type", "anything"))


def words(schema: Schema) -> str:
    """A schema in a word or two."""
    if "enum" in schema:
        return _all(schema["enum"])
    named = str(schema.get("title", "")) or kind(schema)
    return f"{named} {schema['format']}" if "format" in schema else named


def _all(values: list[Any]) -> str:
    texts = [words(value) if isinstance(value, dict) else f"{value!r}" for value in values]
    return " or ".join(texts) or "nothing"


def _kind_of(value: Any) -> str:
    names = {bool: "boolean", str: "string", int: "integer", float: "number", type(None): "null"}
    return names.get(type(value), "object")


def _takes(schema: Schema, value: Any) -> bool:
    """Whether a single value of an enum fits a schema that is no choice."""
    if "enum" in schema:
        return any(value == v and type(value) is type(v) for v in schema["enum"])
    kinds = {_kind_of(value), "number" if _kind_of(value) == "integer" else ""}
    if "type" in schema and schema["type"] not in kinds:
        return False
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return False
        lengths = schema.get("minLength", 0), schema.get("maxLength", len(value))
        return lengths[0] <= len(value) <= lengths[1] and "format" not in schema
    if isinstance(value, int | float) and not isinstance(value, bool):
        exact = {"enum": [value], "minimum": value, "maximum": value}
        return not list(_bounds(exact, {k: v for k, v in schema.items() if k != "enum"}, ""))
    return True


def _bounds(one: Schema, other: Schema, place: str) -> Iterator[Misfit]:
    """Bounds that `other` has and `one` does not keep."""
    for name, said in (_LOWEST | _HIGHEST).items():
        if name not in other:
            continue
        own = one.get(name)
        if own is None and name.startswith("exclusive"):
            inner = one.get(name.removeprefix("exclusive").lower())
            low = name in _LOWEST
            if inner is not None and (inner > other[name] if low else inner < other[name]):
                continue
        if own is None and name in ("minimum", "maximum"):
            inner = one.get(f"exclusive{name.capitalize()}")
            low = name in _LOWEST
            if inner is not None and (inner >= other[name] if low else inner <= other[name]):
                continue
        if name in ("minLength", "minItems"):
            own = own or 0
        if own is None or (own < other[name] if name in _LOWEST else own > other[name]):
            bare = "nothing" if own is None else own
            yield Misfit(place, f"{said} {other[name]} on one side, {bare} on the other")


def _rest(one: Schema, other: Schema, place: str) -> Iterator[Misfit]:
    """Patterns, formats and whatever else: equal, or a difference."""
    bounds = {*_LOWEST, *_HIGHEST}
    for name in sorted(set(other) - _KNOWN - bounds):
        if not name.startswith("x-") and one.get(name) != other[name]:
            yield Misfit(place, f"{name} is {other[name]!r}, and {one.get(name)!r} on the other")
