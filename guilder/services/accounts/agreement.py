"""What an account's terms mean: defaults, limits, the floor in the books, cursors. Pure."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

from guilder.contracts.accounts.v1 import BalanceQuery, OpenAccount, Product, UnknownHolder
from guilder.contracts.errors import InvalidRequest
from guilder.contracts.ledger.v1 import CurrencyMismatch
from guilder.contracts.values import CURRENCIES

BLOCKED_FLOOR: Final = 10**15
"""A blocked account's floor in minor units: no debit leaves so much available."""

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2999

_CURSOR: Final = re.compile("([1-9][0-9]{0,17})[.]([0-9a-f]{24})")


@dataclass(frozen=True)
class Terms:
    """The terms of an account to be opened; `overdraft` in minor units."""

    product: Product
    holders: tuple[UUID, ...]
    currency: str
    overdraft: int | None
    opened_on: date
    reference: str | None


def terms(request: OpenAccount, currency: str, today: date) -> Terms:
    """Fill in the tenant's currency and today; a typed problem when the terms do not hold."""
    chosen = request.currency or currency
    if chosen not in CURRENCIES:
        raise InvalidRequest("not a circulating ISO 4217 currency code", at="$.currency")
    overdraft = request.overdraft
    if overdraft is not None and overdraft.currency != chosen:
        raise CurrencyMismatch(f"the account is in {chosen}", at="$.overdraft")
    if overdraft is not None and overdraft.minor < 0:
        raise InvalidRequest("the overdraft is an amount of zero or more", at="$.overdraft")
    opened_on = request.opened_on or today
    if opened_on > today or opened_on.year < FIRST_YEAR:
        raise InvalidRequest(f"must lie between {FIRST_YEAR} and today", at="$.opened_on")
    if len(set(request.holders)) != len(request.holders):
        raise UnknownHolder("a holder is named twice", at="$.holders")
    return Terms(
        product=request.product,
        holders=tuple(request.holders),
        currency=chosen,
        overdraft=None if overdraft is None else overdraft.minor,
        opened_on=opened_on,
        reference=request.reference,
    )


def floor(state: str, overdraft: int | None) -> int:
    """The lowest available balance that debits may reach in a state, in minor units."""
    return BLOCKED_FLOOR if state == "blocked" else -(overdraft or 0)


def check_moment(query: BalanceQuery) -> None:
    """InvalidRequest unless at most one moment is asked for, with a zone and of sane size."""
    if query.booked_at is not None and query.value_date is not None:
        raise InvalidRequest("give either booked_at or value_date", at="$.value_date")
    if query.booked_at is not None:
        if query.booked_at.tzinfo is None:
            raise InvalidRequest("the time needs a zone, such as Z", at="$.booked_at")
        _check_year(query.booked_at, "$.booked_at")
    if query.value_date is not None:
        _check_year(query.value_date, "$.value_date")


def utc(moment: datetime | None) -> datetime | None:
    """The same moment in UTC."""
    return None if moment is None else moment.astimezone(UTC)


def _check_year(moment: date, at: str) -> None:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise InvalidRequest(f"the year must be {FIRST_YEAR} to {LAST_YEAR}", at=at)


def cursor(tenant: int, account: UUID, before: int) -> str:
    """A cursor that only this account's transactions accept."""
    return f"{before}.{_mark(tenant, account, before)}"


def read_cursor(tenant: int, account: UUID, text: str) -> int:
    """The place a cursor stands for; InvalidRequest unless this account's own page gave it.

    The mark is no secret: whoever forges one pages through an account he may read anyway.
    """
    match = _CURSOR.fullmatch(text)
    if match is None or match[2] != _mark(tenant, account, int(match[1])):
        raise InvalidRequest("pass a cursor that this account's own page gave", at="$.cursor")
    return int(match[1])


def _mark(tenant: int, account: UUID, before: int) -> str:
    return hashlib.sha256(f"{tenant}|{account}|{before}".encode()).hexdigest()[:24]
