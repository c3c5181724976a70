"""The README's five minutes work as printed: its commands are run, its output is compared."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.journeys.bare_hands import ROOT, TOPOLOGIES, guilder, up

VOLATILE = (
    (r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID"),
    (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\d+\.[0-9a-f]{20,}", "CURSOR"),
    (r"ey[\w-]+\.[\w-]+\.[\w-]+", "TOKEN"),
)
MARK = "=== shown ==="


def told(section):
    """Pairs of commands and the output printed under them, of one section of the README."""
    text = (ROOT / "README.md").read_text("utf-8")
    body = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```(sh|json|text)\n(.*?)```", body, re.DOTALL)
    commands, pairs = "", []
    for kind, body in blocks:
        if kind == "sh":
            commands += body
        else:
            pairs.append((commands, body.strip()))
            commands = ""
    return pairs


def tour():
    """The five minutes; the import has a test of its own."""
    return [pair for pair in told("Five minutes") if "guilder import" not in pair[0]]


def plain(text):
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text)
    return text.replace("\r", "").strip()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's tour needs curl")
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_tour_works_as_printed(tmp_path, topology):
    data = tmp_path / "data"
    facts = up(data, "--demo", *TOPOLOGIES[topology])
    script = "set -euo pipefail\n"
    for commands, _ in tour():
        script += commands + f"\necho '{MARK}'\n"
    script = script.replace("http://127.0.0.1:8321", facts["api"])
    script = script.replace(".guilder/", f"{data}/")
    script = script.replace('"$PWD/.venv/bin:$PATH"', '"$PATH"')
    try:
        done = subprocess.run(
            ["bash", "-c", script],
            env={**os.environ, "GUILDER_DATA": str(data), "PATH": path(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        guilder("down", data=data)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout.split(MARK)
    for (commands, printed), seen in zip(tour(), shown, strict=False):
        if "guilder verify" in commands:
            assert "all is well" in seen
        else:
            assert plain(seen) == plain(printed)


def path(folder):
    """A PATH on which `guilder` is this checkout's."""
    script = folder / "guilder"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m guilder.cli "$@"\n'
    )
    script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
