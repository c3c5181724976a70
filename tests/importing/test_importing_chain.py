"""The chained order costs what the best of all orders costs, and always adds up."""

import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import permutations, product

from hypothesis import given, settings, strategies as st

from guilder.importing.chain import EXACT_ROWS, Step, chain, cost
from guilder.importing.records import Transaction
from guilder.importing.trails import Leg, exact_trails, nearest_order

START = date(1993, 1, 1)
TOLERANCE = 10


def _row(day: int, amount: int, printed: int | None, name: str = "t") -> Transaction:
    on = START + timedelta(days=day)
    return Transaction(name, 0, "a", on, amount, "cash", "cash_deposit", "unstated", printed)


def _oracle(days: Sequence[Sequence[Transaction]], opening: int) -> tuple[int, int, int, int]:
    """The least cost over every order there is, counted the long way."""
    best: tuple[int, int, int, int] | None = None
    for orders in product(*(permutations(day) for day in days)):
        breaks = rounded = rounding = suspense = 0
        balance = opening
        for row in (row for day in orders for row in day):
            assert row.printed_minor is not None
            off = abs(row.printed_minor - balance - row.amount_minor)
            breaks += off > TOLERANCE
            rounded += 0 < off <= TOLERANCE
            rounding += off if off <= TOLERANCE else 0
            suspense += off if off > TOLERANCE else 0
            balance = row.printed_minor
        found = (breaks, rounded, rounding, suspense)
        best = found if best is None or found < best else best
    assert best is not None
    return best


@st.composite
def _accounts(draw: st.DrawFn, days: int, rows: int) -> list[list[Transaction]]:
    """A walk with small numbers, so that balances meet, misprinted here and there, shuffled."""
    balance, account = 0, []
    misprint = st.sampled_from([0, 0, 0, 0, 3, -7, 10, 11, -40, 500])
    for day in range(draw(st.integers(1, days))):
        made = []
        for number in range(draw(st.integers(1, rows))):
            amount = draw(st.sampled_from([-40, -20, -5, 5, 10, 20, 40, 100]))
            balance += amount + draw(misprint)
            made.append(_row(day, amount, balance, f"{day}.{number}"))
        account.append(draw(st.permutations(made)))
    return account


def _check(account: list[list[Transaction]], steps: Sequence[Step], opening: int = 0) -> None:
    """Every row once, days in sequence, every step adding up, no difference hidden."""
    rows = [row for day in account for row in day]
    assert sorted(s.transaction.external_id for s in steps) == sorted(r.external_id for r in rows)
    assert [s.transaction.value_date for s in steps] == sorted(r.value_date for r in rows)
    balance = opening
    for step in steps:
        balance += step.transaction.amount_minor
        assert step.expected_minor == balance
        balance += step.rounding_minor + step.suspense_minor
        assert balance == step.transaction.printed_minor == step.balance_minor
        assert abs(step.rounding_minor) <= TOLERANCE
        off = step.rounding_minor + step.suspense_minor
        size = "exact" if off == 0 else "rounded" if abs(off) <= TOLERANCE else "break"
        assert step.status == size


@settings(max_examples=60, deadline=None)
@given(_accounts(days=1, rows=7), st.sampled_from([0, 0, 5, 300]))
def test_a_day_costs_what_the_best_of_all_orders_costs(
    account: list[list[Transaction]], opening: int
) -> None:
    steps = chain([row for day in account for row in day], TOLERANCE, opening)
    _check(account, steps, opening)
    assert cost(steps) == _oracle(account, opening)


@settings(max_examples=100, deadline=None)
@given(_accounts(days=4, rows=4).filter(lambda days: sum(map(len, days)) <= 12))
def test_an_account_costs_what_the_best_of_all_orders_costs(
    account: list[list[Transaction]],
) -> None:
    steps = chain([row for day in account for row in day], TOLERANCE)
    _check(account, steps)
    assert cost(steps) == _oracle(account, 0)


def test_a_days_order_serves_the_next_day() -> None:
    # both orders of day 0 cost nothing within the day; only one leads to day 1
    account = [[_row(0, 5, 5, "x"), _row(0, -5, 0, "y")], [_row(1, 7, 7, "z")]]
    assert [s.transaction.external_id for s in chain([r for d in account for r in d], 0)] == [
        "x",
        "y",
        "z",
    ]
    ways = [[_row(0, 0, 50, "x"), _row(0, 0, 90, "y")], [_row(1, 1, 51, "z")]]
    steps = chain([r for d in ways for r in d], 0)
    assert [s.transaction.external_id for s in steps] == ["y", "x", "z"]
    assert [s.status for s in steps] == ["break", "break", "exact"]


def test_a_break_is_listed_and_the_rows_after_it_chain_again() -> None:
    rows = [_row(0, 100, 100), _row(1, 10, 960), _row(2, 40, 1000), _row(3, -1, 990)]
    steps = chain(rows, TOLERANCE)
    assert [s.status for s in steps] == ["exact", "break", "exact", "rounded"]
    assert (steps[1].expected_minor, steps[1].balance_minor, steps[1].suspense_minor) == (
        110,
        960,
        850,
    )
    assert steps[3].rounding_minor == -9


def test_rows_without_printed_balance_keep_their_order_and_are_not_called_exact() -> None:
    steps = chain([_row(1, 5, None, "b"), _row(0, 7, None, "a"), _row(1, -2, None, "c")], TOLERANCE)
    assert [s.transaction.external_id for s in steps] == ["a", "b", "c"]
    assert [s.balance_minor for s in steps] == [7, 12, 10]
    assert {s.status for s in steps} == {"unchecked"}


def _walk(rng: random.Random, rows: int, spread: int) -> Iterator[Transaction]:
    balance = 0
    for number in range(rows):
        amount = rng.randint(-spread, spread)
        balance += amount
        yield _row(0, amount, balance, str(number))


def test_a_long_day_that_chains_is_chained_without_any_difference() -> None:
    rng = random.Random(7)
    for rows, spread in ((EXACT_ROWS + 1, 5), (40, 3), (400, 4), (5_000, 10**9)):
        day = list(_walk(rng, rows, spread))
        rng.shuffle(day)
        steps = chain(day, 0)
        _check([day], steps)
        assert cost(steps) == (0, 0, 0, 0)


def test_a_long_day_with_misprints_still_adds_up_and_loses_little() -> None:
    rng = random.Random(11)
    for wrong in (3, 200):  # few trails: ordered exactly; many: by the nearest
        day = list(_walk(rng, 1_000, 10**7))
        for at in rng.sample(range(len(day)), wrong):
            row = day[at]
            day[at] = _row(0, row.amount_minor, (row.printed_minor or 0) + 5_000, row.external_id)
        rng.shuffle(day)
        steps = chain(day, TOLERANCE)
        _check([day], steps)
        # a misprinted row is off by itself and makes the row after it off
        assert cost(steps).breaks <= 2 * wrong


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), max_size=30), st.integers(-9, 9))
def test_nearest_order_always_takes_a_nearest_leg(pairs: list[tuple[int, int]], at: int) -> None:
    legs = [Leg(needs, ends, ()) for needs, ends in pairs]
    left = list(legs)
    for leg in nearest_order(legs, at):
        assert abs(leg.needs - at) == min(abs(other.needs - at) for other in left)
        left.remove(leg)
        at = leg.ends
    assert left == []


_SMALL = st.integers(0, 4)


@settings(deadline=None)
@given(st.lists(st.tuples(_SMALL, _SMALL), min_size=1, max_size=6), _SMALL)
def test_exact_trails_are_the_fewest_there_can_be(pairs: list[tuple[int, int]], at: int) -> None:
    legs = [
        Leg(needs, ends, (_row(0, ends - needs, ends, str(number)),))
        for number, (needs, ends) in enumerate(pairs)
    ]
    trails = exact_trails(legs, at)
    assert sorted(row.external_id for trail in trails for row in trail.rows) == sorted(
        row.external_id for leg in legs for row in leg.rows
    )
    for trail in trails:
        assert {step.status for step in _in_place(trail)} == {"exact"}
    # the fewest jumps any order needs, the start included: one per trail that is not reached
    fewest = min(
        sum(a != b for a, b in zip([at, *(x.ends for x in o)], (x.needs for x in o), strict=False))
        for o in permutations(legs)
    )
    assert len(trails) - any(trail.needs == at for trail in trails) == fewest


def _in_place(trail: Leg) -> Iterator[Step]:
    """A trail's rows one by one, each held to the balance before it."""
    balance = trail.needs
    for row in trail.rows:
        yield from chain([row], 0, balance)
        balance = row.printed_minor or 0
    assert balance == trail.ends
