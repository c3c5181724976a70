"""An edition that hangs, lies or dies costs its own bank's payments, and delays no other bank's.

On a platform that runs, one process a service. The table of all proofs is in
docs/concepts/tenants-editions-bindings.md.
"""

import asyncio
import statistics

import pytest

from guilder.bench.load import percentile, send
from tests.journeys.stage import NEIGHBOUR, TENANT, WRONG, stage

pytestmark = pytest.mark.slow

RATE, THEIR_RATE, SECONDS = 30.0, 10.0, 5.0
"""Payments a second of the neighbour and of the bank whose edition goes wrong, and for how long."""

RATIO, TRIES = 1.2, 4
"""Each try adds its rounds to those before: other work on the machine spoils some of them."""


@pytest.fixture(scope="module")
def there():
    with stage() as found:
        run = found.conform()
        assert run["state"] == "passed", run
        yield found


async def measured(orders):
    """The neighbour's times while both banks pay (ms), and how many payments the other makes."""
    neighbour, other = await asyncio.gather(*map(send, orders))
    assert not neighbour.other, neighbour.other
    return neighbour.accepted_ms, other.accepted


def p99(pool):
    return percentile(sorted(pool), 0.99)


@pytest.mark.alone
def test_prove_4_a_bank_whose_edition_goes_wrong_delays_no_other_banks_payments(there):
    orders = [
        asyncio.run(there.order(tenant, rate, SECONDS))
        for tenant, rate in ((NEIGHBOUR, RATE), (TENANT, THEIR_RATE))
    ]
    good, bad = {fault: [] for fault in WRONG}, {fault: [] for fault in WRONG}
    with there.bound():
        for _ in range(TRIES):
            for fault in WRONG:  # a good round before each bad one
                took, made = asyncio.run(measured(orders))
                good[fault] += took
                assert made > THEIR_RATE * SECONDS / 2
                with there.wrong(fault):
                    took, made = asyncio.run(measured(orders))
                    bad[fault] += took
                    assert made < THEIR_RATE * SECONDS / 2
            missing = shortcomings(good, bad)
            if not missing:
                return
    pytest.fail("; ".join(missing))


def shortcomings(good, bad):
    """What is wanted of a neighbour's times, and these do not show.

    Its p99 is that of all bad rounds together: of one fault there are too few payments for a p99
    that means anything, so each fault is held to the median.
    """
    before, after = ([t for pool in pools.values() for t in pool] for pools in (good, bad))
    ratio = p99(after) / p99(before)
    each = {f: statistics.median(bad[f]) / statistics.median(good[f]) for f in WRONG}
    tails = {fault: round(p99(bad[fault]) / p99(before), 2) for fault in WRONG}
    print(  # noqa: T201
        f"{len(after)} payments beside a bad edition: p99 {p99(after):.0f} ms, {ratio:.2f} times"
        f" the {p99(before):.0f} ms beside a good one {tails}; median by fault"
        f" { ({fault: round(one, 2) for fault, one in each.items()}) }"
    )
    found = [f"p99 {ratio:.2f} times what it was"] if ratio > RATIO else []
    return found + [f"{f}: median {one:.2f} times" for f, one in each.items() if one > RATIO]
