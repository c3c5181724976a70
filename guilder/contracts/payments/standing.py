"""Standing orders taken over from other systems: recorded, not executed."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.declare import Answer, Request
from guilder.contracts.errors import Conflict
from guilder.contracts.values import Money


class StandingOrderTaken(Conflict):
    """Another standing order of the account carries this reference."""

    code = "standing-order-taken"
    title = "Another standing order of this account carries this reference"
    fix = "Read the account's standing orders; record this one under another reference."


class RecordStandingOrder(Request, frozen=True, kw_only=True):
    """A standing order taken over from another system: recorded, not executed.

    `creditor` is the partner bank's code and account number as that system wrote them.
    """

    account_id: UUID
    reference: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9:._-]{1,60}(?!\n)$")]
    amount: Money
    creditor_bank: Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{1,11}(?!\n)$")]
    creditor_number: Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9-]{1,34}(?!\n)$")]
    purpose: Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,30}(?!\n)$")] | None = None


class StandingOrder(Answer, frozen=True, kw_only=True):
    """A recorded standing order."""

    id: UUID
    account_id: UUID
    reference: str
    amount: Money
    creditor_bank: str
    creditor_number: str
    purpose: str | None
    state: Literal["recorded"]


class StandingOrderQuery(Request, frozen=True, kw_only=True):
    """The standing orders of an account; pass `next` as `after`."""

    account_id: UUID
    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class StandingOrders(Answer, frozen=True, kw_only=True):
    """A page of standing orders."""

    items: list[StandingOrder]
    next: UUID | None
