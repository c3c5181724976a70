"""Starts an edition as a process of its own, and asks it as the platform does."""

import atexit
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from guilder.chassis.signature import SigningKey

ROOT = Path(__file__).resolve().parents[2]
EDITIONS = ROOT / "editions"
SEED = bytes(range(32))
KEY = SigningKey(SEED)
OFFLINE = re.compile("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH")
GO = {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath", "GOTOOLCHAIN": "local", "GOPROXY": "off"}


@dataclass
class Answer:
    """What an edition answered."""

    status: int
    headers: dict[str, str]
    document: Any

    @property
    def answers(self) -> list[Any]:
        return [item["answer"] for item in self.document["items"]]

    @property
    def code(self) -> str:
        return self.document["code"]


@dataclass
class Running:
    """An edition that listens."""

    process: subprocess.Popen[str]
    url: str
    digest: str
    log: list[str] = field(default_factory=list)

    def get(self, path: str) -> Answer:
        return self.exchange("GET", path, None, {})

    def ask(self, path: str, *items: Any, tenant: int = 7, key: SigningKey | None = KEY) -> Answer:
        """A batch, signed as the platform does (`key` None: not at all)."""
        body = json.dumps({"tenant": tenant, "items": items}).encode()
        headers = {"Content-Type": "application/json", "Guilder-Deadline-Ms": "5000"}
        if key is not None:
            authority = urlsplit(self.url).netloc
            headers |= key.sign("POST", authority, path, body, int(time.time()))
        return self.exchange("POST", path, body, headers)

    def exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Answer:
        """Send something and read what comes."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        try:
            connection.request(method, path, body, headers)
            came = connection.getresponse()
            return Answer(came.status, dict(came.getheaders()), json.loads(came.read()))
        finally:
            connection.close()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


@contextmanager
def running(command: list[str], folder: Path, **settings: str) -> Iterator[Running]:
    """An edition on a free port, which takes requests signed with KEY alone."""
    with tempfile.TemporaryDirectory() as keys:
        jwks = Path(keys) / "keys.json"
        jwks.write_text(json.dumps({"keys": [KEY.public_jwk()]}), "utf-8")
        env = {**os.environ, "PORT": "0", "GUILDER_EDITION_KEYS": str(jwks), **settings}
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            assert first, f"{command} ended with {process.wait(10)} before it listened"
            said = json.loads(first)
            found = Running(process, said["url"], said["digest"], [first])
            threading.Thread(
                target=lambda: found.log.extend(process.stdout or ()), daemon=True
            ).start()
            yield found
        finally:
            process.kill()
            process.wait(10)


def free_port() -> int:
    """A port at which nobody listens, and that no system gives to whoever asks for any."""
    for _ in range(100):
        port = random.SystemRandom().randrange(20_000, 30_000)
        with socket.socket() as place, suppress(OSError):
            place.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port among a hundred")


def suite(contract: str, edition: Running, examples: int = 3, **settings: str) -> dict[str, Any]:
    """What the contract's suite says of it."""
    with tempfile.NamedTemporaryFile() as seed:
        seed.write(SEED)
        seed.flush()
        command = [sys.executable, "-m", "guilder.conformance", contract, "--url", edition.url]
        command += ["--examples", str(examples), "--keys-seed-file", seed.name, "--json"]
        env = {**os.environ, "GUILDER_OUTBOUND_ALLOW": "127.0.0.0/8", **settings}
        ran = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
    assert ran.returncode in (0, 1), ran.stderr[-2_000:]
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def unkept(report: dict[str, Any]) -> list[str]:
    """What a suite did not find kept, in its words."""
    checks = report["checks"]
    return [f"{c['name']}: {c['detail']}" for c in checks if not (c["passed"] or c["skipped"])]


def run(command: list[str], folder: Path, **settings: str) -> str:
    """What a command of a toolchain prints; the test fails with it where the command does."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout[-4_000:]}"
    return ran.stdout


@cache
def node_modules() -> Path:
    """What the lock of every TypeScript edition names, installed once a process."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    version = run(["node", "--version"], ROOT)
    if int(version.strip().lstrip("v").split(".")[0]) < 20:
        pytest.skip(f"node {version.strip()} is older than 20")
    folder = Path(tempfile.mkdtemp(prefix="guilder-node-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(EDITIONS / "pricing-typescript" / name, folder)
    command = ["npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode and OFFLINE.search(ran.stderr):
        pytest.skip("npm ci reaches no registry")
    assert ran.returncode == 0, ran.stderr[-2_000:]
    return folder / "node_modules"


def build_typescript(folder: Path) -> list[str]:
    """Compile; the command that starts it."""
    (folder / "node_modules").symlink_to(node_modules())
    run(["npm", "run", "--silent", "build"], folder)
    return ["node", "dist/src/main.js"]


def build_go(folder: Path) -> list[str]:
    """Compile; the command that starts it."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    run(["go", "build", "-o", "edition", "."], folder, **GO)
    return ["./edition"]


def build_python(folder: Path) -> list[str]:
    """Nothing to compile; the command that starts it. Our own environment has `cryptography`."""
    return [sys.executable, "serve.py"]


BUILD = {"python": build_python, "typescript": build_typescript, "go": build_go}


def own_tests(language: str, folder: Path) -> int:
    """Run an edition's own tests; how many there were."""
    if language == "python":
        text = run([sys.executable, "-m", "unittest"], folder)
        return int(text.split("Ran ")[1].split()[0])
    if language == "typescript":
        return int(run(["npm", "--silent", "test"], folder).split("# pass ")[1].split()[0])
    assert run(["gofmt", "-l", "."], folder) == ""
    run(["go", "vet", "./..."], folder, **GO)
    return run(["go", "test", "-count=1", "-v", "./..."], folder, **GO).count("--- PASS: ")
