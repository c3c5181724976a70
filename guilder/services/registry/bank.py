"""What makes a bank's particulars right: country, bank code, BIC, currency, zone, calendar.

`schwifty` and `holidays` are imported on first use: together 0.15 s and 20 MB that only the
creation of a tenant needs. Of the real banks only codes and BICs are kept, of few countries.
"""

from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import resources
from typing import Protocol

from guilder.contracts.errors import InvalidRequest, Problem, Refused
from guilder.contracts.registry.v1 import CountryWithoutIban, RealBankCode
from guilder.contracts.values import CURRENCIES

PREFIX_NOT_BRANCH = {"CZ", "SK"}
"""There the digits behind the bank code are a prefix of the account number, not a branch."""


class Particulars(Protocol):
    """What a tenant and the request for one have in common."""

    @property
    def name(self) -> str:
        """The bank's name."""

    @property
    def country(self) -> str:
        """ISO 3166-1 alpha-2."""

    @property
    def bank_code(self) -> str:
        """Bank code, with branch where the country's IBAN has one."""

    @property
    def bic(self) -> str:
        """8 or 11 characters."""

    @property
    def currency(self) -> str:
        """ISO 4217."""

    @property
    def zone(self) -> str:
        """IANA."""

    @property
    def holiday_calendar(self) -> str:
        """Country, or country-subdivision."""


def faults(bank: Particulars) -> Iterator[Problem]:
    """Everything that is wrong, in a fixed order; the first is what a request is told."""
    if not bank.name.isprintable() or bank.name != bank.name.strip():
        yield InvalidRequest("the name holds a character that cannot be shown", at="$.name")
    if bank.currency not in CURRENCIES:
        yield InvalidRequest("not a circulating ISO 4217 currency", at="$.currency")
    if bank.zone not in zones():
        yield InvalidRequest("not a zone of the IANA time zone database", at="$.zone")
    if not has_calendar(bank.holiday_calendar):
        yield InvalidRequest("no such public-holiday calendar", at="$.holiday_calendar")
    if bank.bic[4:6] != bank.country:
        yield InvalidRequest("the BIC's country (characters 5 and 6) differs", at="$.bic")
    problem = bank_code_fault(bank.country, bank.bank_code, bank.currency)
    if problem is not None:
        yield problem
    elif is_real(bank.country, bank.bank_code):
        yield RealBankCode("a real bank has this bank code", at="$.bank_code")
    elif is_real_bic(bank.country, bank.bic):
        yield RealBankCode("a real bank has this BIC", at="$.bic")


@cache
def zones() -> frozenset[str]:
    """Every name of the IANA database, as `tzdata` lists them.

    `zoneinfo.available_timezones` would add what else lies in the machine's folder.
    """
    return frozenset((resources.files("tzdata") / "zones").read_text("utf-8").split())


def has_calendar(name: str) -> bool:
    """Whether the public-holiday library knows `CC` or `CC-SUBDIVISION`."""
    import holidays

    country, _, subdivision = name.partition("-")
    try:
        holidays.country_holidays(country, subdiv=subdivision or None, years=())
    except NotImplementedError:
        return False
    return True


def bank_code_fault(country: str, code: str, currency: str) -> Problem | None:
    """Why this code cannot stand in the country's IBANs, or None if it can."""
    from schwifty import IBAN
    from schwifty.exceptions import SchwiftyException
    from schwifty.registry import get_iban_spec

    try:
        get_iban_spec(country)
    except SchwiftyException:
        return CountryWithoutIban("no IBAN is defined for this country", at="$.country")
    bank, branch = code_lengths(country)
    if not bank:
        return CountryWithoutIban("the country's IBAN has no bank code", at="$.country")
    if len(code) != bank + branch:
        parts = f"{bank} for the bank" + (f" and {branch} for the branch" if branch else "")
        return Refused(f"a bank code of {country} has {parts}", at="$.bank_code")
    try:
        iban = IBAN.generate(country, code[:bank], "1", code[bank:], currency_code=currency)
    except SchwiftyException:
        return Refused(f"the bank code does not fit the IBANs of {country}", at="$.bank_code")
    if iban.bank_code + (iban.branch_code if branch else "") != code:
        return Refused("the check digit within the bank code is wrong", at="$.bank_code")
    return None


def code_lengths(country: str) -> tuple[int, int]:
    """How many characters of a country's IBAN name the bank and its branch."""
    from schwifty.domain import Component
    from schwifty.registry import get_iban_spec

    positions = get_iban_spec(country).positions
    branch = 0 if country in PREFIX_NOT_BRANCH else positions[Component.BRANCH_CODE].length
    return positions[Component.BANK_CODE].length, branch


def is_real(country: str, code: str) -> bool:
    """Whether the registry of real banks has this code, with its branch or without."""
    codes, _ = _real_banks(country)
    bank, _ = code_lengths(country)
    return code in codes or code[:bank] in codes


def is_real_bic(country: str, bic: str) -> bool:
    """Whether a real bank has this BIC; 8 characters mean the head office, `XXX`."""
    _, bics = _real_banks(country)
    return bic.ljust(11, "X") in bics


@lru_cache(maxsize=4)
def _real_banks(country: str) -> tuple[frozenset[str], frozenset[str]]:
    """Codes and BICs of a country's real banks, as far as `schwifty` lists them."""
    from schwifty.registry import Registry

    # A registry of our own: the default one would keep all it read, 5 MB for some countries.
    banks = Registry().get_banks_by_country(country)
    bics = frozenset(bank.bic.ljust(11, "X") for bank in banks if bank.bic)
    return frozenset(bank.bank_code for bank in banks if bank.bank_code), bics
