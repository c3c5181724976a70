"""The guard around calls to what is bound instead of stock, in a fixed order: admit → sign → call →
decode → check again → record. What fails may be asked once more, or stock instead.

Signing, calling, decoding and checking are `edition.py`'s for an edition of somebody else, and
`Remote`'s for a release of ours.
"""

import time
from collections.abc import Callable, Collection, Hashable, Sequence, Set as AbstractSet
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
import structlog

from guilder.chassis.bindings import Binding
from guilder.chassis.circuit import Circuit
from guilder.chassis.clock import Clock
from guilder.chassis.edition import CHECKS, EditionRoad, lost
from guilder.chassis.observation import Observations, failure_of
from guilder.chassis.outbound import Outbound, Rules
from guilder.chassis.serve import Outcome, latest, left_s, until
from guilder.chassis.shadow import Shadows
from guilder.chassis.signature import SigningKey
from guilder.chassis.token import CallKeys
from guilder.contracts.context import Call
from guilder.contracts.declare import Operation
from guilder.contracts.errors import Internal, Unauthenticated

log = structlog.get_logger()

FALLBACK_SHARE: Final = 0.25
"""The part of the caller's time that is kept for stock, where stock may answer instead."""

CLOSED_SHARE: Final = 0.05
"""The part that is kept so that the caller hears of the failure, where stock may not."""

MANY_CIRCUITS: Final = 1024


class Road(Protocol):
    """How calls travel to a service."""

    async def send(self, operation: Operation, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Answer the calls of one operation, one outcome each; never raises a Problem."""
        ...


class OpenRoad(Road, Protocol):
    """A road that is closed when nobody needs it any more."""

    def close(self) -> None:
        """Let calls in flight end, keep nothing open behind them."""
        ...


class Editions:
    """What one process keeps for calls to bindings, whoever in it calls."""

    def __init__(
        self,
        keys: CallKeys | None = None,
        clock: Clock | None = None,
        process: str = "host",
        *,
        out: Outbound | None = None,
        checks: Collection[str] = CHECKS,
    ) -> None:
        """Without `keys` no edition is reached; `allow` says which addresses are."""
        self._keys, self._clock, self._checks = keys, clock or Clock(), checks
        self._out = out or Outbound(Rules())
        self._key: SigningKey | None = None
        self._circuits: dict[UUID, Circuit] = {}
        self.observations = Observations(process, self._clock)
        self.shadows = Shadows(self._clock, self.observations)

    def allow(self, rules: Rules) -> None:
        """Send by these rules."""
        self._out.rules = rules

    def road(self, binding: Binding) -> EditionRoad:
        """The road to an edition; Unauthenticated where this process may send to none."""
        if self._key is None:
            if self._keys is None:
                raise Unauthenticated("this process has no keys for calls to editions")
            self._key = SigningKey.of(self._keys)
        return EditionRoad(binding, self._out, self._key, self._checks)

    def circuit(self, binding: Binding) -> Circuit:
        """The circuit to an edition."""
        found = self._circuits.get(binding.id)
        if found is None:
            if len(self._circuits) >= MANY_CIRCUITS:
                noisy = {name: one for name, one in self._circuits.items() if not one.quiet}
                self._circuits = noisy
            found = self._circuits[binding.id] = Circuit(self._clock)
        return found

    def shut(self, binding: Binding) -> bool:
        """Whether calls are kept at home."""
        found = self._circuits.get(binding.id)
        return found is not None and found.shut

    @property
    def open_circuits(self) -> int:
        """To how many editions nothing is sent."""
        return sum(circuit.shut for circuit in self._circuits.values())

    async def close(self) -> None:
        """Ask nobody any more."""
        await self.shadows.close()
        self._out.close()


class Releases:
    """The roads of one caller to what is bound, opened when first needed."""

    def __init__(self, reach: Callable[[str], OpenRoad], editions: Editions | None = None) -> None:
        """`reach` opens the road to the address of a release of ours."""
        self._reach = reach
        self._editions = editions or Editions()
        self._open: dict[str, OpenRoad] = {}

    def close_all_but(self, used: AbstractSet[str]) -> None:
        """Close the roads to addresses that no binding names any more."""
        for address in self._open.keys() - used:
            self._open.pop(address).close()

    def place(self, binding: Binding) -> Hashable:
        """What may be sent together goes to the same place; None is stock.

        A release of ours takes calls of several tenants; an edition those of its own, and calls
        that are kept at home do not wait for the one that tries.
        """
        if binding.foreign:
            return binding.id, self._editions.shut(binding)
        return binding.address

    async def send(
        self,
        operation: Operation,
        calls: Sequence[Call[Any]],
        found: Sequence[Binding],
        stock: Binding,
        stock_road: Road,
    ) -> list[Outcome]:
        """Answer calls whose bindings are of one place; each outcome says who answered.

        A pure question that found nobody is asked once more. Where still nobody answers, stock
        does if the binding says so; a command is never sent anywhere else, nor is what the contract
        calls closed.
        """
        began, first = time.perf_counter(), found[0]
        hurried = _hurried(operation, calls, first) if first.foreign else calls
        outcomes = await self.ask(first, operation, hurried)
        self._editions.observations.ended(found, outcomes, time.perf_counter() - began)
        for outcome, binding in zip(outcomes, found, strict=True):
            outcome.by = binding
        places = [
            i
            for i, outcome in enumerate(outcomes)
            if _falls_back(operation, found[i]) and failure_of(outcome) is not None
        ]
        await _again(outcomes, places, calls, lambda some: stock_road.send(operation, some))
        for i in places:
            self._editions.observations.fell_back(found[i])
            outcomes[i].by = msgspec.structs.replace(
                stock, id=found[i].id, generation=found[i].generation, fallback=True
            )
        return outcomes

    async def ask(
        self, binding: Binding, operation: Operation, calls: Sequence[Call[Any]]
    ) -> list[Outcome]:
        """Ask what is bound and nobody else; a pure question that found nobody once more."""
        if not binding.foreign:
            return await self._twice(binding, operation, calls)
        circuit = self._editions.circuit(binding)
        if not circuit.enter():
            return [lost(operation, "open-circuit") for _ in calls]
        answered: bool | None = None
        try:
            outcomes = await self._twice(binding, operation, calls)
            answered = any(failure_of(outcome) is None for outcome in outcomes)
            return outcomes
        finally:
            circuit.leave(answered=answered, calls=len(calls))

    async def _twice(
        self, binding: Binding, operation: Operation, calls: Sequence[Call[Any]]
    ) -> list[Outcome]:
        outcomes = await self._try(binding, operation, calls)
        if not operation.command:
            places = [i for i, o in enumerate(outcomes) if failure_of(o) == "unreachable"]
            await _again(outcomes, places, calls, lambda some: self._try(binding, operation, some))
        return outcomes

    async def _try(
        self, binding: Binding, operation: Operation, calls: Sequence[Call[Any]]
    ) -> list[Outcome]:
        """Send; what is no answer of this contract is an outcome too."""
        try:
            outcomes = await self._road(binding).send(operation, calls)
            if len(outcomes) == len(calls):
                return outcomes
            error = f"{len(calls)} calls got {len(outcomes)} answers"
        except Exception as raised:
            error = repr(raised)
        address = binding.address
        log.error("release", contract=operation.contract, address=address, error=error)
        problem = Internal(f"the release of {operation.contract} that is bound answers nonsense")
        return [Outcome(problem=problem, status=problem.status) for _ in calls]

    def _road(self, binding: Binding) -> Road:
        if binding.foreign:
            return self._editions.road(binding)
        address = str(binding.address)
        if address not in self._open:
            self._open[address] = self._reach(address)
        return self._open[address]


def _falls_back(operation: Operation, binding: Binding) -> bool:
    return binding.on_failure == "fallback" and not (operation.command or operation.closed)


def _hurried(operation: Operation, calls: Sequence[Call[Any]], binding: Binding) -> list[Call[Any]]:
    """The same calls with less time, so that some is left for what follows a failure."""
    share = FALLBACK_SHARE if _falls_back(operation, binding) else CLOSED_SHARE
    deadline = time.monotonic() + left_s(operation, latest(calls)) * (1 - share)
    return [until(call, deadline) for call in calls]


Sender = Callable[[Sequence[Call[Any]]], Any]


async def _again(
    outcomes: list[Outcome], places: list[int], calls: Sequence[Call[Any]], send: Sender
) -> None:
    """Replace the outcomes at some places by those of another attempt."""
    if places:
        answers = await send([calls[i] for i in places])
        for i, outcome in zip(places, answers, strict=True):
            outcomes[i] = outcome
