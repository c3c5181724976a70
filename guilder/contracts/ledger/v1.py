"""`ledger`: the books. Funds are decided and written in one place, by one writer.

Sign: an account's balance is credits minus debits, so money that the bank owes a customer is
positive. `booked` counts posted transfers, `held` what pending transfers would take away,
`available` = booked - held.
"""

import uuid
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Answers, Batch, Contract, Nothing, Request, operation
from guilder.contracts.ledger.refusals import (
    AmountNotPositive as AmountNotPositive,
    AmountTooLarge as AmountTooLarge,
    CurrencyMismatch as CurrencyMismatch,
    InsufficientFunds as InsufficientFunds,
    LedgerAccountClosed as LedgerAccountClosed,
    LedgerAccountDiffers as LedgerAccountDiffers,
    LedgerAccountInUse as LedgerAccountInUse,
    PendingClosed as PendingClosed,
    PendingUnknown as PendingUnknown,
    PostAboveHold as PostAboveHold,
    SameAccount as SameAccount,
    TransferIdReused as TransferIdReused,
    UnknownLedgerAccount as UnknownLedgerAccount,
)
from guilder.contracts.values import Money

Chart = Literal[
    "customer", "cash", "interest", "fees", "clearing", "rounding", "suspense", "opening"
]
TransferKind = Literal["transfer", "pending", "post", "void"]
BookedKind = Literal["transfer", "pending", "post", "void", "expire"]
TransferCode = Literal[
    "payment", "fee", "reversal", "cash", "interest", "clearing", "rounding", "suspense", "opening"
]
Partner = Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{0,11}(?!\n)$")]
Floor = Annotated[int, msgspec.Meta(ge=-(10**15), le=10**15)]

BOOKED_WITHIN = 20.0
"""Seconds within which an entry that has arrived is in the books, or never will be by this call:
whoever finds nothing there later knows that nothing comes any more."""


class OpenAccount(Request, frozen=True, kw_only=True):
    """A place in the chart of accounts.

    `floor`: the lowest available balance in minor units that debits may reach (0 = no overdraft);
    None = unlimited. `partner` names the partner bank of a clearing account.
    """

    id: UUID
    chart: Chart
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}(?!\n)$")]
    floor: Floor | None = None
    partner: Partner = ""


class LedgerAccount(Answer, frozen=True, kw_only=True):
    """A ledger account."""

    id: UUID
    chart: Chart
    currency: str
    floor: int | None
    partner: str
    state: Literal["open", "closed"]


class Meta(Request, frozen=True, kw_only=True):
    """The closed list of what a transfer may refer to: ids, no free text."""

    payment: UUID | None = None
    reverses: UUID | None = None
    row: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9:_-]{1,40}(?!\n)$")] | None = None
    """Row of another system's file that an import took over."""


class Transfer(Request, frozen=True, kw_only=True):
    """Debit one account, credit another.

    `id` is the caller's UUIDv7 and the idempotency key. kind `pending` holds the amount (until
    `timeout_s` seconds have passed); `post` books a pending one (`pending_id`, `amount` None = all
    of it, the rest is freed), `void` frees it. `value_date` counts for interest and statements.
    """

    id: UUID
    kind: TransferKind = "transfer"
    debit: UUID | None = None
    credit: UUID | None = None
    amount: Money | None = None
    value_date: date
    code: TransferCode
    pending_id: UUID | None = None
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=31_536_000)] | None = None
    meta: Meta = Meta()


class JournalEntry(Request, frozen=True, kw_only=True):
    """Linked transfers, booked together or not at all, in this order."""

    transfers: Annotated[list[Transfer], msgspec.Meta(min_length=1, max_length=32)]


class BookedTransfer(Answer, frozen=True, kw_only=True):
    """A transfer as it stands in the books. `seq` is its place, ascending without repeats.

    kind `expire` is written by the ledger itself when the time of a pending transfer has passed.
    For `post`, `amount` is what was booked; for `void` and `expire`, what was freed.
    """

    id: UUID
    seq: int
    kind: BookedKind
    debit: UUID
    credit: UUID
    amount: Money
    value_date: date
    booked_at: datetime
    code: TransferCode
    pending_id: UUID | None = None
    expires_at: datetime | None = None
    meta: Meta = Meta()


class Booked(Answer, frozen=True, kw_only=True):
    """The transfers of a journal entry as booked."""

    transfers: list[BookedTransfer]


class TransferId(Request, frozen=True, kw_only=True):
    """Which transfer."""

    transfer_id: UUID


class AccountId(Request, frozen=True, kw_only=True):
    """Which ledger account."""

    account_id: UUID


class SetFloor(Request, frozen=True, kw_only=True):
    """Change the lowest available balance that debits may reach; None = unlimited."""

    account_id: UUID
    floor: Floor | None


class BalanceQuery(Request, frozen=True, kw_only=True):
    """Now, or as known at a moment (`booked_at`), or by value date (end of that day); not both."""

    account_id: UUID
    booked_at: datetime | None = None
    value_date: date | None = None


class Balance(Answer, frozen=True, kw_only=True):
    """Balances of one account. For a past moment or value date, held and available are None."""

    account: UUID
    booked: Money
    held: Money | None
    available: Money | None
    booked_at: datetime | None
    value_date: date | None


class EntryQuery(Request, frozen=True, kw_only=True):
    """A page of an account's entries, newest first; pass `next` as `before`."""

    account_id: UUID
    before: int | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class Entry(Answer, frozen=True, kw_only=True):
    """One side of a posted transfer, seen from an account: amount is signed."""

    seq: int
    transfer: UUID
    amount: Money
    balance_after: Money
    """Booked balance after this entry, in booking order."""
    counter_account: UUID
    value_date: date
    booked_at: datetime
    code: TransferCode
    meta: Meta


class EntryPage(Answer, frozen=True, kw_only=True):
    """Entries, newest first."""

    items: list[Entry]
    next: int | None


class JournalQuery(Request, frozen=True, kw_only=True):
    """The tenant's transfers in booking order, after a seq."""

    after: int = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 1000


class JournalPage(Answer, frozen=True, kw_only=True):
    """Transfers of every kind; `next` None = the end."""

    items: list[BookedTransfer]
    next: int | None


class TrialQuery(Request, frozen=True, kw_only=True):
    """A page of the trial balance, by account id."""

    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 1000


class TrialLine(Answer, frozen=True, kw_only=True):
    """Total debits and credits of an account, in minor units, posted and pending."""

    account: LedgerAccount
    debits: int
    credits: int
    pending_debits: int
    pending_credits: int


class TrialPage(Answer, frozen=True, kw_only=True):
    """Lines of the trial balance; pass `next` as `after`."""

    items: list[TrialLine]
    next: UUID | None


class Expired(Answer, frozen=True, kw_only=True):
    """How many pending transfers were freed because their time had passed."""

    count: int


class Ledger(Contract, name="ledger", version="1.0.0-draft"):
    """The books of every tenant."""

    @operation("POST /accounts", problems=(LedgerAccountDiffers,))
    async def open_accounts(self, calls: Batch[OpenAccount]) -> Answers[LedgerAccount]:
        """Open ledger accounts; opening one twice gives the same answer."""
        raise NotImplementedError

    @operation("POST /accounts/{account_id}/floor", problems=(UnknownLedgerAccount,))
    async def set_floor(self, ctx: Context, request: SetFloor) -> LedgerAccount:
        """Change an account's limit."""
        raise NotImplementedError

    @operation(
        "POST /accounts/{account_id}/closure", problems=(UnknownLedgerAccount, LedgerAccountInUse)
    )
    async def close_account(self, ctx: Context, request: AccountId) -> LedgerAccount:
        """Close an account that is empty."""
        raise NotImplementedError

    @operation(
        "POST /entries",
        problems=(
            AmountNotPositive,
            SameAccount,
            UnknownLedgerAccount,
            LedgerAccountClosed,
            CurrencyMismatch,
            TransferIdReused,
            PendingUnknown,
            PendingClosed,
            PostAboveHold,
            InsufficientFunds,
            AmountTooLarge,
        ),
    )
    async def submit(self, calls: Batch[JournalEntry]) -> Answers[Booked]:
        """Decide and book journal entries, each whole or not at all, in the order given."""
        raise NotImplementedError

    @operation("GET /transfers/{transfer_id}")
    async def transfer(self, ctx: Context, request: TransferId) -> BookedTransfer:
        """Read a transfer."""
        raise NotImplementedError

    @operation(
        "GET /accounts/{account_id}/balance", problems=(UnknownLedgerAccount, AmountTooLarge)
    )
    async def balance(self, ctx: Context, request: BalanceQuery) -> Balance:
        """Read balances: now, as booked at a moment, or by value date."""
        raise NotImplementedError

    @operation("GET /accounts/{account_id}/entries", problems=(UnknownLedgerAccount,))
    async def entries(self, ctx: Context, request: EntryQuery) -> EntryPage:
        """Read an account's entries, newest first."""
        raise NotImplementedError

    @operation("GET /journal")
    async def journal(self, ctx: Context, request: JournalQuery) -> JournalPage:
        """Read the tenant's transfers in booking order."""
        raise NotImplementedError

    @operation("GET /trial-balance")
    async def trial_balance(self, ctx: Context, request: TrialQuery) -> TrialPage:
        """Read the totals of every account."""
        raise NotImplementedError

    @operation("POST /expirations")
    async def expire(self, ctx: Context, request: Nothing) -> Expired:
        """Free the pending transfers of the tenant whose time has passed."""
        raise NotImplementedError


_INTERNAL = UUID("6f1f3f0e-8a57-5a55-9a6b-2f5a3c9d7e10")


def internal_account(tenant: int, chart: Chart, currency: str, partner: str = "") -> UUID:
    """The id of one of the bank's own accounts: the same wherever it is derived."""
    return uuid.uuid5(_INTERNAL, f"{tenant}|{chart}|{currency}|{partner}")
