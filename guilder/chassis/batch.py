"""Gathers the calls that arrive while the previous batch is in flight.

An idle gatherer sends at once; under load one commit serves tens of calls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Protocol, TypeVar

from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Answers, Batch
from guilder.contracts.errors import Problem, Unavailable

A = TypeVar("A")
R = TypeVar("R")

Waiting = tuple[Call[Any], asyncio.Future[Any]]

MAX_BATCH = 256
MAX_WAITING = 10_000


class Gatherer:
    """Turns single calls of one operation into batches, one batch in flight."""

    def __init__(self, send: Callable[[list[Call[Any]]], Awaitable[list[Any]]]) -> None:
        """`send` answers a batch: one answer or Problem per call, in order."""
        self._send = send
        self._waiting: list[Waiting] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight or waits."""
        return self._task is None

    async def ask(self, call: Call[Any]) -> Any:
        """Answer one call, or raise its Problem."""
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("too many calls are waiting", retry_after=1)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        answer = await future
        if isinstance(answer, Problem):
            raise answer
        return answer

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                batch = [item for item in batch if not item[1].done()]  # nobody waits any more
                for (_, future), answer in zip(batch, await self._answers(batch), strict=True):
                    if future.done():
                        continue
                    if isinstance(answer, BaseException) and not isinstance(answer, Problem):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._task = None
            self._waiting = _give_up(self._waiting)  # none, unless the task itself was ended

    async def _answers(self, batch: list[Waiting]) -> list[Any]:
        """One answer, Problem or error for each; whoever waits gets one, whatever happens."""
        if not batch:
            return []
        try:
            answers = await self._send([call for call, _ in batch])
        except asyncio.CancelledError:
            _give_up(batch)
            raise
        except BaseException as error:
            return [error] * len(batch)
        if len(answers) != len(batch):
            wrong = RuntimeError(f"{len(batch)} calls got {len(answers)} answers")
            return [wrong] * len(batch)
        return answers


def _give_up(waiting: list[Waiting]) -> list[Waiting]:
    """Tell everybody who waits that nothing comes any more."""
    for _, future in waiting:
        if not future.done():
            future.set_exception(Unavailable("the batch was given up", retry_after=1))
    return []


class Gatherers:
    """The gatherers of one operation, one for each place where its calls go.

    A place that is slow or gone keeps nobody waiting who is served elsewhere.
    """

    def __init__(
        self,
        send: Callable[[list[Call[Any]]], Awaitable[list[Any]]],
        where: Callable[[Call[Any]], Hashable],
    ) -> None:
        """`where` names the place of a call."""
        self._send, self._where = send, where
        self._places: dict[Hashable, Gatherer] = {}

    async def ask(self, call: Call[Any]) -> Any:
        """Answer one call."""
        place = self._where(call)
        if place not in self._places:
            for idle in [name for name, gatherer in self._places.items() if gatherer.idle]:
                del self._places[idle]
            self._places[place] = Gatherer(self._send)
        return await self._places[place].ask(call)

    async def apart(self, call: Call[Any]) -> Any:
        """Answer one call by itself, beside whatever is in flight."""
        (answer,) = await self._send([call])
        return answer


class Answered(Protocol):
    """What the gatherers of a client give: `answer` or `problem`, and `by` which binding."""

    answer: Any
    problem: Problem | None
    by: Any


def _gatherers(operation: Any) -> Gatherers:
    """Those of a client's batch operation."""
    found: Gatherers = operation.__self__.gatherers[operation.__name__]
    return found


async def answered(
    operation: Callable[[Batch[R]], Awaitable[Answers[A]]], ctx: Context, request: R
) -> tuple[A, Any]:
    """The same as `one`, with the binding that answered."""
    outcome: Answered = await _gatherers(operation).ask(Call(ctx, request))
    if outcome.problem is not None:
        raise outcome.problem
    return outcome.answer, outcome.by


async def apart(
    operation: Callable[[Batch[R]], Awaitable[Answers[A]]], ctx: Context, request: R
) -> Answered:
    """The outcome of one item that is not gathered: it may be slow and keeps nobody waiting."""
    outcome: Answered = await _gatherers(operation).apart(Call(ctx, request))
    return outcome


async def one(
    operation: Callable[[Batch[R]], Awaitable[Answers[A]]], ctx: Context, request: R
) -> A:
    """Call a client's batch operation for one item, gathered with others; raises its Problem."""
    answer, _ = await answered(operation, ctx, request)
    return answer
