"""Tariffs: what makes one valid, and the fee that follows from it. Integers only, no clock."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from guilder.contracts.errors import InvalidRequest
from guilder.contracts.pricing.v1 import BadTariff, PutTariff, Tier
from guilder.contracts.values import CURRENCIES, MAX_MINOR, Money

PERCENT_E4 = 10_000
"""A percentage is kept as an integer of ten-thousandths of a percent."""

PAST = timedelta(hours=1)
"""How far back `valid_from` may lie when the tariff is set: approval takes a while. It never
changes a fee already given, since a tariff counts only for moments after it was set."""

FUTURE = timedelta(days=3660)
"""How far ahead a tariff may be set."""

FREE = "free of charge: no tariff is in force"


def percent_e4(text: str) -> int:
    """A percentage ("0.25") in ten-thousandths of a percent (2500); BadTariff above 100."""
    match = re.fullmatch(r"([0-9]{1,3})(?:\.([0-9]{1,4}))?", text, re.ASCII)
    value = int(match[1]) * PERCENT_E4 + int(f"{match[2] or ''}0000"[:4]) if match else -1
    if not 0 <= value <= 100 * PERCENT_E4:
        raise BadTariff('a percentage is 0 to 100 with at most 4 decimals, such as "0.25"')
    return value


def percent_text(value: int) -> str:
    """Ten-thousandths of a percent as the shortest decimal string."""
    whole, rest = divmod(value, PERCENT_E4)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".")


def canonical(tier: Tier) -> Tier:
    """The tier with its percentage as it is kept and shown: "0.2500" becomes "0.25"."""
    if tier.percent is None:
        return tier
    return msgspec.structs.replace(tier, percent=percent_text(percent_e4(tier.percent)))


def moment(at: datetime) -> datetime:
    """A moment in UTC; InvalidRequest when it has no zone or lies outside the calendar."""
    try:
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except OverflowError:
        pass
    raise InvalidRequest("a moment needs a zone and must lie within the years 1 to 9999")


def check(request: PutTariff, now: datetime) -> None:
    """Raise BadTariff (or InvalidRequest) unless the tariff may be set at this moment."""
    valid_from = moment(request.valid_from)
    if valid_from < now - PAST:
        raise BadTariff("valid_from lies in the past, and the past is not rewritten")
    if valid_from > now + FUTURE:
        raise BadTariff("valid_from lies more than ten years ahead")
    for fault in faults(request.currency, request.tiers):
        raise BadTariff(fault)


def faults(currency: str, tiers: Sequence[Tier]) -> Iterator[str]:
    """Everything that contradicts itself in a tariff's tiers, in sentences."""
    if currency not in CURRENCIES:
        yield "the currency is not a circulating ISO 4217 code"
        return
    if not tiers or tiers[-1].up_to is not None:
        yield "the last tier must have no up_to, so that every amount has a price"
    before = 0
    for n, tier in enumerate(tiers):
        at = f"tier {n + 1}"
        given = [tier.up_to, tier.flat, tier.minimum, tier.maximum]
        if any(money.currency != currency for money in given if money is not None):
            yield f"{at}: every amount must be in {currency}"
            return
        if any(money.minor < 0 for money in given if money is not None):
            yield f"{at}: amounts must not be negative"
        if tier.percent is not None:
            percent_e4(tier.percent)
        if tier.minimum and tier.maximum and tier.minimum.minor > tier.maximum.minor:
            yield f"{at}: the minimum is above the maximum"
        if tier.up_to is None and n < len(tiers) - 1:
            yield f"{at}: only the last tier may have no up_to"
        elif tier.up_to is not None:
            if tier.up_to.minor <= before:
                yield f"{at}: up_to must be above that of the tier before"
            before = tier.up_to.minor


def tier_of(tiers: Sequence[Tier], amount: Money) -> Tier:
    """The first tier whose `up_to` is not below the amount."""
    for tier in tiers:
        if tier.up_to is None or tier.up_to.minor >= amount.minor:
            return tier
    raise BadTariff("no tier covers the amount")


def fee(tier: Tier, amount: Money) -> Money:
    """Flat plus percent of the amount, half up to the minor unit, within minimum and maximum."""
    minor = tier.flat.minor if tier.flat else 0
    if tier.percent is not None and amount.minor > 0:
        whole = 100 * PERCENT_E4
        minor += (2 * amount.minor * percent_e4(tier.percent) + whole) // (2 * whole)
    if tier.minimum is not None:
        minor = max(minor, tier.minimum.minor)
    if tier.maximum is not None:
        minor = min(minor, tier.maximum.minor)
    return Money(min(minor, MAX_MINOR), amount.currency)  # more than one value may carry: capped


def rule(tier: Tier, amount: Money) -> str:
    """The tier in one sentence: "0.25 % of 1,000.00 EUR, at least 0.10 EUR"."""
    parts = [readable(tier.flat)] if tier.flat is not None and tier.flat.minor else []
    if tier.percent is not None:
        parts.append(f"{percent_text(percent_e4(tier.percent))} % of {readable(amount)}")
    text = " plus ".join(parts) or "free of charge"
    if tier.minimum is not None and tier.minimum.minor:
        text += f", at least {readable(tier.minimum)}"
    if tier.maximum is not None:
        text += f", at most {readable(tier.maximum)}"
    return text


def readable(money: Money) -> str:
    """An amount with thousands separators: "1,000.00 EUR"."""
    whole, dot, rest = money.amount.partition(".")
    return f"{int(whole):,}{dot}{rest} {money.currency}"
