"""All SQL of the vault."""

from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx


async def epochs(tx: Tx, tenants: list[int]) -> dict[int, int]:
    """The present epoch of each tenant; a tenant without one is absent."""
    rows = await tx.fetch(
        "SELECT tenant, max(epoch) AS epoch FROM epoch WHERE tenant = ANY($1) GROUP BY tenant",
        tenants,
    )
    return {row["tenant"]: row["epoch"] for row in rows}


async def start_epoch(tx: Tx, tenant: int, at: datetime) -> int:
    """Begin the tenant's next epoch (the first is 1)."""
    number: int = await tx.value(
        "INSERT INTO epoch SELECT $1, coalesce(max(epoch),0)+1, $2 FROM epoch WHERE tenant=$1"
        " RETURNING epoch",
        tenant,
        at,
    )
    return number


async def find_keys(tx: Tx, wanted: list[tuple[int, UUID, int]]) -> dict[Any, Any]:
    """Rows by (tenant, subject, epoch)."""
    rows = await tx.fetch(
        # OFFSET 0 keeps this a look-up by index, however young the planner's statistics are
        "SELECT k.* FROM unnest($1::int[], $2::uuid[], $3::int[]) AS w(tenant, subject, epoch)"
        " CROSS JOIN LATERAL (SELECT * FROM data_key WHERE tenant=w.tenant"
        " AND subject=w.subject AND epoch=w.epoch OFFSET 0) k",
        [w[0] for w in wanted],
        [w[1] for w in wanted],
        [w[2] for w in wanted],
    )
    return {(row["tenant"], row["subject"], row["epoch"]): row for row in rows}


async def add_keys(tx: Tx, rows: list[tuple[int, UUID, int, bytes, datetime]]) -> None:
    """Insert new keys in a fixed order; a key that somebody else made meanwhile stays."""
    await tx.many(
        "INSERT INTO data_key (tenant, subject, epoch, wrapped, made_at)"
        " VALUES ($1,$2,$3,$4,$5) ON CONFLICT DO NOTHING",
        sorted(rows, key=lambda row: (row[0], row[1], row[2])),
    )


async def erase_keys(tx: Tx, tenant: int, subject: UUID, epoch: int, at: datetime) -> int:
    """Destroy every key of a subject and make sure that none is made again for this epoch."""
    gone = await tx.execute(
        "UPDATE data_key SET wrapped=NULL, erased_at=$3"
        " WHERE tenant=$1 AND subject=$2 AND wrapped IS NOT NULL",
        tenant,
        subject,
        at,
    )
    await tx.execute(
        "INSERT INTO data_key (tenant, subject, epoch, made_at, erased_at) VALUES ($1,$2,$3,$4,$4)"
        " ON CONFLICT DO NOTHING",
        tenant,
        subject,
        epoch,
        at,
    )
    return gone


async def all_keys(tx: Tx) -> list[Any]:
    """Every key row of the transaction's tenants."""
    return await tx.fetch("SELECT * FROM data_key")
