"""Who is told what outside, of payments and of planned downtime: once, in order, if he wants."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from test_notifications_notices import Desk as Notices, a_notice, event as of_notice

from guilder.chassis.testing import make_bank, new_id
from guilder.contracts.context import Context
from guilder.contracts.declare import Event
from guilder.contracts.errors import Unavailable
from guilder.contracts.notifications.addresses import ChooseTopics
from guilder.contracts.registry.v1 import Registry, TenantNumber
from guilder.services.notifications import news
from guilder.services.notifications.reactions import deliver_notice, tell_payments

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def a_payment(desk, type_="payment.booked", payment=None, who=None, at=AT, **ids):
    return Event(
        position="1.1",
        type=type_,
        at=at,
        tenant=desk.tenant,
        principal=str((who or desk.bank.manager).principal.id),
        request="r",
        ids={"payment": str(payment or new_id()), **ids},
    )


async def tell(desk, *events):
    """As the follower does: a page of events in one transaction."""
    tenants = sorted({event.tenant for event in events})
    async with desk.engine.store.tx(*tenants) as tx:
        await tell_payments(12)(tx, events)


async def test_payments_are_told_in_order_to_who_subscribed(direct_desk, endpoint):
    desk = direct_desk
    made = await desk.register(endpoint, "payment.waiting", "payment.booked", "payment.reversed")
    payment, by = new_id(), new_id()
    ids = {"debtor": str(new_id()), "creditor": str(new_id())}
    await tell(
        desk,
        a_payment(desk, "payment.waiting", payment),
        a_payment(desk, "standing-order.recorded"),
        a_payment(desk, "payment.refused"),
        a_payment(desk, "payment.booked", payment, **ids),
        a_payment(desk, "payment.reversed", payment, by=str(by)),
    )
    await desk.engine.round()
    assert endpoint.types == ["payment.waiting", "payment.booked", "payment.reversed"]
    bodies = [json.loads(body) for _, _, body in endpoint.posts]
    assert bodies[1] == {
        "type": "payment.booked",
        "timestamp": "2026-03-02T09:30:00Z",
        "data": {"payment": str(payment), **ids},
    }
    assert bodies[2]["data"] == {"payment": str(payment), "by": str(by)}
    listed = await desk.listed(about=payment)
    assert {d.recipient for d in listed} == {made.id}
    assert [d.topic for d in reversed(listed)] == endpoint.types


@pytest.mark.abuse(24)
async def test_an_event_that_comes_again_is_told_once(direct_desk, endpoint):
    desk = direct_desk
    await desk.register(endpoint)
    events = [a_payment(desk, at=AT + timedelta(seconds=n)) for n in range(3)]
    await tell(desk, *events, events[0])
    await desk.engine.round()
    await tell(desk, *reversed(events))
    await desk.engine.round()
    assert len(endpoint.ids) == len(set(endpoint.ids)) == 3


@pytest.mark.abuse(33)
async def test_nobody_hears_of_another_tenants_payments(direct_desk, smtp, endpoint):
    desk = direct_desk
    await desk.register(endpoint)
    who = await desk.person(smtp)
    other = await make_bank(desk.world)
    event = a_payment(desk, who=who)
    foreign = msgspec.structs.replace(event, tenant=other.number)
    await tell(desk, foreign)
    await desk.engine.round()
    assert endpoint.posts == []
    assert len(smtp.mails) == 1  # the code


async def test_whoever_ordered_a_payment_is_written_to(direct_desk, smtp):
    desk = direct_desk
    who, other = await desk.person(smtp), await desk.person(smtp, "eva@example.com")
    asked = ChooseTopics(unsubscribed=["payment.refused"])
    await desk.public().choose_topics(who.ctx(), asked)
    before = len(smtp.mails)
    booked = a_payment(desk, who=who)
    await tell(desk, booked, a_payment(desk, "payment.refused", who=who))
    await desk.engine.round()
    (mail,) = smtp.mails[before:]
    assert mail["To"] == "jana@example.com"
    assert mail["Subject"] == f"Payment {booked.ids['payment']} was booked."
    told = {d.recipient for d in await desk.listed() if d.topic != "address.code"}
    assert told == {who.principal.id} != {other.principal.id}


async def test_a_payment_is_told_by_the_follower(direct_desk, endpoint):
    """From payments' own log, as it is served to every follower."""
    desk = direct_desk
    await desk.register(endpoint, "payment.booked", "payment.refused", "payment.waiting")
    payments = desk.world.process.stores["payments"]
    payment = new_id()
    async with payments.tx(desk.tenant) as tx:
        ctx = Context(desk.tenant, desk.bank.manager.principal, request="r")
        tx.emit(ctx, "payment.booked", payment=payment)
    await desk.world.settle()
    await desk.engine.round()
    ((_, _, body),) = endpoint.posts
    assert json.loads(body)["data"] == {"payment": str(payment)}


async def test_maintenance_is_told_to_everyone_who_wants_to_hear_of_it(direct_desk, smtp, endpoint):
    desk = direct_desk
    await desk.register(endpoint, "maintenance")
    who = await desk.person(smtp)
    silent = await desk.person(smtp, "eva@example.com")
    asked = ChooseTopics(unsubscribed=["maintenance"])
    await desk.public().choose_topics(silent.ctx(), asked)
    before = len(smtp.mails)
    notice = a_notice(tenant=desk.tenant)
    store = desk.engine.store
    desk_of = Notices(notice)
    desk_of.tenant_by_number = desk.world.client(Registry).tenant_by_number
    deed = deliver_notice(store, desk_of, 12)
    for _ in range(2):
        await deed(of_notice(notice))
    await desk.engine.round()
    (mail,) = smtp.mails[before:]
    assert mail["To"] == "jana@example.com"
    assert "Sunday 29 March 2026 at 01:30 Europe/Berlin" in mail.get_content().replace("\n", " ")
    ((_, _, body),) = endpoint.posts
    assert json.loads(body) == {
        "type": "maintenance.72h",
        "timestamp": "2026-03-29T00:30:00Z",
        "data": {
            "notice": str(notice.id),
            "window": str(notice.window),
            "service": "all",
            "begins_at": "2026-03-29T00:30:00Z",
            "ends_at": "2026-03-29T02:30:00Z",
        },
    }
    assert len(await desk.inbox()) == 1
    assert who.principal.id in {d.recipient for d in await desk.listed(about=notice.window)}


async def test_many_people_are_told_in_pages(direct_desk, smtp, monkeypatch):
    desk = direct_desk
    people = [await desk.person(smtp, f"p{n}@example.com") for n in range(4)]
    monkeypatch.setattr(news, "PAGE", 2)
    notice = a_notice(tenant=desk.tenant)
    desk_of = Notices(notice)
    desk_of.tenant_by_number = desk.world.client(Registry).tenant_by_number
    deed = deliver_notice(desk.engine.store, desk_of, 12)
    for _ in range(2):
        await deed(of_notice(notice))
    listed = await desk.listed(about=notice.window)
    assert sorted(d.recipient for d in listed) == sorted(who.principal.id for who in people)


async def test_a_notice_to_the_platform_reaches_the_tenants_that_are_written_to(
    direct_desk, endpoint
):
    desk = direct_desk
    await desk.register(endpoint, "maintenance")
    notice, zones = a_notice(), desk.world.client(Registry)
    desk_of = Notices(notice)
    desk_of.tenant_by_number = zones.tenant_by_number
    await deliver_notice(desk.engine.store, desk_of, 12)(of_notice(notice))
    await desk.engine.round()
    assert endpoint.types == ["maintenance.72h"]
    zone = await zones.tenant_by_number(desk.bank.manager.ctx(), TenantNumber(number=desk.tenant))
    assert zone.zone == "Europe/Berlin"


async def test_an_outage_of_the_registry_is_tried_again_and_nothing_is_told_twice(
    direct_desk, endpoint
):
    desk = direct_desk
    await desk.register(endpoint, "maintenance")
    notice, zones = a_notice(tenant=desk.tenant), desk.world.client(Registry)
    desk_of, answers = Notices(notice), [False, True, True]

    async def tenant_by_number(ctx, request):
        if not answers.pop(0):
            raise Unavailable()
        return await zones.tenant_by_number(ctx, request)

    desk_of.tenant_by_number = tenant_by_number
    deed = deliver_notice(desk.engine.store, desk_of, 12)
    with pytest.raises(Unavailable):
        await deed(of_notice(notice))
    for _ in range(2):
        await deed(of_notice(notice))
    await desk.engine.round()
    assert len(endpoint.posts) == len(await desk.inbox()) == 1
