"""The vault: hands out data keys, and destroys them."""

import secrets

from guilder.chassis.events import feed
from guilder.chassis.idempotency import Once, local
from guilder.chassis.store import Store, Tx
from guilder.contracts.context import Context
from guilder.contracts.declare import (
    Answers,
    Batch,
    EventPage,
    EventQuery,
    Finding,
    Nothing,
    SelfCheck,
)
from guilder.contracts.errors import Problem
from guilder.contracts.vault import v1
from guilder.services.vault import store
from guilder.services.vault.master import MasterKeys


class VaultService(v1.Vault):
    """Keys of data subjects."""

    def __init__(self, database: Store, once: Once, master: MasterKeys) -> None:
        """`master` wraps and unwraps."""
        self.store, self.once, self._master = database, once, master

    async def keys(self, calls: Batch[v1.KeyQuestion]) -> Answers[v1.DataKey]:
        """Hand out keys; make those of the present epoch that are absent."""
        tenants = sorted({call.ctx.tenant for call in calls})
        async with self.store.tx(*tenants) as tx:
            present = await store.epochs(tx, tenants)
            for tenant in tenants:
                if tenant not in present:
                    present[tenant] = await store.start_epoch(tx, tenant, tx.at)
            wanted = [
                (c.ctx.tenant, c.request.subject, c.request.epoch or present[c.ctx.tenant])
                for c in calls
            ]
            found = await store.find_keys(tx, wanted)
            absent = {w for w in wanted if w not in found and w[2] == present[w[0]]}
            if absent:
                fresh = [
                    (*w, self._master.wrap(*w, secrets.token_bytes(32)), tx.at) for w in absent
                ]
                await store.add_keys(tx, fresh)
                found |= await store.find_keys(tx, list(absent))
        return [self._open(w, found.get(w)) for w in wanted]

    def _open(self, wanted: tuple, row: object) -> v1.DataKey | Problem:  # type: ignore[type-arg]
        tenant, subject, epoch = wanted
        if row is None or row["wrapped"] is None:  # type: ignore[index]
            return v1.Erased(f"subject {subject}")
        key = self._master.unwrap(tenant, subject, epoch, bytes(row["wrapped"]))  # type: ignore[index]
        return v1.DataKey(subject=subject, epoch=epoch, key=key)

    async def index_key(self, ctx: Context, request: v1.IndexQuestion) -> v1.IndexKey:
        """Hand out the tenant's look-up key."""
        return v1.IndexKey(key=self._master.index_key(ctx.tenant))

    @local
    async def erase(self, tx: Tx, ctx: Context, request: v1.Subject) -> v1.Destroyed:
        """Destroy the keys of a subject; the rows stay as tombstones."""
        epochs = await store.epochs(tx, [ctx.tenant])
        gone = await store.erase_keys(
            tx, ctx.tenant, request.subject, epochs.get(ctx.tenant, 1), tx.at
        )
        tx.emit(ctx, "subject.erased", subject=request.subject)
        return v1.Destroyed(subject=request.subject, keys=gone)

    @local
    async def rotate(self, tx: Tx, ctx: Context, request: v1.Rotate) -> v1.Epoch:
        """Start a new epoch."""
        number = await store.start_epoch(tx, ctx.tenant, tx.at)
        tx.emit(ctx, "epoch.started", epoch=number)
        return v1.Epoch(epoch=number)

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Open every key with its epoch's master key."""
        findings, checked = [], 0
        for tenant in await self.store.seen_tenants():
            async with self.store.tx(tenant) as tx:
                for row in await store.all_keys(tx):
                    checked += 1
                    if row["wrapped"] is None:
                        continue
                    try:
                        self._open((tenant, row["subject"], row["epoch"]), row)
                    except Problem as problem:
                        detail = f"key of {row['subject']}: {problem.detail}"
                        findings.append(Finding(check="data-key", detail=detail, tenant=tenant))
        return SelfCheck(service="vault", checked={"keys": checked}, findings=findings, facts={})
