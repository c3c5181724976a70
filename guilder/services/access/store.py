"""All SQL of roles; that of proposals is in `proposal_store`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.access.v1 import GrantQuery, GrantRole, RoleName
from guilder.contracts.context import Context

Question = tuple[int, int, UUID, UUID | None]
"""Number of the question, tenant, subject, account."""


async def held(tx: Tx, questions: Sequence[Question]) -> list[tuple[int, RoleName]]:
    """Which roles bear on which question: those on its account and those on its tenant."""
    rows = await tx.fetch(
        "SELECT w.n, g.role FROM unnest($1::int[], $2::int[], $3::uuid[], $4::uuid[])"
        " AS w(n, tenant, subject, account)"
        # OFFSET 0 keeps this a look-up by index, however young the planner's statistics are
        " CROSS JOIN LATERAL (SELECT role FROM role_grant WHERE tenant = w.tenant"
        " AND subject = w.subject AND (account IS NULL OR account = w.account)"
        " AND revoked_at IS NULL OFFSET 0) g",
        [q[0] for q in questions],
        [q[1] for q in questions],
        [q[2] for q in questions],
        [q[3] for q in questions],
    )
    return [(row["n"], row["role"]) for row in rows]


async def accounts(
    tx: Tx,
    tenant: int,
    subjects: list[UUID],
    roles: list[RoleName],
    after: UUID | None,
    limit: int,
) -> list[UUID | None]:
    """Accounts on which a subject holds one of the roles, in order; None first = all of them."""
    rows = await tx.fetch(
        "SELECT DISTINCT account FROM role_grant WHERE tenant=$1 AND subject = ANY($2)"
        " AND role = ANY($3) AND revoked_at IS NULL"
        " AND (account IS NULL OR $4::uuid IS NULL OR account > $4)"
        " ORDER BY account NULLS FIRST LIMIT $5",
        tenant,
        subjects,
        roles,
        after,
        limit,
    )
    return [row["account"] for row in rows]


async def knows_account(tx: Tx, tenant: int, account: UUID) -> bool:
    """Whether anybody ever held a role on it: an account is opened with its holders as owners."""
    found: bool = await tx.value(
        "SELECT EXISTS (SELECT 1 FROM role_grant WHERE tenant=$1 AND account=$2)", tenant, account
    )
    return found


async def add_grant(tx: Tx, ctx: Context, request: GrantRole, proposal: UUID | None) -> Any:
    """Give a role, or find it where the subject holds it already; the row in force."""
    return await tx.row(
        "INSERT INTO role_grant (tenant, id, subject, role, account, granted_by, granted_at,"
        " proposal) VALUES ($1,$2,$3,$4,$5,$6,$7,$8)"
        " ON CONFLICT (tenant, subject, role, account) WHERE revoked_at IS NULL"
        " DO UPDATE SET role = excluded.role RETURNING *",
        ctx.tenant,
        tx.resource,
        request.subject,
        request.role,
        request.account,
        ctx.principal.id,
        tx.at,
        proposal,
    )


async def revoke_grant(
    tx: Tx, tenant: int, grant: UUID, by: UUID, at: datetime, reason: bytes
) -> Any:
    """Take a role back; the row, or None where it is absent or was taken back before."""
    return await tx.row(
        "UPDATE role_grant SET revoked_by=$3, revoked_at=$4, revoke_reason=$5"
        " WHERE tenant=$1 AND id=$2 AND revoked_at IS NULL RETURNING *",
        tenant,
        grant,
        by,
        at,
        reason,
    )


async def find_grant(tx: Tx, tenant: int, grant: UUID) -> Any:
    """One grant, or None."""
    return await tx.row("SELECT * FROM role_grant WHERE tenant=$1 AND id=$2", tenant, grant)


async def list_grants(tx: Tx, tenant: int, query: GrantQuery) -> list[Any]:
    """Roles in force, one more than the page holds."""
    return await tx.fetch(
        "SELECT * FROM role_grant WHERE tenant=$1 AND revoked_at IS NULL"
        " AND ($2::uuid IS NULL OR subject=$2) AND ($3::uuid IS NULL OR account=$3)"
        " AND ($4::uuid IS NULL OR id > $4) ORDER BY id LIMIT $5",
        tenant,
        query.subject,
        query.account,
        query.after,
        query.limit + 1,
    )


async def page_of_grants(tx: Tx, tenant: int, after: UUID, limit: int) -> list[Any]:
    """All grants in order of id, with the state of the proposal each came from."""
    return await tx.fetch(
        "SELECT g.*, p.state AS proposal_state, p.operation AS proposal_operation"
        " FROM role_grant g LEFT JOIN proposal p ON p.tenant=g.tenant AND p.id=g.proposal"
        " WHERE g.tenant=$1 AND g.id > $2 ORDER BY g.id LIMIT $3",
        tenant,
        after,
        limit,
    )
