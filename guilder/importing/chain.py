"""The order in which one account's printed balances follow from each other.

A source keeps the day but not the order within it, and prints rounded balances. A row fits after
another when the balance before it plus its amount is the balance printed after it. Where that is
off by no more than the tolerance the difference is *rounding*; where it is off by more the row is
a *break* and the difference is *suspense*. Both are booked, so our balance equals the printed one
and every step starts from the balance printed before it.

Of all orders (days stay in sequence) the one with the lowest `Cost` is taken: fewest breaks, then
fewest rounded steps, then least rounding, then least suspense, then the source's own order. The
choice is made over the whole account: a day's last row decides where the next day starts.

Bound: a day of n <= EXACT_ROWS rows is solved exactly in O(2^n * n^2). A longer day is first cut
into trails that chain without any difference (O(n)); up to EXACT_ROWS trails are again ordered
exactly, more of them by the nearest next one (O(n log n)). Then the order is a good one but
perhaps not the best; what it reports as rounding and breaks is true all the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

from guilder.importing.records import Transaction
from guilder.importing.trails import Leg, exact_trails, nearest_order

EXACT_ROWS = 10
"""Rows (or trails) of one day ordered by exact search: 2**10 sets, about 50 ms at worst."""

Status = Literal["exact", "rounded", "break", "unchecked"]
"""`unchecked`: the source prints no balance, so there is nothing to compare with."""


class Cost(NamedTuple):
    """What an order costs, compared from left to right. Rounding and suspense in minor units."""

    breaks: int
    rounded: int
    rounding: int
    suspense: int


@dataclass(frozen=True, slots=True)
class Step:
    """A row in its place. All amounts in minor units.

    `rounding_minor` and `suspense_minor` are signed and booked after the row; `balance_minor` is
    the balance then: the printed one, or the sum so far where none is printed.
    """

    transaction: Transaction
    rounding_minor: int
    suspense_minor: int
    balance_minor: int
    status: Status

    @property
    def expected_minor(self) -> int:
        """The balance after the row alone, before rounding and suspense."""
        return self.balance_minor - self.rounding_minor - self.suspense_minor


class _Path(NamedTuple):
    """Legs taken so far, last first; shared between the ways that begin alike."""

    before: "_Path | None"
    leg: Leg


Ends = dict[int, tuple[Cost, _Path | None]]
"""For each balance a day can end with: the least cost to get there, and the way."""


def chain(rows: Sequence[Transaction], tolerance: int, opening: int = 0) -> list[Step]:
    """Order one account's rows and say what each step needs.

    `tolerance` and the `opening` balance are in minor units. Rows without a printed balance keep
    their source order within the day; either all rows of an account have one or none.
    """
    by_day = sorted(rows, key=lambda row: row.value_date)  # stable: source order within a day
    if any(row.printed_minor is None for row in by_day):
        return list(_unchecked(by_day, opening))
    ends: Ends = {opening: (Cost(0, 0, 0, 0), None)}
    for _, day in groupby(by_day, key=lambda row: row.value_date):
        ends = _day(ends, [_leg(row) for row in day], tolerance)
    best = min(ends.values(), key=lambda end: end[0])
    return list(_steps(_ordered(best[1]), tolerance, opening))


def cost(steps: Sequence[Step]) -> Cost:
    """What an order costs in all."""
    return Cost(
        sum(step.status == "break" for step in steps),
        sum(step.status == "rounded" for step in steps),
        sum(abs(step.rounding_minor) for step in steps),
        sum(abs(step.suspense_minor) for step in steps),
    )


def _leg(row: Transaction) -> Leg:
    printed = row.printed_minor or 0
    return Leg(printed - row.amount_minor, printed, (row,))


def _add(before: Cost, balance: int, needs: int, tolerance: int) -> Cost:
    """The cost after stepping from `balance` to a leg that needs `needs`."""
    off = abs(needs - balance)
    if off == 0:
        return before
    if off <= tolerance:
        return Cost(before[0], before[1] + 1, before[2] + off, before[3])
    return Cost(before[0] + 1, before[1], before[2], before[3] + off)


def _day(starts: Ends, legs: list[Leg], tolerance: int) -> Ends:
    """The balances the day can end with, from those it can start with."""
    if len(legs) <= EXACT_ROWS:
        return _search(starts, legs, tolerance)
    start = min(starts, key=lambda balance: starts[balance][0])
    trails = exact_trails(legs, start)
    if len(trails) <= EXACT_ROWS:
        return _search(starts, trails, tolerance)
    spent, path = starts[start]
    for leg in nearest_order(trails, start):
        spent = _add(spent, start, leg.needs, tolerance)
        path, start = _Path(path, leg), leg.ends
    return {start: (spent, path)}


def _search(starts: Ends, legs: list[Leg], tolerance: int) -> Ends:
    """Exact search: the best way through every set of legs for each leg it can end with."""
    size = len(legs)
    full = (1 << size) - 1
    # best[used][last] = cost and way; sets are filled from small to large
    best: list[dict[int, tuple[Cost, _Path]]] = [{} for _ in range(full + 1)]
    for last, leg in enumerate(legs):
        ways = [(_add(c, at, leg.needs, tolerance), path) for at, (c, path) in starts.items()]
        spent, path = min(ways, key=lambda way: way[0])
        best[1 << last][last] = (spent, _Path(path, leg))
    for used in range(1, full):
        for last, (spent, path) in best[used].items():
            for after in range(size):
                if used >> after & 1:
                    continue
                step = _add(spent, legs[last].ends, legs[after].needs, tolerance)
                into = best[used | 1 << after]
                if after not in into or step < into[after][0]:
                    into[after] = (step, _Path(path, legs[after]))
    ends: Ends = {}
    for last, way in best[full].items():
        balance = legs[last].ends
        if balance not in ends or way[0] < ends[balance][0]:
            ends[balance] = way
    return ends


def _ordered(path: _Path | None) -> Iterator[Transaction]:
    legs: list[Leg] = []
    while path is not None:
        legs.append(path.leg)
        path = path.before
    for leg in reversed(legs):
        yield from leg.rows


def _steps(rows: Iterator[Transaction], tolerance: int, balance: int) -> Iterator[Step]:
    for row in rows:
        printed = row.printed_minor or 0
        off = printed - (balance + row.amount_minor)
        if off == 0:
            yield Step(row, 0, 0, printed, "exact")
        elif abs(off) <= tolerance:
            yield Step(row, off, 0, printed, "rounded")
        else:
            yield Step(row, 0, off, printed, "break")
        balance = printed


def _unchecked(rows: Sequence[Transaction], balance: int) -> Iterator[Step]:
    for row in rows:
        balance += row.amount_minor
        yield Step(row, 0, 0, balance, "unchecked")
