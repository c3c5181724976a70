"""`guilder verify`: every service checks itself, then they are held against each other.

Everything is read through contracts, in the name of the operator's tools, on a running platform;
what is booked meanwhile does not disturb it.
"""

import time
from collections.abc import Awaitable
from datetime import datetime
from typing import TypeVar

from guilder.books.ledger_checks import check_ledger
from guilder.books.log_checks import Facts, Log, check_audited, read_log
from guilder.books.people_checks import check_people
from guilder.books.reading import ALL, Clients, acting
from guilder.books.report import Notes, Report
from guilder.chassis.call import call_map
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import Problem
from guilder.contracts.registry.v1 import Registry

T = TypeVar("T")


async def verify(clients: Clients, now: datetime) -> Report:
    """Check the whole platform; never raises for what is wrong with it, the report says it."""
    started, notes = time.monotonic(), Notes()
    facts = {name: await _self_check(clients, name, notes) for name in ALL}
    logs = [
        log
        for name in ALL
        if (log := await _try(read_log(clients(ALL[name]), facts, now, notes), name, None, notes))
    ]
    audited = [log for log in logs if log.source in call_map()["events"]["audit"]]
    await _try(check_audited(clients, audited, facts, notes), "audit", None, notes)
    for tenant in await _tenants(clients, facts, notes):
        await _check_tenant(clients, tenant, logs, notes)
    return notes.report(now, int((time.monotonic() - started) * 1000))


async def _self_check(clients: Clients, name: str, notes: Notes) -> dict[str, str]:
    """Let a service check itself; its facts."""
    asked = clients(ALL[name]).self_check(acting(PLATFORM), Nothing())
    answer = await _try(asked, name, None, notes)
    if answer is None:
        return {}
    for what, count in answer.checked.items():
        notes.checked[f"{name} {what}"] += count
    for found in answer.findings:
        notes.wrong(found.check, found.detail, found.tenant, service=name)
    for fact, value in answer.facts.items():
        if fact.startswith("head:"):
            notes.position[f"audit:{fact.removeprefix('head:')}"] = value
    return answer.facts


async def _try(work: Awaitable[T], service: str, tenant: int | None, notes: Notes) -> T | None:
    """Run a part; a problem that ends it is a finding: what could not be checked is not right."""
    try:
        return await work
    except Problem as problem:
        notes.wrong("not-checked", f"{problem.code}: {problem.detail}", tenant, service=service)
        return None


async def _tenants(clients: Clients, facts: Facts, notes: Notes) -> list[int]:
    """The tenants that registry knows and those that left a trace in the audit."""
    answer = await _try(
        clients(Registry).tenants(acting(PLATFORM), Nothing()), "registry", None, notes
    )
    known = {PLATFORM} | ({tenant.number for tenant in answer.items} if answer else set())
    traces = {int(f.removeprefix("head:")) for f in facts["audit"] if f.startswith("head:")}
    for tenant in sorted(traces - known):
        notes.wrong("tenant", f"tenant {tenant} left a trace, registry does not know it", tenant)
    notes.checked["tenants"] += len(known)
    return sorted(known | traces)


async def _check_tenant(clients: Clients, tenant: int, logs: list[Log], notes: Notes) -> None:
    """What several services must agree on and none of them checks alone."""
    booked = {payment for log in logs for payment in log.booked.get(tenant, ())}
    books = await _try(check_ledger(clients, tenant, booked, notes), "ledger", tenant, notes)
    if books is not None:
        await _try(check_people(clients, tenant, books, notes), "parties", tenant, notes)
