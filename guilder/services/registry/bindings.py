"""Binds tenants to releases and editions, and ends that. Composed into the service."""

from dataclasses import replace
from typing import Any, Literal
from uuid import UUID

import msgspec

from guilder.chassis.idempotency import Claim, Once, claimed, local
from guilder.chassis.store import Store, Tx
from guilder.contracts.access.v1 import Access
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.declare import Nothing
from guilder.contracts.edition import sees_personal
from guilder.contracts.registry import v1
from guilder.services.registry import binding_store, edition, release, store
from guilder.services.registry.approval import approver, operators_only
from guilder.services.registry.binding_store import NewBinding
from guilder.services.registry.conformance import Editions


class BindingDesk(v1.Registry):
    """The operations on bindings."""

    store: Store
    once: Once
    access: Access
    ask_release: release.AskRelease
    editions: Editions

    async def bindings(self, ctx: Context, request: Nothing) -> v1.BindingLines:
        """List what serves the tenant of the call."""
        async with self.store.tx(PLATFORM) as tx:
            rows = await binding_store.of_tenant(tx, ctx.tenant)
        bound = {row["contract"]: row for row in rows if row["mode"] == "live" and not row["ahead"]}
        lines = []
        for name, contract in all_contracts().items():
            row = bound.get(name)
            lines.append(
                v1.BindingLine(
                    contract=name,
                    contract_version=row["contract_version"] if row else contract.contract_version,
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
        """Make sure that it was approved and that it is what was tested, then put it in force."""
        approved_by = await approver(self.access, self.operations()["bind"], ctx, request)
        made = await self._would_be(ctx, request, approved_by)
        return await claim.finish(lambda tx: _put(tx, ctx, made))

    @claimed
    async def shadow(self, claim: Claim, ctx: Context, request: v1.Shadow) -> v1.BindingRecord:
        """The same for a tested edition that serves nobody and sees no personal data: one
        operator is enough."""
        wish = v1.Bind(mode="shadow", **msgspec.structs.asdict(request))
        operators_only(ctx)
        release.check(wish)
        if sees_personal(all_contracts()[request.contract]):
            raise v1.ApprovalNeeded(f"an edition of {request.contract} sees personal data")
        if request.edition == "A":  # whoever answers there is called as one of our own processes
            raise v1.ApprovalNeeded("a release of ours carries no attestation")
        made = await self._would_be(ctx, wish, None)
        return await claim.finish(lambda tx: _put(tx, ctx, made))

    async def foresee(self, operation: str, ctx: Context, request: Any) -> None:
        """Refuse what cannot be bound; what is bound is itself asked what it is."""
        if operation == "bind":
            await self._would_be(ctx, request, None)

    async def _would_be(
        self, ctx: Context, request: v1.Bind, approved_by: UUID | None
    ) -> NewBinding:
        """The binding that this would make now, or the problem that says why it cannot be."""
        operators_only(ctx)
        release.check(request)
        if request.edition != "A":
            request = edition.with_plain_address(request, self.editions.ask)
        row = None
        async with self.store.tx(PLATFORM) as tx:
            number = await tenant_number(tx, request.tenant)
            release.check_beginning(request.begins, tx.at)
            if request.edition != "A":
                row = await edition.attested(tx, self.editions.notary, request)
        if row is None:
            await release.check_release(request, self.ask_release)
        else:
            await edition.check_edition(request, row, self.editions.ask)
            edition.check_version(request.contract, row["contract_version"], tx.at)
        version = all_contracts()[request.contract].contract_version
        return NewBinding(
            number=number,
            contract=request.contract,
            contract_version=row["contract_version"] if row else version,
            edition=request.edition,
            version=request.version,
            address=request.address,
            on_failure=request.on_failure,
            proposed_by=ctx.principal.id,
            approved_by=approved_by,
            mode=request.mode,
            share=request.share or 100,
            begins=request.begins,
            digest=row["digest"] if row else None,
            attestation=row["id"] if row else None,
        )

    @local
    async def end_binding(self, tx: Tx, ctx: Context, request: v1.BindingId) -> v1.BindingRecord:
        """End it; a binding that has ended stays as it is."""
        operators_only(ctx)
        await _take_back(tx, ctx, request.binding_id, "ended")
        return await _record(tx, request.binding_id)

    @local
    async def rollback(self, tx: Tx, ctx: Context, request: v1.BindingId) -> v1.RolledBack:
        """End it and put back what it replaced; a binding that has ended stays as it is."""
        operators_only(ctx)
        row, withdrawn = await _take_back(tx, ctx, request.binding_id, "rolled-back")
        restored = None
        if row["left"] and not row["ahead"] and row["replaces"] is not None:
            earlier = await binding_store.state(tx, row["replaces"])
            if earlier["ended_reason"] in _REPLACED:  # not one that was ended for what it did
                await _restore(tx, ctx, earlier)
                restored = await _record(tx, tx.resource)
        ended = await _record(tx, request.binding_id)
        return v1.RolledBack(ended=ended, restored=restored, withdrawn=withdrawn)

    async def binding_history(self, ctx: Context, request: v1.BindingQuery) -> v1.BindingRecords:
        """List bindings, newest first."""
        operators_only(ctx)
        async with self.store.tx(PLATFORM) as tx:
            number = request.tenant and await tenant_number(tx, request.tenant)
            rows = await binding_store.page(tx, request, number or None)
        items = [v1.BindingRecord(**dict(row)) for row in rows[: request.limit]]
        following = items[-1].generation if len(rows) > len(items) else None
        return v1.BindingRecords(items=items, next=following)


_REPLACED = ("replaced", "planned")


async def _put(tx: Tx, ctx: Context, made: NewBinding) -> v1.BindingRecord:
    """Put a binding in force, now or from when it begins; what is in force then ends."""
    await binding_store.hold(tx)
    release.check_beginning(made.begins, tx.at)
    place = made.number, made.contract, made.mode
    planned = await binding_store.ahead_of(tx, *place)
    if planned is not None:
        raise v1.AlreadyPlanned(f"{planned} has not begun", binding=str(planned))
    before = await binding_store.present(tx, *place)
    if before is None and await binding_store.count_open(tx) >= binding_store.MAX_BOUND:
        raise v1.TooManyBindings(f"{binding_store.MAX_BOUND} bindings are in force")
    generation = await binding_store.next_generation(tx)
    if before is not None:
        reason: Literal["planned", "replaced"] = "planned" if made.begins else "replaced"
        who = ctx.principal.id
        await binding_store.end(tx, before, generation, who, reason, at=made.begins)
        _say_ended(tx, ctx, before, generation, reason)
    await _add(tx, ctx, replace(made, replaces=before), generation)
    return await _record(tx, tx.resource)


async def _take_back(
    tx: Tx, ctx: Context, binding: UUID, reason: v1.EndReason
) -> tuple[Any, UUID | None]:
    """End one, or withdraw it before it begins, and withdraw what was planned to follow it.

    What it was before, and what was withdrawn besides; nothing happens to one that has ended.
    """
    await binding_store.hold(tx)
    row = await binding_store.state(tx, binding)
    if row is None:
        raise v1.UnknownBinding(f"no binding {binding}")
    if not row["left"]:
        return row, None
    generation, by = await binding_store.next_generation(tx), ctx.principal.id
    planned = await binding_store.ahead_of(tx, row["number"], row["contract"], row["mode"])
    if planned is not None:
        await binding_store.withdraw(tx, planned, generation, by)
        tx.emit(ctx, "binding.withdrawn", binding=planned, generation=generation)
    if planned == binding:
        return row, None
    await binding_store.end(tx, binding, generation, by, reason)
    _say_ended(tx, ctx, binding, generation, reason)
    return row, planned


async def _restore(tx: Tx, ctx: Context, earlier: Any) -> None:
    """Put an ended binding in force again, as it was made and approved then."""
    kept = {name: earlier[name] for name in NewBinding.__dataclass_fields__ if name in earlier}
    again = NewBinding(**kept | {"begins": None, "restores": earlier["id"]})
    await _add(tx, ctx, again, await binding_store.generation(tx))


async def _add(tx: Tx, ctx: Context, made: NewBinding, generation: int) -> None:
    await binding_store.add(tx, made, generation)
    tx.emit(
        ctx,
        "binding.bound",
        binding=tx.resource,
        number=made.number,
        contract=made.contract,
        release=f"{made.edition}.{made.version}",
        mode=made.mode,
        begins=made.begins and made.begins.isoformat(),
        restores=made.restores,
        generation=generation,
        proposal=ctx.approval,
    )


def _say_ended(tx: Tx, ctx: Context, binding: UUID, generation: int, reason: str) -> None:
    tx.emit(ctx, "binding.ended", binding=binding, generation=generation, reason=reason)


async def _record(tx: Tx, binding: UUID) -> v1.BindingRecord:
    return v1.BindingRecord(**dict(await binding_store.find(tx, binding)))


async def tenant_row(tx: Tx, slug: str) -> Any:
    """A tenant; UnknownTenant when there is none."""
    row = await store.by_slug(tx, slug)
    if row is None:
        raise v1.UnknownTenant(f"no tenant {slug}")
    return row


async def tenant_number(tx: Tx, slug: str) -> int:
    """The number of a tenant; UnknownTenant when there is none."""
    number: int = (await tenant_row(tx, slug))["number"]
    return number
