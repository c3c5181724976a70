"""How hledger and beancount write accounts, transfers and balances. Pure.

An amount on the debit side is positive, as both programs expect; names are built so that both
accept them. Ids and IBANs only: no names of people.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from guilder.contracts.ledger.v1 import BookedTransfer, LedgerAccount, internal_account
from guilder.contracts.values import CURRENCIES, Money, decimal

PLACES = {
    "customer": "Liabilities:Customers",
    "cash": "Assets:Cash",
    "interest": "Expenses:Interest",
    "fees": "Income:Fees",
    "clearing": "Assets:Clearing",
    "rounding": "Expenses:Rounding",
    "suspense": "Assets:Suspense",
    "opening": "Equity:Opening",
}
"""Where each chart stands."""


def place(tenant: int, account: LedgerAccount) -> str:
    """The account's name: its chart, then partner or id, unique within the currency.

    No name is another's parent: beancount counts children in when it asserts a balance.
    """
    if account.chart == "customer":
        return f"{PLACES['customer']}:{str(account.id).upper()}"
    name = PLACES[account.chart]
    if account.chart == "clearing":
        name += f":{account.partner or 'General'}"
    elif account.partner:
        name += f"-{account.partner}"
    own = internal_account(tenant, account.chart, account.currency, account.partner)
    return name if account.id == own else f"{name}-{str(account.id).upper()}"


@dataclass(frozen=True)
class Posting:
    """A posted transfer with the names of its accounts; `booked` in the tenant's zone."""

    transfer: BookedTransfer
    debit: str
    credit: str
    booked: date


@dataclass(frozen=True)
class Closing:
    """An account with its balance at the end (debits minus credits) and its IBAN, if it has one."""

    account: LedgerAccount
    name: str
    minor: int
    iban: str | None


class Form(Protocol):
    """One program's way of writing."""

    def head(self, title: str) -> Iterator[str]:
        """The first lines."""
        ...

    def posting(self, posting: Posting) -> Iterator[str]:
        """A transfer."""
        ...

    def end(self, closings: list[Closing], first: date, after: date) -> Iterator[str]:
        """Accounts and their balances; all transfers lie between `first` and before `after`."""
        ...


def amount(minor: int, currency: str) -> str:
    """`-12.50 EUR`, `-12 JPY`; sums may be larger than one Money can hold."""
    return f"{decimal(minor, currency)} {currency}"


def tags(transfer: BookedTransfer) -> dict[str, str]:
    """What a transfer refers to."""
    meta = transfer.meta
    found = {"transfer": transfer.id, "seq": transfer.seq, "payment": meta.payment}
    found |= {"reverses": meta.reverses, "row": meta.row}
    return {name: str(value) for name, value in found.items() if value is not None}


class Hledger:
    """hledger's journal; the booking date is the secondary date."""

    def head(self, title: str) -> Iterator[str]:
        """Say what it is."""
        yield f"; {title}"
        yield "; date=value date, secondary date=booking date"
        yield "decimal-mark ."

    def posting(self, posting: Posting) -> Iterator[str]:
        """A transaction of two postings."""
        transfer = posting.transfer
        money: Money = transfer.amount
        notes = ", ".join(f"{name}:{value}" for name, value in tags(transfer).items())
        yield ""
        yield f"{transfer.value_date}={posting.booked} * {transfer.code}  ; {notes}"
        yield f"    {posting.debit}  {amount(money.minor, money.currency)}"
        yield f"    {posting.credit}  {amount(-money.minor, money.currency)}"

    def end(self, closings: list[Closing], first: date, after: date) -> Iterator[str]:
        """Declare accounts and commodities, assert every balance."""
        yield ""
        for currency in sorted({c.account.currency for c in closings}):
            yield f"commodity 1000.{'0' * CURRENCIES[currency]} {currency}"
        for name, iban in {c.name: c.iban for c in closings}.items():
            yield f"account {name}" + (f"  ; iban:{iban}" if iban else "")
        for closing in closings:
            money = amount(closing.minor, closing.account.currency)
            nothing = amount(0, closing.account.currency)
            yield ""
            yield f"{after} * balance"
            yield f"    {closing.name}  {nothing} = {money}"


class Beancount:
    """beancount's ledger; the booking date is metadata."""

    def head(self, title: str) -> Iterator[str]:
        """Say what it is."""
        yield f'option "title" "{title}"'
        yield "; date = value date, metadata booked = booking date"

    def posting(self, posting: Posting) -> Iterator[str]:
        """A transaction of two postings."""
        transfer = posting.transfer
        money: Money = transfer.amount
        yield ""
        yield f'{transfer.value_date} * "{transfer.code}"'
        yield f"  booked: {posting.booked}"
        for name, value in tags(transfer).items():
            yield f'  {name}: "{value}"'
        yield f"  {posting.debit}  {amount(money.minor, money.currency)}"
        yield f"  {posting.credit}  {amount(-money.minor, money.currency)}"

    def end(self, closings: list[Closing], first: date, after: date) -> Iterator[str]:
        """Open accounts (order in the file does not matter), assert every balance to the cent."""
        yield ""
        names: dict[str, list[Closing]] = {}
        for closing in closings:
            names.setdefault(closing.name, []).append(closing)
        for name, group in names.items():
            yield f"{first} open {name}  {','.join(c.account.currency for c in group)}"
            if group[0].iban:
                yield f'  iban: "{group[0].iban}"'
        for closing in closings:
            number, currency = amount(closing.minor, closing.account.currency).split()
            yield f"{after} balance {closing.name}  {number} ~ 0 {currency}"


FORMS: dict[str, Form] = {"hledger": Hledger(), "beancount": Beancount()}
"""The forms by the name of the program."""
