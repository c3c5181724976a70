"""`payments`: orders to move money, their attempts, and the small log of what happened."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.accounts.v1 import BadIban, UnknownAccount
from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Contract, Personal, Request, operation
from guilder.contracts.errors import Conflict, Forbidden, NotFound, Refused
from guilder.contracts.ledger.v1 import (
    AmountNotPositive,
    AmountTooLarge,
    CurrencyMismatch,
    InsufficientFunds,
    SameAccount,
)
from guilder.contracts.payments.provenance import Decisions, Explanation
from guilder.contracts.payments.standing import (
    RecordStandingOrder as RecordStandingOrder,
    StandingOrder as StandingOrder,
    StandingOrderQuery as StandingOrderQuery,
    StandingOrders as StandingOrders,
    StandingOrderTaken as StandingOrderTaken,
)
from guilder.contracts.values import Money

AccountRef = Annotated[str, msgspec.Meta(min_length=4, max_length=64)]
Remittance = Annotated[str, msgspec.Meta(max_length=140), Personal()]
Reason = Annotated[str, msgspec.Meta(min_length=3, max_length=200)]
PaymentState = Literal["processing", "waiting", "booked", "refused"]
Part = Literal[
    "accounts",
    "access",
    "pricing",
    "parties",
    "screening",
    "check",
    "registry",
    "vault",
    "ledger",
    "maintenance",
]
"""What a payment can wait for; `check` is a person of the bank who looks at it."""


class UnknownPayment(NotFound):
    """No such payment, or not for you."""

    code = "unknown-payment"
    title = "There is no such payment"
    fix = "Check the id."


class AccountBlocked(Refused):
    """The account is blocked or closed."""

    code = "account-blocked"
    title = "The account is blocked or closed"
    fix = "Ask your bank about the account, or use another one."


class NotReversible(Conflict):
    """Only a booked payment, once, and never a reversal, can be reversed."""

    code = "not-reversible"
    title = "This payment cannot be reversed"
    fix = "Read the payment: it is not booked, is itself a reversal, or was reversed."


class QuoteInvalid(Refused):
    """The quote has expired or was for another payment."""

    code = "quote-invalid"
    title = "The quote does not hold for this payment"
    fix = "Ask for a new quote and pay within five minutes."


class PaymentDeclined(Refused):
    """The bank does not carry the payment out, and does not say why."""

    code = "payment-declined"
    title = "The bank does not carry out this payment"
    fix = "Ask your bank about it."


class BadRemittance(Refused):
    """The remittance holds characters that could deceive a reader."""

    code = "bad-text"
    title = "The text holds characters that could deceive a reader"
    fix = "Remove control, bidirectional and invisible characters."


class CreatePayment(Request, frozen=True, kw_only=True):
    """An order to move money. Accounts by id or IBAN; `remittance` is at most 140 characters."""

    debtor_account: AccountRef
    creditor_account: AccountRef
    amount: Money
    remittance: Remittance | None = None
    quote_id: UUID | None = None


class QuoteRequest(Request, frozen=True, kw_only=True):
    """What would this payment cost? Nothing is reserved."""

    debtor_account: AccountRef
    creditor_account: AccountRef
    amount: Money


class Decided(Answer, frozen=True, kw_only=True):
    """Which edition and version said what, under which binding generation."""

    step: Literal["access", "pricing", "screening", "ledger"]
    by: str
    generation: int
    outcome: str


class Quote(Answer, frozen=True, kw_only=True):
    """The fee and who decided it; honoured until `valid_until`."""

    quote_id: UUID
    fee: Money
    total: Money
    decided_by: str
    rule: str
    valid_until: datetime


class Refusal(Answer, frozen=True, kw_only=True):
    """Why a payment was refused: the problem's code and what it said."""

    code: str
    detail: str


class WaitsFor(Answer, frozen=True, kw_only=True):
    """What a payment waits for, and what can be said of the money meanwhile.

    `moved` is `unknown` where the books were asked and did not answer; money never moves twice.
    """

    part: Part
    since: datetime
    moved: Literal["nothing", "unknown"]
    detail: str
    window: UUID | None
    """The planned maintenance at whose end it goes on."""


class Payment(Answer, frozen=True, kw_only=True):
    """A payment and how far it got. `fee` is debited beside `amount`.

    The accounts are null until they are found. Who sees only the creditor account sees neither
    fee nor decisions. A reversal's fee is negative: it goes back with the amount.

    A payment that is `waiting` is stored and ends by itself, as booked or as refused: right,
    account and fee are asked for again then, so nothing is promised but that it is not lost.
    """

    id: UUID
    state: PaymentState
    debtor_account: UUID | None
    creditor_account: UUID | None
    amount: Money
    fee: Money | None
    remittance: Remittance | None
    created_at: datetime
    booked_at: datetime | None
    value_date: date | None
    reverses: UUID | None
    reversed_by: UUID | None
    refusal: Refusal | None
    decisions: list[Decided]
    waits_for: WaitsFor | None = None


class PaymentId(Request, frozen=True, kw_only=True):
    """Which payment."""

    payment_id: UUID


class WaitingQuery(Request, frozen=True, kw_only=True):
    """The payments that wait, oldest first; pass `next` as `after`."""

    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class WaitingPayments(Answer, frozen=True, kw_only=True):
    """A page of payments that wait."""

    items: list[Payment]
    next: UUID | None


class Reverse(Request, frozen=True, kw_only=True):
    """Reverse a payment, fee included, with a reason."""

    payment_id: UUID
    reason: Reason


What = Literal[
    "received",
    "resumed",
    "waiting",
    "allowed",
    "priced",
    "booked",
    "refused",
    "reversed",
    "repeated",
]
"""What happens to a payment."""


class ActivityLine(Answer, frozen=True, kw_only=True):
    """One thing that happened to a payment."""

    at: datetime
    what: What
    detail: str


class Activity(Answer, frozen=True, kw_only=True):
    """The small log of a payment, oldest first."""

    items: list[ActivityLine]


class Payments(Contract, name="payments", version="1.0.0-draft"):
    """Payments, reversals, standing orders."""

    @operation(
        "POST /payments/quote",
        public=True,
        command=False,
        may="make",
        on="inside",
        problems=(
            UnknownAccount,
            BadIban,
            AccountBlocked,
            AmountNotPositive,
            AmountTooLarge,
            CurrencyMismatch,
            SameAccount,
            Forbidden,
        ),
    )
    async def quote(self, ctx: Context, request: QuoteRequest) -> Quote:
        """Say what a payment would cost and who decided it; the quote holds five minutes."""
        raise NotImplementedError

    @operation(
        "POST /payments",
        public=True,
        moves_money=True,
        may="make",
        on="inside",
        waits=True,
        status=201,
        deadline_ms=20_000,
        problems=(
            UnknownAccount,
            BadIban,
            AccountBlocked,
            AmountNotPositive,
            AmountTooLarge,
            CurrencyMismatch,
            SameAccount,
            QuoteInvalid,
            BadRemittance,
            InsufficientFunds,
            PaymentDeclined,
            Forbidden,
        ),
    )
    async def create(self, ctx: Context, request: CreatePayment) -> Payment:
        """Move money between two accounts of this bank, now, or as soon as that can be decided."""
        raise NotImplementedError

    @operation(
        "GET /payments/{payment_id}",
        public=True,
        may="view",
        on="inside",
        problems=(UnknownPayment,),
    )
    async def payment(self, ctx: Context, request: PaymentId) -> Payment:
        """Read a payment: those who may see one of its accounts."""
        raise NotImplementedError

    @operation(
        "GET /payments/{payment_id}/activity",
        public=True,
        may="view",
        on="inside",
        problems=(UnknownPayment,),
    )
    async def activity(self, ctx: Context, request: PaymentId) -> Activity:
        """Read what happened to a payment, step by step."""
        raise NotImplementedError

    @operation(
        "GET /payments/{payment_id}/decisions",
        public=True,
        may="view",
        on="inside",
        problems=(UnknownPayment,),
    )
    async def decisions(self, ctx: Context, request: PaymentId) -> Decisions:
        """Read which edition decided what on a payment, what it was asked and under which binding.

        Those who see only the creditor account see none.
        """
        raise NotImplementedError

    @operation(
        "GET /payments/{payment_id}/explanation",
        public=True,
        may="view",
        on="inside",
        problems=(UnknownPayment, Forbidden),
    )
    async def explanation(self, ctx: Context, request: PaymentId) -> Explanation:
        """Derive the fee of a payment again, by asking who decided it the same question."""
        raise NotImplementedError

    @operation("GET /waiting-payments", public=True, may="view")
    async def waiting(self, ctx: Context, request: WaitingQuery) -> WaitingPayments:
        """List the payments of this bank that wait for something, oldest first."""
        raise NotImplementedError

    @operation(
        "POST /payments/{payment_id}/reversal",
        public=True,
        moves_money=True,
        may="administer",
        four_eyes=True,
        waits=True,
        status=201,
        problems=(UnknownPayment, NotReversible, InsufficientFunds),
    )
    async def reverse(self, ctx: Context, request: Reverse) -> Payment:
        """Reverse a booked payment; takes effect when somebody else has approved it."""
        raise NotImplementedError

    @operation(
        "POST /standing-orders",
        public=True,
        may="administer",
        status=201,
        problems=(UnknownAccount, AmountNotPositive, CurrencyMismatch, StandingOrderTaken),
    )
    async def record_standing_order(
        self, ctx: Context, request: RecordStandingOrder
    ) -> StandingOrder:
        """Record a standing order taken over from another system."""
        raise NotImplementedError

    @operation(
        "GET /accounts/{account_id}/standing-orders", public=True, may="view", on="account_id"
    )
    async def standing_orders(self, ctx: Context, request: StandingOrderQuery) -> StandingOrders:
        """List the standing orders of an account."""
        raise NotImplementedError
