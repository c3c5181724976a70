"""Runs a conformance suite as a process of its own: bounded, and killed when it is to end.

What a suite judges is somebody else's, and the suite eats whatever that sends. So it gets none of
this process's memory, environment or files.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from guilder.chassis.contract import convert, read_json
from guilder.contracts.declare import Answer
from guilder.contracts.edition import Manifest
from guilder.contracts.errors import InvalidRequest

RUNNER: Final = (sys.executable, "-m", "guilder.conformance")
"""What judges; then CONTRACT --url URL --json --keys-seed-file FILE."""

_TELL: Final = (
    "from guilder.conformance.run import SUBJECTS, suite_hash\n"
    "for name, subject in SUBJECTS.items(): print(name, suite_hash(subject))"
)
TELLER: Final = (sys.executable, "-c", _TELL)
"""What says which suites these are: a line for each contract, with the SHA-256 of its suite."""

CONFINED: Final = (sys.executable, "-m", "guilder.services.registry.confined")

PASSES_ON: Final = ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR")
PASSES_ON_PREFIXES: Final = ("GUILDER_OUTBOUND_", "GUILDER_CONFORMANCE_")
"""All that a suite learns of our environment."""

LONGEST_LINE: Final = 200
LARGEST_OUTPUT: Final = 4 * 1024 * 1024
CHUNK: Final = 64 * 1024
ASK_S: Final = 20.0
AGAIN_S: Final = 30.0
"""How long it may take to say which suite it is, and how soon it is asked again if it cannot."""


Say = Callable[[str], None]
"""Gets each line of progress."""


class SuiteBroken(Exception):
    """The suite has said nothing about the edition; the text says why."""


@dataclass(frozen=True)
class Limits:
    """How much a suite may use: seconds in all, bytes of memory."""

    seconds: float = 900.0
    memory: int = 2 * 1024 * 1024 * 1024


class Finding(Answer, frozen=True, kw_only=True):
    """One check, as the runner prints it."""

    name: str
    passed: bool
    skipped: bool = False
    detail: str = ""
    seconds: float = 0.0


class Outcome(Answer, frozen=True, kw_only=True):
    """What the runner prints at its end."""

    contract: str
    contract_version: str
    suite: str
    passed: bool
    checks: list[Finding]
    manifest: Manifest | None = None


class Suite:
    """The runner of conformance suites."""

    def __init__(
        self,
        env: Mapping[str, str],
        seed: bytes,
        limits: Limits,
        runner: Sequence[str] = RUNNER,
        teller: Sequence[str] = TELLER,
    ) -> None:
        """`seed` is that of the key which signs what the platform sends to editions.

        `runner` judges an edition, `teller` says which suites it would judge by.
        """
        kept = {n: v for n, v in env.items() if n in PASSES_ON or n.startswith(PASSES_ON_PREFIXES)}
        self._env, self._seed, self.limits = kept, seed, limits
        self.runner, self.teller = runner, teller
        self._hashes: dict[str, str] | None = None
        self._ask_again = 0.0
        self._learning = asyncio.Lock()

    async def current(self, contract: str) -> str | None:
        """SHA-256 of the suite of a contract that would run now; None where nobody can say."""
        await self.learn()
        return (self._hashes or {}).get(contract)

    @property
    def learnt(self) -> bool:
        """Whether it is known which suites these are."""
        return self._hashes is not None

    async def learn(self) -> None:
        """Ask once which suites these are; where nobody can say, again after a while."""
        async with self._learning:
            if self._hashes is not None or time.monotonic() < self._ask_again:
                return
            self._ask_again = time.monotonic() + AGAIN_S
            with contextlib.suppress(TimeoutError, SuiteBroken, ValueError):
                async with asyncio.timeout(ASK_S):
                    said, code = await self._run([*self.teller], lambda line: None)
                if code == 0:
                    lines = said.decode("ascii").splitlines()
                    self._hashes = dict(line.split(" ", 1) for line in lines)

    async def run(self, contract: str, url: str, say: Say) -> Outcome:
        """Judge the edition at a URL; `say` gets each line of progress.

        SuiteBroken says why it could not be judged.
        """
        lines: list[str] = [""]

        def heard(line: str) -> None:
            lines[0] = line
            say(line)

        try:
            async with asyncio.timeout(self.limits.seconds):
                said, code = await self._judge(contract, url, heard)
        except TimeoutError:
            raise SuiteBroken(f"it was not over after {self.limits.seconds:g} s") from None
        if code < 0:
            raise SuiteBroken(f"it was ended by {signal.Signals(-code).name}")
        if code not in (0, 1):
            raise SuiteBroken(lines[0] or f"it ended with exit code {code}")
        if not said:
            raise SuiteBroken(lines[0] or "it said nothing")
        try:
            outcome: Outcome = convert(read_json(said), Outcome)
        except InvalidRequest as problem:
            raise SuiteBroken(f"what it said cannot be read: {problem.detail}") from None
        if outcome.contract != contract or not outcome.checks:
            raise SuiteBroken("it has judged nothing")
        if outcome.passed != (code == 0):
            raise SuiteBroken("its exit code contradicts what it says")
        return outcome

    async def _judge(self, contract: str, url: str, say: Say) -> tuple[bytes, int]:
        """Judge, with the key handed over in a pipe: it never lies on a disk."""
        key = _pipe(self._seed)
        try:
            told = contract, "--url", url, "--json", "--keys-seed-file", f"/dev/fd/{key}"
            return await self._run([*self.runner, *told], say, key)
        finally:
            os.close(key)

    async def _run(self, command: list[str], say: Say, *handles: int) -> tuple[bytes, int]:
        """Run a command in an empty folder; what it prints, and its exit code."""
        bounds = os.getpid(), self.limits.memory, int(self.limits.seconds) + 1
        with tempfile.TemporaryDirectory(prefix="guilder-suite-") as folder:
            try:
                process = await asyncio.create_subprocess_exec(
                    *CONFINED,
                    *map(str, bounds),
                    *command,
                    stdin=DEVNULL,
                    stdout=PIPE,
                    stderr=PIPE,
                    env={**self._env, "HOME": folder, "TMPDIR": folder},
                    cwd=folder,
                    start_new_session=True,
                    pass_fds=handles,
                )
            except OSError as error:
                raise SuiteBroken(f"it cannot be run: {error.strerror}") from None
            reading = [
                asyncio.create_task(_read_all(process)),
                asyncio.create_task(_read_lines(process, say)),
            ]
            try:
                said, _ = await asyncio.gather(*reading)
                return said or b"", await process.wait()
            finally:
                for task in reading:
                    task.cancel()
                await asyncio.gather(*reading, return_exceptions=True)
                await _end(process)


def _pipe(content: bytes) -> int:
    """The end of a pipe from which this can be read; a pipe holds a few kB without a reader."""
    reading, writing = os.pipe()
    try:
        os.write(writing, content)
    finally:
        os.close(writing)
    return reading


async def _end(process: Process) -> None:
    """Kill it with all it has started, unless it has ended; nothing of it stays."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for stream in (process.stdout, process.stderr):  # it counts as ended when these have
            while stream is not None and await stream.read(CHUNK):
                pass
        await process.wait()


async def _read_all(process: Process) -> bytes:
    assert process.stdout is not None
    found = bytearray()
    while chunk := await process.stdout.read(CHUNK):
        found += chunk
        if len(found) > LARGEST_OUTPUT:
            raise SuiteBroken("it says too much")
    return bytes(found)


async def _read_lines(process: Process, say: Say) -> None:
    """Hand on each line; of a long one its beginning."""
    assert process.stderr is not None
    begun = b""
    while chunk := await process.stderr.read(CHUNK):
        *whole, begun = (begun + chunk).split(b"\n")
        begun = begun[: 4 * LONGEST_LINE]
        for line in [clean(raw.decode("utf-8", "replace"), LONGEST_LINE) for raw in whole]:
            if line:
                say(line)
    if begun:
        say(clean(begun.decode("utf-8", "replace"), LONGEST_LINE))


def clean(text: str, longest: int) -> str:
    """What can be shown to people: one line, nothing that steers a terminal, not too long."""
    flat = "".join(c if c.isprintable() else " " for c in text[: 4 * longest]).strip()
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"
