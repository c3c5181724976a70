"""The strict reader: a stranger's bytes become plain values, or a refusal that says why."""

import json
import time

import pytest
from hypothesis import given, strategies as st

from guilder.chassis.contract import MAX_DEPTH, MAX_TEXT, encode, plain, read_json
from guilder.contracts.errors import InvalidRequest
from guilder.contracts.values import Money

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_json_writes_is_read_as_json_reads_it(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert read_json(text.encode()) == json.loads(text)


@given(st.binary(max_size=40) | st.text('[]{}":,\\0123eE+-. \n', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(raw):
    try:
        value = read_json(raw)
    except InvalidRequest as refused:
        encode(refused.document())  # can be said
    else:
        assert value == json.loads(raw)


@pytest.mark.abuse(54)
@pytest.mark.parametrize(
    "text", ['{"a":1,"a":1}', '{"x":[{"a":1,"b":2,"\\u0061":3}]}', '{"":0,"":0}']
)
def test_a_member_named_twice_is_refused_at_any_depth(text):
    with pytest.raises(InvalidRequest, match="twice"):
        read_json(text.encode())


@pytest.mark.abuse(9)
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '{"a":[NaN]}'])
def test_constants_that_are_no_json_are_refused(text):
    with pytest.raises(InvalidRequest, match="not JSON"):
        read_json(text.encode())


@pytest.mark.abuse(8)
@pytest.mark.parametrize("text", ["9" * 5000, "-" + "9" * 5000, '{"amount":' + "1" * 100_000 + "}"])
def test_numbers_of_thousands_of_digits_are_refused(text):
    with pytest.raises(InvalidRequest, match="not JSON"):
        read_json(text.encode())


@pytest.mark.abuse(55)
@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth_is_bounded(open_, close):
    levels = open_.count("[") + open_.count("{")
    just = MAX_DEPTH // levels
    assert read_json((open_ * just + "1" + close * just).encode())
    for deep in (just + 1, 10_000, 100_000):
        for text in (open_ * deep + "1" + close * deep, open_ * deep):
            with pytest.raises(InvalidRequest, match=f"deeper than {MAX_DEPTH}"):
                read_json(text.encode())


def test_brackets_in_texts_and_many_brackets_side_by_side_are_no_depth():
    for value in (["[{" * 100, '"[[' * 100, "\\[" * 99], [[]] * 1000, [{"[" * 50: "]"}] * 40):
        assert read_json(json.dumps(value).encode()) == value


@pytest.mark.abuse(62)
@pytest.mark.parametrize(
    "tail", ['"' + '\\"' * 120_000, '"' * 240_001, "\\" * 240_000, '"\\' * 99_999]
)
def test_a_text_that_never_ends_costs_no_time(tail):
    """256 kB of escaped quotes after a few brackets once took minutes."""
    began = time.process_time()
    with pytest.raises(InvalidRequest):
        read_json(("[" + "[]," * 40 + tail).encode())
    assert time.process_time() - began < 2


@pytest.mark.abuse(59)
@pytest.mark.parametrize("bad", ["\\u0000", "\\ud800", "\\udc00x", "\\udc00\\ud800"])
@pytest.mark.parametrize("place", ['"{}"', '["{}"]', '{{"a":"{}"}}', '{{"{}":1}}', '[[["x{}y"]]]'])
def test_what_no_database_stores_is_refused_wherever_it_stands(bad, place):
    with pytest.raises(InvalidRequest, match="cannot be stored") as refused:
        read_json(place.format(bad).encode())
    encode(refused.value.document())


def test_paired_surrogates_and_odd_but_storable_characters_pass():
    assert read_json(b'"\\ud83d\\ude00"') == "\U0001f600"
    assert read_json('"a\u2028\u202e\ufeff"'.encode()) == "a\u2028\u202e\ufeff"


def test_texts_are_bounded():
    assert len(read_json(f'"{"x" * MAX_TEXT}"'.encode())) == MAX_TEXT
    for text in (f'"{"x" * (MAX_TEXT + 1)}"', '{"%s":1}' % ("x" * (MAX_TEXT + 1))):
        with pytest.raises(InvalidRequest, match="longer"):
            read_json(text.encode())


@pytest.mark.parametrize(
    "raw",
    [b"", b" ", b"\xff", b"\xef\xbb\xbf{}", b"{", b"{}x", b"{'a':1}", b"[1,]", b"\x00", b"01"],
)
def test_what_is_not_json_is_refused(raw):
    with pytest.raises(InvalidRequest):
        read_json(raw)


@given(st.dictionaries(TEXTS, VALUES, max_size=6))
def test_the_same_value_is_always_the_same_bytes(value):
    turned = dict(reversed(value.items()))
    assert encode(value) == encode(turned)
    assert json.loads(encode(value)) == json.loads(json.dumps(value))


def test_money_is_written_as_the_wire_has_it():
    assert encode(Money(1250, "EUR")) == b'{"amount":"12.50","currency":"EUR"}'
    assert plain([Money(-5, "JPY")]) == [{"amount": "-5", "currency": "JPY"}]
    with pytest.raises(NotImplementedError, match="object"):
        encode(object())
