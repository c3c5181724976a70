"""Notifications: shows each person his messages, and brings to the outside what goes there."""

from typing import Any, ClassVar

from guilder.chassis.events import feed
from guilder.chassis.idempotency import Once
from guilder.chassis.outbound import Resolve, Rules
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store
from guilder.contracts.context import PLATFORM, Call, Context
from guilder.contracts.declare import Answers, Batch, EventPage, EventQuery, Nothing, SelfCheck
from guilder.contracts.errors import Problem
from guilder.contracts.notifications import v1
from guilder.contracts.registry.v1 import Registry, TenantNumber
from guilder.services.notifications import delivery_store, store
from guilder.services.notifications.addresses import AddressDesk
from guilder.services.notifications.carrier import Carrier
from guilder.services.notifications.deliveries import DeliveryDesk
from guilder.services.notifications.delivery import check
from guilder.services.notifications.settings import NotificationsSettings
from guilder.services.notifications.webhooks import WebhookDesk
from guilder.services.notifications.wording import tell


class NotificationsService(DeliveryDesk, WebhookDesk, AddressDesk):
    """The inbox; the other operations are in modules of their own."""

    disclaims: ClassVar[tuple[str, ...]] = ("webhook",)
    """For other platforms: their endpoints are not registered here, so nothing could be signed."""

    def __init__(
        self,
        database: Store,
        once: Once,
        registry: Registry,
        sealer: Sealer,
        stock: Carrier,
        rules: Rules,
        resolve: Resolve,
        settings: NotificationsSettings,
    ) -> None:
        """`registry` knows the tenant's zone, `stock` how a message leaves.

        `rules` and `resolve` say where a webhook may lead.
        """
        self.store, self.once, self._registry, self.sealer = database, once, registry, sealer
        self.stock, self.rules, self.resolve, self.settings = stock, rules, resolve, settings

    async def deliver(self, calls: Batch[v1.Deliver]) -> Answers[v1.Delivered]:
        """Bring messages to the outside."""
        return await self.stock.carry(calls)

    async def post(self, calls: Batch[v1.Post]) -> Answers[v1.Posted]:
        """Write what is new; known ids get the answer they had."""
        faults = [_fault(call.request) for call in calls]
        good = [call for call, fault in zip(calls, faults, strict=True) if fault is None]
        async with self.store.tx(*sorted({call.ctx.tenant for call in calls})) as tx:
            await store.add(tx, [(call.ctx.tenant, call.request) for call in good])
            wanted = [(call.ctx.tenant, call.request.id) for call in good]
            found = await store.find(tx, wanted)
        return [f or _posted(call, found) for call, f in zip(calls, faults, strict=True)]

    async def inbox(self, ctx: Context, request: v1.InboxQuery) -> v1.Inbox:
        """Read a page; times are told in the reader's zone."""
        async with self.store.tx(PLATFORM, ctx.tenant) as tx:
            rows = await store.page(tx, ctx.tenant, request.before, request.limit + 1)
        shown = rows[: request.limit]
        zone = await self._zone(ctx) if shown else "UTC"
        following = shown[-1]["id"] if len(rows) > len(shown) else None
        return v1.Inbox(items=[_message(row, zone) for row in shown], next=following)

    async def _zone(self, ctx: Context) -> str:
        """The zone of the reader's tenant; operators of the platform read UTC.

        So does everybody while the registry does not answer: notices are read in an outage.
        """
        if ctx.tenant == PLATFORM:
            return "UTC"
        try:
            which = TenantNumber(number=ctx.tenant)
            return (await self._registry.tenant_by_number(ctx, which)).zone
        except Problem as problem:
            if problem.final:
                raise
            return "UTC"

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Count messages and deliveries; the shared checks are all that can be wrong with them."""
        counted = {"messages": 0, "deliveries": 0}
        for tenant in await self.store.seen_tenants():
            async with self.store.tx(tenant) as tx:
                counted["messages"] += await store.count(tx)
                counted["deliveries"] += await delivery_store.count(tx)
        return SelfCheck(service="notifications", checked=counted, findings=[], facts={})

    async def tidy(self) -> int:
        """Forget what ended long ago (a sweep); how much."""
        gone, before = 0, self.store.clock.now() - self.settings.keep
        for tenant in await self.store.seen_tenants():
            async with self.store.tx(tenant) as tx:
                gone += await delivery_store.tidy(tx, before)
        return gone


def _fault(request: v1.Post) -> Problem | None:
    """Why a message cannot be delivered, or None."""
    try:
        check(request, "subject", "text")
    except Problem as problem:
        return problem
    return None


def _posted(call: Call[v1.Post], found: dict[Any, Any]) -> v1.Posted | Problem:
    """The answer to one call, unless another message stands under its id."""
    asked = call.request
    row = found[call.ctx.tenant, asked.id]
    stands = (row["topic"], row["about"], row["subject"], row["text"])
    if stands != (asked.topic, asked.about, asked.subject, asked.text):
        return v1.MessageDiffers(f"message {asked.id}")
    return v1.Posted(id=asked.id, at=row["at"])


def _message(row: Any, zone: str) -> v1.Message:
    return v1.Message(
        id=row["id"],
        at=row["at"],
        topic=row["topic"],
        about=row["about"],
        subject=tell(row["subject"], zone),
        text=tell(row["text"], zone),
        everyone=row["tenant"] == PLATFORM,
    )
