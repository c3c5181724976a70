"""Planned downtime through the contract, in the three modes."""

from datetime import datetime, timedelta

import pytest
import pytest_asyncio
from maintenance_desk import open_desk

from guilder.chassis.testing import make_bank, new_id, operator, somebody
from guilder.contracts.audit.v1 import Audit, AuditQuery
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import Forbidden, InvalidRequest, NotFound
from guilder.contracts.notifications.v1 import InboxQuery, Notifications
from guilder.contracts.registry import windows
from guilder.contracts.registry.v1 import DirectoryQuery, Registry, UnknownTenant


@pytest_asyncio.fixture(loop_scope="session")
async def desk(world):
    async with open_desk(world) as made:
        yield made


async def inbox(desk, who):
    """Topics of the maintenance messages, oldest first."""
    page = await desk.world.client(Notifications).inbox(who.ctx(), InboxQuery(limit=200))
    return [(m.topic, str(m.about)) for m in reversed(page.items)]


async def told(desk, who, window):
    return [
        topic.removeprefix("maintenance.") for topic, w in await inbox(desk, who) if w == window
    ]


async def test_a_window_lives_from_its_proposal_to_its_completion_with_exact_notices(desk):
    bank, other = await make_bank(desk.world), await make_bank(desk.world)
    proposal = await desk.propose(desk.asked(tenant=bank.slug, writes="queue"))
    assert (proposal.state, proposal.operation) == ("proposed", "registry.schedule_window")
    ended = await desk.approve(proposal)
    window = ended.resource
    assert (await desk.find(window)).state == "scheduled"
    steps = [
        ({"hours": 23, "minutes": 59}, "scheduled", []),
        ({"minutes": 1}, "scheduled", ["72h"]),
        ({"hours": 48}, "scheduled", ["24h"]),
        ({"hours": 22, "minutes": 59}, "scheduled", []),
        ({"minutes": 1}, "scheduled", ["1h"]),
        ({"minutes": 59}, "scheduled", []),
        ({"minutes": 1}, "in_progress", ["begun"]),
        ({"hours": 1, "minutes": 59}, "in_progress", []),
        ({"minutes": 1}, "verifying", ["verifying"]),
        ({"days": 1}, "verifying", []),
    ]
    expected = []
    for delta, state, fresh in steps:
        await desk.pass_by(**delta)
        expected += fresh
        assert (await desk.find(window)).state == state
        assert await told(desk, bank.auditor, window) == expected
    done = await desk.registry.complete_window(
        desk.who.ctx(), windows.WindowId(window_id=(await desk.find(window)).id)
    )
    assert (done.state, done.completed_at) == ("completed", desk.clock.now())
    await desk.pass_by(days=30)
    assert await told(desk, bank.auditor, window) == [*expected, "completed"]
    assert await told(desk, other.auditor, window) == []


async def test_who_is_late_is_told_at_once_and_what_was_missed_is_left_out(desk):
    bank = await make_bank(desk.world)
    window = await desk.window(
        begins_at=desk.ahead(hours=20),
        ends_at=desk.ahead(hours=21),
        tenant=bank.slug,
        urgent="A disk fails",
        completes_after_minutes=30,
    )
    assert window.urgent == "A disk fails"
    assert await told(desk, bank.manager, str(window.id)) == ["announced"]
    await desk.pass_by(days=3)
    expected = ["announced", "1h", "begun", "verifying", "completed"]
    assert await told(desk, bank.manager, str(window.id)) == expected
    found = await desk.find(window.id)
    assert (found.state, found.completed_at) == ("completed", window.completes_at)


async def test_a_window_of_the_platform_is_one_message_to_everyone(desk):
    bank, other = await make_bank(desk.world), await make_bank(desk.world)
    window = await desk.window(service="vault")
    await desk.pass_by(days=4)
    for who in (bank.auditor, other.manager, somebody(bank.number), desk.who):
        assert await told(desk, who, str(window.id)) == ["72h", "24h", "1h", "begun"]
    async with desk.world.process.stores["notifications"].tx(PLATFORM, bank.number) as tx:
        rows = await tx.fetch("SELECT tenant FROM message WHERE about=$1", window.id)
    assert [row["tenant"] for row in rows] == [0, 0, 0, 0]


async def test_a_cancelled_window_is_said_to_be_and_nothing_more(desk):
    bank = await make_bank(desk.world)
    window = await desk.window(tenant=bank.slug)
    ctx = desk.who.ctx()
    request = windows.CancelWindow(window_id=window.id, reason="The disks did not come")
    cancelled = await desk.registry.cancel_window(ctx, request)
    assert (cancelled.state, cancelled.cancelled_at) == ("cancelled", desk.clock.now())
    assert await desk.registry.cancel_window(ctx, request) == cancelled
    await desk.pass_by(days=9)
    assert await told(desk, bank.manager, str(window.id)) == ["cancelled"]
    for again in (request, windows.WindowId(window_id=window.id)):
        verb = "cancel_window" if again is request else "complete_window"
        with pytest.raises(windows.WindowStateForbids):
            await getattr(desk.registry, verb)(desk.who.ctx(), again)


async def test_an_extension_is_announced_and_bounded(desk):
    bank = await make_bank(desk.world)
    window = await desk.window(tenant=bank.slug)
    await desk.pass_by(days=4)

    async def extend(ends_at=None, **later):
        return await desk.registry.extend_window(
            desk.who.ctx(),
            windows.ExtendWindow(
                window_id=window.id,
                ends_at=ends_at or window.ends_at + timedelta(**later),
                reason="The copy takes longer",
            ),
        )

    for wrong in (
        {"hours": 0},
        {"hours": 11},
        {"ends_at": datetime.fromisoformat("0001-01-01T00:00:00+14:00")},  # has no UTC
        {"ends_at": datetime.fromisoformat("9999-12-31T23:59:59-14:00")},
    ):
        with pytest.raises(windows.WindowTimes):
            await extend(**wrong)
    for hours in (1, 2, 3):
        made = await extend(hours=hours)
        assert (made.extensions, made.state) == (hours, "in_progress")
    with pytest.raises(windows.WindowStateForbids):
        await extend(hours=4)
    await desk.pass_by(hours=4, minutes=59)
    assert (await desk.find(window.id)).state == "in_progress"
    await desk.pass_by(minutes=1)
    with pytest.raises(windows.WindowStateForbids):
        await extend(hours=4)
    said = await told(desk, bank.manager, str(window.id))
    assert said == ["72h", "24h", "1h", "begun", "extended", "extended", "extended", "verifying"]


async def test_work_that_ends_early_is_completed_early(desk):
    bank = await make_bank(desk.world)
    window = await desk.window(tenant=bank.slug)
    which = windows.WindowId(window_id=window.id)
    with pytest.raises(windows.WindowStateForbids):
        await desk.registry.complete_window(desk.who.ctx(), which)
    await desk.pass_by(days=4, minutes=5)
    assert (await desk.registry.complete_window(desk.who.ctx(), which)).state == "completed"
    await desk.pass_by(days=1)
    assert (await told(desk, bank.manager, str(window.id)))[-2:] == ["begun", "completed"]


async def test_what_cannot_be_is_refused_before_anybody_reads_it_and_changes_nothing(desk):
    bank = await make_bank(desk.world)
    before = await desk.world.client(Registry).directory(desk.who.ctx(), DirectoryQuery())
    for problem, changes in (
        (UnknownTenant, {"tenant": "nowhere"}),
        (InvalidRequest, {"service": "nothing"}),
        (windows.NoticeTooShort, {"begins_at": desk.ahead(hours=71)}),
        (windows.WindowTimes, {"ends_at": desk.ahead(days=9)}),
    ):
        with pytest.raises(problem):
            await desk.propose(desk.asked(**({"tenant": bank.slug} | changes)))
    after = await desk.world.client(Registry).directory(desk.who.ctx(), DirectoryQuery())
    assert after == before


async def test_notice_counts_from_the_approval(desk):
    bank = await make_bank(desk.world)
    proposal = await desk.propose(desk.asked(tenant=bank.slug, begins_at=desk.ahead(hours=72)))
    desk.clock.move(minutes=1)
    ended = await desk.approve(proposal)
    assert (ended.state, ended.problem) == ("failed", "notice-too-short")


async def test_the_first_of_two_proposals_for_one_time_is_planned(desk):
    bank = await make_bank(desk.world)
    first, second = [await desk.propose(desk.asked(tenant=bank.slug)) for _ in range(2)]
    assert (await desk.approve(second)).state == "executed"
    ended = await desk.approve(first)
    assert (ended.state, ended.problem) == ("failed", "window-overlaps")


async def test_windows_of_one_scope_never_overlap(desk):
    bank = await make_bank(desk.world)
    first = await desk.window(tenant=bank.slug, service="ledger")
    inside = {"begins_at": desk.ahead(days=4, hours=1), "ends_at": desk.ahead(days=4, hours=3)}
    with pytest.raises(windows.WindowOverlaps) as refused:
        await desk.propose(desk.asked(tenant=bank.slug, service="ledger", **inside))
    assert refused.value.more == {"window": str(first.id)}
    behind = {"begins_at": first.ends_at, "ends_at": desk.ahead(days=4, hours=3)}
    await desk.window(tenant=bank.slug, service="ledger", **behind)
    with pytest.raises(windows.WindowOverlaps):
        await desk.registry.extend_window(
            desk.who.ctx(),
            windows.ExtendWindow(
                window_id=first.id, ends_at=desk.ahead(days=4, hours=2, minutes=1), reason="more"
            ),
        )
    await desk.window(tenant=bank.slug, **inside)  # of the whole tenant: another scope
    await desk.registry.cancel_window(
        desk.who.ctx(), windows.CancelWindow(window_id=first.id, reason="not needed")
    )
    await desk.window(tenant=bank.slug, service="ledger")


async def test_nobody_plans_a_window_alone(desk):
    alone = desk.world.client(Registry).schedule_window
    for approval in (None, new_id()):
        with pytest.raises(Forbidden):
            await alone(operator().ctx(approval=approval), desk.asked())
    proposal = await desk.propose(desk.asked())
    with pytest.raises(Forbidden):
        await alone(operator().ctx(approval=proposal.id), desk.asked())
    bank = await make_bank(desk.world)
    with pytest.raises(Forbidden):
        await alone(bank.manager.ctx(approval=new_id()), desk.asked())


async def test_an_unknown_window_or_notice_is_not_found(desk):
    which = windows.WindowId(window_id=new_id())
    with pytest.raises(windows.UnknownWindow):
        await desk.registry.complete_window(desk.who.ctx(), which)
    with pytest.raises(NotFound):
        await desk.world.client(Registry).notice(
            desk.who.ctx(), windows.NoticeId(notice_id=new_id())
        )


@pytest.mark.abuse(33)
async def test_a_tenant_sees_the_windows_that_concern_it_and_no_others(desk):
    bank, other = await make_bank(desk.world), await make_bank(desk.world)
    mine, foreign = await desk.window(tenant=bank.slug), await desk.window(tenant=other.slug)
    everyone = await desk.window(service="pricing")
    assert await desk.find(mine.id, bank.auditor) == mine
    assert await desk.find(everyone.id, bank.auditor) == everyone
    assert await desk.find(foreign.id, bank.auditor) is None
    assert await desk.find(foreign.id) == foreign
    seen, before = [], None
    while True:
        page = await desk.registry.maintenance_windows(
            bank.auditor.ctx(), windows.WindowQuery(limit=1, before=before)
        )
        seen += page.items
        if page.next is None:
            break
        before = page.next
    assert [w.id for w in seen] == sorted((w.id for w in seen), reverse=True)
    assert {w.tenant for w in seen} <= {None, bank.slug}


async def test_the_directory_tells_what_is_open_and_rises_with_each_change(desk):
    bank = await make_bank(desk.world)

    async def directory():
        return await desk.world.client(Registry).directory(desk.who.ctx(), DirectoryQuery())

    known = (await directory()).generation
    window = await desk.window(tenant=bank.slug, writes="queue", service="payments")
    told = await directory()
    (line,) = [w for w in told.windows if w.id == window.id]
    assert (line.tenant, line.service, line.writes) == (bank.number, "payments", "queue")
    assert (line.begins_at, line.ends_at) == (window.begins_at, window.ends_at)
    assert told.generation > known
    await desk.registry.set_read_only(
        desk.who.ctx(), windows.SetReadOnly(on=True, reason="a leak", tenant=bank.slug)
    )
    later = await directory()
    assert later.generation > told.generation
    assert [s.tenant for s in later.read_only] == [bank.number]
    await desk.pass_by(days=4)
    which = windows.WindowId(window_id=window.id)
    await desk.registry.complete_window(desk.who.ctx(), which)
    last = await directory()
    assert last.generation > later.generation
    assert window.id not in {w.id for w in last.windows}


async def test_read_only_mode_is_switched_by_one_person_with_a_reason(desk):
    bank = await make_bank(desk.world)
    on = windows.SetReadOnly(on=True, reason="The books look wrong", tenant=bank.slug)
    off = windows.SetReadOnly(on=False, reason="They were right", tenant=bank.slug)
    with pytest.raises(windows.NotReadOnly):
        await desk.registry.set_read_only(desk.who.ctx(), off)
    made = await desk.registry.set_read_only(desk.who.ctx(), on)
    assert (made.tenant, made.reason, made.until) == (bank.slug, "The books look wrong", None)
    assert await desk.registry.set_read_only(desk.who.ctx(), on) == made
    assert (await desk.registry.read_only(desk.who.ctx(), Nothing())).items == [made]
    desk.clock.move(minutes=5)
    ended = await desk.registry.set_read_only(desk.who.ctx(), off)
    assert (ended.id, ended.until) == (made.id, desk.clock.now())
    assert ended.until_reason == "They were right"
    assert (await desk.registry.read_only(desk.who.ctx(), Nothing())).items == []
    await desk.world.settle()
    page = await desk.world.client(Audit).entries(desk.who.ctx(), AuditQuery(limit=50))
    switched = [e for e in page.items if e.ids.get("switch") == str(made.id)]
    assert [e.operation for e in switched] == ["read-only.off", "read-only.on"]
    assert {e.principal for e in switched} == {str(desk.who.principal.id)}


@pytest.mark.parametrize("reason", [" x y", "a\u202eb c", "line\nbreak"])
async def test_reasons_are_texts_that_can_be_shown(desk, reason):
    with pytest.raises(InvalidRequest):
        await desk.registry.set_read_only(
            desk.who.ctx(), windows.SetReadOnly(on=True, reason=reason)
        )
    assert (await desk.registry.read_only(desk.who.ctx(), Nothing())).items == []


WHICH = new_id()
OPERATIONS = {
    "schedule_window": lambda desk: desk.asked(),
    "cancel_window": lambda _: windows.CancelWindow(window_id=WHICH, reason="not needed"),
    "extend_window": lambda desk: windows.ExtendWindow(
        window_id=WHICH, ends_at=desk.ahead(days=5), reason="more work"
    ),
    "complete_window": lambda _: windows.WindowId(window_id=WHICH),
    "set_read_only": lambda _: windows.SetReadOnly(on=True, reason="a leak"),
    "read_only": lambda _: Nothing(),
}


@pytest.mark.refuses("registry.schedule_window")
@pytest.mark.refuses("registry.cancel_window")
@pytest.mark.refuses("registry.extend_window")
@pytest.mark.refuses("registry.complete_window")
@pytest.mark.refuses("registry.set_read_only")
@pytest.mark.refuses("registry.read_only")
@pytest.mark.parametrize("name", OPERATIONS)
async def test_only_operators_of_the_platform_plan_downtime(desk, name):
    bank = await make_bank(desk.world)
    for who in (somebody(PLATFORM), somebody(bank.number), bank.manager, bank.auditor):
        with pytest.raises(Forbidden):
            await getattr(desk.registry, name)(who.ctx(), OPERATIONS[name](desk))
    assert (await desk.registry.read_only(desk.who.ctx(), Nothing())).items == []


@pytest.mark.refuses("registry.maintenance_windows")
async def test_windows_are_listed_for_those_who_may_view(desk):
    bank = await make_bank(desk.world)
    with pytest.raises(Forbidden):
        await desk.registry.maintenance_windows(somebody(bank.number).ctx(), windows.WindowQuery())
