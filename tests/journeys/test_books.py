"""verify and export on a platform that has worked."""

import json
import shutil
import subprocess

import pytest

from tests.journeys.bare_hands import guilder


def test_the_books_are_right(platform):
    report = json.loads(guilder("verify", "--json", data=platform.data).stdout)
    assert report["findings"] == []
    assert report["ok"] is True


@pytest.mark.parametrize(
    ("form", "program"),
    [("hledger", ["hledger", "check", "-f"]), ("beancount", ["bean-check"])],
)
def test_other_programs_recompute_every_balance(platform, tmp_path, form, program):
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed; CI installs it")
    for tenant in ("nordbank", "company-x"):
        target = tmp_path / f"{tenant}.{form}"
        argv = ("export", "--tenant", tenant, "--format", form, "--output", str(target))
        guilder(*argv, data=platform.data)
        done = subprocess.run([*program, target], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
