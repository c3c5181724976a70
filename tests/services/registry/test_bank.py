"""The rules a bank's particulars follow, without any service."""

import pytest
from hypothesis import given, strategies as st

from guilder.services.registry import bank


def valid_iban(text: str) -> bool:
    """ISO 7064 by hand: the whole number modulo 97 is 1."""
    moved = text[4:] + text[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


@pytest.mark.parametrize(
    ("country", "code", "currency"),
    [
        ("DE", "99900001", "EUR"),
        ("CZ", "9990", "CZK"),
        ("GB", "GULD990001", "GBP"),
        ("FR", "9999900001", "EUR"),
        ("NL", "GULD", "EUR"),
        ("MU", "GULD9999", "MUR"),
    ],
)
def test_codes_that_fit_make_valid_ibans(country, code, currency):
    from schwifty import IBAN

    assert bank.bank_code_fault(country, code, currency) is None
    assert sum(bank.code_lengths(country)) == len(code)
    branch = code[bank.code_lengths(country)[0] :]
    iban = str(
        IBAN.generate(country, code.removesuffix(branch), "42", branch, currency_code=currency)
    )
    assert valid_iban(iban)


@pytest.mark.parametrize(
    ("country", "code"),
    [
        ("DE", "9990001"),
        ("DE", "999000011"),
        ("CZ", "9990123456"),
        ("GB", "GULD"),
        ("GB", "9999990001"),
        ("NL", "9999"),
        ("PL", "99900001"),
    ],
)
def test_codes_that_do_not_fit_are_refused(country, code):
    assert bank.bank_code_fault(country, code, "EUR") is not None


@given(st.integers(0, 10**7 - 1))
def test_german_codes_that_begin_with_nine_are_nobodys(number):
    assert not bank.is_real("DE", f"9{number:07}")


def test_real_banks_are_known():
    assert bank.is_real("DE", "37040044")
    assert bank.is_real("CZ", "0100")
    assert bank.is_real("GB", "BARC200000")
    assert bank.is_real_bic("DE", "COBADEFF")
    assert bank.is_real_bic("DE", "COBADEFFXXX")
    assert not bank.is_real_bic("DE", "GULDDE99")


def test_calendars_and_zones():
    assert bank.has_calendar("DE-BE")
    assert bank.has_calendar("CZ")
    assert not bank.has_calendar("CZ-BE")
    assert "Europe/Prague" in bank.zones()
    assert "posixrules" not in bank.zones()
