"""What tests of conformance runs need: an edition that says what it is, a small suite that is a
real child, and a registry that may reach and run both.
"""

import asyncio
import contextlib
import dataclasses
import json
import sys
import time

from guilder.chassis.outbound import Outbound, Rules
from guilder.chassis.signature import PAIR, SigningKey, verify
from guilder.chassis.testing import CALL_KEYS, operator
from guilder.contracts.edition import MANIFEST
from guilder.contracts.registry import v1
from guilder.services.registry.manifest import AskEdition
from guilder.services.registry.suite import Limits, Suite

ENV = {
    "GUILDER_OUTBOUND_ALLOW": "127.0.0.0/8",
    "GUILDER_CONFORMANCE_SMTP": "127.0.0.1:0",
    "GUILDER_SECRET": "s3cret",
    "PATH": "/usr/bin:/bin",
}
SEED = CALL_KEYS.key(*PAIR)
DIGEST = "sha256:" + "9f" * 32
SUITE = "5e" * 32

SCRIPT = """
import json, os, sys, time, urllib.request
given = sys.argv
if "--suites" in given:
    with open(given[0] + ".asked", "a") as asked:
        asked.write("x")
    print("screening", {suite!r}[::-1])
    print("pricing", {suite!r})
    sys.exit(0)
contract = given[1]
base = given[given.index("--url") + 1]
seed = open(given[given.index("--keys-seed-file") + 1], "rb").read()
def say(text):
    print(text, file=sys.stderr, flush=True)
with urllib.request.urlopen(base + "/.well-known/guilder-edition") as reply:
    manifest = json.load(reply)
checks = [{{"name": "schema", "passed": True, "skipped": False, "detail": "", "seconds": 0.25}}]
passed = True
suite = {suite!r}
say("schema: passed")
{more}
print(json.dumps({{"contract": contract, "contract_version": "1.0.0", "suite": suite,
    "manifest": manifest, "passed": passed, "checks": checks, "seconds": 1.5}}))
sys.exit(0 if passed else 1)
"""


class Edition:
    """An edition that says what it is, and counts how often."""

    def __init__(self, **said):
        self.said = {
            "contract": "pricing",
            "contract_version": "1.0.0",
            "edition": "B",
            "version": "1.0.0",
            "digest": DIGEST,
            "disclaims": ["load"],
        } | said
        self.status, self.raw, self.hangs, self.asked, self.signed = 200, None, False, 0, 0
        self.after = {}
        """What it says of itself from a certain question on."""

    @contextlib.asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        assert head[0] == f"GET {MANIFEST} HTTP/1.1"
        lines = dict(line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in lines.items()}
        self.asked += 1
        self.said |= self.after.get(self.asked, {})
        with contextlib.suppress(Exception):
            key = SigningKey(SEED).public_jwk()
            verify(
                key,
                method="GET",
                authority=headers["host"],
                path=MANIFEST,
                headers=headers,
                body=b"",
                now=time.time(),
            )
            self.signed += 1
        if self.hangs:
            await reader.read()
        body = json.dumps(self.said).encode() if self.raw is None else self.raw
        writer.write(
            f"HTTP/1.1 {self.status} OK\r\nContent-Type: application/json\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()


async def until(look, seconds=20.0):
    """Look at another process until it shows something; what it shows."""
    async with asyncio.timeout(seconds):
        while not (seen := await look()):  # noqa: ASYNC110  it offers no event
            await asyncio.sleep(0.01)
    return seen


@contextlib.contextmanager
def trial(world, folder, more="", suite=SUITE, **limits):
    """The registry may reach this machine, and runs a suite of our own."""
    script = folder / "suite.py"
    script.write_text(SCRIPT.format(more=more, suite=suite))
    service = world.process.built["registry"].service
    before = service.editions
    runner = sys.executable, str(script)
    bounds = Limits(**({"seconds": 30.0} | limits))
    made = Suite(ENV, SEED, bounds, runner, (*runner, "--suites"))
    outbound = Outbound(Rules.load(ENV))
    notary = before.notary
    former, notary._current_suite = notary._current_suite, made.current
    ask = AskEdition(outbound, SigningKey(SEED))
    service.editions = dataclasses.replace(before, suite=made, ask=ask)
    try:
        yield service
    finally:
        service.editions, notary._current_suite = before, former
        outbound.close()


async def ask(world, url, who=None, key=None, **more):
    wish = v1.Conform(**({"contract": "pricing", "url": url} | more))
    return await world.public(v1.Registry).conform((who or operator()).ctx(key), wish)


async def read(world, run):
    return await world.public(v1.Registry).conformance_run(
        operator().ctx(), v1.RunId(run_id=run.id)
    )


async def run(world, there, **more):
    """Ask for a run, let the worker see it through, and read it."""
    asked = await ask(world, there.url, **more)
    assert await world.process.built["registry"].service.work()
    return await read(world, asked)


async def attested(world, **query):
    query = {"contract": "pricing"} | query
    return (
        await world.public(v1.Registry).attestations(operator().ctx(), v1.AttestationQuery(**query))
    ).items
