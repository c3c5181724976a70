"""Reading one cell: strict parsers from text to a value. Each refuses with `Unreadable`."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache
from typing import Literal, TypeVar

from guilder.importing.tables import BirthNumber, Dates, Format

T = TypeVar("T")
Sex = Literal["female", "male"]

MAX_AMOUNT_DIGITS = 15
"""Whole digits of an amount: with up to four decimals it stays far below 2**63 minor units * 10."""

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:/-]{0,63}")
_BANK = re.compile(r"[0-9A-Z]{1,11}")


class Unreadable(ValueError):
    """A cell that cannot be read; `expected` says what would have been right."""

    def __init__(self, expected: str) -> None:
        """Say what was expected."""
        super().__init__(expected)
        self.expected = expected


def read_id(text: str) -> str:
    """An id of the other system."""
    if not _ID.fullmatch(text):
        raise Unreadable("an id of 1-64 ASCII letters, digits and . _ : / -")
    return text


def read_bank(text: str) -> str:
    """A partner bank's code; it names a clearing account, hence strict."""
    if not _BANK.fullmatch(text):
        raise Unreadable("a bank code of 1-11 capital letters and digits")
    return text


def read_name(text: str) -> str:
    """A person's name: printable, so nothing in it can forge a line or reverse a text."""
    if not text or len(text) > 200 or not text.isprintable():
        raise Unreadable("a name of 1-200 printable characters")
    return text


def values_reader(values: Mapping[str, T]) -> Callable[[str], T]:
    """A reader translating values by a closed table."""
    expected = "one of " + ", ".join(repr(value) for value in values)

    def read(text: str) -> T:
        try:
            return values[text]
        except KeyError:
            raise Unreadable(expected) from None

    return read


def amount_reader(form: Format, minor_digits: int) -> Callable[[str], int]:
    """A reader of decimal amounts into signed minor units; more decimals than fit are refused."""
    mark, sep = re.escape(form.decimal), re.escape(form.thousands)
    whole = rf"[0-9]{{1,3}}(?:{sep}[0-9]{{3}})+|[0-9]+" if sep else "[0-9]+"
    part = rf"(?:{mark}([0-9]{{1,{minor_digits}}}))?" if minor_digits else "()"
    pattern = re.compile(rf"(-?)({whole}){part}")
    example = f"an amount such as 1234{form.decimal}{'50'[:minor_digits]}".rstrip(form.decimal)

    def read(text: str) -> int:
        found = pattern.fullmatch(text)
        if not found:
            raise Unreadable(f"{example}, at most {minor_digits} decimals")
        sign, digits, decimals = found.groups("")
        if form.thousands:
            digits = digits.replace(form.thousands, "")
        if len(digits) > MAX_AMOUNT_DIGITS:
            raise Unreadable(f"{example}, at most {MAX_AMOUNT_DIGITS} digits before the decimals")
        minor = int(digits + decimals.ljust(minor_digits, "0"))
        return -minor if sign else minor

    return read


_DIGITS = {"yyyy": "(?P<y>[0-9]{4})", "yy": "(?P<y>[0-9]{2})", "mm": "(?P<m>[0-9]{2})"}
_DIGITS |= {"dd": "(?P<d>[0-9]{2})", "m": "(?P<m>[0-9]{1,2})", "d": "(?P<d>[0-9]{1,2})"}


def _date_pattern(shape: str) -> re.Pattern[str]:
    parts = re.findall(r"yyyy|yy|mm|dd|m|d|.", shape)
    return re.compile("".join(_DIGITS.get(part, re.escape(part)) for part in parts))


def _year(digits: str, years_from: int | None) -> int:
    """Two digits mean the one year with these last digits in the 100 years from `years_from`."""
    if years_from is None:
        return int(digits)
    return years_from + (int(digits) - years_from) % 100


def date_reader(dates: Dates) -> Callable[[str], date]:
    """A reader of dates of one shape; remembers what it read, since dates repeat."""
    pattern = _date_pattern(dates.shape)

    @lru_cache(maxsize=65_536)
    def read(text: str) -> date:
        found = pattern.fullmatch(text)
        try:
            if found:
                year = _year(found["y"], dates.years_from)
                return date(year, int(found["m"]), int(found["d"]))
        except ValueError:
            pass  # a day no calendar has is refused like a wrong shape
        raise Unreadable(f"a calendar date written {dates.shape}")

    return read


def birth_reader(rule: BirthNumber) -> Callable[[str], tuple[date, Sex]]:
    """A reader of birth numbers `yymmdd...` whose month also tells the sex."""
    pattern = re.compile("([0-9]{2})([0-9]{2})([0-9]{2})(?:/?[0-9]{3,4})?")
    offset = rule.female_month_offset

    def read(text: str) -> tuple[date, Sex]:
        found = pattern.fullmatch(text)
        try:
            if found:
                year, month = _year(found[1], rule.years_from), int(found[2])
                sex: Sex = "female" if month > offset else "male"
                return date(year, month - offset if month > offset else month, int(found[3])), sex
        except ValueError:
            pass  # the same refusal as for a wrong shape
        raise Unreadable(f"a birth number yymmdd, women's month + {offset}")

    return read
