"""The guard around calls to a release that is bound instead of stock: try, once more, fall back."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import structlog

from guilder.chassis.bindings import Binding
from guilder.chassis.serve import Outcome
from guilder.contracts.context import Call
from guilder.contracts.declare import Operation
from guilder.contracts.errors import DeadlineExceeded, Internal, Unauthenticated, Unavailable

log = structlog.get_logger()

SILENT = (Unavailable, DeadlineExceeded, Internal, Unauthenticated)
"""How a call ends where the release did not answer: it is gone, slow, broken or not ours."""


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


class Releases:
    """The roads of one caller to the releases that are bound, opened when first needed."""

    def __init__(self, reach: Callable[[str], OpenRoad]) -> None:
        """`reach` opens the road to an address."""
        self._reach = reach
        self._open: dict[str, OpenRoad] = {}

    def close_all_but(self, used: set[str]) -> None:
        """Close the roads to addresses that no binding names any more."""
        for address in self._open.keys() - used:
            self._open.pop(address).close()

    async def send(
        self,
        operation: Operation,
        calls: Sequence[Call[Any]],
        found: Sequence[Binding],
        stock: Binding,
        stock_road: Road,
    ) -> list[Outcome]:
        """Answer calls whose bindings name the same address; each outcome says who answered.

        A pure question that found nobody is asked once more. Where still nobody answers, stock
        does if the binding says so; a command is never sent anywhere else.
        """
        address = str(found[0].address)
        outcomes = await self._try(address, operation, calls)
        if not operation.command:
            lost = [i for i, o in enumerate(outcomes) if isinstance(o.problem, Unavailable)]
            await _again(outcomes, lost, calls, lambda some: self._try(address, operation, some))
        for outcome, binding in zip(outcomes, found, strict=True):
            outcome.by = binding
        if not operation.command:
            lost = [
                i
                for i, outcome in enumerate(outcomes)
                if found[i].on_failure == "fallback" and isinstance(outcome.problem, SILENT)
            ]
            await _again(outcomes, lost, calls, lambda some: stock_road.send(operation, some))
            for i in lost:
                outcomes[i].by = msgspec.structs.replace(
                    stock, generation=found[i].generation, fallback=True
                )
        return outcomes

    async def _try(
        self, address: str, operation: Operation, calls: Sequence[Call[Any]]
    ) -> list[Outcome]:
        """Send; what is no answer of this contract is an outcome too."""
        try:
            if address not in self._open:
                self._open[address] = self._reach(address)
            outcomes = await self._open[address].send(operation, calls)
            if len(outcomes) == len(calls):
                return outcomes
            error = f"{len(calls)} calls got {len(outcomes)} answers"
        except Exception as raised:
            error = repr(raised)
        log.error("release", contract=operation.contract, address=address, error=error)
        problem = Internal(f"the release of {operation.contract} that is bound answers nonsense")
        return [Outcome(problem=problem, status=problem.status) for _ in calls]


Sender = Callable[[Sequence[Call[Any]]], Any]


async def _again(
    outcomes: list[Outcome], places: list[int], calls: Sequence[Call[Any]], send: Sender
) -> None:
    """Replace the outcomes at some places by those of another attempt."""
    if places:
        answers = await send([calls[i] for i in places])
        for i, outcome in zip(places, answers, strict=True):
            outcomes[i] = outcome
