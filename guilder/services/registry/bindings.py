"""Binds tenants to releases, and ends that. Composed into the service."""

from typing import Any

from guilder.chassis.idempotency import Claim, Once, claimed, local
from guilder.chassis.store import Store, Tx
from guilder.contracts.access.v1 import Access
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.declare import Finding, Nothing
from guilder.contracts.errors import Forbidden, Problem
from guilder.contracts.registry import v1
from guilder.services.registry import binding_store, release, store
from guilder.services.registry.approval import approver


class BindingDesk(v1.Registry):
    """The operations on bindings."""

    store: Store
    once: Once
    access: Access
    ask_release: release.AskRelease

    async def bindings(self, ctx: Context, request: Nothing) -> v1.BindingLines:
        """List what serves the tenant of the call."""
        async with self.store.tx(PLATFORM) as tx:
            bound = {row["contract"]: row for row in await binding_store.of_tenant(tx, ctx.tenant)}
        lines = []
        for name, contract in all_contracts().items():
            row = bound.get(name)
            lines.append(
                v1.BindingLine(
                    contract=name,
                    contract_version=contract.contract_version,
                    edition=row["edition"] if row else "A",
                    version=row["version"] if row else contract.release,
                    generation=row["generation"] if row else 0,
                    binding=row["id"] if row else None,
                    since=row["bound_at"] if row else None,
                    on_failure=row["on_failure"] if row else None,
                )
            )
        return v1.BindingLines(items=lines)

    @claimed
    async def bind(self, claim: Claim, ctx: Context, request: v1.Bind) -> v1.BindingRecord:
        """Make sure that it was approved and that the release is there, then put it in force."""
        approved_by = await approver(self.access, self.operations()["bind"], ctx, request)
        await self.foresee("bind", ctx, request)

        async def work(tx: Tx) -> v1.BindingRecord:
            number = await tenant_number(tx, request.tenant)
            generation = await binding_store.next_generation(tx)
            before = await binding_store.live(tx, number, request.contract)
            if before is not None:
                await binding_store.end(tx, before, generation, ctx.principal.id)
                tx.emit(ctx, "binding.ended", binding=before, generation=generation)
            elif await binding_store.count_in_force(tx) >= binding_store.MAX_BOUND:
                raise v1.TooManyBindings(f"{binding_store.MAX_BOUND} bindings are in force")
            version = all_contracts()[request.contract].contract_version
            people = (ctx.principal.id, approved_by)
            await binding_store.add(tx, number, request, version, generation, people)
            tx.emit(
                ctx,
                "binding.bound",
                binding=tx.resource,
                number=number,
                contract=request.contract,
                release=f"{request.edition}.{request.version}",
                generation=generation,
                proposal=ctx.approval,
            )
            return _record(await binding_store.find(tx, tx.resource))

        return await claim.finish(work)

    async def foresee(self, operation: str, ctx: Context, request: Any) -> None:
        """Refuse what cannot be bound; the release itself is asked what it is."""
        if operation != "bind":
            return
        _operators_only(ctx)
        address = release.check(request)
        async with self.store.tx(PLATFORM) as tx:
            await tenant_number(tx, request.tenant)
        release.compare(request, await self.ask_release(address))

    @local
    async def end_binding(self, tx: Tx, ctx: Context, request: v1.BindingId) -> v1.BindingRecord:
        """End it; a binding that has ended stays as it is."""
        _operators_only(ctx)
        row = await binding_store.find(tx, request.binding_id)
        if row is None:
            raise v1.UnknownBinding(f"no binding {request.binding_id}")
        if row["ended_at"] is None:
            generation = await binding_store.next_generation(tx)
            if await binding_store.end(tx, request.binding_id, generation, ctx.principal.id):
                tx.emit(ctx, "binding.ended", binding=request.binding_id, generation=generation)
            row = await binding_store.find(tx, request.binding_id)
        return _record(row)

    async def binding_history(self, ctx: Context, request: v1.BindingQuery) -> v1.BindingRecords:
        """List bindings, newest first."""
        _operators_only(ctx)
        async with self.store.tx(PLATFORM) as tx:
            number = request.tenant and await tenant_number(tx, request.tenant)
            rows = await binding_store.page(tx, request, number or None)
        items = [_record(row) for row in rows[: request.limit]]
        following = items[-1].generation if len(rows) > len(items) else None
        return v1.BindingRecords(items=items, next=following)


async def findings(tx: Tx) -> tuple[int, list[Finding]]:
    """Hold the bindings in force against the rules they were made by; how many there are."""
    found, generation = [], await binding_store.generation(tx)
    rows = await binding_store.in_force(tx)
    for row in rows:
        fields = {name: row[name] for name in ("contract", "edition", "version", "address")}
        try:
            release.check(v1.Bind(tenant="any", on_failure=row["on_failure"], **fields))
            fault = "counted later than the directory" if row["generation"] > generation else ""
        except Problem as problem:
            fault = f"{problem.at}: {problem.detail}"
        if fault:
            detail = f"binding of generation {row['generation']}: {fault}"
            found.append(Finding(check="binding", detail=detail, tenant=row["tenant"]))
    return len(rows), found


async def tenant_number(tx: Tx, slug: str) -> int:
    """The number of a tenant; UnknownTenant when there is none."""
    row = await store.by_slug(tx, slug)
    if row is None:
        raise v1.UnknownTenant(f"no tenant {slug}")
    number: int = row["number"]
    return number


def _operators_only(ctx: Context) -> None:
    if ctx.tenant != PLATFORM:
        raise Forbidden("only an operator of the platform may do this")


def _record(row: Any) -> v1.BindingRecord:
    return v1.BindingRecord(**dict(row))
