"""What never stands in the repository: paths of one machine, package indexes, tools' names."""

import hashlib
import re
import subprocess
from functools import cache
from pathlib import Path

import house
import pytest

PLACES = re.compile(
    r"(?<![\w.])/(?:home|Users|opt|mnt|workspaces?)/\w+|(?<![\w.}])/work/\w+|\.pyenv"
)
INDEXES = re.compile(
    r"(?:(?<!no-emit-)(?:index-url|find-links|trusted-host)|https?://\S*(?:pypi|/simple))"
)
PIN = re.compile(r"(\S+==\S+ \\|--hash=sha256:[0-9a-f]{64}( \\)?|# .*|#|)")

TOOLS = {
    "c857d09db23e6822",
    "c70eca6b0f88f44d",
    "7d3194f79e645c42",
    "60965168ce762e94",
    "3ea125d0bff386e6",
    "57de4cf40144bdf7",
    "487b91042c7cf27a",
    "de2187af3fb01170",
    "053ea4804ef1bb33",
    "c9ad8f2cc1294afa",
    "e12ce8285efc67c6",
    "6f7ac1823da81d2e",
    "920510199770f4d6",
}
"""Beginnings of SHA-256 of words that say by which tool a text was written: it does not matter."""


@cache
def files() -> list[Path]:
    """What is or would be committed."""
    if not (house.ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files belong to it is not known")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=house.ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    return [house.ROOT / name for name in listed if name and (house.ROOT / name).is_file()]


def matches(pattern: re.Pattern[str], *, without: set[str]) -> list[str]:
    found = []
    for path in files():
        if path.name in without:
            continue
        for n, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            if pattern.search(line) or str(house.ROOT) in line:
                found.append(f"{path.relative_to(house.ROOT)}:{n}")
    return found


def test_no_path_of_one_machine():
    assert matches(PLACES, without={Path(__file__).name}) == []


def test_no_package_index():
    assert matches(INDEXES, without={Path(__file__).name}) == []


def test_no_tool_signs():
    found = [
        f"{path.relative_to(house.ROOT)}: {word}"
        for path in files()
        for word in set(re.findall(r"[a-z]+", path.read_text("utf-8", "replace").lower()))
        if hashlib.sha256(word.encode()).hexdigest()[:16] in TOOLS
    ]
    assert found == []


def test_the_lock_holds_pins_and_hashes_alone():
    lines = house.text(house.ROOT / "requirements.lock").splitlines()
    assert [line for line in lines if not PIN.fullmatch(line.strip())] == []
    assert sum("==" in line for line in lines) > 20


def test_the_patterns_see_what_they_should():
    assert PLACES.search("see /home/anna/x")
    assert not PLACES.search("GET /v1/work/orders and {x}/work/y")
    assert INDEXES.search("pip install --index-url x")
    assert not PIN.fullmatch("--find-links x")
