"""A second release of pricing beside the first: one tenant is moved there and back, under load.

Two servers on one schema. The later release says so in its rule, so a decision that names the wrong
release is seen.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
import uvicorn
from payments_desk import eur, open_desk
from starlette.applications import Starlette

from guilder.chassis import observe
from guilder.chassis.call import callers
from guilder.chassis.contract import plain
from guilder.chassis.process import Built, Process
from guilder.chassis.serve import service_routes
from guilder.chassis.testing import CALL_KEYS, operator, somebody
from guilder.contracts.access import v1 as access
from guilder.contracts.context import PLATFORM
from guilder.contracts.payments import v1
from guilder.contracts.pricing.v1 import Quoted, Tier
from guilder.contracts.registry import v1 as registry
from guilder.services.pricing.service import PricingService

LATER = ", by the later release"


class LaterPricing(PricingService):
    """Release 1.1.0."""

    release = "1.1.0"

    async def quote(self, calls):
        return [
            msgspec.structs.replace(a, rule=a.rule + LATER) if isinstance(a, Quoted) else a
            for a in await super().quote(calls)
        ]


@asynccontextmanager
async def second_release(world):
    """The later release of pricing, served on a socket of its own; its address."""
    folder = Path(tempfile.mkdtemp(prefix="gn-"))
    process = Process(
        {
            "pricing": lambda parts: Built(
                LaterPricing(parts.store, parts.once, parts.calls.bindings)
            )
        },
        {"pricing": world.process.stores["pricing"]._connect},
        folder,
        world.clock,
        {},
        far=world.road,
        keys=CALL_KEYS,
    )
    await process.start(background=False)
    routes = observe.routes(process)
    routes += service_routes(process.endpoints["pricing"], CALL_KEYS, callers("pricing"))
    path = folder / "pricing.sock"
    config = uvicorn.Config(
        Starlette(routes=routes), uds=str(path), log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110  uvicorn offers no event
        await asyncio.sleep(0.005)
    try:
        yield f"unix:{path}"
    finally:
        server.should_exit = True
        await serving
        await process.stop()
        shutil.rmtree(folder)


@asynccontextmanager
async def following(world):
    """The process follows the directory, as it does outside of tests."""
    task = asyncio.create_task(world.process.directory.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def bind(world, desk, address, **more):
    """Propose as one operator, approve as another, let the registry execute it; the binding."""
    other = somebody(PLATFORM)
    role = access.GrantRole(subject=other.principal.id, role="operator")
    await world.client(access.Access).assign(other.ctx(), role)
    asked = registry.Bind(
        tenant=desk.bank.slug, contract="pricing", version="1.1.0", address=address, **more
    )
    answer = await world.public(registry.Registry).bind(operator().ctx(), asked)
    proposal = UUID(plain(answer)["id"])
    verdict = access.Verdict(proposal_id=proposal)
    await world.public(access.Access).approve(other.ctx(), verdict)
    for follower in world.process.built["registry"].followers:
        while await follower.step():
            pass
    query = registry.BindingQuery(tenant=desk.bank.slug, in_force=True)
    (record,) = (
        await world.public(registry.Registry).binding_history(operator().ctx(), query)
    ).items
    return record


async def end(world, record):
    request = registry.BindingId(binding_id=record.id)
    await world.public(registry.Registry).end_binding(operator().ctx(), request)


async def priced(desk, made):
    """Who priced a payment, by the record and by what the release itself said."""
    read = await desk.read(made.id)
    (said,) = [decision for decision in read.decisions if decision.step == "pricing"]
    return said.by, said.generation, LATER in said.outcome


async def moved_to(world, desk, version):
    """Wait until the process knows."""
    bindings = world.process.bindings
    while bindings.resolve(desk.bank.number, "pricing").version != version:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


class Traffic:
    """Payments without a pause; every one of them must be booked."""

    def __init__(self, desk, workers=4):
        self.desk, self.made, self.failed, self._end = desk, [], [], False
        self._tasks = [asyncio.create_task(self._pay()) for _ in range(workers)]

    async def _pay(self):
        while not self._end:
            try:
                self.made.append(
                    await self.desk.public().create(
                        self.desk.bank.manager.ctx(), self.desk.order("0.01")
                    )
                )
            except Exception as error:
                self.failed.append(error)

    async def more(self, count=12):
        """Wait until so many more are booked."""
        until = len(self.made) + count
        while len(self.made) < until and not self.failed:  # noqa: ASYNC110  they never wait
            await asyncio.sleep(0.005)

    async def stop(self):
        self._end = True
        await asyncio.gather(*self._tasks)


async def test_a_tenant_is_moved_there_and_back_without_a_failed_payment(world):
    desk = await open_desk(world, "1000.00")
    neighbour = await open_desk(world, "1000.00")
    for one in (desk, neighbour):
        await one.tariff(Tier(flat=eur("0.01")))
    async with second_release(world) as address, following(world):
        moved, beside = Traffic(desk), Traffic(neighbour, 2)
        records = []
        for _ in range(2):
            await moved.more()
            records.append(await bind(world, desk, address))
            async with asyncio.timeout(1):  # in force within a second, or this fails
                await moved_to(world, desk, "1.1.0")
            await moved.more()
            await end(world, records[-1])
        await moved.more()
        await moved.stop()
        await beside.stop()
    assert (moved.failed, beside.failed) == ([], [])
    seen = Counter([await priced(desk, made) for made in moved.made])
    generations = [record.generation for record in records]
    assert set(seen) == {
        ("pricing A.1.0.0", 0, False),
        *(("pricing A.1.1.0", generation, True) for generation in generations),
    }
    assert {await priced(neighbour, made) for made in beside.made} == {
        ("pricing A.1.0.0", 0, False)
    }
    assert await desk.findings() == []


@pytest.mark.parametrize("on_failure", ["closed", "fallback"])
async def test_what_a_dead_release_does_to_its_tenant_and_to_nobody_else(world, on_failure):
    desk, neighbour = await open_desk(world), await open_desk(world)
    async with second_release(world) as address:
        record = await bind(world, desk, address, on_failure=on_failure)
        await world.settle()
        made = await desk.public().create(desk.bank.manager.ctx(), desk.order("1.00"))
        assert (await priced(desk, made))[0] == "pricing A.1.1.0"
    quote = v1.QuoteRequest(
        debtor_account=str(desk.mine.id),
        creditor_account=desk.hers.iban,
        amount=eur("1.00"),
    )
    asking = desk.public().quote(desk.bank.manager.ctx(), quote)
    if on_failure == "fallback":
        assert (await asking).decided_by == "pricing A.1.0.0 (fallback)"
        made = await desk.public().create(desk.bank.manager.ctx(), desk.order("1.00"))
        expected = ("pricing A.1.0.0 (fallback)", record.generation, False)
        assert await priced(desk, made) == expected
    else:
        with pytest.raises(Exception, match="pricing does not answer"):
            await asking
    made = await neighbour.public().create(neighbour.bank.manager.ctx(), neighbour.order("1.00"))
    assert (await priced(neighbour, made))[0] == "pricing A.1.0.0"
    await end(world, record)
    await world.settle()
    made = await desk.public().create(desk.bank.manager.ctx(), desk.order("1.00"))
    assert await priced(desk, made) == ("pricing A.1.0.0", 0, False)


async def test_a_release_is_asked_what_it_is(world):
    desk = await open_desk(world)
    asked = registry.Bind(
        tenant=desk.bank.slug, contract="pricing", version="1.1.0", address="unix:/nowhere.sock"
    )
    public = world.public(registry.Registry)
    with pytest.raises(registry.ReleaseUnreachable):
        await public.bind(operator().ctx(), asked)
    async with second_release(world) as address:
        for wrong in ({"version": "1.2.0"}, {"contract": "payments"}):
            request = msgspec.structs.replace(asked, address=address, **wrong)
            with pytest.raises(registry.WrongRelease):
                await public.bind(operator().ctx(), request)
