"""IBANs and cursors: pure, against schwifty as the oracle."""

import string
from uuid import UUID

import pytest
from hypothesis import given, strategies as st
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from guilder.contracts.accounts.v1 import BadIban
from guilder.contracts.errors import InvalidRequest
from guilder.services.accounts import agreement, iban

BANKS = {"DE": "91234567", "CZ": "9900", "SK": "9900", "NO": "9990", "NL": "GULD", "FR": "99999"}


@given(st.sampled_from(sorted(BANKS)), st.integers(1, 900_000))
def test_every_iban_made_passes_every_check_and_is_read_back(country, number):
    found, text = iban.first(country, BANKS[country], number)
    assert number <= found < number + 500
    parsed = IBAN(text, validate_bban=True)
    assert (parsed.country_code, parsed.bank_code[: len(BANKS[country])]) == (
        country,
        BANKS[country],
    )
    assert int(parsed.account_code) == found
    assert iban.read(parsed.formatted.lower()) == text


def test_numbers_that_the_country_forbids_are_passed_over():
    numbers, number = [], 1
    for _ in range(20):
        number, _text = iban.first("CZ", "9900", number)
        numbers.append(number)
        number += 1
    assert numbers == sorted(set(numbers))
    for n in range(1, numbers[-1] + 1):  # the Czech weights, by hand
        fits = sum(
            int(d) * w for d, w in zip(f"{n:010}", (6, 3, 7, 9, 10, 5, 8, 4, 2, 1), strict=True)
        )
        assert (fits % 11 == 0) == (n in numbers)


def test_a_country_runs_out_of_numbers():
    with pytest.raises(LookupError):
        iban.first("NO", "9990", 10**6)


@given(st.text(alphabet=string.digits + "ABDEGL ", min_size=4, max_size=40))
def test_what_is_read_is_what_schwifty_calls_valid_and_nothing_else(text):
    for candidate in (text, f"DE{text}"):
        try:
            found = iban.read(candidate)
        except BadIban:
            with pytest.raises(SchwiftyException):
                IBAN(candidate)
        else:
            assert iban.make("DE", "91234567", 1)
            assert int("".join(str(int(c, 36)) for c in found[4:] + found[:4])) % 97 == 1


@given(st.integers(0, 21), st.sampled_from(string.digits))
def test_one_wrong_digit_is_always_noticed(place, digit):
    right = iban.make("DE", "91234567", 4711)
    wrong = right[:place] + digit + right[place + 1 :]
    if wrong != right:
        with pytest.raises(BadIban):
            iban.read(wrong)


@given(st.integers(1, 2**59), st.uuids(), st.integers(1, 999))
def test_a_cursor_fits_its_account_alone(before, account, tenant):
    text = agreement.cursor(tenant, account, before)
    assert len(text) <= 60
    assert agreement.read_cursor(tenant, account, text) == before
    for other, number in ((UUID(int=account.int ^ 1), tenant), (account, tenant + 1)):
        with pytest.raises(InvalidRequest):
            agreement.read_cursor(number, other, text)


def test_a_shortened_iban_whose_check_digits_hold_by_chance_is_bad():
    short = "DE3997605849000000000"
    assert int("".join(str(int(c, 36)) for c in short[4:] + short[:4])) % 97 == 1
    with pytest.raises(BadIban):
        iban.read(short)
    assert iban.read("de89 3704 0044 0532 0130 00") == "DE89370400440532013000"
