"""The typed records read from another system's files. `line` is the line in the file, from 1."""

from dataclasses import dataclass
from datetime import date

from guilder.importing.fields import Sex
from guilder.importing.tables import Code, Purpose, Role


@dataclass(frozen=True, slots=True)
class Party:
    """A person. Fields the source does not have are None."""

    external_id: str
    line: int
    name: str | None
    birth_date: date | None
    sex: Sex | None


@dataclass(frozen=True, slots=True)
class Account:
    """An account and the day it was opened."""

    external_id: str
    line: int
    opened: date


@dataclass(frozen=True, slots=True)
class Holder:
    """A party's role on an account; both by their external ids."""

    external_id: str
    line: int
    party: str
    account: str
    role: Role


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """A permanent order: so many minor units to an account at a partner bank."""

    external_id: str
    line: int
    account: str
    amount_minor: int
    partner_bank: str
    partner_account: str
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Transaction:
    """A movement on an account.

    `amount_minor` is signed: above zero is a credit to the customer. `counter` is "cash",
    "interest", "fees" or "clearing:<partner bank>". `printed_minor` is the balance the bank
    printed after it, None where the source prints none.
    """

    external_id: str
    line: int
    account: str
    value_date: date
    amount_minor: int
    counter: str
    code: Code
    purpose: Purpose
    printed_minor: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """Everything read, each kind in file order."""

    parties: tuple[Party, ...]
    accounts: tuple[Account, ...]
    holders: tuple[Holder, ...]
    standing_orders: tuple[StandingOrder, ...]
    transactions: tuple[Transaction, ...]
