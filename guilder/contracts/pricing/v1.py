"""`pricing`: what something costs. `quote` is a decision: same question, same answer."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.accounts.v1 import Product
from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Answers, Batch, Contract, Request, operation
from guilder.contracts.errors import Refused
from guilder.contracts.values import CURRENCIES, Money

Percent = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]?|100)(\.[0-9]{1,4})?(?!\n)$")]
"""A percentage as a decimal string, at most 4 decimals: "0.25" is a quarter of a percent."""


class BadTariff(Refused):
    """The tariff contradicts itself."""

    code = "bad-tariff"
    title = "The tariff contradicts itself"
    fix = "Read `detail`; correct the tiers and propose the tariff again."


class Question(Request, frozen=True, kw_only=True):
    """What does this operation cost on an account of this product, at this moment?"""

    operation: Literal["book_transfer"]
    product: Product
    amount: Money
    at: datetime


class Quoted(Answer, frozen=True, kw_only=True):
    """The fee and the rule that gave it, as a sentence for whoever pays it.

    The fee is in the amount's currency, never negative and at most `cap(amount)`. `tariff` names
    the tariff behind it where there is one.
    """

    fee: Money
    rule: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    tariff: UUID | None = None


def cap(amount: Money) -> Money:
    """The highest fee for an amount: the amount itself, or 100 units of its currency if more."""
    return Money(max(amount.minor, 100 * 10 ** CURRENCIES[amount.currency]), amount.currency)


def faults(asked: Question, quoted: Quoted) -> Iterator[str]:
    """What a fee must never be."""
    if quoted.fee.currency != asked.amount.currency:
        yield f"the fee is in {quoted.fee.currency}, the amount in {asked.amount.currency}"
    elif quoted.fee.minor < 0:
        yield f"the fee {quoted.fee} is negative"
    elif quoted.fee.minor > cap(asked.amount).minor:
        yield f"the fee {quoted.fee} is above the cap {cap(asked.amount)}"
    if not quoted.rule.isprintable():
        yield "the rule holds a character that cannot be shown"


class Tier(Request, frozen=True, kw_only=True):
    """The price of amounts up to and including `up_to` (None = without end).

    Fee = flat + percent of the amount (half up to the minor unit), then at least `minimum`, at
    most `maximum`.
    """

    up_to: Money | None = None
    flat: Money | None = None
    percent: Percent | None = None
    minimum: Money | None = None
    maximum: Money | None = None


class PutTariff(Request, frozen=True, kw_only=True):
    """The price of an operation for a product and currency, from a moment on."""

    operation: Literal["book_transfer"] = "book_transfer"
    product: Product
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}(?!\n)$")]
    valid_from: datetime
    tiers: Annotated[list[Tier], msgspec.Meta(min_length=1, max_length=20)]


class Tariff(Answer, frozen=True, kw_only=True):
    """A tariff in the order of validity; the latest `valid_from` not after the moment counts."""

    id: UUID
    operation: str
    product: Product
    currency: str
    valid_from: datetime
    tiers: list[Tier]
    created_at: datetime


class TariffQuery(Request, frozen=True, kw_only=True):
    """Filter of the list of tariffs."""

    product: Product | None = None
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}(?!\n)$")] | None = None
    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class Tariffs(Answer, frozen=True, kw_only=True):
    """A page; pass `next` as `after`.

    `priced_by` names the edition that prices for this tenant instead (`pricing B.1.0.0`); these
    tariffs then count only where it is taken back, or falls back to stock. None = they count.
    """

    items: list[Tariff]
    next: UUID | None
    priced_by: str | None = None


class Pricing(Contract, name="pricing", version="1.0.0", kind="decision"):
    """Fees and the tariffs they come from."""

    @operation(
        "POST /quotes",
        command=False,
        deadline_ms=1_000,
        replaceable=True,
        sees=("operation", "product", "amount", "at"),
        faults=faults,
    )
    async def quote(self, calls: Batch[Question]) -> Answers[Quoted]:
        """Quote a fee; without a tariff in force it is zero."""
        raise NotImplementedError

    @operation(
        "POST /tariffs",
        public=True,
        may="administer",
        four_eyes=True,
        status=201,
        problems=(BadTariff,),
    )
    async def put_tariff(self, ctx: Context, request: PutTariff) -> Tariff:
        """Set a tariff from a moment on; takes effect when somebody else has approved it."""
        raise NotImplementedError

    @operation("GET /tariffs", public=True, may="view")
    async def tariffs(self, ctx: Context, request: TariffQuery) -> Tariffs:
        """List tariffs, past, present and future; staff only."""
        raise NotImplementedError
