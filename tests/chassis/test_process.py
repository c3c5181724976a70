"""What a process keeps going, and how that ends."""

import asyncio
from uuid import UUID

import pytest

from guilder.chassis.bindings import Binding
from guilder.chassis.clock import Clock
from guilder.chassis.process import Built, Process, Sweep
from guilder.chassis.serve import Outcome
from guilder.chassis.settings import BadSetting
from guilder.contracts.declare import Contract


async def test_a_sweep_that_loses_its_end_in_an_error_does_not_hold_the_process_up(tmp_path):
    """A payment that is given up writes so; where that fails, nobody hears of the cancellation."""
    rounds, at_work = [], asyncio.Event()

    async def work() -> None:
        rounds.append(len(rounds))
        if len(rounds) > 1:
            raise asyncio.CancelledError
        at_work.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("the database is down") from None

    process = Process({}, {}, tmp_path, Clock(), {})
    process.built["payments"] = Built(Contract(), sweeps=[Sweep(0.0, work)])
    process._begin()
    await at_work.wait()
    process.leave()
    await process.stop()
    assert rounds == [0]


async def test_a_process_tells_what_it_saw_of_bindings_before_it_ends(tmp_path):
    told = []

    class Desk:
        async def observe(self, ctx, request):
            told.append(request.seen[0].calls)

    process = Process({}, {}, tmp_path, Clock(), {})
    process._registry = Desk()
    bound = Binding("pricing", "B", id=UUID(int=1))
    process.editions.observations.ended([bound], [Outcome("x")], 0.1)
    await process.stop()
    assert told == [1]


async def test_a_process_does_not_start_with_networks_that_are_none(tmp_path):
    process = Process({}, {}, tmp_path, Clock(), {"GUILDER_OUTBOUND_ALLOW": "10.0.0.1/8"})
    with pytest.raises(BadSetting, match="GUILDER_OUTBOUND_ALLOW"):
        await process.start(background=False)
