"""From a notice to a message: the sentences; and events twice, late and out of order."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from guilder.chassis.events import SYSTEM, Doer
from guilder.chassis.testing import make_bank, new_id
from guilder.contracts.declare import Event, EventPage
from guilder.contracts.errors import NotFound, Unavailable
from guilder.contracts.notifications.v1 import InboxQuery, Notifications
from guilder.contracts.registry.windows import Notice
from guilder.contracts.values import uuid7
from guilder.services.notifications import wording
from guilder.services.notifications.reactions import deliver_notice

BEGINS = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
ENDS = BEGINS + timedelta(hours=2)


def a_notice(kind="72h", **changes) -> Notice:
    fresh = {
        "id": new_id(),
        "window": new_id(),
        "kind": kind,
        "tenant": 0,
        "service": None,
        "writes": "refuse",
        "title": "New disks",
        "reason": "The disks are exchanged.",
        "begins_at": BEGINS,
        "ends_at": ENDS,
    }
    return Notice(**(fresh | changes))


@pytest.mark.parametrize("kind", sorted(wording.SENTENCES))
@pytest.mark.parametrize("tenant", [0, 7])
@pytest.mark.parametrize("service", [None, "ledger"])
@pytest.mark.parametrize("writes", ["refuse", "queue"])
def test_every_notice_makes_a_message_in_sentences(kind, tenant, service, writes):
    notice = a_notice(kind, tenant=tenant, service=service, writes=writes)
    made = wording.message(notice)
    assert (made.id, made.about, made.topic) == (notice.id, notice.window, f"maintenance.{kind}")
    assert made.subject == "Maintenance: New disks"
    assert made.text.isprintable()
    said = wording.tell(made.text, "UTC")
    assert len(said) < 600
    assert "{" not in said
    assert "  " not in said
    assert said.endswith((".", "told"))
    assert ("`ledger`" in said) == (service is not None)


def test_the_message_says_what_when_and_why():
    assert wording.tell(wording.message(a_notice(writes="queue")).text, "UTC") == (
        "Planned maintenance of the platform begins on Sunday 29 March 2026 at 00:30 UTC and ends"
        " on Sunday 29 March 2026 at 02:30 UTC. Meanwhile everything can be read; payments are"
        " accepted and booked afterwards, other changes have to wait. Why: The disks are"
        " exchanged."
    )


def test_braces_in_a_title_or_reason_do_no_harm():
    made = wording.message(a_notice(title="{ends}", reason="{0} {begins} {what.__class__}"))
    assert made.subject == "Maintenance: {ends}"
    assert made.text.endswith("Why: {0} {begins} {what.__class__}")


class Desk:
    """A registry that knows some notices, and can be silent."""

    def __init__(self, *notices) -> None:
        self.notices, self.silent = {n.id: n for n in notices}, False

    async def notice(self, ctx, request):
        if self.silent:
            raise Unavailable()
        if request.notice_id not in self.notices:
            raise NotFound()
        return self.notices[request.notice_id]


def event(notice, position="1.1") -> Event:
    return Event(
        position=position,
        type="notice.due",
        at=BEGINS,
        tenant=0,
        principal=str(SYSTEM.id),
        request="",
        ids={"notice": str(notice.id), "window": str(notice.window)},
    )


async def inbox(world, bank):
    page = await world.client(Notifications).inbox(bank.manager.ctx(), InboxQuery(limit=200))
    return [m for m in page.items if not m.everyone]


@pytest.mark.abuse(24)
@pytest.mark.parametrize("seed", range(5))
async def test_events_twice_late_and_out_of_order_make_each_message_once(direct, seed):
    bank, dice = await make_bank(direct), random.Random(seed)
    kinds = ("72h", "24h", "1h", "begun")
    notices = [
        a_notice(kind, tenant=bank.number, id=uuid7(BEGINS + timedelta(hours=n)))
        for n, kind in enumerate(kinds)
    ]
    deed = deliver_notice(direct.process.stores["notifications"], Desk(*notices), 12)
    events = [event(n) for n in notices for _ in range(3)]
    dice.shuffle(events)
    direct.clock.move(days=30)  # and all of them late
    try:
        for at in range(0, len(events), 3):  # some of them at the same time
            await asyncio.gather(*(deed(e) for e in events[at : at + 3]))
    finally:
        direct.clock.move(days=-30)
    shown = await inbox(direct, bank)
    assert [m.topic for m in shown] == [f"maintenance.{kind}" for kind in reversed(kinds)]


async def test_an_outage_is_tried_again_and_an_unknown_notice_passed_over(direct):
    bank = await make_bank(direct)
    notice = a_notice(tenant=bank.number)
    desk = Desk(notice)
    deed = deliver_notice(direct.process.stores["notifications"], desk, 12)
    await deed(event(a_notice()))
    desk.silent = True
    with pytest.raises(Unavailable):
        await deed(event(notice))
    assert await inbox(direct, bank) == []
    desk.silent = False
    await deed(event(notice))
    assert [m.id for m in await inbox(direct, bank)] == [notice.id]


class Repeating:
    """A feed that serves pages from too far back, so that events come again and again."""

    contract_name = "registry"

    def __init__(self, log) -> None:
        self.log, self.dice, self.served = log, random.Random(3), 0

    async def events(self, ctx, query):
        known = [e.position for e in self.log]
        after = known.index(query.after) + 1 if query.after in known else 0
        page = self.log[max(0, after - self.dice.randrange(3)) : after + 2]
        self.served += len(page)
        return EventPage(events=page, next=page[-1].position)


@pytest.mark.abuse(24)
async def test_a_feed_that_repeats_itself_makes_each_message_once(direct):
    bank = await make_bank(direct)
    notices = [a_notice(tenant=bank.number) for _ in range(10)]
    log = [event(notice, f"9.{n}") for n, notice in enumerate(notices)]
    store, feed = direct.process.stores["notifications"], Repeating(log)
    deeds = {"notice.due": deliver_notice(store, Desk(*notices), 12)}
    doer = Doer(store, feed, deeds, direct.clock, name=f"test-{new_id()}")
    for _ in range(8):
        await doer.step()
    assert feed.served > len(log)
    shown = [m.id for m in await inbox(direct, bank)]
    assert shown == sorted((n.id for n in notices), reverse=True)


@pytest.mark.abuse(24)
async def test_a_crash_between_the_message_and_the_position_delivers_nothing_twice(direct):
    """The deed is done, the position is not moved: the event comes again."""
    bank = await make_bank(direct)
    notice = a_notice(tenant=bank.number)
    store, name = direct.process.stores["notifications"], f"test-{new_id()}"
    deed, crashes = deliver_notice(store, Desk(notice), 12), [True]

    async def dies(event):
        await deed(event)
        if crashes.pop():
            raise ConnectionResetError("died after the deed")

    log = [event(notice, "9.1")]
    doer = Doer(store, Repeating(log), {"notice.due": dies}, direct.clock, name=name)
    with pytest.raises(ConnectionResetError):
        await doer.step()
    crashes.append(False)
    await doer.step()
    first = await inbox(direct, bank)
    assert [m.id for m in first] == [notice.id]
    assert msgspec.structs.asdict(first[0])["topic"] == "maintenance.72h"
