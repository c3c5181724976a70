"""Gathers the calls that arrive while the previous batch is in flight.

An idle gatherer sends at once; under load one commit serves tens of calls.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Answers, Batch
from guilder.contracts.errors import Problem, Unavailable

A = TypeVar("A")
R = TypeVar("R")

MAX_BATCH = 256
MAX_WAITING = 10_000


class Gatherer:
    """Turns single calls of one operation into batches, one batch in flight."""

    def __init__(self, send: Callable[[list[Call[Any]]], Awaitable[list[Any]]]) -> None:
        """`send` answers a batch: one answer or Problem per call, in order."""
        self._send = send
        self._waiting: list[tuple[Call[Any], asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None

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
                try:
                    answers = await self._send([call for call, _ in batch])
                except Exception as error:
                    answers = [error] * len(batch)
                for (_, future), answer in zip(batch, answers, strict=True):
                    if future.done():
                        continue
                    if isinstance(answer, Exception) and not isinstance(answer, Problem):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._task = None


async def one(
    operation: Callable[[Batch[R]], Awaitable[Answers[A]]], ctx: Context, request: R
) -> A:
    """Call a client's batch operation for one item, gathered with others; raises its Problem."""
    bound: Any = operation
    gatherer: Gatherer = bound.__self__.gatherers[bound.__name__]
    answer: A = await gatherer.ask(Call(ctx, request))
    return answer
