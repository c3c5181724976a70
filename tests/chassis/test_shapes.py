"""Whether schemas fit, beside a judge of its own: jsonschema and a pool of values."""

import itertools

import jsonschema
import pytest
from hypothesis import given, settings, strategies as st

from guilder.chassis.shapes import Fit, variants

NUMBERS = list(range(-1, 8))
TEXTS = ["", "a", "b", "aa", "ab", "aaa", "aaaa", "aaaaa"]
VALUES = [*NUMBERS, *TEXTS, True, False, None]
"""Everything that tells two of the leaves below apart is among these."""

ABSENT = object()


def drawn(draw, names, low, high):
    """Bounds of which both, one or none is there."""
    one, other = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
    bounds = {names[0]: one, names[1]: other}
    return {name: bounds[name] for name in names if draw(st.booleans())}


@st.composite
def leaves(draw):
    """A schema of one value."""
    which = draw(st.sampled_from(["enum", "integer", "string", "boolean", "null"]))
    if which == "enum":
        pool = draw(st.sampled_from([NUMBERS, TEXTS, [*TEXTS, None]]))
        return {"enum": draw(st.lists(st.sampled_from(pool), min_size=1, max_size=4, unique=True))}
    if which == "integer":
        return {"type": "integer", **drawn(draw, ("minimum", "maximum"), 0, 6)}
    if which == "string":
        return {"type": "string", **drawn(draw, ("minLength", "maxLength"), 0, 4)}
    return {"type": which}


choices = leaves() | st.lists(leaves(), min_size=1, max_size=3).map(lambda s: {"anyOf": s})


@st.composite
def objects(draw, inner=choices):
    """An object of some of three members, with a list in it now and then."""
    names = draw(st.lists(st.sampled_from("abc"), unique=True, max_size=3))
    members = {name: draw(inner) for name in names}
    if draw(st.booleans()):
        members["list"] = {
            "type": "array",
            "items": draw(leaves()),
            **drawn(draw, ("minItems", "maxItems"), 0, 2),
        }
    required = [name for name in members if draw(st.booleans())]
    return {
        "type": "object",
        "properties": members,
        "required": required,
        "additionalProperties": False,
    }


def judge(schema):
    return jsonschema.Draft202012Validator(schema).is_valid


def misfits(one, other):
    return Fit({}, {}).misfits(one, other)


@settings(max_examples=400, deadline=None)
@given(leaves(), leaves())
def test_a_leaf_fits_exactly_where_every_value_does(one, other):
    fits, taken = judge(one), judge(other)
    witness = [value for value in VALUES if fits(value) and not taken(value)]
    found = misfits(one, other)
    # a text of any length, and a number of any size, is beyond the pool
    unbounded = {"string": "maxLength", "integer": "maximum"}.get(one.get("type"), "")
    bound = unbounded and unbounded not in one and unbounded in other
    below = one.get("type") == "integer" and "minimum" not in one and "minimum" in other
    empty = not any(fits(value) for value in VALUES)
    if witness or bound or below:
        assert found
    elif not empty and ("enum" in one or "enum" not in other):  # bounds of one value are no enum
        assert not found


@settings(max_examples=300, deadline=None)
@given(objects(), objects())
def test_where_nothing_is_said_nobody_is_refused(one, other):
    """The safe side, for objects: a value of one that is none of the other was announced."""
    fits, taken = judge(one), judge(other)
    pools = [
        [ABSENT, *(v for v in VALUES if judge(schema)(v))]
        if "items" not in schema
        else [ABSENT, [], [0], ["a"], [0, 1], ["a", "b"], ["a", "a", "a"], [None]]
        for schema in one["properties"].values()
    ]
    pools = [pool if len(pool) < 6 else [*pool[:3], *pool[-3:]] for pool in pools]
    for values in itertools.islice(itertools.product(*pools), 400):
        pairs = zip(one["properties"], values, strict=True)
        value = {n: v for n, v in pairs if v is not ABSENT}
        if fits(value) and not taken(value):
            assert misfits(one, other), value
            return


@settings(max_examples=200, deadline=None)
@given(objects())
def test_everything_fits_itself(one):
    assert misfits(one, one) == []


@settings(max_examples=200, deadline=None)
@given(objects(), st.data())
def test_one_change_of_one_member_is_named_by_its_place(one, data):
    if not one["properties"]:
        return
    name = data.draw(st.sampled_from(sorted(one["properties"])))
    other = {**one, "properties": {**one["properties"], name: {"enum": ["nothing of the sort"]}}}
    assert {m.place.partition("[")[0] for m in misfits(one, other)} == {name}


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"type": "string", "pattern": "^a$"}, {"type": "string", "pattern": "^b$"}, "pattern"),
        ({"type": "string"}, {"type": "string", "format": "uuid"}, "format"),
        ({"type": "number"}, {"type": "integer"}, "number is not integer"),
        ({"type": "integer"}, {"type": "number"}, ""),
        ({"minimum": 1, "type": "integer"}, {"exclusiveMinimum": 0, "type": "integer"}, ""),
        ({"exclusiveMinimum": 0, "type": "number"}, {"minimum": 1, "type": "number"}, "least"),
        ({}, {"type": "string"}, "anything is not string"),
        ({"type": "string"}, {}, ""),
        ({"enum": ["a", None]}, {"enum": ["a"]}, "None"),
        ({"enum": [1]}, {"type": "boolean"}, "1 is not among"),
        ({"type": "boolean"}, {"enum": [1, 0]}, "True"),
        ({"type": "array", "items": {}}, {"type": "array", "maxItems": 2}, "most items"),
    ],
)
def test_what_stands_between_two_schemas_is_said(one, other, said):
    found = "; ".join(map(str, misfits(one, other)))
    assert said in found
    assert bool(said) == bool(found)


def test_schemas_that_name_themselves_are_compared_once():
    tree = {"type": "object", "properties": {"of": {"$ref": "#/components/schemas/Tree"}}}
    ref = {"$ref": "#/components/schemas/Tree"}
    assert Fit({"Tree": tree}, {"Tree": tree}).misfits(ref, ref) == []
    closed = {**tree, "additionalProperties": False}
    assert Fit({"Tree": tree}, {"Tree": closed}).misfits(ref, ref)
    assert variants(ref, {"Tree": tree}) == [tree]
