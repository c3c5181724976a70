"""Looking up who serves a tenant costs the same among few and among many (proof 7 of editions)."""

import pytest

from guilder.bench.bindings import CONTRACTS, Plan, run

PLAN = Plan(repeats=30, rounds=1)


@pytest.mark.alone
def test_prove_7_10_000_tenants_with_12_contracts_are_looked_up_in_2_us_and_as_fast_as_10():
    """The best of many repetitions that take turns: what disturbs them makes none of them faster.

    Flat is said of tenants that are active, ten at every size: the way to the answer is the same.
    Tenants drawn from all lie in memory and not in the processor's caches, so only the 2 µs count.
    """
    for tries_left in (2, 1, 0):
        few, some, many = run(PLAN, lambda _: None).sizes
        assert (many.tenants, many.bindings) == (10_000, 10_000 * len(CONTRACTS))
        flat = max(some.lookup_ratio, many.lookup_ratio) <= 1.5
        fast = max(max(size.lookup_us, size.any_us) for size in (few, some, many)) <= 2
        if (flat and fast) or not tries_left:
            break
    assert fast, (few, some, many)
    assert flat, (few, some, many)
    assert many.whole_ms < 10_000
    assert many.change_ms < 20  # one change does not take in the whole directory again
    assert many.mib < 200
