"""All SQL of screening."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.screening.v1 import CaseState, OpenCase


async def add(
    tx: Tx, tenant: int, case: UUID, opened: OpenCase, sealed: Sequence[bytes | None]
) -> bool:
    """Insert a case with its sides, each `sealed`; False where the payment has one."""
    sides = opened.sides
    return bool(
        await tx.value(
            "WITH c AS (INSERT INTO screening_case (tenant, id, payment, state, hits, basis,"
            " screened_by, generation, opened_at) VALUES ($1,$2,$3,'open',$4,$5,$6,$7,$8)"
            " ON CONFLICT (tenant, payment) DO NOTHING RETURNING id),"
            " s AS (INSERT INTO side (tenant, screening_case, n, role, party, hits, sealed)"
            " SELECT $1, c.id, s.n, s.role, s.party, s.hits, s.sealed FROM c, unnest($9::text[],"
            " $10::uuid[], $11::int[], $12::bytea[]) WITH ORDINALITY"
            " AS s(role, party, hits, sealed, n)) SELECT count(*) FROM c",
            tenant,
            case,
            opened.payment_id,
            sum(len(side.hits) for side in sides),
            opened.basis,
            opened.screened_by,
            opened.generation,
            tx.at,
            [side.role for side in sides],
            [side.party for side in sides],
            [len(side.hits) for side in sides],
            list(sealed),
        )
    )


async def sides(tx: Tx, tenant: int, case: UUID) -> list[Any]:
    """Who was checked, in order."""
    return await tx.fetch(
        "SELECT * FROM side WHERE tenant=$1 AND screening_case=$2 ORDER BY n", tenant, case
    )


async def find(tx: Tx, tenant: int, case: UUID) -> Any:
    """A case, or None."""
    return await tx.row("SELECT * FROM screening_case WHERE tenant=$1 AND id=$2", tenant, case)


async def of_payments(tx: Tx, wanted: list[tuple[int, UUID]]) -> dict[tuple[int, UUID], Any]:
    """Cases by tenant and payment."""
    rows = await tx.fetch(
        "SELECT c.* FROM unnest($1::int[], $2::uuid[]) AS w(tenant, payment) CROSS JOIN LATERAL"
        " (SELECT * FROM screening_case WHERE tenant=w.tenant AND payment=w.payment OFFSET 0) c",
        [tenant for tenant, _ in wanted],
        [payment for _, payment in wanted],
    )
    return {(row["tenant"], row["payment"]): row for row in rows}


async def page(
    tx: Tx, tenant: int, state: CaseState | None, after: UUID | None, limit: int
) -> list[Any]:
    """Cases in the order in which they were opened."""
    return await tx.fetch(
        "SELECT * FROM screening_case WHERE tenant=$1 AND ($2::text IS NULL OR state=$2)"
        " AND ($3::uuid IS NULL OR id>$3) ORDER BY id LIMIT $4",
        tenant,
        state,
        after,
        limit,
    )


async def decide(
    tx: Tx, tenant: int, case: UUID, state: CaseState, reason: bytes | None, approval: UUID | None
) -> Any:
    """Decide an open case; its row, or None where it is not open."""
    return await tx.row(
        "UPDATE screening_case SET state=$3, reason=$4, approval=$5, decided_at=$6"
        " WHERE tenant=$1 AND id=$2 AND state='open' RETURNING *",
        tenant,
        case,
        state,
        reason,
        approval,
        tx.at,
    )


async def forget(tx: Tx, tenant: int, party: UUID) -> None:
    """Empty what is about a party whose keys are gone."""
    await tx.execute(
        "WITH s AS (UPDATE side SET sealed=NULL WHERE tenant=$1 AND party=$2"
        " RETURNING screening_case, hits)"
        " UPDATE screening_case SET reason=NULL WHERE tenant=$1 AND id IN"
        " (SELECT screening_case FROM s WHERE hits>0)",
        tenant,
        party,
    )
