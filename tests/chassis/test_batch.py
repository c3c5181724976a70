"""Gathering: order, one batch in flight, and nobody suffers from what happens to another."""

import asyncio

import pytest

from guilder.chassis.batch import MAX_BATCH, Gatherer
from guilder.chassis.testing import somebody
from guilder.contracts.context import Call
from guilder.contracts.errors import NotFound, Problem, Unavailable

CTX = somebody(1).ctx()


class Line:
    """Where batches arrive; each waits until it is let go."""

    def __init__(self):
        self.batches, self.gates, self.answer = [], [], lambda n: n * 10
        self.gatherer = Gatherer(self.send)

    async def send(self, calls):
        gate = asyncio.Event()
        self.batches.append([call.request for call in calls])
        self.gates.append(gate)
        await gate.wait()
        return [self.answer(call.request) for call in calls]

    def ask(self, n):
        return asyncio.create_task(self.gatherer.ask(Call(CTX, n)))


async def turn():
    """Let every task go as far as it can without a gate."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_idle_gatherer_sends_at_once_and_gathers_while_one_is_in_flight():
    line = Line()
    asked = [line.ask(0)]
    await turn()
    assert line.batches == [[0]]
    asked += [line.ask(n) for n in range(1, 6)]
    await turn()
    assert line.batches == [[0]]
    line.gates[0].set()
    await turn()
    assert line.batches == [[0], [1, 2, 3, 4, 5]]
    line.gates[1].set()
    assert await asyncio.gather(*asked) == [0, 10, 20, 30, 40, 50]
    asked = line.ask(6)
    await turn()
    assert line.batches[2:] == [[6]]
    line.gates[2].set()
    assert await asked == 60


async def test_batches_are_bounded():
    line = Line()
    asked = [line.ask(n) for n in range(2 * MAX_BATCH + 1)]
    for n in range(3):
        await turn()
        line.gates[n].set()
    assert await asyncio.gather(*asked) == [n * 10 for n in range(2 * MAX_BATCH + 1)]
    assert [len(batch) for batch in line.batches] == [MAX_BATCH, MAX_BATCH, 1]


async def test_a_problem_reaches_its_caller_alone():
    line = Line()
    line.answer = lambda n: NotFound(f"no {n}") if n == 1 else n
    asked = [line.ask(n) for n in range(3)]
    await turn()
    line.gates[0].set()
    assert await asked[0] == 0
    with pytest.raises(NotFound, match="no 1"):
        await asked[1]
    assert await asked[2] == 2


async def test_a_cancelled_caller_disturbs_nobody_and_is_not_sent_any_more():
    line = Line()
    first, second, third = line.ask(0), None, None
    await turn()
    second, third = line.ask(1), line.ask(2)
    await turn()
    first.cancel()
    second.cancel()
    await turn()
    line.gates[0].set()
    await turn()
    assert line.batches == [[0], [2]]
    line.gates[1].set()
    assert await third == 20
    assert first.cancelled()
    assert second.cancelled()


@pytest.mark.parametrize("error", [OSError("gone"), BaseExceptionGroup("x", [KeyError()])])
async def test_an_error_of_the_batch_is_everybodys_and_the_next_batch_goes_on(error):
    line = Line()

    def fail(n):
        raise error

    line.answer = fail
    asked = [line.ask(n) for n in range(3)]
    await turn()
    line.gates[0].set()
    assert await asyncio.gather(*asked, return_exceptions=True) == [error] * 3
    line.answer = lambda n: n
    again = line.ask(4)
    await turn()
    line.gates[1].set()
    assert await again == 4


async def test_too_few_answers_are_an_error_for_all_instead_of_a_wait_for_ever():
    async def short(calls):
        return [1]

    gatherer = Gatherer(short)
    asked = [gatherer.ask(Call(CTX, n)) for n in range(2)]
    ended = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
    assert [type(e) for e in ended] == [RuntimeError, RuntimeError]


async def test_when_sending_is_cancelled_nobody_waits_for_ever():
    line = Line()
    asked = [line.ask(0)]
    await turn()
    asked.append(line.ask(1))
    await turn()
    line.gatherer._task.cancel()
    ended = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
    assert all(isinstance(e, Unavailable) and isinstance(e, Problem) for e in ended)
    later = line.ask(2)
    await turn()
    line.gates[-1].set()
    assert await later == 20
