"""Which release or edition serves a contract for a tenant, as this process last heard.

A binding that begins or ends later does so by this process' own clock, without hearing of it again.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Set
from datetime import datetime
from hashlib import blake2b
from sys import intern
from uuid import UUID

import msgspec

from guilder.chassis.clock import Clock
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.declare import Contract
from guilder.contracts.registry.v1 import Bound, Mode, OnFailure

NO_ID = UUID(int=0)


class Binding(msgspec.Struct, frozen=True, gc=False):
    """Which edition and version serves a contract for a tenant; `address` None = stock.

    `generation` is that of the directory when the binding was made, 0 where there is none. Another
    edition than A answers with `digest`. A `canary` serves `share` percent of the principals.
    """

    contract: str
    edition: str = "A"
    version: str = "1.0.0"
    generation: int = 0
    address: str | None = None
    on_failure: OnFailure = "closed"
    fallback: bool = False
    """Whether stock answered because what is bound did not."""
    id: UUID = NO_ID
    mode: Mode = "live"
    share: int = 100
    digest: str | None = None
    contract_version: str = ""
    begins: datetime | None = None
    ends: datetime | None = None

    @property
    def label(self) -> str:
        """`pricing A.1.0.0`, as recorded on decisions."""
        return f"{self.contract} {self.edition}.{self.version}{' (fallback)' * self.fallback}"

    @property
    def foreign(self) -> bool:
        """Whether it is somebody else's edition, spoken to as `contracts/edition.py` says."""
        return self.edition != "A"

    def takes(self, principal: UUID) -> bool:
        """Whether a canary serves this principal: the same one always lands on the same side."""
        drawn = blake2b(self.id.bytes + principal.bytes, digest_size=8).digest()
        return int.from_bytes(drawn, "big") * 100 < self.share << 64


Slot = tuple[int, str]
"""A tenant and a contract."""


class Bindings:
    """The bindings in force; everything unnamed is the stock edition A."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Start with stock for everyone. `clock` says when what is planned begins."""
        self._clock = clock or Clock()
        self._lines: dict[Slot, tuple[Binding, ...]] = {}
        self._slots: dict[UUID, Slot] = {}
        self._live: dict[Slot, Binding] = {}
        self._canaries: dict[Slot, Binding] = {}
        self._shadows: dict[Slot, Binding] = {}
        self._moments: list[tuple[datetime, Slot]] = []
        self._stock: dict[str, Binding] = {}
        self.contracts: Counter[str] = Counter()
        """Those of which any tenant is bound to something, now or later."""
        self._used: Counter[str] = Counter()
        self._watchers: list[Callable[[Set[str]], None]] = []

    def replace(self, bound: Iterable[Bound]) -> None:
        """Put others in force, all at once; calls in flight end where they began."""
        self.apply(bound, (), whole=True)

    def apply(self, bound: Iterable[Bound], ended: Iterable[UUID], whole: bool) -> None:
        """Take what has changed, all at once: new and changed lines, and the ids of those over.

        `whole`: `bound` are all there are. Calls in flight end where they began.
        """
        before = set(self._used) if whole else set()
        if whole:
            for held in (self._lines, self._slots, self._live, self._canaries, self._shadows):
                held.clear()
            self._moments.clear()
            self.contracts.clear()
            self._used.clear()
        touched = {slot for gone in ended if (slot := self._drop(gone, before)) is not None}
        touched |= {self._put(line, before) for line in bound}
        now = self._clock.now()
        for slot in touched:
            self._settle(slot, now)
        if before - self._used.keys():
            for watcher in self._watchers:
                watcher(self._used.keys())

    def _put(self, line: Bound, before: set[str]) -> Slot:
        if line.id != NO_ID:
            self._drop(line.id, before)
        binding = Binding(
            intern(line.contract),
            intern(line.edition),
            intern(line.version),
            line.generation,
            intern(line.address),
            line.on_failure,
            False,
            line.id,
            line.mode,
            line.share,
            line.digest and intern(line.digest),
            intern(line.contract_version),
            line.begins,
            line.ends,
        )
        slot = (line.tenant, binding.contract)
        self._slots[line.id] = slot
        self._lines[slot] = (*self._lines.get(slot, ()), binding)
        self.contracts[slot[1]] += 1
        self._used[line.address] += 1
        return slot

    def _drop(self, gone: UUID, before: set[str]) -> Slot | None:
        """Forget a line; its address may be used no more."""
        slot = self._slots.pop(gone, None)
        if slot is None:
            return None
        lines = self._lines.pop(slot)
        if left := tuple(line for line in lines if line.id != gone):
            self._lines[slot] = left
        for line in lines:
            if line.id == gone and line.address is not None:
                before.add(line.address)
                _less(self._used, line.address)
                _less(self.contracts, slot[1])
        return slot

    def _settle(self, slot: Slot, now: datetime) -> None:
        """Put in force what is, of all lines of a tenant and contract; note what changes later."""
        lines = self._lines.get(slot, ())
        for line in lines:
            for moment in (line.begins, line.ends):
                if moment is not None and moment > now:
                    heapq.heappush(self._moments, (moment, slot))
        self._choose("live", self._live, slot, lines, now)
        # only a decision can be tried on some, or twice: whatever a line says, effects are had once
        lines = lines if _decides(slot[1]) else ()
        self._choose("canary", self._canaries, slot, lines, now)
        self._choose("shadow", self._shadows, slot, lines, now)

    @staticmethod
    def _choose(
        mode: Mode, held: dict[Slot, Binding], slot: Slot, lines: tuple[Binding, ...], now: datetime
    ) -> None:
        """The last made of those in force; there is one at most, but for a moment's disagreement"""
        found = [line for line in lines if line.mode == mode and _in_force(line, now)]
        if found:
            held[slot] = max(found, key=lambda line: line.generation)
        else:
            held.pop(slot, None)

    def _turn(self) -> None:
        """Let begin and end what does by now."""
        if not self._moments or self._moments[0][0] > (now := self._clock.now()):
            return
        due = set()
        while self._moments and self._moments[0][0] <= now:
            due.add(heapq.heappop(self._moments)[1])
        for slot in due:
            self._settle(slot, now)

    def watch(self, watcher: Callable[[Set[str]], None]) -> None:
        """Tell of the addresses in use, whenever one is used no more."""
        self._watchers.append(watcher)

    def resolve(self, tenant: int, contract: str, principal: UUID | None = None) -> Binding:
        """The binding in force now; with a `principal`, a canary that takes it comes first."""
        self._turn()
        slot = (tenant, contract)
        if self._canaries and principal is not None:
            canary = self._canaries.get(slot)
            if canary is not None and canary.takes(principal):
                return canary
        return self._live.get(slot) or self.stock(contract)

    def shadow(self, tenant: int, contract: str) -> Binding | None:
        """What is compared with who serves, if anything."""
        self._turn()
        return self._shadows.get((tenant, contract))

    def stock(self, contract: str) -> Binding:
        """The stock release, as this process' own tree names it."""
        if contract not in self._stock:
            known = all_contracts().get(contract, Contract)
            self._stock[contract] = Binding(
                contract, version=known.release, contract_version=known.contract_version
            )
        return self._stock[contract]


def _decides(contract: str) -> bool:
    return all_contracts().get(contract, Contract).contract_kind == "decision"


def _in_force(line: Binding, now: datetime) -> bool:
    begun = line.begins is None or line.begins <= now
    return begun and (line.ends is None or now < line.ends)


def _less(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
