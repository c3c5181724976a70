"""The README's story of Company X works as printed: its commands run, its output is compared."""

import os
import re
import shlex
import shutil
import subprocess

import pytest

from tests.editions.running import EDITIONS, free_port, node_modules
from tests.journeys.bare_hands import TOPOLOGIES, guilder, up
from tests.journeys.test_readme import MARK, path, plain, told, tour

STORY = "Company X replaces a service"
EDITION = "http://127.0.0.1:8401"
VOLATILE = (
    (r"\d{4}-\d\d-\d\d[T ][0-9:.]+(Z|\+00:00)?", "TIME"),
    (r"sha256:[0-9a-f]{64}", "DIGEST"),
    (r"\d+(\.\d+)? ms", "N ms"),
    (r'"took_us":\d+', "TOOK"),
)


def likened(text):
    """Without what differs from run to run; of a check that passed, what it was and not how long
    it took or of how many questions it is made."""
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text)
    checks = re.compile(r"^  passed .*$", re.MULTILINE)
    return plain(checks.sub(lambda line: re.sub(r"[0-9.]+", "N", line[0]), text))


def prelude():
    """What the tour left behind and the story builds on: its shell, an order and a tariff."""
    wanted = ("export PATH", "ORDER='", "TARIFF='")
    return "".join(commands for commands, _ in tour() if any(w in commands for w in wanted))


def company_x(folder):
    """Company X's repository. The README was written on a Tuesday; on weekends a fee is halved."""
    ignore = shutil.ignore_patterns("node_modules", "dist")
    shutil.copytree(EDITIONS / "pricing-typescript", folder, ignore=ignore)
    tariff = folder / "tariff.json"
    text = tariff.read_text("utf-8")
    assert '["Saturday", "Sunday"]' in text
    tariff.write_text(text.replace('["Saturday", "Sunday"]', "[]"), "utf-8")


def script(pairs):
    """One shell; what the story starts in a third terminal runs beside it until the end."""
    lines = [f"{{\n{prelude()}\n}} >tour.log\nexec 2>&1\necho '{MARK}'"]
    for commands, _ in pairs:
        if "npm start" in commands:
            beside, commands = re.split(r"(?<=npm start\n)", commands)
            lines.append(f"setsid bash -c {shlex.quote(beside)} >edition.log & BESIDE=$!")
            lines.append("trap 'kill -- -$BESIDE' EXIT")
            lines.append(f"until curl -s -o /dev/null {EDITION}/; do sleep 0.1; done")
        lines += [commands, f"echo '{MARK}'"]
    return "\n".join(lines)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's story needs curl")
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_story_works_as_printed(tmp_path, topology, monkeypatch):
    node_modules()  # skips where there is no node, no npm and no way to install
    monkeypatch.delenv("GUILDER_OUTBOUND_ALLOW", raising=False)
    company_x(tmp_path / "editions" / "pricing-typescript")
    data, port, pairs = tmp_path / ".guilder", free_port(), told(STORY)
    facts = up(data, "--demo", *TOPOLOGIES[topology])
    own = f"http://127.0.0.1:{port}"
    text = script(pairs).replace("http://127.0.0.1:8321", facts["api"]).replace(EDITION, own)
    text = text.replace('"$PWD/.venv/bin:$PATH"', '"$PATH"')
    try:
        done = subprocess.run(
            ["bash", "-uo", "pipefail", "-c", text],
            env={**os.environ, "PATH": path(tmp_path), "PORT": str(port)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    finally:
        guilder("down", data=data)
    seen = done.stdout.replace(own, EDITION).split(MARK)[1:]
    assert len(seen) == len(pairs) + 1, done.stdout + done.stderr
    for (_, printed), shown in zip(pairs, seen, strict=False):
        assert likened(shown) == likened(printed)
