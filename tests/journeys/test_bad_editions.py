"""An edition that hangs, lies or dies costs its own bank's payments, and other banks no time.

On a platform that runs, one process a service. The table of all proofs is in
docs/concepts/tenants-editions-bindings.md.
"""

import asyncio
import statistics

import pytest

from guilder.bench.load import percentile, send
from tests.journeys.stage import NEIGHBOUR, TENANT, WRONG, stage

pytestmark = [pytest.mark.slow, pytest.mark.alone]

RATE, THEIR_RATE, SECONDS = 30.0, 10.0, 5.0
"""Payments a second of the neighbour and of the bank whose edition goes wrong, and for how long."""

RATIO, TRIES = 1.2, 5
"""Each try adds its rounds to those before: other work on the machine spoils some of them."""


def test_prove_4_a_bank_whose_edition_goes_wrong_delays_no_other_banks_payments():
    with stage() as there:
        assert there.conform()["state"] == "passed"
        orders = [
            asyncio.run(there.order(tenant, rate, SECONDS))
            for tenant, rate in ((NEIGHBOUR, RATE), (TENANT, THEIR_RATE))
        ]
        good, bad = [], {fault: [] for fault in WRONG}
        with there.bound():
            asyncio.run(measured(orders))  # what everybody does for the first time
            for _ in range(TRIES):
                for _ in WRONG:
                    took, made = asyncio.run(measured(orders))
                    good += took
                    assert made > THEIR_RATE * SECONDS / 2
                for fault in WRONG:  # what waits since the fault before is tried again meanwhile
                    with there.turned(fault):
                        took, made = asyncio.run(measured(orders))
                    bad[fault] += took
                    assert made < THEIR_RATE * SECONDS / 2
                missing = shortcomings(good, bad)
                if not missing:
                    return
                there.made_up()
    pytest.fail("; ".join(missing))


async def measured(orders):
    """The neighbour's times while both banks pay (ms), and how many payments the other makes."""
    neighbour, other = await asyncio.gather(*map(send, orders))
    assert not neighbour.other, neighbour.other
    return neighbour.accepted_ms, other.accepted


def p99(pool):
    return percentile(sorted(pool), 0.99)


def shortcomings(good, bad):
    """What is wanted of a neighbour's times, and these do not show.

    Its p99 is that of all rounds together: of one fault there are too few payments for a p99 that
    means anything, so each fault is held to the median.
    """
    after = [took for pool in bad.values() for took in pool]
    ratio = p99(after) / p99(good)
    each = {f: statistics.median(pool) / statistics.median(good) for f, pool in bad.items()}
    tails = {fault: round(p99(pool) / p99(good), 2) for fault, pool in bad.items()}
    print(  # noqa: T201
        f"{len(after)} payments beside a bad edition: p99 {p99(after):.0f} ms, {ratio:.2f} times"
        f" the {p99(good):.0f} ms beside a good one {tails}; median by fault"
        f" { ({fault: round(one, 2) for fault, one in each.items()}) }"
    )
    found = [f"p99 {ratio:.2f} times what it was"] if ratio > RATIO else []
    return found + [f"{f}: median {one:.2f} times" for f, one in each.items() if one > RATIO]
