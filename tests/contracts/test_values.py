"""Money, splitting and ids, held against oracles that share no line with them."""

import random
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from guilder.contracts.values import CURRENCIES, MAX_MINOR, Money, derived, split, uuid7

CODES = st.sampled_from(sorted(CURRENCIES))
MINOR = st.integers(-MAX_MINOR, MAX_MINOR)


def amount_by_decimal(minor: int, currency: str) -> str:
    return f"{Decimal(minor).scaleb(-CURRENCIES[currency]):.{CURRENCIES[currency]}f}"


@given(MINOR, CODES)
def test_an_amount_is_written_as_decimal_writes_it_and_read_back(minor, currency):
    money = Money(minor, currency)
    assert money.amount == amount_by_decimal(minor, currency)
    assert Money.parse(money.amount, currency) == money


def oracle(text: str, currency: str) -> int | None:
    """Minor units by the letter of the grammar, with Decimal doing the arithmetic."""
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text, re.ASCII) is None:
        return None
    whole, _, fraction = text.lstrip("-").partition(".")
    if len(whole) > 1 and whole[0] == "0":
        return None
    if len(fraction) > CURRENCIES[currency] or (text.startswith("-") and Decimal(text) == 0):
        return None
    minor = Decimal(text).scaleb(CURRENCIES[currency])
    return int(minor) if abs(minor) <= MAX_MINOR else None


NEARLY = st.one_of(
    st.from_regex(r"\A-?[0-9]{1,18}(\.[0-9]{0,4})?\Z"),
    st.text("0123456789.-+eE_ ٣,", max_size=12),
    st.text(max_size=6),
    st.floats().map(str),
    st.decimals(allow_nan=True).map(str),
)


@pytest.mark.abuse(5)
@given(NEARLY, CODES)
def test_whatever_is_sent_is_read_by_the_grammar_or_refused(text, currency):
    wanted = oracle(text, currency)
    if wanted is None:
        with pytest.raises(ValueError, match=r"amount|decimals|zero"):
            Money.parse(text, currency)
    else:
        assert Money.parse(text, currency).minor == wanted


@pytest.mark.abuse(4)
@pytest.mark.abuse(6)
@pytest.mark.abuse(7)
@pytest.mark.abuse(9)
@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *((t, "EUR") for t in ("1e3", "1E3", "1_000", " 1 ", "1 ", "+1", "1,00", "1.", ".5", "")),
        *(
            (t, "EUR")
            for t in ("٣", "１", "1.٣", "NaN", "Infinity", "-inf", "-0", "-0.00", "00", "01")
        ),
        *((t, "EUR") for t in ("--1", "1-", "0x10", "1\n", "\n1", "1\x00", "1.005", "1.0000")),
        *((t, "EUR") for t in ("10000000000000.01", "99999999999999999", "9" * 5000)),
        ("1.5", "JPY"),
        ("1.0", "JPY"),
        ("1.005", "GBP"),
        ("1.0001", "KWD"),
    ],
)
def test_the_abuse_list_is_refused(text, currency):
    with pytest.raises(ValueError, match=r"amount|decimals|zero"):
        Money.parse(text, currency)


def test_the_largest_and_the_smallest_amounts_hold():
    assert Money.parse("10000000000000.00", "EUR").minor == MAX_MINOR
    assert Money.parse("1000000000000000", "JPY").minor == MAX_MINOR
    assert Money.parse("-1000000000000.000", "KWD").minor == -MAX_MINOR
    assert Money.parse("0.5", "EUR").minor == 50
    assert Money.parse("1.5", "KWD").minor == 1500


@pytest.mark.abuse(10)
@pytest.mark.parametrize(
    "code", ["eur", "Eur", "EU", "EURO", "", " EUR", "DEM", "HRK", "BGN", "XXX", "XAU", "ЕUR", "€"]
)
def test_only_circulating_currencies_exist(code):
    for make in (lambda: Money(1, code), lambda: Money.parse("1", code)):
        with pytest.raises(ValueError, match="circulating"):
            make()


@pytest.mark.abuse(3)
@pytest.mark.abuse(8)
@pytest.mark.parametrize("minor", [0.1, 1.0, True, "1", None, Decimal(1), Fraction(1)])
def test_minor_units_are_integers_and_nothing_else(minor):
    with pytest.raises(ValueError, match="integer"):
        Money(minor, "EUR")


@pytest.mark.abuse(8)
@pytest.mark.parametrize("minor", [2**63, -(2**63), MAX_MINOR + 1, -MAX_MINOR - 1, 10**4000])
def test_amounts_beyond_what_sums_can_hold_are_refused(minor):
    with pytest.raises(ValueError, match="larger"):
        Money(minor, "EUR")


@given(MINOR, MINOR)
def test_sums_are_exact_or_refused(a, b):
    for sign in (1, -1):
        wanted = a + sign * b
        left, right = Money(a, "EUR"), Money(b, "EUR")
        if abs(wanted) <= MAX_MINOR:
            assert (left + right if sign == 1 else left - right) == Money(wanted, "EUR")
        else:
            with pytest.raises(ValueError, match="larger"):
                left + (right if sign == 1 else -right)


@pytest.mark.abuse(11)
def test_currencies_never_mix():
    euro, yen = Money(1, "EUR"), Money(1, "JPY")
    for mix in (lambda: euro + yen, lambda: euro - yen):
        with pytest.raises(ValueError, match="combine"):
            mix()
    assert euro != yen
    assert euro != 1


def test_money_never_changes():
    money = Money(5, "EUR")
    with pytest.raises(AttributeError):
        money.minor = 6
    with pytest.raises(AttributeError):
        money.note = "x"
    assert len({money, Money(5, "EUR"), Money(5, "USD")}) == 2


# ── split ────────────────────────────────────────────────────────────────────────────────────

WEIGHTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=60).filter(any)


@pytest.mark.abuse(14)
@given(MINOR, WEIGHTS)
def test_parts_add_up_and_no_part_is_off_by_a_whole_unit(minor, weights):
    parts = split(minor, weights)
    assert sum(parts) == minor
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        exact = Fraction(minor * weight, total)
        assert abs(part - exact) < 1
        if exact.denominator == 1:
            assert part == exact


@pytest.mark.abuse(14)
@given(MINOR, st.integers(0, 2**32))
def test_a_thousand_parts_lose_no_cent(minor, seed):
    weights = random.Random(seed).choices(range(10_000), k=1000)
    assert sum(split(minor, weights)) == minor


@given(MINOR, st.integers(1, 1000))
def test_equal_weights_differ_by_one_unit_at_most_and_the_earlier_gets_more(minor, n):
    parts = split(minor, [7] * n)
    assert max(parts) - min(parts) <= 1
    assert parts == sorted(parts, reverse=True)


@given(MINOR, WEIGHTS)
def test_more_rounding_goes_to_whom_more_was_cut(minor, weights):
    """Largest remainder: nobody rounded up lost less than somebody rounded down."""
    total, parts = sum(weights), split(minor, weights)
    rests = [minor * w % total for w in weights]
    up = [r for p, w, r in zip(parts, weights, rests, strict=True) if p > minor * w // total]
    down = [r for p, w, r in zip(parts, weights, rests, strict=True) if p == minor * w // total]
    assert not up or not down or min(up) >= max(down)


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [1, -1], [5, -1]])
def test_weights_that_share_nothing_out_are_refused(weights):
    with pytest.raises(ValueError, match="weights"):
        split(100, weights)


# ── ids ──────────────────────────────────────────────────────────────────────────────────────

MOMENTS = st.datetimes(
    datetime(1970, 1, 1),
    datetime(9999, 12, 31),
    timezones=st.just(UTC),
)


@given(MOMENTS, st.integers(0, 2**74 - 1))
def test_a_uuid7_has_the_layout_of_rfc_9562(at, bits):
    made = uuid7(at, bits)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    number = made.int
    assert number >> 80 == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert (number >> 64 & 0xFFF) << 62 | number & (1 << 62) - 1 == bits


@given(MOMENTS, st.integers(1, 10**9))
def test_later_ids_sort_behind_earlier_ones(at, millis):
    later = datetime(9999, 12, 31, tzinfo=UTC)
    later = min(later, at + timedelta(milliseconds=min(millis, 10**6)))
    if later - at >= timedelta(milliseconds=1):
        assert uuid7(at, 2**74 - 1) < uuid7(later, 0)


def test_ids_of_one_moment_differ():
    at = datetime(2026, 3, 2, tzinfo=UTC)
    assert len({uuid7(at) for _ in range(1000)}) == 1000


def test_effects_have_ids_of_their_own_that_a_repeat_finds_again():
    base = uuid7(datetime(2026, 3, 2, tzinfo=UTC))
    made = [derived(base, leg) for leg in range(1 << 16)]
    assert len(set(made)) == 1 << 16
    assert made[5] == derived(UUID(str(base)), 5)
    assert {(i.version, i.variant, i.int >> 80) for i in made[::999]} == {
        (7, base.variant, base.int >> 80)
    }
    for leg in (-1, 1 << 16):
        with pytest.raises(ValueError, match="leg"):
            derived(base, leg)
