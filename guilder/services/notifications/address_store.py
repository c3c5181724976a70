"""All SQL of people's e-mail addresses."""

from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx


async def find(tx: Tx, tenant: int, principal: UUID) -> Any:
    """Somebody's address, or None."""
    return await tx.row("SELECT * FROM address WHERE tenant=$1 AND principal=$2", tenant, principal)


async def lock(tx: Tx, tenant: int, principal: UUID) -> Any:
    """The same; until the commit nobody else asks for a code, also where there is none yet."""
    await tx.execute(
        "SELECT pg_advisory_xact_lock(hashtext('address'), hashtext($1))", f"{tenant}:{principal}"
    )
    return await tx.row(
        "SELECT * FROM address WHERE tenant=$1 AND principal=$2 FOR UPDATE", tenant, principal
    )


async def ask(
    tx: Tx, tenant: int, principal: UUID, person: UUID, pending: bytes, until: datetime
) -> Any:
    """Keep a new address until its code comes back; a confirmed one stays."""
    return await tx.row(
        "INSERT INTO address (tenant, principal, person, pending, pending_until, tries, asked_at,"
        " unsubscribed) VALUES ($1,$2,$3,$4,$5,0,$6,'{}') ON CONFLICT (tenant, principal)"
        " DO UPDATE SET pending=$4, pending_until=$5, tries=0, asked_at=$6 RETURNING *",
        tenant,
        principal,
        person,
        pending,
        until,
        tx.at,
    )


async def try_code(tx: Tx, tenant: int, principal: UUID, most: int) -> Any:
    """Count a try of the code; the row, or None where no code counts any more."""
    return await tx.row(
        "UPDATE address SET tries=tries+1 WHERE tenant=$1 AND principal=$2 AND tries<$3"
        " AND pending IS NOT NULL AND pending_until>$4 RETURNING *",
        tenant,
        principal,
        most,
        tx.at,
    )


async def confirm(tx: Tx, tried: Any, sealed: bytes) -> Any:
    """Use an address; None where another one was set since its code was tried."""
    return await tx.row(
        "UPDATE address SET sealed=$3, confirmed_at=$4, pending=NULL, pending_until=NULL"
        " WHERE tenant=$1 AND principal=$2 AND pending=$5 RETURNING *",
        tried["tenant"],
        tried["principal"],
        sealed,
        tx.at,
        tried["pending"],
    )


async def choose(tx: Tx, tenant: int, principal: UUID, unsubscribed: list[str]) -> Any:
    """Keep what somebody is not written about; None where he has no address."""
    return await tx.row(
        "UPDATE address SET unsubscribed=$3 WHERE tenant=$1 AND principal=$2 RETURNING *",
        tenant,
        principal,
        unsubscribed,
    )


async def remove(tx: Tx, tenant: int, principal: UUID) -> bool:
    """Remove an address; False where there is none."""
    gone = await tx.execute(
        "DELETE FROM address WHERE tenant=$1 AND principal=$2", tenant, principal
    )
    return bool(gone)


async def forget(tx: Tx, tenant: int, person: UUID) -> list[UUID]:
    """Remove a person's addresses; the principals they were of."""
    rows = await tx.fetch(
        "DELETE FROM address WHERE tenant=$1 AND person=$2 RETURNING principal", tenant, person
    )
    return [row["principal"] for row in rows]


async def confirmed(tx: Tx, tenants: list[int], principals: list[UUID]) -> list[Any]:
    """Confirmed addresses of these principals of these tenants."""
    return await tx.fetch(
        "SELECT tenant, principal, person, sealed, unsubscribed FROM address"
        " WHERE tenant=ANY($1) AND principal=ANY($2) AND sealed IS NOT NULL",
        tenants,
        principals,
    )


async def confirmed_after(tx: Tx, tenant: int, after: UUID | None, limit: int) -> list[Any]:
    """Confirmed addresses of a tenant by principal, after one."""
    return await tx.fetch(
        "SELECT tenant, principal, person, sealed, unsubscribed FROM address WHERE tenant=$1"
        " AND sealed IS NOT NULL AND ($2::uuid IS NULL OR principal>$2)"
        " ORDER BY principal LIMIT $3",
        tenant,
        after,
        limit,
    )


async def tenants(tx: Tx) -> list[int]:
    """Tenants in which anybody is written to, by mail or webhook."""
    return [row["tenant"] for row in await tx.fetch("SELECT tenants_written_to() AS tenant")]
