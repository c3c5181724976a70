"""All SQL of parties."""

from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx


async def add(
    tx: Tx,
    tenant: int,
    party: UUID,
    kind: str,
    sealed: bytes,
    name_hash: bytes,
    reference: str | None,
) -> bool:
    """Insert a party; False when its reference is taken."""
    return bool(
        await tx.execute(
            "INSERT INTO party (tenant, id, kind, sealed, name_hash, reference, created_at)"
            " VALUES ($1,$2,$3,$4,$5,$6,$7) ON CONFLICT (tenant, reference) DO NOTHING",
            tenant,
            party,
            kind,
            sealed,
            name_hash,
            reference,
            tx.at,
        )
    )


async def find(tx: Tx, tenant: int, party: UUID) -> Any:
    """A party's row, or None."""
    return await tx.row("SELECT * FROM party WHERE tenant=$1 AND id=$2", tenant, party)


async def find_many(tx: Tx, wanted: list[tuple[int, UUID]]) -> dict[tuple[int, UUID], Any]:
    """Id, kind and erasure of parties, by (tenant, id)."""
    rows = await tx.fetch(
        # OFFSET 0 keeps this a look-up by index, however young the planner's statistics are
        "SELECT p.* FROM unnest($1::int[], $2::uuid[]) AS w(tenant, id) CROSS JOIN LATERAL"
        " (SELECT tenant, id, kind, erased_at FROM party"
        " WHERE tenant=w.tenant AND id=w.id OFFSET 0) p",
        [w[0] for w in wanted],
        [w[1] for w in wanted],
    )
    return {(row["tenant"], row["id"]): row for row in rows}


async def sealed_many(tx: Tx, wanted: list[tuple[int, UUID]]) -> dict[tuple[int, UUID], Any]:
    """Whole rows of parties, by (tenant, id)."""
    rows = await tx.fetch(
        "SELECT p.* FROM unnest($1::int[], $2::uuid[]) AS w(tenant, id) CROSS JOIN LATERAL"
        " (SELECT * FROM party WHERE tenant=w.tenant AND id=w.id OFFSET 0) p",
        [w[0] for w in wanted],
        [w[1] for w in wanted],
    )
    return {(row["tenant"], row["id"]): row for row in rows}


async def page(
    tx: Tx,
    tenant: int,
    name_hash: bytes | None,
    reference: str | None,
    after: UUID | None,
    limit: int,
) -> list[Any]:
    """Parties that are not erased, by id, after one."""
    return await tx.fetch(
        "SELECT * FROM party WHERE tenant=$1 AND erased_at IS NULL"
        " AND ($2::bytea IS NULL OR name_hash=$2) AND ($3::text IS NULL OR reference=$3)"
        " AND ($4::uuid IS NULL OR id>$4) ORDER BY id LIMIT $5",
        tenant,
        name_hash,
        reference,
        after,
        limit,
    )


async def erase(tx: Tx, tenant: int, party: UUID, at: datetime) -> bool:
    """Empty a party's personal data for good; False when it was erased before."""
    return bool(
        await tx.execute(
            "UPDATE party SET sealed=NULL, name_hash=NULL, erased_at=$3"
            " WHERE tenant=$1 AND id=$2 AND erased_at IS NULL",
            tenant,
            party,
            at,
        )
    )


async def rows_after(tx: Tx, tenant: int, after: UUID | None, limit: int) -> list[Any]:
    """Every party by id, erased ones too, for the self check."""
    return await tx.fetch(
        "SELECT * FROM party WHERE tenant=$1 AND ($2::uuid IS NULL OR id>$2) ORDER BY id LIMIT $3",
        tenant,
        after,
        limit,
    )
