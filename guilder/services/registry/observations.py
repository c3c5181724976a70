"""What every process saw of bindings, and what is made of it. Composed into the service."""

from collections import defaultdict
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from guilder.chassis.events import SYSTEM
from guilder.chassis.store import Store, Tx
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.registry import observations as wire, reports, v1
from guilder.contracts.values import decimal
from guilder.services.registry import (
    binding_store,
    observation,
    observation_store as rows,
)
from guilder.services.registry.approval import operators_only
from guilder.services.registry.bindings import tenant_row
from guilder.services.registry.maintenance import open_windows, switches

FORGET_SECONDS: Final = 60.0
HEALTH_MINUTES: Final = 5
"""How far back the health in a service map looks."""

MOST_EXAMPLES: Final = 10
"""How many ways in which a field differed a report shows."""


class ObservationDesk(v1.Registry):
    """Observations, reports, and the map of what serves a tenant."""

    store: Store

    async def observe(self, ctx: Context, request: wire.Observe) -> wire.Observed:
        """Add it up; a canary that has burnt its error budget is ended in the same commit.

        Repeats are recognised for minutes, not kept for weeks: a process tells every second.
        """
        async with self.store.tx(PLATFORM) as tx:
            sums = observation.together(request.seen)
            known = await binding_store.known(tx, list(sums))
            sums = {binding: seen for binding, seen in sums.items() if binding in known}
            canaries = [b for b, s in sums.items() if known[b]["canary"] and s.failures]
            if canaries:  # before any other row, as everybody else who ends one
                await binding_store.hold(tx)
            if ctx.key is not None:
                before = await rows.claim(tx, ctx.key, len(sums))
                if before is not None:
                    return wire.Observed(taken=before)
            await rows.add(tx, sums)
            for binding, seen in sums.items():
                if seen.differences:
                    await rows.add_differences(tx, binding, seen.differences)
            await _end_burnt(tx, ctx, canaries, sums)
        return wire.Observed(taken=len(sums))

    async def report(self, ctx: Context, request: v1.BindingId) -> reports.BindingReport:
        """Everything seen of a binding, and what to do about it."""
        operators_only(ctx)
        async with self.store.tx(PLATFORM) as tx:
            row = await binding_store.find(tx, request.binding_id)
            if row is None:
                raise v1.UnknownBinding(f"no binding {request.binding_id}")
            seen = await _seen(tx, v1.BindingRecord(**dict(row)))
        return msgspec.structs.replace(seen, advice=observation.advice(seen))

    async def service_map(self, ctx: Context, request: v1.WhichTenant) -> reports.ServiceMap:
        """All that serves a tenant, in one transaction."""
        operators_only(ctx)
        async with self.store.tx(PLATFORM) as tx:
            tenant = await tenant_row(tx, request.slug)
            number = tenant["number"]
            bound = await binding_store.of_tenant(tx, number)
            since = tx.at - timedelta(minutes=HEALTH_MINUTES)
            health = await rows.lately(tx, [row["id"] for row in bound], since)
            on = [s.since for s in await switches(tx) if s.tenant in (PLATFORM, number)]
            return reports.ServiceMap(
                tenant=tenant["slug"],
                number=number,
                name=tenant["name"],
                state=tenant["state"],
                generation=await binding_store.generation(tx),
                services=_services(bound, health),
                windows=[w for w in await open_windows(tx) if w.tenant in (PLATFORM, number)],
                read_only=min(on, default=None),
            )

    async def forget(self) -> None:
        """Delete what nobody asks for any more (a sweep)."""
        async with self.store.tx(PLATFORM) as tx:
            await rows.forget(tx)


async def _end_burnt(
    tx: Tx, ctx: Context, canaries: list[UUID], sums: dict[UUID, observation.Sum]
) -> None:
    """End the canaries that fail too often; the row of the generation is held."""
    since = tx.at - observation.BUDGET_WINDOW
    lately = await rows.lately(tx, canaries, since) if canaries else {}
    for binding, seen in lately.items():
        row = await binding_store.state(tx, binding)
        if not observation.burns(seen["calls"], seen["failures"]) or not row["left"]:
            continue
        generation = await binding_store.next_generation(tx)
        share = f"{seen['failures']} of {seen['calls']} calls failed within a minute"
        detail = f"{share}, the last ones: {observation.kinds(sums[binding].failures)}"
        await binding_store.end(tx, binding, generation, SYSTEM.id, "burnt", detail)
        system = Context(tenant=PLATFORM, principal=SYSTEM, request=ctx.request)
        tx.emit(
            system,
            "binding.burnt",
            binding=binding,
            generation=generation,
            calls=seen["calls"],
            failures=seen["failures"],
        )


async def _seen(tx: Tx, bound: v1.BindingRecord) -> reports.BindingReport:
    """The report on a binding, still without advice."""
    found = dict(await rows.everything(tx, bound.id) or {})
    calls = found.get("calls", 0)
    counts = ("calls", "fallbacks", "slowest_ms", "compared", "equal", "dropped", "omitted")
    return reports.BindingReport(
        binding=bound,
        since=found.get("first_at", bound.bound_at),
        last=found.get("last_at"),
        failures=await rows.failures(tx, bound.id),
        mean_ms=_mean(found.get("total_ms", 0), calls),
        differences=await _differences(tx, bound.id),
        advice="",
        **{name: found.get(name, 0) for name in counts},
    )


async def _differences(tx: Tx, binding: UUID) -> list[reports.FieldDifference]:
    examples: dict[tuple[str, str], list[reports.Example]] = defaultdict(list)
    for row in await rows.differences(tx, binding):
        currency, delta = row["currency"], row["delta_minor"]
        examples[row["field"], currency].append(
            reports.Example(
                count=row["count"],
                delta=None if delta is None else decimal(delta, currency),
                serving=row["serving"],
                other=row["other"],
            )
        )
    return [
        reports.FieldDifference(
            field=row["field"],
            count=row["count"],
            currency=row["currency"] or None,
            total=_amount(row, "total_minor"),
            least=_amount(row, "least_minor"),
            most=_amount(row, "most_minor"),
            examples=examples[row["field"], row["currency"]][:MOST_EXAMPLES],
        )
        for row in await rows.fields(tx, binding)
    ]


def _amount(row: Any, column: str) -> str | None:
    if not row["currency"] or row["least_minor"] is None:
        return None
    return decimal(int(row[column]), row["currency"])


def _mean(total: int, calls: int) -> int | None:
    return round(total / calls) if calls else None


def _services(bound: list[Any], lately: dict[UUID, Any]) -> list[reports.ServedBy]:
    """One line a contract, from the rows that are in force or planned."""
    of: dict[str, list[Any]] = defaultdict(list)
    for row in bound:
        of[row["contract"]].append(row)
    return [
        _service(name, contract, of[name], lately) for name, contract in all_contracts().items()
    ]


def _service(name: str, contract: Any, bound: list[Any], lately: Any) -> reports.ServedBy:
    records = [
        (row["ahead"], v1.BindingRecord(**{k: v for k, v in row.items() if k != "ahead"}))
        for row in bound
    ]
    now = {record.mode: record for ahead, record in records if not ahead}
    live = now.get("live")
    return reports.ServedBy(
        contract=name,
        kind=contract.contract_kind,
        contract_version=live.contract_version if live else contract.contract_version,
        stock=contract.release,
        edition=live.edition if live else "A",
        version=live.version if live else contract.release,
        differs=bool(records),
        live=live,
        canary=now.get("canary"),
        shadow=now.get("shadow"),
        planned=[record for ahead, record in records if ahead],
        health=[
            _health(record.id, lately[record.id]) for _, record in records if record.id in lately
        ],
    )


def _health(binding: UUID, seen: Any) -> reports.Health:
    return reports.Health(
        binding=binding,
        minutes=HEALTH_MINUTES,
        calls=seen["calls"],
        failures=seen["failures"],
        fallbacks=seen["fallbacks"],
        mean_ms=_mean(seen["total_ms"], seen["calls"]),
        slowest_ms=seen["slowest_ms"],
    )
