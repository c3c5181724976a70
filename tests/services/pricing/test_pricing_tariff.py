"""The arithmetic of tariffs against an oracle of its own, and what a tariff may not say."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from guilder.contracts.errors import InvalidRequest
from guilder.contracts.pricing.v1 import BadTariff, PutTariff, Tier
from guilder.contracts.values import CURRENCIES, MAX_MINOR, Money
from guilder.services.pricing import tariff

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
PERCENTS = st.integers(0, 1_000_000).map(lambda n: f"{n // 10_000}.{n % 10_000:04d}")
MINORS = st.one_of(st.integers(0, 500), st.integers(0, MAX_MINOR))


def eur(text):
    return Money.parse(text, "EUR")


def optional(strategy):
    return st.one_of(st.none(), strategy)


@st.composite
def priced(draw):
    """Tiers that a tariff may have, and an amount, in any currency."""
    currency = draw(st.sampled_from(["EUR", "JPY", "KWD", "CZK"]))
    bounds = sorted(draw(st.sets(st.integers(1, 10**6), max_size=4)))
    tiers = []
    for bound in [*bounds, None]:
        limits = sorted(draw(st.tuples(MINORS, MINORS)))
        keep = draw(st.tuples(st.booleans(), st.booleans()))
        flat = draw(optional(MINORS))
        tiers.append(
            Tier(
                up_to=None if bound is None else Money(bound, currency),
                flat=None if flat is None else Money(flat, currency),
                percent=draw(optional(PERCENTS)),
                minimum=Money(limits[0], currency) if keep[0] else None,
                maximum=Money(limits[1], currency) if keep[1] else None,
            )
        )
    amount = draw(st.one_of(st.integers(1, 10**6 + 2), st.integers(1, MAX_MINOR)))
    return tiers, Money(amount, currency)


def oracle(tiers, amount):
    """The same fee by decimal arithmetic on the printed amounts."""
    unit = Decimal(1).scaleb(-CURRENCIES[amount.currency])
    wanted = Decimal(amount.amount)
    tier = next(t for t in tiers if t.up_to is None or wanted <= Decimal(t.up_to.amount))
    percent = wanted * Decimal(tier.percent or "0") / 100
    fee = percent.quantize(unit, ROUND_HALF_UP) + Decimal(tier.flat.amount if tier.flat else 0)
    if tier.minimum is not None and fee < Decimal(tier.minimum.amount):
        fee = Decimal(tier.minimum.amount)
    if tier.maximum is not None and fee > Decimal(tier.maximum.amount):
        fee = Decimal(tier.maximum.amount)
    return min(fee, MAX_MINOR * unit).quantize(unit)


@calm
@given(priced())
def test_the_fee_equals_decimal_arithmetic(case):
    tiers, amount = case
    assert not list(tariff.faults(amount.currency, tiers))
    fee = tariff.fee(tariff.tier_of(tiers, amount), amount)
    assert fee.currency == amount.currency
    assert fee.minor >= 0
    assert Decimal(fee.amount) == oracle(tiers, amount)


@calm
@given(PERCENTS)
def test_a_percentage_is_kept_exactly(text):
    kept = tariff.percent_text(tariff.percent_e4(text))
    assert Decimal(kept) == Decimal(text)
    assert tariff.percent_e4(kept) == tariff.percent_e4(text)


@pytest.mark.parametrize("text", ["0.25\n", "100.0001", "101", "-1", "1e1", "٣", "", "0.12345"])
def test_other_percentages_are_refused(text):
    with pytest.raises(BadTariff):
        tariff.percent_e4(text)


QUARTER = Tier(percent="0.25", minimum=eur("0.10"))
HALF = Tier(percent="50", maximum=eur("5.00"))


@pytest.mark.parametrize(
    ("tier", "amount", "fee", "rule"),
    [
        (QUARTER, "1000.00", "2.50", "0.25 % of 1,000.00 EUR, at least 0.10 EUR"),
        (QUARTER, "2.00", "0.10", "0.25 % of 2.00 EUR, at least 0.10 EUR"),
        (HALF, "100.00", "5.00", "50 % of 100.00 EUR, at most 5.00 EUR"),
        (Tier(flat=eur("0.20"), percent="1"), "0.50", "0.21", "0.20 EUR plus 1 % of 0.50 EUR"),
        (Tier(), "9.99", "0.00", "free of charge"),
    ],
)
def test_a_fee_and_its_rule(tier, amount, fee, rule):
    assert tariff.fee(tier, eur(amount)) == eur(fee)
    assert tariff.rule(tier, eur(amount)) == rule


def put(*tiers, **more):
    given = {"product": "current", "currency": "EUR", "valid_from": NOW} | more
    return PutTariff(tiers=list(tiers), **given)


@pytest.mark.parametrize(
    "bad",
    [
        put(Tier(up_to=eur("10.00"))),
        put(Tier(), Tier()),
        put(Tier(up_to=eur("10.00")), Tier(up_to=eur("10.00")), Tier()),
        put(Tier(up_to=eur("0.00")), Tier()),
        put(Tier(flat=Money(1, "CZK"))),
        put(Tier(flat=eur("-0.01"))),
        put(Tier(minimum=eur("2.00"), maximum=eur("1.99"))),
        put(Tier(percent="100.5")),
        put(Tier(), currency="XXX"),
        put(Tier(), currency="EUR\n"),
        put(Tier(), valid_from=NOW - timedelta(hours=1, seconds=1)),
        put(Tier(), valid_from=NOW + timedelta(days=4000)),
        put(Tier(), valid_from=datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_tariff_that_contradicts_itself_is_refused(bad):
    with pytest.raises(BadTariff):
        tariff.check(bad, NOW)


@pytest.mark.parametrize(
    "at",
    [
        NOW.replace(tzinfo=None),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    ],
)
def test_a_moment_outside_the_calendar_or_without_zone_is_refused(at):
    with pytest.raises(InvalidRequest):
        tariff.check(put(Tier(), valid_from=at), NOW)
