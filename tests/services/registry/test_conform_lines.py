"""What `guilder conform` shows of a run: new lines once, checks as a table; and `--here`."""

import json
import sys
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from hypothesis import given, strategies as st

from guilder.chassis.testing import new_id
from guilder.cli import conform, main
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
                "  FAILED   one-cent                 1.23 s",
                "           0.01 off",
                "  skipped  load                             disclaimed: load",
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


# ── on one's own machine ─────────────────────────────────────────────────────────────────────

HERE = """
import json, os, sys
assert sys.argv[1:] == ["pricing", "--url", "http://127.0.0.1:1", "--json"], sys.argv
assert os.environ["GUILDER_OUTBOUND_ALLOW"], "what one can reach one may test"
{more}
check = {{"name": "schema", "passed": {passed}, "skipped": False, "detail": "seen", "seconds": 2.5}}
print(json.dumps({{"contract": "pricing", "contract_version": "1.0.0", "suite": "5e", "seconds": 3,
    "manifest": {{"edition": "B", "version": "1.0.0"}}, "passed": {passed}, "checks": [check]}}))
sys.exit(0 if {passed} else 1)
"""


def here(monkeypatch, folder, *argv, passed=True, more=""):
    """Run `guilder conform --here` with a small suite that is a real child."""
    script = folder / "suite.py"
    script.write_text(HERE.format(passed=passed, more=more))
    monkeypatch.setattr(conform, "RUNNER", (sys.executable, str(script)))
    command = ["conform", "pricing", "--url", "http://127.0.0.1:1", "--here", *argv]
    return CliRunner().invoke(main, command)


@pytest.mark.parametrize(("passed", "word"), [(True, "passed"), (False, "FAILED")])
def test_what_is_run_here_is_informative(monkeypatch, tmp_path, passed, word):
    done = here(monkeypatch, tmp_path, passed=passed)
    assert done.exit_code == (0 if passed else 1)
    lines = done.output.splitlines()
    assert lines[0].split()[:4] == [word, "schema", "2.50", "s"]
    assert lines[-2] == ("passed" if passed else "failed")
    assert lines[-1].startswith("informative: cannot be bound")


def test_what_is_run_here_says_so_to_programs_too(monkeypatch, tmp_path):
    done = here(monkeypatch, tmp_path, "--json")
    said = json.loads(done.output)
    assert (said["informative"], said["passed"], done.exit_code) == (True, True, 0)


def test_another_edition_than_the_one_named_fails_here_too(monkeypatch, tmp_path):
    assert here(monkeypatch, tmp_path, "--edition", "B.1.0.0").exit_code == 0
    done = here(monkeypatch, tmp_path, "--edition", "C")
    assert done.exit_code == 1
    assert "it says that it is B.1.0.0, not C" in done.output


@pytest.mark.parametrize("more", ["sys.exit(2)", "sys.exit(1)", "os.kill(os.getpid(), 9)"])
def test_what_cannot_be_run_here_is_neither_passed_nor_failed(monkeypatch, tmp_path, more):
    done = here(monkeypatch, tmp_path, more=more)
    assert (done.exit_code, done.output) == (2, "")
