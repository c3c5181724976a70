"""A tenant's staff registers where events are posted to. Composed into the service."""

import asyncio
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, Final

from guilder.chassis.idempotency import Claim, Once, claimed, local
from guilder.chassis.outbound import Resolve, Rules
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store, Tx
from guilder.contracts.context import Context
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import AddressRefused
from guilder.contracts.notifications import v1
from guilder.contracts.notifications.webhooks import (
    RegisterWebhook,
    RotateWebhook,
    TooManyWebhooks,
    UnknownWebhook,
    Webhook,
    WebhookId,
    Webhooks,
    WebhookSecret,
    WebhookTaken,
)
from guilder.services.notifications import delivery_store, signing, webhook_store
from guilder.services.notifications.carrier import SECRET

MOST: Final = 20
"""Endpoints of one tenant."""
LOOK_UP_S: Final = 2.0
"""Seconds for looking a name up when it is registered; each post looks again anyway."""


class WebhookDesk(v1.Notifications):
    """The operations on webhook endpoints."""

    store: Store
    once: Once
    sealer: Sealer
    rules: Rules
    resolve: Resolve

    @claimed
    async def register_webhook(
        self, claim: Claim, ctx: Context, request: RegisterWebhook
    ) -> WebhookSecret:
        """Judge the address, make a secret and keep it sealed."""
        url = await self._judged(request.url)
        secret = signing.fresh()
        sealed = await self.sealer.seal(ctx.tenant, claim.resource, SECRET, secret)
        async with self.store.tx(ctx.tenant) as tx:
            await self._check_room(tx, ctx, url)

        async def work(tx: Tx) -> WebhookSecret:
            await self._check_room(tx, ctx, url)
            topics: list[str] = sorted(set(request.topics))
            row = await webhook_store.add(tx, ctx.tenant, url, topics, sealed)
            if row is None:
                raise WebhookTaken(at="$.url")
            tx.emit(ctx, "webhook.registered", webhook=row["id"])
            return WebhookSecret(
                id=row["id"], url=url, topics=row["topics"], secret=signing.written(secret)
            )

        return await claim.finish(work)

    async def _check_room(self, tx: Tx, ctx: Context, url: str) -> None:
        if await webhook_store.count(tx, ctx.tenant) >= MOST:
            raise TooManyWebhooks(f"{MOST} endpoints are registered")
        row = await webhook_store.at_url(tx, ctx.tenant, url)
        if row is not None and row["removed_at"] is None:
            raise WebhookTaken(at="$.url")

    async def _judged(self, text: str) -> str:
        """The address in its one form; AddressRefused, also for where its name leads now."""
        try:
            url = self.rules.check(text)
            if url.ip is None:
                async with asyncio.timeout(LOOK_UP_S):
                    for ip in await self.resolve(url.host, url.port):
                        self.rules.judge(url, ip_address(ip.partition("%")[0]))
        except AddressRefused as refused:
            raise AddressRefused(refused.detail, at="$.url") from None
        except (OSError, TimeoutError):
            pass  # a name without an address leads nowhere yet; each post judges it again
        return str(url)

    async def webhooks(self, ctx: Context, request: Nothing) -> Webhooks:
        """List them."""
        async with self.store.tx(ctx.tenant) as tx:
            rows = await webhook_store.all_of(tx, ctx.tenant)
        return Webhooks(items=[_webhook(row) for row in rows])

    @claimed
    async def rotate_webhook(
        self, claim: Claim, ctx: Context, request: RotateWebhook
    ) -> WebhookSecret:
        """Make another secret; until the overlap ends both sign."""
        secret = signing.fresh()
        sealed = await self.sealer.seal(ctx.tenant, request.endpoint_id, SECRET, secret)

        async def work(tx: Tx) -> WebhookSecret:
            row = await self._locked(tx, ctx, request.endpoint_id)
            old_until = tx.at + timedelta(hours=request.overlap_hours)
            await webhook_store.rotate(tx, row, sealed, old_until)
            tx.emit(ctx, "webhook.rotated", webhook=row["id"])
            return WebhookSecret(
                id=row["id"],
                url=row["url"],
                topics=row["topics"],
                secret=signing.written(secret),
                old_until=old_until,
            )

        return await claim.finish(work)

    @local
    async def enable_webhook(self, tx: Tx, ctx: Context, request: WebhookId) -> Webhook:
        """Use it again; what was given up meanwhile is not sent by itself."""
        row = await webhook_store.enable(tx, await self._locked(tx, ctx, request.endpoint_id))
        tx.emit(ctx, "webhook.enabled", webhook=row["id"])
        return _webhook(row)

    @local
    async def remove_webhook(self, tx: Tx, ctx: Context, request: WebhookId) -> Webhook:
        """Remove it, and end what waits for it."""
        row = await webhook_store.remove(tx, await self._locked(tx, ctx, request.endpoint_id))
        await delivery_store.give_up(tx, ctx.tenant, row["id"])
        tx.emit(ctx, "webhook.removed", webhook=row["id"])
        return _webhook(row)

    async def _locked(self, tx: Tx, ctx: Context, endpoint: Any) -> Any:
        row = await webhook_store.lock(tx, ctx.tenant, endpoint)
        if row is None:
            raise UnknownWebhook(f"no endpoint {endpoint}")
        return row


def _webhook(row: Any) -> Webhook:
    return Webhook(
        id=row["id"],
        url=row["url"],
        topics=row["topics"],
        created_at=row["created_at"],
        failing_since=row["failing_since"],
        disabled_at=row["disabled_at"],
        removed_at=row["removed_at"],
    )
