"""Shadows: editions that are asked what somebody else has answered already, and compared with it.

Nobody waits for a shadow. Questions stand in a short queue of each binding; where it is full they
are dropped, and counted.
"""

import asyncio
import time
import typing
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import cache
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
import structlog

from guilder.chassis.bindings import Binding
from guilder.chassis.clock import Clock
from guilder.chassis.observation import Observations, failure_of
from guilder.chassis.serve import Outcome, left_s, until
from guilder.contracts.context import Call
from guilder.contracts.declare import Operation
from guilder.contracts.edition import MOST_ITEMS, holds_personal, shows_personal
from guilder.contracts.registry.observations import Difference
from guilder.contracts.values import Money

log = structlog.get_logger()

PAUSE_S: Final = 0.02
"""So long after an answer its question goes to a shadow: the answer has left, others came."""

MOST_WAITING: Final = 512
"""Questions that wait for one shadow."""

MOST_AT_ONCE: Final = 16
"""Shadows that are asked at the same time, by one process."""

LONGEST_TEXT: Final = 80

Ask = Callable[[Binding, Operation, Sequence[Call[Any]]], Awaitable[list[Outcome]]]


class _Question(msgspec.Struct, frozen=True):
    ask: Ask
    operation: Operation
    call: Call[Any]
    served: Outcome


class Shadows:
    """The shadows of one process."""

    def __init__(self, clock: Clock, observations: Observations) -> None:
        """What is found goes to `observations`."""
        self._clock, self._observations = clock, observations
        self._waiting: dict[UUID, deque[_Question]] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(MOST_AT_ONCE)

    def offer(
        self, ask: Ask, binding: Binding, operation: Operation, call: Call[Any], served: Outcome
    ) -> None:
        """Compare this answer later; costs the caller nothing but this line."""
        if failure_of(served) is not None:
            return  # nothing to compare with
        waiting = self._waiting.setdefault(binding.id, deque())
        if len(waiting) >= MOST_WAITING:
            self._observations.dropped(binding)
            return
        waiting.append(_Question(ask, operation, call, served))
        if binding.id not in self._tasks:
            self._tasks[binding.id] = asyncio.create_task(self._work(binding, waiting))

    async def _work(self, binding: Binding, waiting: deque[_Question]) -> None:
        """Ask what waits, until nothing does."""
        try:
            while waiting:
                await self._clock.sleep(PAUSE_S)
                async with self._room:
                    some = [waiting.popleft() for _ in range(min(len(waiting), MOST_ITEMS))]
                    await self._compare(binding, some)
        finally:
            self._tasks.pop(binding.id, None)
            self._waiting.pop(binding.id, None)

    async def _compare(self, binding: Binding, some: list[_Question]) -> None:
        first = some[0]
        alike = [q for q in some if (q.operation, q.ask) == (first.operation, first.ask)]
        rest = [q for q in some if (q.operation, q.ask) != (first.operation, first.ask)]
        operation, began = first.operation, time.perf_counter()
        deadline = time.monotonic() + left_s(operation, 0.0)
        calls = [until(question.call, deadline) for question in alike]
        try:
            outcomes = await first.ask(binding, operation, calls)
        except Exception:  # of ours: a shadow itself has outcomes only
            log.exception("defect", operation=operation.id, binding=str(binding.id))
            self._observations.dropped(binding, len(alike))
        else:
            took = time.perf_counter() - began
            self._observations.ended([binding] * len(outcomes), outcomes, took)
            for question, outcome in zip(alike, outcomes, strict=True):
                if failure_of(outcome) is None:
                    found = differences(operation, question.served, outcome)
                    self._observations.compared(binding, found)
        if rest:
            await self._compare(binding, rest)

    async def settle(self) -> None:
        """Wait until nothing waits; for tests."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values())

    async def close(self) -> None:
        """Ask no more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()  # one that had not begun has not ended either
        self._waiting.clear()


# ── what differs ─────────────────────────────────────────────────────────────────────────────


def differences(operation: Operation, serving: Outcome, other: Outcome) -> Iterator[Difference]:
    """The fields in which two answers to the same question differ.

    Amounts in minor units. Texts only of fields that hold a word of a closed list, a number or a
    flag, where the operation is shown personal data; and never of a field that is personal.
    """
    words = [one.problem.code if one.problem else "answered" for one in (serving, other)]
    if words[0] != words[1]:
        yield Difference(field="problem", serving=words[0], other=words[1])
    if serving.problem is not None or other.problem is not None:
        return
    private = _private(operation)
    answers = serving.value(operation), other.value(operation)
    yield from _differ("", operation.answer, *answers, private=private)


_private = cache(shows_personal)


def _differ(
    path: str, kind: Any, serving: Any, other: Any, *, private: bool
) -> Iterator[Difference]:
    if serving == other:
        return
    name = path[:LONGEST_TEXT] or "answer"
    if isinstance(serving, Money) and isinstance(other, Money):
        same = serving.currency == other.currency
        yield Difference(
            field=name,
            currency=serving.currency if same else None,
            delta_minor=other.minor - serving.minor if same else None,
            serving=None if same else str(serving)[:LONGEST_TEXT],
            other=None if same else str(other)[:LONGEST_TEXT],
        )
    elif isinstance(serving, msgspec.Struct) and type(serving) is type(other):
        for part, declared in typing.get_type_hints(type(serving), include_extras=True).items():
            inner = f"{path}.{part}" if path else part
            pair = getattr(serving, part), getattr(other, part)
            yield from _differ(inner, declared, *pair, private=private)
    elif isinstance(serving, list) and isinstance(other, list) and len(serving) == len(other):
        for one, two in zip(serving, other, strict=True):
            yield from _differ(path, _inside(kind), one, two, private=private)
    elif isinstance(serving, list) and isinstance(other, list):
        counts = f"{len(serving)} items", f"{len(other)} items"
        yield Difference(field=name, serving=counts[0], other=counts[1])
    elif _tellable(kind, private=private):
        yield Difference(field=name, serving=_text(serving), other=_text(other))
    else:
        yield Difference(field=name)


def _inside(kind: Any) -> Any:
    """What a list holds."""
    bare = typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind
    return (*typing.get_args(bare), Any)[0]


def _tellable(kind: Any, *, private: bool) -> bool:
    """Whether a value of this type may be written down."""
    if holds_personal(kind):
        return False
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    return not private or kind in (int, bool) or typing.get_origin(kind) is Literal


def _text(value: Any) -> str:
    return str(value)[:LONGEST_TEXT]
