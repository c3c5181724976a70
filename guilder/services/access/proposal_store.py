"""All SQL of proposals. A state changes by one guarded UPDATE, so two at once cannot both win."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.access.v1 import ProposalQuery
from guilder.contracts.context import Context


async def add_proposal(
    tx: Tx, ctx: Context, operation: str, sealed: bytes, digest: bytes, expires_at: datetime
) -> Any:
    """Record what the principal of the call proposes."""
    return await tx.row(
        "INSERT INTO proposal (tenant, id, operation, input, hash, state, proposed_by,"
        " proposed_kind, proposed_party, proposed_at, expires_at)"
        " VALUES ($1,$2,$3,$4,$5,'proposed',$6,$7,$8,$9,$10) RETURNING *",
        ctx.tenant,
        tx.resource,
        operation,
        sealed,
        digest,
        ctx.principal.id,
        ctx.principal.kind,
        ctx.principal.party,
        tx.at,
        expires_at,
    )


async def find_proposal(tx: Tx, tenant: int, proposal: UUID) -> Any:
    """One proposal, or None."""
    return await tx.row("SELECT * FROM proposal WHERE tenant=$1 AND id=$2", tenant, proposal)


async def decide_proposal(
    tx: Tx,
    ctx: Context,
    proposal: UUID,
    state: Literal["approved", "rejected"],
    reason: bytes | None,
) -> Any:
    """Decide an open proposal of somebody else; the row, or None where that does not hold."""
    return await tx.row(
        "UPDATE proposal SET state=$3, decided_by=$4, decided_party=$5, decided_at=$6, reason=$7"
        " WHERE tenant=$1 AND id=$2 AND state='proposed' AND expires_at > $6"
        " AND proposed_by <> $4 AND ($5::uuid IS NULL OR proposed_party IS DISTINCT FROM $5)"
        " RETURNING *",
        ctx.tenant,
        proposal,
        state,
        ctx.principal.id,
        ctx.principal.party,
        tx.at,
        reason,
    )


async def end_proposal(
    tx: Tx, tenant: int, proposal: UUID, resource: str | None, problem: str | None
) -> Any:
    """Record how an approved command ended; the row, or None where it was not approved."""
    return await tx.row(
        "UPDATE proposal SET state = CASE WHEN $4::text IS NULL THEN 'executed' ELSE 'failed' END,"
        " resource=$3, problem=$4, ended_at=$5"
        " WHERE tenant=$1 AND id=$2 AND state='approved' RETURNING *",
        tenant,
        proposal,
        resource,
        problem,
        tx.at,
    )


async def expire_proposals(tx: Tx, tenant: int, limit: int) -> list[UUID]:
    """Close at most `limit` proposals whose time is over; their ids."""
    rows = await tx.fetch(
        "UPDATE proposal SET state='expired' WHERE tenant=$1 AND state='proposed' AND id IN"
        " (SELECT id FROM proposal WHERE tenant=$1 AND state='proposed' AND expires_at <= $2"
        " ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING id",
        tenant,
        tx.at,
        limit,
    )
    return [row["id"] for row in rows]


async def list_proposals(tx: Tx, tenant: int, query: ProposalQuery) -> list[Any]:
    """Proposals, newest first, one more than the page holds; expired ones by the clock."""
    return await tx.fetch(
        "SELECT * FROM proposal WHERE tenant=$1 AND ($2::uuid IS NULL OR id < $2)"
        " AND ($3::text IS NULL OR $3 ="
        " CASE WHEN state='proposed' AND expires_at <= $4 THEN 'expired' ELSE state END)"
        " ORDER BY id DESC LIMIT $5",
        tenant,
        query.after,
        query.state,
        tx.at,
        query.limit + 1,
    )


async def page_of_proposals(tx: Tx, tenant: int, after: UUID, limit: int) -> list[Any]:
    """All proposals in order of id."""
    return await tx.fetch(
        "SELECT * FROM proposal WHERE tenant=$1 AND id > $2 ORDER BY id LIMIT $3",
        tenant,
        after,
        limit,
    )
