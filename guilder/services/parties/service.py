"""Parties: people and organisations. Their personal data is stored sealed and nowhere else."""

import asyncio
import hmac
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from guilder.chassis.batch import one
from guilder.chassis.events import SYSTEM, feed
from guilder.chassis.idempotency import Claim, Once, claimed, local
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store, Tx
from guilder.contracts.access.v1 import Access, Evaluation
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
from guilder.contracts.errors import NotFound, Problem
from guilder.contracts.parties import v1
from guilder.contracts.vault.v1 import Erased, Subject, Vault
from guilder.services.parties import store
from guilder.services.parties.lookup import LookUp
from guilder.services.parties.person import Known, known

PLACE: Final = "party.sealed"
AHEAD: Final = timedelta(hours=14)
"""How far the calendar of the easternmost zone is ahead of UTC."""
CHECK_PAGE: Final = 500


class PartiesService(v1.Parties):
    """People and organisations."""

    def __init__(
        self,
        database: Store,
        once: Once,
        sealer: Sealer,
        vault: Vault,
        access: Access,
        lookup: LookUp,
    ) -> None:
        """`vault` destroys keys, `access` says who may see whom, `lookup` hashes names."""
        self.store, self.once = database, once
        self._sealer, self._vault, self._access, self._lookup = sealer, vault, access, lookup

    @local
    async def create(self, tx: Tx, ctx: Context, request: v1.CreateParty) -> v1.Party:
        """Seal what is known of the party and record it."""
        person = known(request, (tx.at + AHEAD).date())
        sealed = await self._sealer.seal(ctx.tenant, tx.resource, PLACE, person.seal_form())
        found_by = await self._lookup.hash(ctx, person.name)
        if not await store.add(
            tx, ctx.tenant, tx.resource, request.kind, sealed, found_by, request.reference
        ):
            raise v1.ReferenceTaken(at="$.reference")
        tx.emit(ctx, "party.created", party=tx.resource)
        return v1.Party(
            id=tx.resource,
            kind=request.kind,
            name=person.name,
            birth_date=person.birth_date,
            address=person.address,
            reference=request.reference,
            created_at=tx.at,
        )

    async def party(self, ctx: Context, request: v1.PartyId) -> v1.Party:
        """Read oneself, or anyone for whoever may view the whole tenant."""
        missing = NotFound(f"no party {request.party_id}")
        if ctx.principal.party != request.party_id:
            question = Evaluation(right="view", operation="parties.party")
            if not (await one(self._access.evaluate, ctx, question)).allowed:
                raise missing
        async with self.store.tx(ctx.tenant) as tx:
            row = await store.find(tx, ctx.tenant, request.party_id)
        if row is None:
            raise missing
        return await self._open(row)

    async def parties(self, ctx: Context, request: v1.PartyQuery) -> v1.PartyPage:
        """List by id; one whose key was destroyed a moment ago is left out."""
        found_by = None if request.name is None else await self._lookup.hash(ctx, request.name)
        async with self.store.tx(ctx.tenant) as tx:
            rows = await store.page(
                tx, ctx.tenant, found_by, request.reference, request.after, request.limit
            )
        opened = await self._open_all(rows)
        for problem in opened:
            if isinstance(problem, Problem) and not isinstance(problem, Erased):
                raise problem
        return v1.PartyPage(
            items=[party for party in opened if isinstance(party, v1.Party)],
            next=rows[-1]["id"] if len(rows) == request.limit else None,
        )

    @claimed
    async def erase(self, claim: Claim, ctx: Context, request: v1.EraseParty) -> v1.ErasedParty:
        """Destroy the keys first, then empty the row.

        What a crash leaves in between, the repeat or the reaction to the vault's event empties.
        """
        party = request.party_id
        async with self.store.tx(ctx.tenant) as tx:
            row = await store.find(tx, ctx.tenant, party)
        if row is None:
            raise NotFound(f"no party {party}")
        if row["erased_at"] is not None and not claim.resumed:
            raise Erased(f"party {party} was erased before")
        subject = Subject(subject=party, reason=request.reason)
        gone = await self._vault.erase(ctx.step(f"{claim.resource}:keys"), subject)
        self._sealer.forget(ctx.tenant, party)

        async def finish(tx: Tx) -> v1.ErasedParty:
            if await store.erase(tx, ctx.tenant, party, tx.at):  # else the reaction was first
                tx.emit(ctx, "party.erased", party=party)
            return v1.ErasedParty(id=party, keys_destroyed=gone.keys)

        return await claim.finish(finish)

    async def known(self, calls: Batch[v1.PartyId]) -> Answers[v1.KnownParty]:
        """Answer id and kind of each party that exists and is not erased."""
        wanted = [(call.ctx.tenant, call.request.party_id) for call in calls]
        async with self.store.tx(*sorted({tenant for tenant, _ in wanted})) as tx:
            rows = await store.find_many(tx, wanted)
        return [_known(party, rows.get((tenant, party))) for tenant, party in wanted]

    async def names(self, calls: Batch[v1.PartyId]) -> Answers[v1.NamedParty]:
        """Open each party that is asked for, with one query and their keys asked for together."""
        wanted = [(call.ctx.tenant, call.request.party_id) for call in calls]
        async with self.store.tx(*sorted({tenant for tenant, _ in wanted})) as tx:
            rows = await store.sealed_many(tx, wanted)
        opened = await self._open_all(list(rows.values()))
        found = dict(zip(rows, opened, strict=True))
        return [_named(party, found.get((tenant, party))) for tenant, party in wanted]

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Open every party that is not erased, and see that the erased ones hold nothing."""
        findings: list[Finding] = []
        counted = {"parties": 0, "erased": 0}
        for tenant in await self.store.seen_tenants():
            after: UUID | None = None
            while True:
                async with self.store.tx(tenant) as tx:
                    rows = await store.rows_after(tx, tenant, after, CHECK_PAGE)
                if not rows:
                    break
                after = rows[-1]["id"]
                counted["parties"] += len(rows)
                counted["erased"] += sum(row["erased_at"] is not None for row in rows)
                findings += await self._check(tenant, rows)
        return SelfCheck(service="parties", checked=counted, findings=findings, facts={})

    async def _check(self, tenant: int, rows: list[Any]) -> list[Finding]:
        findings = []
        for row in rows:
            if row["erased_at"] is not None and (row["sealed"] or row["name_hash"]):
                detail = f"erased party {row['id']} still holds data"
                findings.append(Finding(check="party-erased", detail=detail, tenant=tenant))
        alive = [row for row in rows if row["erased_at"] is None]
        ctx = Context(tenant=tenant, principal=SYSTEM)
        for row, opened in zip(alive, await self._open_all(alive), strict=True):
            if isinstance(opened, Problem):
                detail = f"party {row['id']}: {opened.detail}"
                findings.append(Finding(check="party-opens", detail=detail, tenant=tenant))
            elif not hmac.compare_digest(
                await self._lookup.hash(ctx, opened.name), bytes(row["name_hash"] or b"")
            ):
                detail = f"party {row['id']} is not found by its name"
                findings.append(Finding(check="party-lookup", detail=detail, tenant=tenant))
        return findings

    async def _open_all(self, rows: list[Any]) -> list[v1.Party | Problem]:
        """Open rows together, so that their keys are asked for in batches."""

        async def attempt(row: Any) -> v1.Party | Problem:
            try:
                return await self._open(row)
            except Problem as problem:
                return problem

        return list(await asyncio.gather(*(attempt(row) for row in rows)))

    async def _open(self, row: Any) -> v1.Party:
        """Open a party's sealed data; Erased when it is gone."""
        if row["sealed"] is None:
            raise Erased(f"party {row['id']}")
        raw = await self._sealer.open(row["tenant"], row["id"], PLACE, bytes(row["sealed"]))
        person = Known.read(raw)
        return v1.Party(
            id=row["id"],
            kind=row["kind"],
            name=person.name,
            birth_date=person.birth_date,
            address=person.address,
            reference=row["reference"],
            created_at=row["created_at"],
        )


def _known(party: UUID, row: Any) -> v1.KnownParty | Problem:
    if row is None:
        return NotFound(f"no party {party}")
    if row["erased_at"] is not None:
        return Erased(f"party {party}")
    return v1.KnownParty(id=party, kind=row["kind"])


def _named(party: UUID, found: v1.Party | Problem | None) -> v1.NamedParty | Problem:
    if found is None:
        return NotFound(f"no party {party}")
    if isinstance(found, Problem):
        return found
    return v1.NamedParty(
        id=party,
        kind=found.kind,
        name=found.name,
        birth_date=found.birth_date,
        country=found.address.country if found.address else None,
    )
