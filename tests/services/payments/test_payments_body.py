"""The body of a payment as strangers send it: raw bytes through the public codec."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from guilder.chassis.contract import read_request
from guilder.chassis.idempotency import fingerprint
from guilder.contracts.errors import InvalidRequest
from guilder.contracts.payments import v1
from guilder.contracts.values import Money
from guilder.services.payments.payment import clean

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


CREATE = v1.Payments.operations()["create"]


def body(amount='"12.50"', currency='"EUR"', more=""):
    return (
        '{"debtor_account":"DE12","creditor_account":"DE34",'
        f'"amount":{{"amount":{amount},"currency":{currency}}}{more}}}'
    ).encode()


def read(raw):
    return read_request(CREATE, {}, [], raw)


def test_a_plain_body_is_read():
    request = read(body(more=',"remittance":"Miete"'))
    assert (request.amount, request.remittance) == (Money(1250, "EUR"), "Miete")


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        pytest.param("0.1", '"EUR"', marks=pytest.mark.abuse(3)),
        pytest.param("12", '"EUR"', marks=pytest.mark.abuse(3)),
        pytest.param('"1e3"', '"EUR"', marks=pytest.mark.abuse(4)),
        pytest.param('"1_000"', '"EUR"', marks=pytest.mark.abuse(5)),
        pytest.param('" 1 "', '"EUR"', marks=pytest.mark.abuse(5)),
        pytest.param('"1\\n"', '"EUR"', marks=pytest.mark.abuse(5)),
        pytest.param('"+1"', '"EUR"', marks=pytest.mark.abuse(5)),
        pytest.param('"01"', '"EUR"', marks=pytest.mark.abuse(5)),
        pytest.param('"1,00"', '"EUR"', marks=pytest.mark.abuse(5)),
        pytest.param('"\u0661\u0662"', '"EUR"', marks=pytest.mark.abuse(6)),
        pytest.param('"\uff11"', '"EUR"', marks=pytest.mark.abuse(6)),
        pytest.param('"1.5"', '"JPY"', marks=pytest.mark.abuse(7)),
        pytest.param('"1.005"', '"GBP"', marks=pytest.mark.abuse(7)),
        pytest.param('"92233720368547758.08"', '"EUR"', marks=pytest.mark.abuse(8)),
        pytest.param('"9999999999999999.99"', '"EUR"', marks=pytest.mark.abuse(8)),
        pytest.param("NaN", '"EUR"', marks=pytest.mark.abuse(9)),
        pytest.param("Infinity", '"EUR"', marks=pytest.mark.abuse(9)),
        pytest.param('"NaN"', '"EUR"', marks=pytest.mark.abuse(9)),
        pytest.param('"-0"', '"EUR"', marks=pytest.mark.abuse(9)),
        pytest.param('"-0.00"', '"EUR"', marks=pytest.mark.abuse(9)),
        pytest.param('"1"', '"eur"', marks=pytest.mark.abuse(10)),
        pytest.param('"1"', '"DEM"', marks=pytest.mark.abuse(10)),
        pytest.param('"1"', '"XXX"', marks=pytest.mark.abuse(10)),
        pytest.param('"1"', "978", marks=pytest.mark.abuse(10)),
    ],
)
def test_amounts_that_are_none(amount, currency):
    with pytest.raises(InvalidRequest) as refused:
        read(body(amount, currency))
    assert refused.value.at.startswith("$")


@pytest.mark.parametrize("name", ["role", "tenant", "approved_by", "id", "fee", "value_date"])
@pytest.mark.abuse(35)
def test_fields_that_a_stranger_adds(name):
    with pytest.raises(InvalidRequest):
        read(body(more=f',"{name}":"x"'))
    with pytest.raises(InvalidRequest):
        read(body().replace(b'"currency"', f'"{name}":"x","currency"'.encode()))


@pytest.mark.abuse(54)
def test_a_member_given_twice():
    with pytest.raises(InvalidRequest):
        read(body(more=',"debtor_account":"DE99"'))
    with pytest.raises(InvalidRequest):
        read(body(amount='"1","amount":"2"'))


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"null", b"{", b"\xff", body(more=',"remittance":"\\u0000"'),
     body(more=',"remittance":"\\ud800"'), body(more=f',"remittance":"{"x" * 141}"'),
     body(more=',"quote_id":"1"')],
)  # fmt: skip
def test_bodies_that_are_none(raw):
    with pytest.raises(InvalidRequest):
        read(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@calm
@given(st.dictionaries(st.sampled_from([*v1.CreatePayment.__struct_fields__, "x"]), JSON))
def test_no_body_does_worse_than_be_refused(fields):
    try:
        request = read(json.dumps(fields).encode())
    except InvalidRequest:
        return
    fingerprint(CREATE, request)


@calm
@given(st.text(max_size=200))
@example("Zahlung für März 2026")
@example("\u0958" * 100)
def test_a_text_that_is_kept_deceives_nobody(text):
    try:
        kept = clean(text)
    except v1.BadRemittance:
        return
    assert len(kept) <= 140
    assert all(mark.isprintable() for mark in kept)
    assert not any(mark.isspace() and mark != " " for mark in kept)
    assert clean(kept) == kept


@pytest.mark.parametrize(
    "mark", ["\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u2028", "\r\n", "\t", "\x85",
             "\u3164", "\u115f", "\u034f", "\ufe0f", "\U000e0041", "\u00a0", "\u2800", "\x7f"]
)  # fmt: skip
@pytest.mark.abuse(63)
@pytest.mark.abuse(59)
def test_marks_that_deceive_are_refused(mark):
    with pytest.raises(v1.BadRemittance):
        clean(f"Miete{mark}42")


def test_a_text_is_kept_composed():
    assert clean("Ma\u0308rz") == "M\u00e4rz"
    assert clean(None) is None
    assert clean("") == ""
