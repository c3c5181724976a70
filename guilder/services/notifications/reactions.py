"""What notifications does with the logs it follows: tells notices and payments, obeys erasures."""

from collections.abc import Sequence
from uuid import UUID

import structlog

from guilder.chassis.events import SYSTEM, Deed, PageReaction
from guilder.chassis.store import Store, Tx
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.declare import Event
from guilder.contracts.errors import Problem
from guilder.contracts.notifications.v1 import Post
from guilder.contracts.registry.v1 import Registry, TenantNumber
from guilder.contracts.registry.windows import Notice, NoticeId
from guilder.services.notifications import address_store, delivery_store, store
from guilder.services.notifications.delivery import event_id
from guilder.services.notifications.news import News, tell_everyone, tell_outside
from guilder.services.notifications.wording import (
    PAYMENTS,
    body,
    message,
    notice_body,
    payment_text,
    tell,
)

log = structlog.get_logger()


def deliver_notice(database: Store, registry: Registry, attempts: int) -> Deed:
    """The deed to `notice.due`: ask what it says and write it down, once by its id.

    Then it is queued for whoever is told outside. A repeat finds everything queued already.
    """

    async def deed(event: Event) -> None:
        ctx = Context(tenant=PLATFORM, principal=SYSTEM, request=event.request)
        try:
            notice = await registry.notice(ctx, NoticeId(notice_id=UUID(event.ids["notice"])))
        except Problem as problem:
            if not problem.final:
                raise  # an outage: the follower tries again
            log.error("notice is not delivered", notice=event.ids["notice"], code=problem.code)
            return
        said = message(notice)
        async with database.tx(notice.tenant) as tx:
            await store.add(tx, [(notice.tenant, said)])
            written_to = await address_store.tenants(tx)
        for tenant in written_to:
            if notice.tenant in (PLATFORM, tenant):
                news = await _news_of(notice, said, event, tenant, registry)
                await tell_everyone(database, news, attempts)

    return deed


async def _news_of(
    notice: Notice, said: Post, event: Event, tenant: int, registry: Registry
) -> News:
    """A notice as a tenant is told of it outside, its moments in the tenant's zone."""
    zone = "UTC"
    if tenant != PLATFORM:
        ctx = Context(tenant=tenant, principal=SYSTEM, request=event.request)
        zone = (await registry.tenant_by_number(ctx, TenantNumber(number=tenant))).zone
    return News(
        tenant=tenant,
        id=notice.id,
        topic=said.topic,
        about=notice.window,
        order=f"window:{notice.window}",
        subject=tell(said.subject, zone),
        text=tell(said.text, zone),
        body=notice_body(notice, event.at),
    )


def tell_payments(attempts: int) -> PageReaction:
    """The reaction to a page of payments' log: endpoints, and who ordered each, are told."""

    async def react(tx: Tx, events: Sequence[Event]) -> None:
        news = [_payment(event) for event in events if event.type in PAYMENTS]
        await tell_outside(tx, news, attempts)

    return react


def _payment(event: Event) -> News:
    subject, text = payment_text(event)
    payment = UUID(event.ids["payment"])
    return News(
        tenant=event.tenant,
        id=event_id(event),
        topic=event.type,
        about=payment,
        order=f"payment:{payment}",
        subject=subject,
        text=tell(text, "UTC"),
        body=body(event.type, event.at, event.ids),
        to=frozenset({UUID(event.principal)}),
    )


async def keys_destroyed(tx: Tx, event: Event) -> None:
    """Remove the addresses of a person whose keys are gone, and what was to be sent to them."""
    person = UUID(event.ids["subject"])
    recipients = await address_store.forget(tx, event.tenant, person)
    recipients += await delivery_store.of_person(tx, event.tenant, person)
    for recipient in set(recipients):
        await delivery_store.give_up(tx, event.tenant, recipient)
