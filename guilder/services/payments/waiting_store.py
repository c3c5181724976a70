"""All SQL of payments that wait: for a part that does not answer, for somebody of the bank to look
at it, for the end of maintenance."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.services.payments.payment import (
    ATTEMPTS_KEPT,
    REPEATS_SHOWN,
    Attempt,
    waits_for,
)


async def wait(tx: Tx, tenant: int, attempt: Attempt, pause: timedelta) -> bool:
    """Note what a payment waits for, unless it has ended meanwhile; True = it waits from now on.

    The activity says it once, and again when something else is waited for.
    """
    asked_at = tx.at if attempt.asked_ledger else attempt.unsettled
    line = {"since": tx.at, "part": attempt.asking, "hold": attempt.hold, "asked_at": asked_at}
    said = waits_for(line)
    assert said is not None
    kept = attempt.screened if asked_at is not None else None
    first: bool = await tx.value(
        "WITH old AS (SELECT part, asked_at FROM waiting WHERE tenant=$1 AND payment=$2),"
        " p AS (UPDATE payment SET state='waiting', debtor=coalesce($3, debtor),"
        " creditor=coalesce($4, creditor)"
        " WHERE tenant=$1 AND id=$2 AND state IN ('processing', 'waiting') RETURNING id),"
        " w AS (INSERT INTO waiting (tenant, payment, since, part, hold, asked_at, retry_at,"
        " screened_by, screened_generation, screened_outcome)"
        " SELECT $1, id, $5, $6, $7, $8, $9, $13, $14, $15 FROM p"
        " ON CONFLICT (tenant, payment) DO UPDATE SET part=$6, hold=$7, asked_at=$8, retry_at=$9,"
        " screened_by=$13, screened_generation=$14, screened_outcome=$15),"
        " a AS (UPDATE attempt SET ended_at=$5, outcome='waiting'"
        " WHERE tenant=$1 AND payment=$2 AND ended_at IS NULL AND n<=$10 AND EXISTS (SELECT FROM p)"
        "), b AS (DELETE FROM attempt"
        " WHERE tenant=$1 AND payment=$2 AND ended_at IS NULL AND n>$10 AND EXISTS (SELECT FROM p)"
        "), l AS (INSERT INTO activity (tenant, payment, at, what, detail)"
        " SELECT $1, id, $5, 'waiting', $11 FROM p WHERE NOT EXISTS"
        " (SELECT FROM old WHERE part=$6 AND (asked_at IS NULL)=($8::timestamptz IS NULL))"
        " AND (SELECT count(*) FROM activity"
        " WHERE tenant=$1 AND payment=$2 AND what='waiting')<$12)"
        " SELECT EXISTS (SELECT FROM p) AND NOT EXISTS (SELECT FROM old)",
        tenant,
        attempt.id,
        attempt.debtor if attempt.allowed else None,
        attempt.creditor if attempt.allowed else None,
        tx.at,
        attempt.asking,
        attempt.hold,
        asked_at,
        tx.at + pause,
        ATTEMPTS_KEPT,
        said.detail,
        REPEATS_SHOWN,
        kept.by if kept else None,
        kept.generation if kept else None,
        kept.outcome if kept else None,
    )
    return first


async def wake(tx: Tx, tenant: int, payment: UUID) -> None:
    """Let the sweep take a waiting payment up at once."""
    await tx.execute(
        "UPDATE waiting SET retry_at=$3 WHERE tenant=$1 AND payment=$2 AND part='check'",
        tenant,
        payment,
        tx.at,
    )


async def due(tx: Tx, tenant: int, limit: int, *, checked: bool) -> list[Any]:
    """Waiting payments whose pause has passed, in the order in which they were received.

    `checked`: those that a person of the bank looks at, else all others.
    """
    return await tx.fetch(
        "SELECT p.* FROM waiting w JOIN payment p ON p.tenant=w.tenant AND p.id=w.payment"
        " WHERE w.tenant=$1 AND w.retry_at<=$2 AND (w.part='check')=$4"
        " ORDER BY w.payment LIMIT $3",
        tenant,
        tx.at,
        limit,
        checked,
    )


async def page(tx: Tx, tenant: int, after: UUID | None, limit: int) -> list[Any]:
    """What waits, in the order in which it was received."""
    return await tx.fetch(
        "SELECT p.*, w.since, w.part, w.hold, w.asked_at, NULL::uuid AS reversed_by"
        " FROM waiting w JOIN payment p ON p.tenant=w.tenant AND p.id=w.payment"
        " WHERE w.tenant=$1 AND ($2::uuid IS NULL OR w.payment>$2) ORDER BY w.payment LIMIT $3",
        tenant,
        after,
        limit,
    )
