"""The tables of a mapping file, as types. Column values are compared after trimming blanks.

Each kind of record has one table naming its file and columns; `format` and `dates` at the top
hold for every kind that does not have its own.
"""

import codecs
import re
from decimal import Decimal, InvalidOperation
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from guilder.contracts.values import CURRENCIES

DateShape = Literal[
    "yymmdd", "yyyymmdd", "yyyy-mm-dd", "dd.mm.yyyy", "d.m.yyyy", "dd/mm/yyyy", "mm/dd/yyyy"
]
Direction = Literal["credit", "debit"]
Role = Literal["owner", "signatory"]
Counter = Literal["cash", "interest", "fees", "clearing"]
Code = Literal[
    "cash_deposit",
    "cash_withdrawal",
    "card_withdrawal",
    "transfer_in",
    "transfer_out",
    "interest_earned",
    "interest_penalty",
    "fee",
]
"""What a transaction is. A closed list, since no free text may enter the ledger's chain."""
Purpose = Literal["household", "insurance", "leasing", "loan", "pension", "unstated"]
"""What a transaction or standing order is for. A closed list for the same reason."""

_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping table: immutable, unknown keys refused."""


class Format(_Table, frozen=True, kw_only=True):
    """How a delimited text file is written. The first line names the columns."""

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    decimal: Literal[".", ","] = "."
    thousands: Literal["", " ", ".", ",", "'", "\u00a0"] = ""

    def __post_init__(self) -> None:
        """Refuse an encoding in which lines cannot be told apart byte by byte."""
        try:
            plain = "\n;,".encode(codecs.lookup(self.encoding).name) == b"\n;,"
        except (LookupError, UnicodeError):
            plain = False
        if not plain:
            raise ValueError(
                f"encoding {self.encoding!r} is unknown or not a superset of ASCII; "
                "use for example 'utf-8', 'cp1250' or 'iso-8859-2'"
            )
        for key, value in (("delimiter", self.delimiter), ("quote", self.quote)):
            if len(value) != 1 or not value.isascii() or value in "\r\n" or value.isalnum():
                raise ValueError(f"{key} must be one ASCII sign such as ';', ',' or a tab")
        if self.delimiter == self.quote or self.decimal == self.thousands:
            raise ValueError("delimiter and quote, decimal and thousands must differ")


class Dates(_Table, frozen=True, kw_only=True):
    """How a date is written. `years_from` = 1900 reads two digits as the years 1900-1999."""

    shape: DateShape
    years_from: int | None = None

    def __post_init__(self) -> None:
        """Two-digit years need their century, four-digit years refuse one."""
        short = "yyyy" not in self.shape
        if short and self.years_from is None:
            raise ValueError("a shape with two-digit years needs years_from, for example 1900")
        if not short and self.years_from is not None:
            raise ValueError("years_from belongs only to a shape with two-digit years")
        if self.years_from is not None and not 1800 <= self.years_from <= 2100:
            raise ValueError("years_from must lie between 1800 and 2100")


class BirthNumber(_Table, frozen=True, kw_only=True):
    """A number holding birth date and sex: women have `female_month_offset` added to the month."""

    column: str
    years_from: int
    female_month_offset: Literal[20, 40, 50]


class _Records(_Table, frozen=True, kw_only=True):
    """What every kind of record has: a file and the column with the record's own id."""

    file: str
    id: str
    format: Format | None = None
    dates: Dates | None = None

    def __post_init__(self) -> None:
        """Refuse a path: all files lie in the directory given to the import."""
        if not _FILE.fullmatch(self.file):
            raise ValueError(f"file {self.file!r} must be a plain file name, without a path")


class Parties(_Records, frozen=True, kw_only=True):
    """People: `name`, and the birth date from a date column or out of a birth number."""

    name: str | None = None
    birth_date: str | None = None
    birth_number: BirthNumber | None = None

    def __post_init__(self) -> None:
        """A birth date has one source."""
        super().__post_init__()
        if self.birth_date is not None and self.birth_number is not None:
            raise ValueError("give birth_date or birth_number, not both")


class Accounts(_Records, frozen=True, kw_only=True):
    """Accounts and the date each was opened."""

    opened: str


class Holders(_Records, frozen=True, kw_only=True):
    """Who may do what on which account; `roles` translates the values of column `role`."""

    party: str
    account: str
    role: str
    roles: dict[str, Role]


class Purposes(_Table, frozen=True, kw_only=True):
    """A column saying what money is for, and the translation of its values."""

    column: str
    values: dict[str, Purpose]


class StandingOrders(_Records, frozen=True, kw_only=True):
    """Permanent orders to a partner bank."""

    account: str
    amount: str
    partner_bank: str
    partner_account: str
    purpose: Purposes | None = None


class Amount(_Table, frozen=True, kw_only=True):
    """An amount in one of three shapes.

    `column` with `direction` and `directions`: unsigned, another column says which way.
    `column` alone: signed, and `positive` says which way a plus is.
    `credit` with `debit`: a column each, exactly one of them filled.
    """

    column: str | None = None
    direction: str | None = None
    directions: dict[str, Direction] | None = None
    positive: Direction | None = None
    credit: str | None = None
    debit: str | None = None

    def __post_init__(self) -> None:
        """Exactly one of the three shapes."""
        given = {key for key in self.__struct_fields__ if getattr(self, key) is not None}
        shapes = (
            {"column", "direction", "directions"},
            {"column", "positive"},
            {"credit", "debit"},
        )
        if given not in shapes:
            raise ValueError(
                f"has the keys {sorted(given)}; it needs column + direction + directions, "
                "column + positive (signed amounts), or credit + debit"
            )


class Balance(_Table, frozen=True, kw_only=True):
    """The balance the bank printed; one step may be off by `tolerance` (a decimal, as text)."""

    column: str
    tolerance: str = "0"

    def __post_init__(self) -> None:
        """The tolerance is a small plain decimal."""
        try:
            value = Decimal(self.tolerance)
        except InvalidOperation:
            value = Decimal(-1)
        if not value.is_finite() or not 0 <= value <= 1000:
            raise ValueError('tolerance must be a decimal between "0" and "1000", as text')


class Rule(_Table, frozen=True, kw_only=True):
    """Rows whose columns hold these values go against this counter account, under this code."""

    when: dict[str, str | list[str]]
    counter: Counter
    code: Code


class Transactions(_Records, frozen=True, kw_only=True):
    """Movements on accounts; of `rules` the first that fits a row wins."""

    account: str
    date: str
    amount: Amount
    rules: list[Rule]
    balance: Balance | None = None
    purpose: Purposes | None = None
    partner_bank: str | None = None

    def __post_init__(self) -> None:
        """Clearing needs to know the partner bank."""
        super().__post_init__()
        if not self.rules:
            raise ValueError("rules must hold at least one rule; one with when = {} fits every row")
        if self.partner_bank is None and any(rule.counter == "clearing" for rule in self.rules):
            raise ValueError("a rule with counter 'clearing' needs the key partner_bank")


class Mapping(_Table, frozen=True, kw_only=True):
    """A whole mapping. `name` enters the ids of everything imported: keep it."""

    name: str
    currency: str
    zone: str
    format: Format = Format()
    dates: Dates
    parties: Parties | None = None
    accounts: Accounts
    holders: Holders | None = None
    standing_orders: StandingOrders | None = None
    transactions: Transactions

    def __post_init__(self) -> None:
        """Check what can be checked without the files."""
        if not _NAME.fullmatch(self.name):
            raise ValueError("name must be lower-case letters, digits and '-', at most 40")
        if self.currency not in CURRENCIES:
            raise ValueError("currency must be a circulating ISO 4217 code such as 'CZK'")
        try:
            ZoneInfo(self.zone)
        except (OSError, LookupError, ValueError) as error:
            raise ValueError("zone must be an IANA zone such as 'Europe/Prague'") from error
        if self.holders is not None and self.parties is None:
            raise ValueError("the table [holders] needs the table [parties]")
        if Decimal(self.tolerance_minor) != self._tolerance():
            raise ValueError("transactions.balance.tolerance is finer than one minor unit")

    @property
    def minor_digits(self) -> int:
        """Decimals of the currency's minor unit."""
        return CURRENCIES[self.currency]

    @property
    def tolerance_minor(self) -> int:
        """How far one step may be off the printed balance, in minor units."""
        return int(self._tolerance())

    def _tolerance(self) -> Decimal:
        balance = self.transactions.balance
        return Decimal(balance.tolerance if balance else 0).scaleb(self.minor_digits)
