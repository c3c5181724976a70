"""`guilder bench bindings`: what it takes a process to know who is bound to what.

One process, no network: look-ups among 10, 1,000 and 10,000 tenants with 12 contracts each, the
memory this takes, and the time to take a whole directory and one change of it.

A look-up is measured twice: of as many tenants at every size, those that are active just now, which
shows whether the way to the answer grows; and of tenants drawn from all, one after the other, where
the processor must fetch each from memory, which no way of looking up avoids.
"""

import gc
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable
from uuid import UUID

import msgspec

from guilder.chassis.bindings import Bindings
from guilder.chassis.contract import decode, encode
from guilder.contracts.registry.bindings import Bound
from guilder.contracts.registry.directory import Directory

CONTRACTS = [f"contract-{letter}" for letter in "abcdefghijkl"]
"""Twelve, as many as a platform has; what they are called makes no difference."""

LOOKUPS = 6_000
"""Look-ups of one repetition."""

ACTIVE = 10
"""Tenants that are active just now, at every size."""

CHUNK = 200
"""Look-ups that are timed together: the best chunk counts, so the shorter, the less disturbed."""


class Plan(msgspec.Struct, frozen=True):
    """What to measure. `repeats` of every size take turns; the best chunk of a size counts, because
    what disturbs a machine only ever makes it slower."""

    tenants: tuple[int, ...] = (10, 1_000, 10_000)
    repeats: int = 20
    rounds: int = 3


class Size(msgspec.Struct, frozen=True):
    """One number of tenants, everything bound: microseconds, milliseconds and MiB."""

    tenants: int
    bindings: int
    lookup_us: float
    """Of active tenants."""
    lookup_ratio: float
    """To that of the smallest size of the same run."""
    any_us: float
    """Of tenants drawn from all."""
    whole_ms: float
    """Decode a whole directory and put it in force, as a process that starts does."""
    change_ms: float
    """Decode one change and put it in force."""
    mib: float
    directory_mib: float
    """The whole directory on the wire."""


class Result(msgspec.Struct, frozen=True):
    """What was seen, smallest first."""

    benchmark: str
    sizes: list[Size]
    settings: Plan


def run(plan: Plan, say: Callable[[str], None]) -> Result:
    """Measure; `say` is told how far it is."""
    boards = {tenants: _Board(tenants) for tenants in plan.tenants}
    best = dict.fromkeys(plan.tenants, float("inf"))
    drawn = dict.fromkeys(plan.tenants, float("inf"))
    for n in range(plan.repeats):
        for tenants, board in boards.items():
            best[tenants] = min(best[tenants], board.lookup(board.active))
            drawn[tenants] = min(drawn[tenants], board.lookup(board.any))
        if n % 10 == 9:
            say(f"look-ups: {n + 1} of {plan.repeats}")
    least = best[min(plan.tenants)]
    sizes = []
    for tenants, board in boards.items():
        say(f"{tenants:,} tenants")
        sizes.append(
            Size(
                tenants=tenants,
                bindings=len(board.lines),
                lookup_us=round(best[tenants] * 1e6, 3),
                lookup_ratio=round(best[tenants] / least, 2),
                any_us=round(drawn[tenants] * 1e6, 3),
                whole_ms=_median_ms(board.whole, plan.rounds),
                change_ms=_median_ms(board.change, plan.rounds),
                mib=round(board.memory() / 2**20, 1),
                directory_mib=round(len(board.directory) / 2**20, 2),
            )
        )
    return Result(benchmark="bindings", sizes=sizes, settings=plan)


def _median_ms(work: Callable[[], float], rounds: int) -> float:
    return round(statistics.median(work() for _ in range(rounds)) * 1000, 3)


class _Board:
    """A process' bindings, with so many tenants bound to everything."""

    def __init__(self, tenants: int) -> None:
        self.lines = [
            _line(tenant * len(CONTRACTS) + n + 1, tenant + 1, contract)
            for tenant in range(tenants)
            for n, contract in enumerate(CONTRACTS)
        ]
        self.directory = encode(Directory(generation=1, bindings=self.lines))
        self._bindings = Bindings()
        self._bindings.apply(self.lines, (), whole=True)
        dice = random.Random(1)
        some = dice.sample(range(1, tenants + 1), min(ACTIVE, tenants))
        self.active = [_asked(dice, dice.choice(some)) for _ in range(LOOKUPS)]
        self.any = [_asked(dice, dice.randrange(tenants) + 1) for _ in range(LOOKUPS)]
        self._next = len(self.lines) + 1

    def lookup(self, asked: list["Asked"]) -> float:
        """Seconds of one look-up, in the best chunk of these."""
        resolve, best = self._bindings.resolve, float("inf")
        gc.disable()
        try:
            for at in range(0, len(asked), CHUNK):
                chunk = asked[at : at + CHUNK]
                begun = time.perf_counter()
                for tenant, contract, principal in chunk:
                    resolve(tenant, contract, principal)
                best = min(best, (time.perf_counter() - begun) / len(chunk))
        finally:
            gc.enable()
        return best

    def whole(self) -> float:
        """Seconds to read a whole directory and put it in force in a process that knows none."""
        begun = time.perf_counter()
        answer = decode(self.directory, Directory)
        Bindings().apply(answer.bindings, answer.ended, whole=answer.whole)
        return time.perf_counter() - begun

    def change(self) -> float:
        """Seconds to take one change: a binding ends, another begins."""
        line = _line(self._next, 1, CONTRACTS[0])
        gone = UUID(int=1 if self._next == len(self.lines) + 1 else self._next - 1)
        self._next += 1
        raw = encode(Directory(generation=2, bindings=[line], whole=False, ended=[gone]))
        begun = time.perf_counter()
        answer = decode(raw, Directory)
        self._bindings.apply(answer.bindings, answer.ended, whole=answer.whole)
        return time.perf_counter() - begun

    def memory(self) -> int:
        """Bytes that the bindings take in a process that read them from the wire."""
        bindings = Bindings()
        tracemalloc.start()
        try:
            answer = decode(self.directory, Directory)
            bindings.apply(answer.bindings, answer.ended, whole=answer.whole)
            del answer
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()


Asked = tuple[int, str, UUID]


def _asked(dice: random.Random, tenant: int) -> Asked:
    return tenant, dice.choice(CONTRACTS), UUID(int=dice.getrandbits(128))


def _line(number: int, tenant: int, contract: str) -> Bound:
    """An edition of the tenant's own."""
    return Bound(
        id=UUID(int=number),
        tenant=tenant,
        contract=contract,
        edition="B",
        version="1.0.0",
        address=f"https://editions.tenant-{tenant}.example",
        digest=f"sha256:{number:064x}",
        on_failure="closed",
        generation=number,
    )
