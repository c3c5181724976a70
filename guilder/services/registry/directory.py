"""What every process must know at once: all of it in pages, then what has changed."""

import asyncio
from typing import Any

from guilder.chassis.store import Store, Tx
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import Finding
from guilder.contracts.errors import Problem
from guilder.contracts.registry import v1
from guilder.services.registry import binding_store, release
from guilder.services.registry.binding_store import MOST_CHANGES, PAGE
from guilder.services.registry.maintenance import open_windows, switches


async def directory(tx: Tx, generation: int, query: v1.DirectoryQuery) -> v1.Directory:
    """All that a process must know that knows `query.known`; whole where that is no help.

    `generation` was read before: what is told may be newer, never older.
    """
    rows: list[Any] = []
    whole = not 0 <= query.known <= generation
    if not whole:
        rows = await binding_store.changed(tx, query.known, MOST_CHANGES + 1)
        whole = len(rows) > MOST_CHANGES
    if whole:
        rows = await binding_store.whole(tx, query.after, PAGE + 1)
    page = rows[:PAGE] if whole else [row for row in rows if row["left"]]
    return v1.Directory(
        generation=generation,
        bindings=[_bound(row) for row in page],
        windows=[] if query.after else await open_windows(tx),
        read_only=[] if query.after else await switches(tx),
        whole=whole,
        ended=[] if whole else [row["id"] for row in rows if not row["left"]],
        next=page[-1]["id"] if whole and len(rows) > PAGE else None,
    )


async def findings(database: Store) -> tuple[int, list[Finding]]:
    """Hold the bindings in force against the rules they were made by; how many there are."""
    found, count, after, more = [], 0, None, True
    while more:
        async with database.tx(PLATFORM) as tx:
            generation = await binding_store.generation(tx)
            rows = await binding_store.whole(tx, after, PAGE)
        for n, row in enumerate(rows):
            if n % 500 == 0:
                await asyncio.sleep(0)  # others have something to do meanwhile
            if fault := _fault(row, generation):
                detail = f"binding of generation {row['generation']}: {fault}"
                found.append(Finding(check="binding", detail=detail, tenant=row["tenant"]))
        count, more = count + len(rows), len(rows) == PAGE
        after = rows[-1]["id"] if rows else None
    async with database.tx(PLATFORM) as tx:
        for row in await binding_store.unattested(tx):
            detail = f"binding of generation {row['generation']}: its attestation says otherwise"
            found.append(Finding(check="binding", detail=detail, tenant=row["number"]))
    return count, found


def _fault(row: Any, generation: int) -> str:
    """What is wrong with a binding that is in force or planned, or ""."""
    fields = ("contract", "edition", "version", "address", "mode", "on_failure")
    share = row["share"] if row["mode"] == "canary" else None
    try:
        wish = v1.Bind(tenant="any", share=share, **{name: row[name] for name in fields})
        release.check(wish)
        if wish.edition == "A":
            release.read_address(wish.address)
    except Problem as problem:
        return f"{problem.at}: {problem.detail}"
    return "counted later than the directory" if row["generation"] > generation else ""


def _bound(row: Any) -> v1.Bound:
    return v1.Bound(**{name: row[name] for name in v1.Bound.__struct_fields__})
