"""Carries deliveries out: leases what is due, asks whoever delivers for the tenant, writes it down.

The lease and the attempt are committed before anything leaves, the outcome after it. A crash in
between leaves a row that is leased: it is tried again later, with the same id.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from guilder.chassis.batch import apart
from guilder.chassis.events import SYSTEM
from guilder.chassis.logs import named
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store, Tx
from guilder.contracts.context import Call, Context
from guilder.contracts.errors import Problem
from guilder.contracts.notifications import v1
from guilder.contracts.values import uuid7
from guilder.contracts.vault.v1 import Erased
from guilder.services.notifications import delivery_store, store, webhook_store
from guilder.services.notifications.carrier import Carrier
from guilder.services.notifications.delivery import Verdict, due_again, judge
from guilder.services.notifications.wording import CODE, disabled

log = structlog.get_logger()

MOST: Final = 64
"""Attempts under way in one process."""
EACH: Final = 8
"""Of these at most so many for one recipient."""
LOOK_SECONDS: Final = 0.5
"""How soon what has become due is seen."""

ADDRESS: Final = "address.sealed"
"""The place that addresses are sealed for, in `address` and in `delivery`."""


class Sealed(msgspec.Struct, frozen=True):
    """What is sealed of a mail: where it goes, and the code in it."""

    to: str
    code: str | None = None


class Engine:
    """The deliveries of this process."""

    def __init__(
        self,
        database: Store,
        client: v1.Notifications,
        stock: Carrier,
        stock_label: str,
        sealer: Sealer,
        patience: timedelta,
    ) -> None:
        """`client` is notifications' own: whoever is bound answers it.

        `stock` delivers what that edition disclaims. `patience`: an endpoint that takes nothing
        for so long is disabled.
        """
        self.store, self._client, self._stock = database, client, stock
        self._stock_label, self._sealer, self._patience = stock_label, sealer, patience
        self._busy: Counter[UUID] = Counter()
        self.attempts = 0
        self.failures: Counter[str] = Counter()
        """Attempts that failed since this process started, by kind."""
        self.queued, self.oldest_s = 0, 0.0

    async def round(self) -> None:
        """Carry out what is due, until nothing is; leaves with the process, in good order."""
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                if not self.store.leaving:
                    running |= {asyncio.create_task(self._one(*o)) for o in await self._take()}
                if not running:
                    return
                done, running = await asyncio.wait(
                    running, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def look(self) -> None:
        """Count what waits, for the metrics."""
        async with self.store.tx() as tx:
            self.queued, oldest = await delivery_store.waiting(tx)
        self.oldest_s = 0.0 if oldest is None else (tx.at - oldest).total_seconds()

    async def _take(self) -> list[tuple[int, UUID, UUID]]:
        free = MOST - self._busy.total()
        if free <= 0:
            return []
        async with self.store.tx() as tx:
            taken = await delivery_store.take(tx, free, EACH, list(self._busy))
        self._busy.update(recipient for _, _, recipient in taken)
        return taken

    async def _one(self, tenant: int, delivery: UUID, recipient: UUID) -> None:
        """One attempt; what goes wrong here is not told to others who are under way."""
        try:
            async with self.store.tx(tenant) as tx:
                row = await delivery_store.find(tx, tenant, delivery)
            if row is None or row["lease_until"] is None:
                return
            verdict = await self._attempt(row)
            async with self.store.tx(tenant) as tx:
                await self._settle(tx, row, verdict)
        except Exception as error:  # the lease runs out, then it is tried again
            log.warning("delivery", delivery=str(delivery), error=named(error))
        finally:
            self._busy -= Counter([recipient])

    async def _attempt(self, row: Any) -> Verdict:
        """Ask whoever delivers for the tenant."""
        if row["attempts"] > row["most"]:  # each of them was cut short
            return Verdict("failed", "interrupted")
        self.attempts += 1
        try:
            ctx = Context(row["tenant"], SYSTEM, key=f"delivery:{row['id']}")
            request = await self._request(row)
        except Erased:
            return Verdict("gone", "recipient-gone")
        except Problem as problem:
            return judge(problem)
        outcome = await apart(self._client.deliver, ctx, request)
        answer, by = outcome.problem or outcome.answer, outcome.by.label
        if isinstance(answer, v1.ChannelDisclaimed):
            (answer,) = await self._stock.carry([Call(ctx, request)])
            by = self._stock_label
        if isinstance(answer, Problem):
            return replace(judge(answer), by=by)
        return Verdict("sent", by=by, reference=answer.reference)

    async def _request(self, row: Any) -> v1.Deliver:
        to, text = row["url"], row["text"]
        if row["channel"] == "email":
            if row["sealed"] is None:
                raise Erased("the address is gone")
            raw = await self._sealer.open(
                row["tenant"], row["person"], ADDRESS, bytes(row["sealed"])
            )
            opened = msgspec.json.decode(raw, type=Sealed)
            to, text = opened.to, text.replace(CODE, opened.code or "")
        return v1.Deliver(
            id=row["id"],
            channel=row["channel"],
            to=to,
            topic=row["topic"],
            order=row["order_key"],
            subject=row["subject"],
            text=text,
        )

    async def _settle(self, tx: Tx, row: Any, verdict: Verdict) -> None:
        """Write down how it ended, and what that says of the endpoint."""
        if verdict.why is not None:
            self.failures[verdict.why] += 1
        if verdict.state == "queued" and row["attempts"] >= row["most"]:
            verdict = Verdict("failed", verdict.why, verdict.by)
        again = due_again(row["id"], row["attempts"], verdict, tx.at)
        if row["channel"] != "webhook":
            await delivery_store.settle(tx, row, verdict, again)
            return
        # The endpoint is locked before the delivery: whoever disables it ends others of its own.
        endpoint = await webhook_store.lock(tx, row["tenant"], row["recipient"])
        mine = await delivery_store.settle(tx, row, verdict, again)
        if not mine or endpoint is None or endpoint["disabled_at"] is not None:
            return
        if verdict.state == "sent":
            await webhook_store.works(tx, endpoint)
            return
        since = await webhook_store.fails(tx, endpoint)
        gone = verdict.state == "gone"
        if gone or tx.at - since >= self._patience:
            await self._disable(tx, endpoint, since, gone=gone)

    async def _disable(self, tx: Tx, endpoint: Any, since: datetime, *, gone: bool) -> None:
        """Use an endpoint no more, and tell the tenant in the inbox."""
        tenant, id_ = endpoint["tenant"], endpoint["id"]
        await webhook_store.disable(tx, endpoint)
        await delivery_store.give_up(tx, tenant, id_)
        subject, text = disabled(id_, endpoint["url"], since, gone=gone)
        told = v1.Post(
            id=uuid7(tx.at), topic="webhook.disabled", about=id_, subject=subject, text=text
        )
        await store.add(tx, [(tenant, told)])
        tx.emit(Context(tenant, SYSTEM), "webhook.disabled", webhook=id_)
