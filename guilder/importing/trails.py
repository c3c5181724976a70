"""Cutting a long day's rows into trails that chain exactly, and ordering what remains.

A row is an edge from the balance it needs to the balance it ends with; rows that chain without a
difference are a trail through this graph. The fewest trails that use every edge once are found
by Hierholzer's algorithm in time linear in the rows.
"""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guilder.importing.records import Transaction


class Leg(NamedTuple):
    """Rows that follow each other: the balance needed before and the one after, minor units."""

    needs: int
    ends: int
    rows: tuple[Transaction, ...]


_Node = int | None
"""A balance; None is the hub that joins the ends of trails to the beginnings of others."""
_Edges = dict[_Node, list[tuple[_Node, Leg | None]]]


def exact_trails(legs: Sequence[Leg], start: int) -> list[Leg]:
    """The fewest trails covering all legs, one of them beginning at `start` if any leg can."""
    excess: Counter[int] = Counter({start: -1})  # the day arrives at `start`: one way in
    edges: _Edges = defaultdict(list)
    for leg in legs:
        edges[leg.needs].append((leg.ends, leg))
        excess[leg.needs] += 1
        excess[leg.ends] -= 1
    edges[None].append((start, None))
    for balance, surplus in excess.items():
        begins, ends = max(surplus, 0), max(-surplus, 0)
        edges[None].extend([(balance, None)] * begins)
        edges[balance].extend([(None, None)] * ends)
    trails = list(_split(_circuit(edges, None)))
    for leg in legs:  # circuits nothing leads into
        if edges[leg.needs]:
            trails.extend(_split(_circuit(edges, leg.needs)))
    return trails


def _circuit(edges: _Edges, node: _Node) -> list[Leg | None]:
    """Hierholzer, without recursion: a closed walk over every edge reachable from `node`."""
    stack: list[tuple[_Node, Leg | None]] = [(node, None)]
    walk: list[Leg | None] = []
    while stack:
        at = stack[-1][0]
        if edges[at]:
            stack.append(edges[at].pop())
        else:
            walk.append(stack.pop()[1])
    walk.reverse()
    return walk


def _split(walk: Sequence[Leg | None]) -> Iterator[Leg]:
    """Cut a walk where it passes the hub, joining the legs between into one."""
    trail: list[Leg] = []
    for leg in [*walk, None]:
        if leg is not None:
            trail.append(leg)
        elif trail:
            rows = tuple(row for part in trail for row in part.rows)
            yield Leg(trail[0].needs, trail[-1].ends, rows)
            trail = []


def nearest_order(legs: Sequence[Leg], start: int) -> Iterator[Leg]:
    """Order many trails: always the one whose needed balance is nearest; ties by the lower one."""
    left: list[tuple[int, int]] = []
    for position, leg in enumerate(legs):
        insort(left, (leg.needs, position))
    for _ in range(len(legs)):
        at = bisect_left(left, (start, 0))
        if at == len(left) or (at and start - left[at - 1][0] <= left[at][0] - start):
            at -= 1
        leg = legs[left.pop(at)[1]]
        yield leg
        start = leg.ends
