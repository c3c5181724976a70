"""Cells are read strictly: what a careless parser would accept is refused."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from guilder.importing.fields import Unreadable, amount_reader, birth_reader, date_reader
from guilder.importing.tables import BirthNumber, Dates, Format

BAD_AMOUNTS = ["1e3", "1_000", "+1", "--1", "", "-", ".5", "1.", "1.005", "NaN", "١٢", "1,5", "1 0"]


@pytest.mark.parametrize("text", [*BAD_AMOUNTS, "9" * 16])
def test_amounts_with_loose_spelling_are_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        amount_reader(Format(), 2)(text)


@given(st.decimals(-(10**9), 10**9, places=2))
def test_an_amount_is_read_as_decimal_arithmetic_reads_it(value: Decimal) -> None:
    grouped = f"{value:,.2f}".replace(",", " ").replace(".", ",")
    form = Format(decimal=",", thousands=" ")
    assert amount_reader(Format(), 2)(f"{value:.2f}") == int(value * 100)
    assert amount_reader(form, 2)(grouped) == int(value * 100)


def test_currencies_without_decimals_and_misplaced_groups() -> None:
    assert amount_reader(Format(), 0)("1200") == 1200
    for text in ("1200.5", "1200."):
        with pytest.raises(Unreadable):
            amount_reader(Format(), 0)(text)
    with pytest.raises(Unreadable):
        amount_reader(Format(thousands=","), 2)("12,34.00")


@pytest.mark.parametrize(
    ("shape", "years_from", "text", "expected"),
    [
        ("yymmdd", 1900, "930101", date(1993, 1, 1)),
        ("yymmdd", 1900, "000229", None),  # 1900 had no leap day
        ("yymmdd", 1950, "000229", date(2000, 2, 29)),
        ("yymmdd", 1950, "491231", date(2049, 12, 31)),
        ("yymmdd", 1950, "500101", date(1950, 1, 1)),
        ("yymmdd", 1900, "931301", None),
        ("yyyymmdd", None, "20240229", date(2024, 2, 29)),
        ("yyyy-mm-dd", None, "2024-2-29", None),
        ("d.m.yyyy", None, "1.2.1980", date(1980, 2, 1)),
        ("dd.mm.yyyy", None, "1.2.1980", None),
        ("dd/mm/yyyy", None, "03/04/2020", date(2020, 4, 3)),
        ("mm/dd/yyyy", None, "03/04/2020", date(2020, 3, 4)),
        ("yyyy-mm-dd", None, "٢٠٢٤-01-01", None),
    ],
)
def test_dates(shape: str, years_from: int | None, text: str, expected: date | None) -> None:
    read = date_reader(Dates(shape=shape, years_from=years_from))  # type: ignore[arg-type]
    if expected is None:
        with pytest.raises(Unreadable, match=shape):
            read(text)
    else:
        assert read(text) == expected


def test_birth_numbers_tell_date_and_sex() -> None:
    read = birth_reader(BirthNumber(column="b", years_from=1900, female_month_offset=50))
    assert read("706213") == (date(1970, 12, 13), "female")
    assert read("450204") == (date(1945, 2, 4), "male")
    assert read("706213/1234") == (date(1970, 12, 13), "female")
    for bad in ("701313", "706313", "700230", "70621", "", "7062131"):
        with pytest.raises(Unreadable):
            read(bad)
