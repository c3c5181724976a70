"""The registry: creates tenants, finds them, tells every process what it must know."""

import asyncio
from typing import Any

from guilder.chassis.events import POLL_SECONDS, feed
from guilder.chassis.idempotency import Once, local
from guilder.chassis.store import Store, Tx
from guilder.contracts.access.v1 import Access
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.declare import EventPage, EventQuery, Finding, Nothing, SelfCheck
from guilder.contracts.errors import Forbidden, Problem
from guilder.contracts.registry import v1
from guilder.services.registry import bank, binding_store, directory, store
from guilder.services.registry.bindings import BindingDesk
from guilder.services.registry.conformance import ConformanceDesk, Editions
from guilder.services.registry.maintenance import Maintenance
from guilder.services.registry.observations import ObservationDesk
from guilder.services.registry.release import AskRelease
from guilder.services.registry.window import Rules

RESERVED = {"platform"}
"""Slugs that no tenant gets: `platform` names the platform itself."""

MAX_NUMBER = 2**31 - 1


class RegistryService(Maintenance, ConformanceDesk, ObservationDesk, BindingDesk):
    """Tenants. Bindings are in `bindings.py`, planned downtime in `maintenance.py`, runs of
    conformance suites in `conformance.py`, what was seen of bindings in `observations.py`.
    """

    def __init__(
        self,
        database: Store,
        once: Once,
        access: Access,
        ask_release: AskRelease,
        rules: Rules,
        editions: Editions,
    ) -> None:
        """`access` knows who approved, `ask_release` what a release says of itself.

        `rules` say how downtime may be planned; `editions` are how others' are tested.
        """
        self.store, self.once, self.access = database, once, access
        self.ask_release, self.rules, self.editions = ask_release, rules, editions

    @local
    async def create_tenant(self, tx: Tx, ctx: Context, request: v1.CreateTenant) -> v1.Tenant:
        """Check the particulars, then take the next number."""
        if ctx.tenant != PLATFORM:
            raise Forbidden("only an operator of the platform creates tenants")
        # Reading a country's banks takes up to 0.1 s: not on the loop.
        problem = await asyncio.to_thread(_first_fault, request)
        if problem is not None:
            raise problem
        row = None
        if request.slug not in RESERVED:
            row = await store.add_tenant(tx, request, tx.at)
        if row is None:
            raise v1.TenantExists("the slug or the bank code is taken")
        tx.emit(ctx, "tenant.created", number=row["number"])
        return _tenant(row)

    async def tenants(self, ctx: Context, request: Nothing) -> v1.Tenants:
        """List the tenants."""
        async with self.store.tx(PLATFORM) as tx:
            return v1.Tenants(items=[_tenant(row) for row in await store.all_tenants(tx)])

    async def tenant(self, ctx: Context, request: v1.WhichTenant) -> v1.Tenant:
        """Read a tenant by its slug."""
        async with self.store.tx(PLATFORM) as tx:
            return _tenant(await store.by_slug(tx, request.slug))

    async def tenant_by_number(self, ctx: Context, request: v1.TenantNumber) -> v1.Tenant:
        """Read a tenant by its number."""
        if not 0 < request.number <= MAX_NUMBER:
            raise v1.UnknownTenant()
        async with self.store.tx(PLATFORM) as tx:
            return _tenant(await store.by_number(tx, request.number))

    async def directory(self, ctx: Context, request: v1.DirectoryQuery) -> v1.Directory:
        """Answer at once where the caller knows another generation, else wait for the next."""
        left = request.wait_ms / 1000
        while True:
            async with self.store.tx(PLATFORM) as tx:
                generation = await binding_store.generation(tx)  # first: lists may be newer
                if generation != request.known:
                    return await directory.directory(tx, generation, request)
            if left <= 0 or self.store.leaving:
                return v1.Directory(generation=generation, bindings=[], whole=False)
            await self.store.wait_news(min(left, POLL_SECONDS))
            left -= POLL_SECONDS

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Hold tenants, bindings in force and attestations against the rules they were made by."""
        async with self.store.tx(PLATFORM) as tx:
            rows = await store.all_tenants(tx)
            attested, altered = await self.attestation_findings(tx)
        bound, findings = await directory.findings(self.store)
        findings += altered
        for row in rows:
            problem = await asyncio.to_thread(_first_fault, _tenant(row))
            if problem is not None:
                detail = f"tenant {row['number']}, {problem.at}: {problem.detail}"
                findings.append(Finding(check="tenant", detail=detail, tenant=row["number"]))
        numbers = ",".join(str(n) for n in sorted(row["number"] for row in rows))
        return SelfCheck(
            service="registry",
            checked={"tenants": len(rows), "bindings": bound, "attestations": attested},
            findings=findings,
            facts={"tenants": numbers},
        )


def _first_fault(particulars: bank.Particulars) -> Problem | None:
    return next(bank.faults(particulars), None)


def _tenant(row: Any) -> v1.Tenant:
    if row is None:
        raise v1.UnknownTenant()
    return v1.Tenant(**dict(row))
