"""Services that are gone, hang, or lose their answers, by the road on which payments asks them."""

import asyncio
from contextlib import contextmanager

import msgspec

from guilder.chassis.serve import Outcome
from guilder.contracts.context import Call
from guilder.contracts.errors import Unavailable


class Gone:
    """Nobody answers."""

    def __init__(self, real):
        self.real = real

    async def send(self, operation, calls):
        problem = Unavailable(f"{operation.contract} does not answer", retry_after=1)
        return [Outcome(problem=problem, status=503) for _ in calls]


class Loses(Gone):
    """What was asked is done, but the answer does not arrive."""

    async def send(self, operation, calls):
        await self.real.send(operation, calls)
        return await super().send(operation, calls)


class Hangs(Gone):
    """Calls stand in the socket of a process that is stopped, until it goes on."""

    def __init__(self, real):
        super().__init__(real)
        self.go = asyncio.Event()
        self.held = []

    async def send(self, operation, calls):
        self.held.append(asyncio.create_task(self._late(operation, calls)))
        try:
            async with asyncio.timeout(0.4):
                return await asyncio.shield(self.held[-1])
        except TimeoutError:
            return await super().send(operation, calls)

    async def _late(self, operation, calls):
        await self.go.wait()  # the time that is left counts from when a call is read
        fresh = [Call(msgspec.structs.replace(c.ctx, deadline=0.0), c.request) for c in calls]
        return await self.real.send(operation, fresh)


@contextmanager
def road(world, kind, *contracts):
    """Let payments reach these contracts by a road of this kind; None = every contract."""
    process, known = world.process, {}
    far = process._far

    def bad(contract, caller):
        if caller != "payments" or (contracts and contract not in contracts):
            return far(contract, caller)
        if contract not in known:
            known[contract] = kind(far(contract, caller))
        return known[contract]

    process._far = bad
    try:
        yield known
    finally:
        process._far = far


def forget(world):
    """Let payments remember nothing of others, as after a start."""
    service = world.process.built["payments"].service
    service.others._zones.clear()
    service.others._fee_accounts.clear()
    service.screen.names._known.clear()
    service.sealer._cache.clear()
