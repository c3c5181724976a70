"""All SQL of maintenance windows, their notices and read-only mode."""

from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.context import Context
from guilder.contracts.registry.windows import ScheduleWindow

_WINDOW = (
    "SELECT w.*, d.slug FROM maintenance_window w"
    " LEFT JOIN directory d ON d.tenant = w.tenant AND d.number = w.number"
)
_OPEN = "w.completed_at IS NULL AND w.cancelled_at IS NULL"
_READ_ONLY = (
    "SELECT r.*, d.slug FROM read_only r"
    " LEFT JOIN directory d ON d.tenant = r.tenant AND d.number = r.number"
)


async def add_window(
    tx: Tx,
    ctx: Context,
    asked: ScheduleWindow,
    number: int | None,
    times: tuple[datetime, datetime],
    approved_by: UUID,
) -> Any:
    """Insert a scheduled window; `times` are its beginning and its end."""
    await tx.execute(
        "INSERT INTO maintenance_window (id, number, service, writes, title, reason, urgent,"
        " scheduled_at, begins_at, ends_at, completes_after_minutes, proposed_by, approved_by)"
        " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13)",
        tx.resource,
        number,
        asked.service,
        asked.writes,
        asked.title,
        asked.reason,
        asked.urgent,
        tx.at,
        *times,
        asked.completes_after_minutes,
        ctx.principal.id,
        approved_by,
    )
    return await find_window(tx, tx.resource)


async def find_window(tx: Tx, window: UUID) -> Any:
    """One window, or None."""
    return await tx.row(f"{_WINDOW} WHERE w.id=$1", window)


async def lock_window(tx: Tx, window: UUID) -> Any:
    """One window, kept from others until the commit; or None."""
    return await tx.row(f"{_WINDOW} WHERE w.id=$1 FOR UPDATE OF w", window)


async def lock_open(tx: Tx, limit: int) -> list[Any]:
    """Open windows that nobody else is at work on, the earliest first."""
    return await tx.fetch(
        f"{_WINDOW} WHERE {_OPEN} ORDER BY w.begins_at, w.id LIMIT $1 FOR UPDATE OF w SKIP LOCKED",
        limit,
    )


async def open_windows(tx: Tx, limit: int) -> list[Any]:
    """Every window that is not over, the earliest first."""
    return await tx.fetch(f"{_WINDOW} WHERE {_OPEN} ORDER BY w.begins_at, w.id LIMIT $1", limit)


async def count_open(tx: Tx) -> int:
    """How many windows are not over."""
    found: int = await tx.value(f"SELECT count(*) FROM maintenance_window w WHERE {_OPEN}")
    return found


async def overlapping(
    tx: Tx, number: int | None, service: str | None, begins_at: datetime, ends_at: datetime
) -> list[UUID]:
    """Open windows of exactly this scope that lie in this time."""
    rows = await tx.fetch(
        f"SELECT id FROM maintenance_window w WHERE {_OPEN}"
        " AND coalesce(number, 0) = coalesce($1, 0) AND coalesce(service, '') = coalesce($2, '')"
        " AND tstzrange(begins_at, ends_at) && tstzrange($3, $4) ORDER BY begins_at",
        number,
        service,
        begins_at,
        ends_at,
    )
    return [row["id"] for row in rows]


async def page_of_windows(tx: Tx, tenant: int, before: UUID | None, limit: int) -> list[Any]:
    """Windows, newest first: all for the platform (0), else those that concern the tenant."""
    return await tx.fetch(
        f"{_WINDOW} WHERE ($1 = 0 OR w.number IS NULL OR w.number = $1)"
        " AND ($2::uuid IS NULL OR w.id < $2) ORDER BY w.id DESC LIMIT $3",
        tenant,
        before,
        limit,
    )


async def cancel(tx: Tx, window: UUID) -> None:
    """It will not be."""
    await tx.execute("UPDATE maintenance_window SET cancelled_at=$2 WHERE id=$1", window, tx.at)


async def complete(tx: Tx, window: UUID, at: datetime) -> None:
    """It is over."""
    await tx.execute("UPDATE maintenance_window SET completed_at=$2 WHERE id=$1", window, at)


async def extend(tx: Tx, window: UUID, ends_at: datetime) -> None:
    """It ends later."""
    await tx.execute(
        "UPDATE maintenance_window SET ends_at=$2, extensions=extensions+1 WHERE id=$1",
        window,
        ends_at,
    )


async def add_notice(
    tx: Tx, notice: UUID, window: Any, kind: str, n: int, reason: str
) -> UUID | None:
    """Write a notice with the window's present end; None when it was written before."""
    found: UUID | None = await tx.value(
        "INSERT INTO maintenance_notice (id, window_id, kind, n, at, reason, ends_at)"
        " VALUES ($1,$2,$3,$4,$5,$6,$7) ON CONFLICT DO NOTHING RETURNING id",
        notice,
        window["id"],
        kind,
        n,
        tx.at,
        reason,
        window["ends_at"],
    )
    return found


async def noticed(tx: Tx, windows: list[UUID]) -> dict[UUID, set[str]]:
    """The kinds of notices that were written, by window."""
    found: dict[UUID, set[str]] = {window: set() for window in windows}
    for row in await tx.fetch(
        "SELECT window_id, kind FROM maintenance_notice WHERE window_id = ANY($1)", windows
    ):
        found[row["window_id"]].add(row["kind"])
    return found


async def find_notice(tx: Tx, notice: UUID) -> Any:
    """A notice with what its window says, or None."""
    return await tx.row(
        "SELECT n.id, n.window_id AS window, n.kind, coalesce(w.number, 0) AS tenant, w.service,"
        " w.writes, w.title, n.reason, w.begins_at, n.ends_at FROM maintenance_notice n"
        " JOIN maintenance_window w ON w.tenant = n.tenant AND w.id = n.window_id WHERE n.id=$1",
        notice,
    )


async def read_only_on(tx: Tx, limit: int) -> list[Any]:
    """Where read-only mode is on, since the longest first."""
    return await tx.fetch(f"{_READ_ONLY} WHERE r.until IS NULL ORDER BY r.id LIMIT $1", limit)


async def read_only_of(tx: Tx, number: int | None) -> Any:
    """The read-only mode that is on for a tenant or (None) the platform; or None."""
    return await tx.row(
        f"{_READ_ONLY} WHERE r.until IS NULL AND coalesce(r.number, 0) = coalesce($1, 0)", number
    )


async def begin_read_only(tx: Tx, ctx: Context, number: int | None, reason: str) -> None:
    """Switch it on."""
    await tx.execute(
        "INSERT INTO read_only (id, number, since, since_by, reason) VALUES ($1,$2,$3,$4,$5)",
        tx.resource,
        number,
        tx.at,
        ctx.principal.id,
        reason,
    )


async def end_read_only(tx: Tx, ctx: Context, switch: UUID, reason: str) -> Any:
    """Switch it off; the row as it now is."""
    await tx.execute(
        "UPDATE read_only SET until=$2, until_by=$3, until_reason=$4 WHERE id=$1",
        switch,
        tx.at,
        ctx.principal.id,
        reason,
    )
    return await tx.row(f"{_READ_ONLY} WHERE r.id=$1", switch)
