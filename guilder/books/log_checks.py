"""Checks that every event is in the audit exactly once, and that nobody follows a log too far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from guilder.books.reading import ALL, Clients, acting, log_of
from guilder.books.report import Notes
from guilder.chassis.call import call_map
from guilder.contracts.audit import v1 as audit
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import Contract, Event

PATIENCE = timedelta(minutes=5)
"""How far behind its source a follower may be before that is a finding."""

NAMED = 10
"""How many missing or foreign entries of a log are named."""

Facts = Mapping[str, Mapping[str, str]]
"""What each service said of itself, by service."""


@dataclass
class Log:
    """One log up to the position that the audit has followed it to."""

    source: str
    followed: str
    tallies: dict[int, audit.Tally] = field(default_factory=dict)
    behind: int = 0
    late: Event | None = None
    """The first event that the audit should have taken down by now."""
    booked: dict[int, set[UUID]] = field(default_factory=dict)
    """Payments that this log says were booked, by tenant."""


def content(source: str, event: Event) -> bytes:
    """The canonical bytes of the entry that an event must leave."""
    return audit.canonical(
        tenant=event.tenant,
        source=source,
        ref=event.position,
        at=event.at,
        operation=event.type,
        principal=event.principal,
        outcome="done",
        request=event.request,
        ids=event.ids,
    )


async def read_log(service: Contract, facts: Facts, now: datetime, notes: Notes) -> Log:
    """Walk a service's log; note followers at positions that it does not have."""
    source = service.contract_name
    log = Log(source, facts.get("audit", {}).get(f"followed:{source}", ""))
    audited = source in call_map()["events"]["audit"]
    places = _followers(source, facts)
    last, waiting = "", not log.followed
    async for event in log_of(service, acting(PLATFORM)):
        last = event.position
        places.pop(last, None)
        notes.checked["events"] += 1
        if event.type == "payment.booked" and "payment" in event.ids:
            log.booked.setdefault(event.tenant, set()).add(UUID(event.ids["payment"]))
        if waiting:
            log.behind += 1
            if log.late is None and now - event.at > PATIENCE:
                log.late = event
        else:
            log.tallies.setdefault(event.tenant, audit.Tally()).add(content(source, event))
            notes.checked["events audited"] += audited
        waiting = waiting or last == log.followed
    for place, who in places.items():
        notes.wrong("feed-position", f"{who} follows {source} from {place}, not in its log", None)
    if audited and log.late is not None:
        detail = f"{log.behind} events of {source} are missing since {log.late.at:%Y-%m-%d %H:%M}"
        notes.wrong("audit-behind", detail, None)
    notes.position[f"log:{source}"] = last
    return log


def _followers(source: str, facts: Facts) -> dict[str, str]:
    """Positions in a log and who follows it from there."""
    found: dict[str, str] = {}
    for service, said in facts.items():
        for name, position in said.items():
            kind, _, feed = name.partition(":")
            if kind == "feed" and feed.partition(":")[0] == source and position:
                found[position] = f"{found[position]}, {service}" if position in found else service
    return found


async def check_audited(clients: Clients, logs: list[Log], facts: Facts, notes: Notes) -> None:
    """Compare what the audit says it took down of each log with the log."""
    said = facts.get("audit", {})
    for log in logs:
        prefix = f"tally:{log.source}:"
        tenants = {int(name.removeprefix(prefix)) for name in said if name.startswith(prefix)}
        for tenant in sorted(tenants | set(log.tallies)):
            has = said.get(f"{prefix}{tenant}", str(audit.Tally()))
            should = str(log.tallies.get(tenant, audit.Tally()))
            if has != should:
                await _name(clients, log, tenant, (has, should), notes)


async def _name(
    clients: Clients, log: Log, tenant: int, tallies: tuple[str, str], notes: Notes
) -> None:
    """Say which entries are missing, foreign or changed."""
    has, should = (tally.partition(":")[0] for tally in tallies)
    entries: dict[str, str] = {}
    client, ctx = clients(audit.Audit), acting(tenant)
    query = audit.AuditQuery(limit=200)
    while True:
        page = await client.entries(ctx, query)
        for entry in page.items:
            if entry.source == log.source:
                entries[entry.ref] = entry.operation
        if page.next is None:
            break
        query = audit.AuditQuery(limit=200, before=page.next)
    missing, last = [], ""
    async for event in log_of(clients(ALL[log.source]), ctx):
        if last == log.followed:
            break
        last = event.position
        if event.tenant == tenant and entries.pop(last, None) != event.type:
            missing.append(f"{event.type} at {last}")
    detail = f"the audit holds {has} of {should} events of {log.source}"
    named = missing[:NAMED] + [f"entry of {ref} has no event" for ref in list(entries)[:NAMED]]
    notes.wrong("audit-events", f"{detail}: {', '.join(named) or 'one was changed'}", tenant)
