"""Approved commands while a window is in force: put aside, nobody waits behind, done afterwards."""

import pytest
import pytest_asyncio

from guilder.chassis.contract import convert, plain
from guilder.chassis.directory import DirectoryFollower
from guilder.chassis.testing import make_bank, new_id, somebody
from guilder.contracts.access import v1
from guilder.contracts.registry.windows import SetReadOnly, WindowId
from tests.services.registry.maintenance_desk import open_desk


@pytest_asyncio.fixture(loop_scope="session")
async def desk(direct):
    async with open_desk(direct) as made:
        yield made


async def approved(desk, bank):
    """A role that one manager asked for and another has approved."""
    access = desk.world.public(v1.Access)
    request = v1.GrantRole(subject=new_id(), role="auditor")
    answer = await access.grant(bank.manager.ctx(), request)
    proposal = convert(plain(answer), v1.Proposal)
    verdict = v1.Verdict(proposal_id=proposal.id)
    await access.approve(bank.second_manager.ctx(), verdict)
    await desk.world.settle()
    return proposal


async def state(desk, bank, proposal):
    request = v1.ProposalId(proposal_id=proposal.id)
    return (await desk.world.public(v1.Access).proposal(bank.manager.ctx(), request)).state


async def resume(desk):
    for sweep in desk.world.process.built["access"].sweeps:
        await sweep.work()


async def aside(desk, bank):
    async with desk.world.process.stores["access"].tx(bank.number) as tx:
        return await tx.value("SELECT count(*) FROM put_aside")


@pytest.mark.parametrize("how", ["window", "read-only"])
async def test_what_was_approved_meanwhile_is_done_afterwards(desk, how):
    bank, other = await make_bank(desk.world), await make_bank(desk.world)
    if how == "window":
        window = await desk.window(tenant=bank.slug)
        await desk.pass_by(days=4)
    else:
        on = SetReadOnly(on=True, reason="a leak", tenant=bank.slug)
        await desk.registry.set_read_only(desk.who.ctx(), on)
        await desk.world.settle()
    held, free = await approved(desk, bank), await approved(desk, other)
    await resume(desk)
    assert await state(desk, bank, held) == "approved"
    assert await state(desk, other, free) == "executed"
    assert (await aside(desk, bank), await aside(desk, other)) == (1, 0)
    if how == "window":
        which = WindowId(window_id=window.id)
        await desk.registry.complete_window(desk.who.ctx(), which)
    else:
        off = SetReadOnly(on=False, reason="no leak", tenant=bank.slug)
        await desk.registry.set_read_only(desk.who.ctx(), off)
    await desk.world.settle()
    for _ in range(2):
        await resume(desk)
    assert await state(desk, bank, held) == "executed"
    assert await aside(desk, bank) == 0
    grants = await desk.world.client(v1.Access).grants(bank.manager.ctx(), v1.GrantQuery(limit=200))
    assert [g.role for g in grants.items].count("auditor") == 2


async def test_one_that_fails_keeps_no_other_waiting(desk):
    """A proposal that access does not know any more stays; the next one is executed."""
    bank = await make_bank(desk.world)
    on = SetReadOnly(on=True, reason="a leak", tenant=bank.slug)
    await desk.registry.set_read_only(desk.who.ctx(), on)
    await desk.world.settle()
    held = [await approved(desk, bank) for _ in range(3)]
    off = SetReadOnly(on=False, reason="no leak", tenant=bank.slug)
    await desk.registry.set_read_only(desk.who.ctx(), off)
    await desk.world.settle()
    service = desk.world.process.built["access"].service
    whole, broken = service.grant, {str(held[0].id)}

    async def grant(ctx, request):
        if str(ctx.approval) in broken:
            raise ConnectionResetError("the database is gone")
        return await whole(ctx, request)

    service.grant = grant
    try:
        await resume(desk)
        assert [await state(desk, bank, p) for p in held] == ["approved", "executed", "executed"]
        broken.clear()
        await resume(desk)
    finally:
        del service.grant
    assert {await state(desk, bank, p) for p in held} == {"executed"}
    assert await aside(desk, bank) == 0


async def test_one_that_meets_an_outage_keeps_no_later_one_waiting(desk):
    """Before the first is put aside it stands at the head of the feed."""
    bank = await make_bank(desk.world)
    service = desk.world.process.built["access"].service
    whole, broken = service.grant, []

    async def grant(ctx, request):
        if broken in ([], [ctx.approval]):
            broken[:] = [ctx.approval]
            raise ConnectionResetError("the database is gone")
        return await whole(ctx, request)

    service.grant = grant
    try:
        first, second = await approved(desk, bank), await approved(desk, bank)
        assert broken == [first.id]
        assert [await state(desk, bank, p) for p in (first, second)] == ["approved", "executed"]
        assert await aside(desk, bank) == 1
    finally:
        del service.grant
    await resume(desk)
    assert await state(desk, bank, first) == "executed"
    assert await aside(desk, bank) == 0


async def test_operators_own_proposals_are_executed_whatever_is_in_force(desk):
    await desk.registry.set_read_only(desk.who.ctx(), SetReadOnly(on=True, reason="a leak"))
    await desk.world.settle()
    window = await desk.window(service="vault")
    assert window.state == "scheduled"
    bank = await make_bank(desk.world)
    held = await approved(desk, bank)
    assert await state(desk, bank, held) == "approved"
    assert somebody(bank.number).tenant == bank.number


async def test_a_process_that_has_heard_nothing_yet_puts_it_aside(desk, monkeypatch):
    """It started while the registry was gone: read-only mode may be on."""
    bank, follower = await make_bank(desk.world), desk.world.process.directory
    with monkeypatch.context() as patch:
        patch.setattr(follower, "latest", DirectoryFollower(None, None, desk.world.clock).latest)
        patch.setattr(follower, "refresh", nothing)
        proposal = await approved(desk, bank)
        await resume(desk)
        assert await state(desk, bank, proposal) == "approved"
    await resume(desk)
    assert await state(desk, bank, proposal) == "executed"


async def nothing() -> None:
    """No answer."""
