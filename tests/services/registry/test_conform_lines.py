"""What `guilder conform` shows of a run: new lines once, checks as a table."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from guilder.chassis.testing import new_id
from guilder.cli.conform import news, report
from guilder.contracts.registry.attestations import Check, ConformanceRun


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 10))
def test_every_line_is_shown_once_however_few_are_kept(before, more, kept):
    """Lines are numbered: so which are new is known without comparing lists."""
    said = [str(n) for n in range(before + more)]
    seen, now = said[:before][-kept:], said[-kept:]
    assert news(seen, now) == said[before:][-kept:]


def run(state, **more):
    fields = {
        "id": new_id(),
        "contract": "pricing",
        "url": "https://x.example",
        "wanted": None,
        "state": state,
        "asked_by": new_id(),
        "asked_at": datetime(2026, 3, 2, tzinfo=UTC),
        "progress": [],
        "checks": [],
        "edition": "B",
        "version": "1.0.0",
    }
    return ConformanceRun(**(fields | more))


CHECKS = [
    Check(name="identity", passed=True),
    Check(name="one-cent", passed=False, detail="0.01 off", milliseconds=1234),
    Check(name="load", passed=False, skipped=True, detail="disclaimed: load"),
]


@pytest.mark.parametrize(
    ("done", "lines"),
    [
        (
            run("failed", checks=CHECKS),
            [
                "pricing B.1.0.0 at https://x.example",
                "  passed   identity",
                "  FAILED   one-cent                         1.23 s  0.01 off",
                "  skipped  load                                     disclaimed: load",
                "failed: 1 of 3 checks",
            ],
        ),
        (
            run("broken", reason="it hangs", edition=None),
            [
                "pricing at https://x.example",
                "broken: it hangs",
                "Nothing is said of the edition. Put the reason right and ask again.",
            ],
        ),
    ],
)
def test_a_run_that_has_ended_is_a_table(done, lines):
    assert report(done).splitlines() == lines


def test_a_run_that_passed_says_what_comes_next():
    done = run("passed", checks=CHECKS[:1], attestation=new_id())
    assert f"passed: attestation {done.attestation}" in report(done)
    assert "guilder binding propose TENANT pricing=B.1.0.0 --url https://x.example" in report(done)
