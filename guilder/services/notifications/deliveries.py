"""Staff look at deliveries and replay them. Composed into the service."""

from typing import Any

from guilder.chassis.idempotency import Once, local
from guilder.chassis.store import Store, Tx
from guilder.contracts.context import Context
from guilder.contracts.notifications import v1
from guilder.contracts.notifications.deliveries import (
    Deliveries,
    Delivery,
    DeliveryId,
    DeliveryLine,
    DeliveryQuery,
    NotReplayable,
    UnknownDelivery,
)
from guilder.services.notifications import delivery_store, webhook_store
from guilder.services.notifications.settings import NotificationsSettings


class DeliveryDesk(v1.Notifications):
    """The operations on deliveries."""

    store: Store
    once: Once
    settings: NotificationsSettings

    async def deliveries(self, ctx: Context, request: DeliveryQuery) -> Deliveries:
        """Read a page."""
        async with self.store.tx(ctx.tenant) as tx:
            rows = await delivery_store.page(tx, ctx.tenant, request)
        shown = rows[: request.limit]
        return Deliveries(
            items=[_delivery(row) for row in shown],
            next=shown[-1]["id"] if len(rows) > len(shown) else None,
        )

    async def delivery(self, ctx: Context, request: DeliveryId) -> Delivery:
        """Read one and its lines."""
        async with self.store.tx(ctx.tenant) as tx:
            return await self._whole(tx, ctx, request)

    @local
    async def replay(self, tx: Tx, ctx: Context, request: DeliveryId) -> Delivery:
        """Queue it again: under its id, unless that is known as sent, or as refused for good."""
        row = await self._find(tx, ctx, request)
        if row["state"] == "queued":
            raise NotReplayable("the delivery is queued already")
        if not await self._has_recipient(tx, row):
            raise NotReplayable("its recipient is gone")
        if row["state"] == "failed" and not row["refused"]:
            await delivery_store.requeue(tx, ctx.tenant, row["id"], self.settings.attempts)
            queued = row["id"]
        elif await delivery_store.under_repeat(tx, row):
            raise NotReplayable("it is being sent again already")
        else:
            queued = tx.resource
            await delivery_store.repeat(tx, row, queued, self.settings.attempts)
        await delivery_store.say(tx, ctx.tenant, row["id"], "replayed")
        tx.emit(ctx, "delivery.replayed", delivery=queued)
        return await self._whole(tx, ctx, DeliveryId(delivery_id=queued))

    async def _has_recipient(self, tx: Tx, row: Any) -> bool:
        if row["channel"] == "email":
            return row["sealed"] is not None
        endpoint = await webhook_store.lock(tx, row["tenant"], row["recipient"])
        return endpoint is not None and endpoint["disabled_at"] is None

    async def _find(self, tx: Tx, ctx: Context, request: DeliveryId) -> Any:
        row = await delivery_store.find(tx, ctx.tenant, request.delivery_id)
        if row is None:
            raise UnknownDelivery(f"no delivery {request.delivery_id}")
        return row

    async def _whole(self, tx: Tx, ctx: Context, request: DeliveryId) -> Delivery:
        row = await self._find(tx, ctx, request)
        first = DeliveryLine(at=row["created_at"], what="queued")
        lines = await delivery_store.lines(tx, ctx.tenant, row["id"])
        return _delivery(row, [first, *(_line(line) for line in lines)])


def _delivery(row: Any, log: list[DeliveryLine] | None = None) -> Delivery:
    return Delivery(
        id=row["id"],
        channel=row["channel"],
        recipient=row["recipient"],
        topic=row["topic"],
        about=row["about"],
        state=row["state"],
        attempts=row["attempts"],
        created_at=row["created_at"],
        next_at=row["next_at"] if row["state"] == "queued" else None,
        ended_at=row["ended_at"],
        why=row["why"],
        by=row["carried_by"],
        reference=row["reference"],
        replays=row["replays"],
        log=log,
    )


def _line(row: Any) -> DeliveryLine:
    return DeliveryLine(at=row["at"], what=row["what"], why=row["why"], by=row["carried_by"])
