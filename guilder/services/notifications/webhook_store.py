"""All SQL of webhook endpoints."""

from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx


async def add(tx: Tx, tenant: int, url: str, topics: list[str], secret: bytes) -> Any:
    """Insert an endpoint under the command's resource; None when its URL is taken."""
    return await tx.row(
        "INSERT INTO webhook (tenant, id, url, topics, secret, created_at)"
        " VALUES ($1,$2,$3,$4,$5,$6) ON CONFLICT DO NOTHING RETURNING *",
        tenant,
        tx.resource,
        url,
        topics,
        secret,
        tx.at,
    )


async def count(tx: Tx, tenant: int) -> int:
    """How many endpoints a tenant has; nobody else adds one before this transaction ends."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtext('webhook'), $1)", tenant)
    found: int = await tx.value(
        "SELECT count(*) FROM webhook WHERE tenant=$1 AND removed_at IS NULL", tenant
    )
    return found


async def all_of(tx: Tx, tenant: int) -> list[Any]:
    """A tenant's endpoints that were not removed, in the order of their registration."""
    return await tx.fetch(
        "SELECT * FROM webhook WHERE tenant=$1 AND removed_at IS NULL ORDER BY id", tenant
    )


async def at_url(tx: Tx, tenant: int, url: str) -> Any:
    """The endpoint with a URL, or the last that was removed from there, or None."""
    return await tx.row(
        "SELECT * FROM webhook WHERE tenant=$1 AND url=$2 ORDER BY removed_at DESC LIMIT 1",
        tenant,
        url,
    )


async def in_use(tx: Tx, tenants: list[int]) -> list[Any]:
    """Endpoints of tenants that are neither disabled nor removed."""
    return await tx.fetch(
        "SELECT * FROM webhook WHERE tenant=ANY($1)"
        " AND disabled_at IS NULL AND removed_at IS NULL ORDER BY id",
        tenants,
    )


async def lock(tx: Tx, tenant: int, endpoint: UUID) -> Any:
    """An endpoint that was not removed, kept from changing until the commit; or None."""
    return await tx.row(
        "SELECT * FROM webhook WHERE tenant=$1 AND id=$2 AND removed_at IS NULL FOR UPDATE",
        tenant,
        endpoint,
    )


async def rotate(tx: Tx, row: Any, secret: bytes, old_until: datetime) -> None:
    """Give an endpoint a new secret; the present one counts for a while."""
    await tx.execute(
        "UPDATE webhook SET old_secret=secret, old_until=$3, secret=$4 WHERE tenant=$1 AND id=$2",
        row["tenant"],
        row["id"],
        old_until,
        secret,
    )


async def enable(tx: Tx, row: Any) -> Any:
    """Use an endpoint again."""
    return await tx.row(
        "UPDATE webhook SET disabled_at=NULL, failing_since=NULL"
        " WHERE tenant=$1 AND id=$2 RETURNING *",
        row["tenant"],
        row["id"],
    )


async def disable(tx: Tx, row: Any) -> None:
    """Use an endpoint no more."""
    await tx.execute(
        "UPDATE webhook SET disabled_at=$3 WHERE tenant=$1 AND id=$2",
        row["tenant"],
        row["id"],
        tx.at,
    )


async def remove(tx: Tx, row: Any) -> Any:
    """Remove an endpoint."""
    return await tx.row(
        "UPDATE webhook SET removed_at=$3 WHERE tenant=$1 AND id=$2 RETURNING *",
        row["tenant"],
        row["id"],
        tx.at,
    )


async def works(tx: Tx, row: Any) -> None:
    """Note that an endpoint took something."""
    if row["failing_since"] is not None:
        await tx.execute(
            "UPDATE webhook SET failing_since=NULL WHERE tenant=$1 AND id=$2",
            row["tenant"],
            row["id"],
        )


async def fails(tx: Tx, row: Any) -> datetime:
    """Note that an endpoint took nothing; since when that is so."""
    since: datetime = await tx.value(
        "UPDATE webhook SET failing_since=coalesce(failing_since, $3)"
        " WHERE tenant=$1 AND id=$2 RETURNING failing_since",
        row["tenant"],
        row["id"],
        tx.at,
    )
    return since
