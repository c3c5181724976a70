"""`accounts`: agreements with parties: products, holders, IBANs, blocks."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Answers, Batch, Contract, Request, operation
from guilder.contracts.errors import Conflict, NotFound, Refused
from guilder.contracts.ledger.v1 import CurrencyMismatch, LedgerAccountInUse, TransferCode
from guilder.contracts.values import Money

Product = Literal["current", "savings"]
Reference = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9:._-]{1,60}(?!\n)$")]
Reason = Annotated[str, msgspec.Meta(min_length=3, max_length=200)]


class UnknownAccount(NotFound):
    """No such account here, or not for you."""

    code = "unknown-account"
    title = "There is no such account"
    fix = "Check the id or IBAN; list your accounts with GET /v1/accounts."


class AccountReferenceTaken(Conflict):
    """Another account carries this reference."""

    code = "account-reference-taken"
    title = "Another account carries this reference"
    fix = "Read the account with that reference, or use another one."


class AccountState(Conflict):
    """The account's state does not allow this."""

    code = "account-state"
    title = "The account's state does not allow this"
    fix = "Read the account's state first."


class AccountChanging(Conflict):
    """Another change of the account's state is under way."""

    code = "account-changing"
    title = "Another change of this account is under way"
    fix = "Repeat the same request after `Retry-After` seconds; it is safe."
    final = False


class UnknownHolder(Refused):
    """A holder is not a party of this tenant, or was erased, or is named twice."""

    code = "unknown-holder"
    title = "A holder is not a party of this bank"
    fix = "Record the party first, and name each holder once."


class BadIban(Refused):
    """The text is neither an account's id nor an IBAN whose check digits hold."""

    code = "bad-iban"
    title = "This is not a valid IBAN"
    fix = "Copy the IBAN again; its check digits do not hold, or it has foreign characters."


class OpenAccount(Request, frozen=True, kw_only=True):
    """Open an account for one to eight holders (party ids).

    `currency` None = the tenant's; `overdraft` None = none; `opened_on` None = today in the
    tenant's zone; `reference` is an id of another system, unique per tenant.
    """

    product: Product = "current"
    holders: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=8)]
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}(?!\n)$")] | None = None
    overdraft: Money | None = None
    opened_on: date | None = None
    reference: Reference | None = None


class Account(Answer, frozen=True, kw_only=True):
    """An agreement with its holders; `iban` carries the tenant's own bank code."""

    id: UUID
    iban: str
    product: Product
    currency: str
    holders: list[UUID]
    overdraft: Money | None
    state: Literal["open", "blocked", "closed"]
    opened_on: date
    reference: str | None


class AccountId(Request, frozen=True, kw_only=True):
    """Which account."""

    account_id: UUID


class ChangeState(Request, frozen=True, kw_only=True):
    """Block, unblock or close. The reason is part of what the key stands for; it is not stored."""

    account_id: UUID
    reason: Reason


class AccountQuery(Request, frozen=True, kw_only=True):
    """Filter of the list of accounts."""

    holder: UUID | None = None
    reference: Reference | None = None
    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class AccountPage(Answer, frozen=True, kw_only=True):
    """A page; pass `next` as `after`."""

    items: list[Account]
    next: UUID | None


class BalanceQuery(Request, frozen=True, kw_only=True):
    """Now, or as known at a moment (`booked_at`), or by value date (end of day); not both."""

    account_id: UUID
    booked_at: datetime | None = None
    value_date: date | None = None


class AccountBalance(Answer, frozen=True, kw_only=True):
    """Balances; for a past moment or value date, held and available are null."""

    account_id: UUID
    booked: Money
    held: Money | None
    available: Money | None
    booked_at: datetime | None
    value_date: date | None


class TransactionQuery(Request, frozen=True, kw_only=True):
    """A page of transactions, newest first; pass `next` as `cursor`."""

    account_id: UUID
    cursor: Annotated[str, msgspec.Meta(max_length=60)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class Transaction(Answer, frozen=True, kw_only=True):
    """One line of the account: a signed amount and the booked balance after it."""

    id: UUID
    amount: Money
    balance_after: Money
    counter_account: UUID
    value_date: date
    booked_at: datetime
    kind: TransferCode
    payment_id: UUID | None


class TransactionPage(Answer, frozen=True, kw_only=True):
    """Transactions, newest first."""

    items: list[Transaction]
    next: str | None


class Which(Request, frozen=True, kw_only=True):
    """An account by id or by IBAN (spaces are allowed in an IBAN)."""

    account: Annotated[str, msgspec.Meta(min_length=4, max_length=64)]


class Accounts(Contract, name="accounts", version="1.0.0-draft"):
    """Accounts and who holds them."""

    @operation(
        "POST /accounts",
        public=True,
        may="administer",
        status=201,
        problems=(AccountReferenceTaken, UnknownHolder, CurrencyMismatch),
    )
    async def open(self, ctx: Context, request: OpenAccount) -> Account:
        """Open an account; its holders become owners."""
        raise NotImplementedError

    @operation("GET /accounts", public=True, may="view", on="inside")
    async def accounts(self, ctx: Context, request: AccountQuery) -> AccountPage:
        """List the accounts that one may see."""
        raise NotImplementedError

    @operation(
        "GET /accounts/{account_id}",
        public=True,
        may="view",
        on="account_id",
        problems=(UnknownAccount,),
    )
    async def account(self, ctx: Context, request: AccountId) -> Account:
        """Read an account."""
        raise NotImplementedError

    @operation(
        "GET /accounts/{account_id}/balance",
        public=True,
        may="view",
        on="account_id",
        problems=(UnknownAccount,),
    )
    async def balance(self, ctx: Context, request: BalanceQuery) -> AccountBalance:
        """Read the balance: now, as booked at a moment, or by value date."""
        raise NotImplementedError

    @operation(
        "GET /accounts/{account_id}/transactions",
        public=True,
        may="view",
        on="account_id",
        problems=(UnknownAccount,),
    )
    async def transactions(self, ctx: Context, request: TransactionQuery) -> TransactionPage:
        """Read the transactions, newest first."""
        raise NotImplementedError

    @operation(
        "POST /accounts/{account_id}/block",
        public=True,
        may="administer",
        problems=(UnknownAccount, AccountState, AccountChanging),
    )
    async def block(self, ctx: Context, request: ChangeState) -> Account:
        """Block an account: nothing can be debited any more."""
        raise NotImplementedError

    @operation(
        "POST /accounts/{account_id}/unblock",
        public=True,
        may="administer",
        problems=(UnknownAccount, AccountState, AccountChanging),
    )
    async def unblock(self, ctx: Context, request: ChangeState) -> Account:
        """Lift a block."""
        raise NotImplementedError

    @operation(
        "POST /accounts/{account_id}/closure",
        public=True,
        may="administer",
        problems=(UnknownAccount, AccountState, AccountChanging, LedgerAccountInUse),
    )
    async def close(self, ctx: Context, request: ChangeState) -> Account:
        """Close an account whose balance is zero."""
        raise NotImplementedError

    @operation(
        "POST /resolutions",
        command=False,
        deadline_ms=1_000,
        problems=(UnknownAccount, BadIban),
    )
    async def resolve(self, calls: Batch[Which]) -> Answers[Account]:
        """Find accounts by id or IBAN for another service."""
        raise NotImplementedError
