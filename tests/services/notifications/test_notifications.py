"""Notifications through the contract, in the three modes, and how moments are told."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from guilder.chassis.events import SYSTEM
from guilder.chassis.testing import make_bank, new_id, operator, somebody
from guilder.contracts.context import PLATFORM, Call, Context
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import InvalidRequest, Unavailable
from guilder.contracts.notifications import v1
from guilder.contracts.registry.v1 import Registry
from guilder.contracts.values import uuid7
from guilder.services.notifications import wording

BEGINS = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # half an hour before the clocks go forward
ENDS = BEGINS + timedelta(hours=2)


def message(**changes) -> v1.Post:
    fresh = {"id": new_id(), "topic": "maintenance.72h", "subject": "Soon", "text": "It begins"}
    return v1.Post(**(fresh | changes))


async def deliver(world, tenant, *messages):
    ctx = Context(tenant=tenant, principal=SYSTEM)
    return await world.client(v1.Notifications).post([Call(ctx, m) for m in messages])


async def read(world, who, **query):
    return await world.public(v1.Notifications).inbox(who.ctx(), v1.InboxQuery(**query))


async def mine(world, who):
    """The messages to the tenant alone."""
    return [m for m in (await read(world, who, limit=200)).items if not m.everyone]


async def test_what_is_delivered_is_in_the_inbox_newest_first(world):
    bank = await make_bank(world)
    sent = [message(subject=f"No {n}", about=new_id()) for n in range(5)]
    answers = await deliver(world, bank.number, *random.Random(1).sample(sent, 5))
    assert {a.id for a in answers} == {m.id for m in sent}
    customer = somebody(bank.number, party=new_id())
    for who in (bank.manager, bank.auditor, customer):
        shown = await mine(world, who)
        assert [m.id for m in shown] == sorted((m.id for m in sent), reverse=True)
        assert {m.about for m in shown} == {m.about for m in sent}


async def test_pages_go_on_where_the_last_one_ended(world):
    bank = await make_bank(world)
    sent = [message() for _ in range(5)]
    await deliver(world, bank.number, *sent)
    seen, before = [], None
    while len(seen) < 5:
        page = await read(world, bank.manager, limit=2, before=before)
        assert len(page.items) <= 2
        seen += [m.id for m in page.items]
        before = page.next
    assert seen[:5] == sorted((m.id for m in sent), reverse=True)


async def test_a_repeat_is_not_delivered_again_and_another_text_under_its_id_is_refused(world):
    bank, first = await make_bank(world), message()
    (made,) = await deliver(world, bank.number, first)
    again = await deliver(world, bank.number, first, message(id=first.id, text="Other"))
    assert again[0] == made
    assert isinstance(again[1], v1.MessageDiffers)
    shown = await mine(world, bank.manager)
    assert [(m.id, m.text) for m in shown] == [(first.id, "It begins")]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"id": UUID("2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d")}, "$.id"),
        ({"subject": "So\u202eon"}, "$.subject"),
        ({"text": "one\ntwo"}, "$.text"),
    ],
)
async def test_what_cannot_be_shown_or_ordered_is_not_delivered(world, changes, where):
    bank, good = await make_bank(world), message()
    refused, made = await deliver(world, bank.number, message(**changes), good)
    assert isinstance(refused, InvalidRequest)
    assert refused.at == where
    assert made.id == good.id
    assert [m.id for m in await mine(world, bank.manager)] == [good.id]


@pytest.mark.refuses("notifications.inbox")
@pytest.mark.abuse(33)
async def test_nobody_reads_another_tenants_messages(world):
    bank, other = await make_bank(world), await make_bank(world)
    own, foreign, everyone = message(), message(), message()
    await deliver(world, bank.number, own)
    await deliver(world, other.number, foreign)
    await deliver(world, PLATFORM, everyone)
    for who in (bank.manager, somebody(bank.number)):
        for before in (None, uuid7(datetime.now(UTC) + timedelta(days=1))):
            page = await read(world, who, before=before, limit=200)
            shown = {m.id: m.everyone for m in page.items}
            assert shown[own.id] is False
            assert shown[everyone.id] is True
            assert foreign.id not in shown
    platform = {m.id for m in (await read(world, operator(), limit=200)).items}
    assert everyone.id in platform
    assert not {own.id, foreign.id} & platform


async def test_moments_are_told_in_the_readers_zone_and_in_utc(world):
    bank, text = await make_bank(world), f"From {wording.mark(BEGINS)} until {wording.mark(ENDS)}"
    sent = message(text=text)
    await deliver(world, PLATFORM, sent)
    in_berlin = next(m for m in (await read(world, bank.manager)).items if m.id == sent.id)
    assert in_berlin.text == (
        "From Sunday 29 March 2026 at 01:30 Europe/Berlin (29 March 00:30 UTC)"
        " until Sunday 29 March 2026 at 04:30 Europe/Berlin (29 March 02:30 UTC)"
    )
    in_utc = next(m for m in (await read(world, operator())).items if m.id == sent.id)
    assert in_utc.text == (
        "From Sunday 29 March 2026 at 00:30 UTC until Sunday 29 March 2026 at 02:30 UTC"
    )


async def test_without_the_registry_moments_are_told_in_utc(direct, monkeypatch):
    class Silent(Registry):
        async def tenant_by_number(self, ctx, request):
            raise Unavailable("gone")

    service = direct.process.built["notifications"].service
    monkeypatch.setattr(service, "_registry", Silent())
    bank, sent = await make_bank(direct), message(text=f"From {wording.mark(BEGINS)}")
    await deliver(direct, PLATFORM, sent)
    read_now = next(m for m in (await read(direct, bank.manager)).items if m.id == sent.id)
    assert read_now.text == "From Sunday 29 March 2026 at 00:30 UTC"


def test_a_day_may_be_another_one_where_the_reader_is():
    told = wording.tell(wording.mark(datetime(2026, 12, 31, 20, 0, tzinfo=UTC)), "Asia/Tokyo")
    assert told == "Friday 1 January 2027 at 05:00 Asia/Tokyo (31 December 20:00 UTC)"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{2026}",
        "{2026-03-29T00:30:00}",
        "{٢026-03-29T00:30:00Z}",
        "{2026-13-29T00:30:00Z}",
        "{9999-12-31T23:59:59Z}",
    ],
)
def test_braces_that_hold_no_moment_stay_as_they_are(text):
    assert wording.tell(text, "Europe/Berlin") == text


async def test_the_self_check_counts_the_messages(world):
    bank, notifications = await make_bank(world), world.client(v1.Notifications)
    before = await notifications.self_check(operator().ctx(), Nothing())
    await deliver(world, bank.number, message(), message())
    after = await notifications.self_check(operator().ctx(), Nothing())
    assert after.checked["messages"] == before.checked["messages"] + 2
    assert after.findings == []
