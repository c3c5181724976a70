"""The operators' desk: two of them, who plan windows by four eyes on a clock that comes back."""

from contextlib import asynccontextmanager
from datetime import timedelta

from guilder.chassis.contract import convert, plain
from guilder.chassis.testing import World, operator, somebody
from guilder.contracts.access.v1 import Access, GrantRole, Proposal, ProposalId, Verdict
from guilder.contracts.context import PLATFORM
from guilder.contracts.registry.v1 import Registry
from guilder.contracts.registry.windows import ScheduleWindow, Window, WindowQuery


class Desk:
    """What operators do, through the public door's rights."""

    def __init__(self, world: World) -> None:
        self.world, self.clock, self.who = world, world.clock, operator()
        self.registry = world.public(Registry)

    def ahead(self, **delta: float):
        return self.clock.now() + timedelta(**delta)

    def asked(self, **changes) -> ScheduleWindow:
        """A window in four days, for two hours."""
        begins = changes.get("begins_at", self.ahead(days=4))
        fresh = {
            "begins_at": begins,
            "ends_at": begins + timedelta(hours=2),
            "title": "New disks",
            "reason": "The disks are exchanged",
        }
        return ScheduleWindow(**(fresh | changes))

    async def propose(self, request: ScheduleWindow) -> Proposal:
        answer = await self.registry.schedule_window(self.who.ctx(), request)
        return convert(plain(answer), Proposal)

    async def approve(self, proposal: Proposal) -> Proposal:
        """Approved by a second operator and executed; the proposal as it ended."""
        second, access = somebody(PLATFORM), self.world.public(Access)
        role = GrantRole(subject=second.principal.id, role="operator")
        await self.world.client(Access).assign(second.ctx(), role)
        await access.approve(second.ctx(), Verdict(proposal_id=proposal.id))
        await self.world.settle()
        return await access.proposal(self.who.ctx(), ProposalId(proposal_id=proposal.id))

    async def window(self, **changes) -> Window:
        """A window planned by two operators."""
        ended = await self.approve(await self.propose(self.asked(**changes)))
        assert ended.state == "executed", ended.problem
        found = await self.find(ended.resource)
        assert found is not None
        return found

    async def find(self, window, who=None) -> Window | None:
        listed = await self.registry.maintenance_windows(
            (who or self.who).ctx(), WindowQuery(limit=200)
        )
        return next((item for item in listed.items if str(item.id) == str(window)), None)

    async def pass_by(self, **delta: float) -> None:
        """Time goes by; then the sweep comes, and whoever follows hears of it."""
        self.clock.move(**delta)
        await self.world.process.built["registry"].service.sweep()
        await self.world.settle()


@asynccontextmanager
async def open_desk(world: World):
    """A desk; at the end the clock is back, nothing is open and nothing is read-only."""
    before = world.clock.at
    try:
        yield Desk(world)
    finally:
        world.clock.at = before
        async with world.process.stores["registry"].tx(PLATFORM) as tx:
            await tx.execute(
                "UPDATE maintenance_window SET cancelled_at=$1"
                " WHERE cancelled_at IS NULL AND completed_at IS NULL",
                tx.at,
            )
            await tx.execute(
                "UPDATE read_only SET until=$1, until_by=since_by, until_reason='end of the test'"
                " WHERE until IS NULL",
                tx.at,
            )
            await tx.execute("UPDATE generation SET value = value + 1")
        await world.settle()
