"""All SQL of payments, except for what waits, quotes and standing orders."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from guilder.chassis.idempotency import LEASE
from guilder.chassis.store import Tx
from guilder.contracts.context import Context
from guilder.contracts.ledger.v1 import BookedTransfer
from guilder.contracts.payments import v1
from guilder.contracts.values import Money
from guilder.services.payments.payment import (
    CHECKED_LONG,
    HELD_LONG,
    MAX_ATTEMPTS,
    REPEATS_SHOWN,
    STUCK,
    WAITS_LONG,
    Attempt,
    Cause,
    pause,
)

_BEGIN = (
    ", a AS (INSERT INTO attempt (tenant, payment, n, cause, started_at)"
    " SELECT tenant, id, 1, 'order', created_at FROM p)"
    " INSERT INTO activity (tenant, payment, at, what, detail)"
    " SELECT tenant, id, created_at, 'received', 'from a ' || principal_kind FROM p"
)


async def receive(tx: Tx, ctx: Context, amount: Money, subject: UUID, request: bytes) -> None:
    """Write the payment, its first attempt and the first line of its activity."""
    await tx.execute(
        "WITH p AS (INSERT INTO payment (tenant, id, state, principal, principal_kind, party, key,"
        " amount, currency, subject, request, created_at, retry_at, attempts)"
        " VALUES ($1,$2,'processing',$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,1) RETURNING *)" + _BEGIN,
        ctx.tenant,
        tx.resource,
        ctx.principal.id,
        ctx.principal.kind,
        ctx.principal.party,
        ctx.key,
        amount.minor,
        amount.currency,
        subject,
        request,
        tx.at,
        tx.at + LEASE,
    )


async def receive_reversal(tx: Tx, ctx: Context, of: UUID, subject: UUID, request: bytes) -> None:
    """The same for the reversal of a booked payment; nothing where that cannot be reversed."""
    await tx.execute(
        "WITH p AS (INSERT INTO payment (tenant, id, state, principal, principal_kind, party, key,"
        " approval, reverses, debtor, creditor, amount, currency, fee, subject, request,"
        " created_at, retry_at, attempts)"
        " SELECT $1,$2,'processing',$3,$4,$5,$6,$7, id, creditor, debtor, amount, currency, -fee,"
        " $9, $10, $11, $12, 1 FROM payment"
        " WHERE tenant=$1 AND id=$8 AND state='booked' AND reverses IS NULL"
        " ON CONFLICT DO NOTHING RETURNING *)" + _BEGIN,
        ctx.tenant,
        tx.resource,
        ctx.principal.id,
        ctx.principal.kind,
        ctx.principal.party,
        ctx.key,
        ctx.approval,
        of,
        subject,
        request,
        tx.at,
        tx.at + LEASE,
    )


async def resume(tx: Tx, tenant: int, cause: Cause) -> Any:
    """Note another attempt at the payment `tx.resource`: its number, and what is left of others.

    `asked_at` is when the ledger was asked and did not answer, `screened_*` who had let it through
    by then, `broken_at` when an attempt began that left no word; none where nothing is open. That
    the sweep tries a waiting payment again is no news: its activity already says so.
    """
    return await tx.row(
        "WITH p AS (UPDATE payment SET attempts=attempts+1, retry_at=$3"
        " WHERE tenant=$1 AND id=$2 AND state IN ('processing', 'waiting') RETURNING *),"
        " w AS (UPDATE waiting SET retry_at=$3 WHERE tenant=$1 AND payment=$2 RETURNING *),"
        " o AS (UPDATE attempt SET ended_at=$4, outcome='interrupted'"
        " WHERE tenant=$1 AND payment=$2 AND ended_at IS NULL RETURNING started_at),"
        " a AS (INSERT INTO attempt (tenant, payment, n, cause, started_at)"
        " SELECT $1, $2, attempts, $5, $4 FROM p),"
        " l AS (INSERT INTO activity (tenant, payment, at, what, detail)"
        " SELECT $1, $2, $4, 'resumed', 'by the ' || $5 FROM p WHERE state='processing'"
        " OR $5='repeat' AND (SELECT count(*) FROM activity"
        " WHERE tenant=$1 AND payment=$2 AND what='resumed')<$6)"
        " SELECT (SELECT attempts FROM p) AS n, (SELECT max(started_at) FROM o) AS broken_at,"
        " w.asked_at, w.screened_by, w.screened_generation, w.screened_outcome"
        " FROM (SELECT) one LEFT JOIN w ON true",
        tenant,
        tx.resource,
        tx.at + LEASE,
        tx.at,
        cause,
        REPEATS_SHOWN,
    )


async def interrupt(tx: Tx, tenant: int, payment: UUID, wait: timedelta) -> None:
    """Note that an attempt ended without an outcome, and when the sweep takes the next."""
    attempts = await tx.value(
        "UPDATE attempt SET ended_at=$3, outcome='interrupted'"
        " WHERE tenant=$1 AND payment=$2 AND ended_at IS NULL RETURNING n",
        tenant,
        payment,
        tx.at,
    )
    await put_off(tx, tenant, payment, max(wait, pause(attempts or 1)))


async def put_off(tx: Tx, tenant: int, payment: UUID, wait: timedelta) -> None:
    """Let the sweep leave a payment alone for a while."""
    await tx.execute(
        "WITH w AS (UPDATE waiting SET retry_at=$3 WHERE tenant=$1 AND payment=$2)"
        " UPDATE payment SET retry_at=$3 WHERE tenant=$1 AND id=$2 AND state='processing'",
        tenant,
        payment,
        tx.at + wait,
    )


async def end(
    tx: Tx,
    tenant: int,
    attempt: Attempt,
    sealed: bytes | None,
    result: BookedTransfer | v1.Refusal,
) -> None:
    """Write how the payment ended and everything the attempt learnt, in one statement.

    Nothing is written where another attempt ended it first.
    """
    steps, lines = attempt.decisions, attempt.lines
    booked = result if isinstance(result, BookedTransfer) else None
    refusal = result if isinstance(result, v1.Refusal) else None
    await tx.execute(
        "WITH p AS (UPDATE payment SET state=$3, debtor=coalesce($4, debtor),"
        " creditor=coalesce($5, creditor), fee=coalesce($6, fee), subject=$7, remittance=$8,"
        " request=NULL, booked_at=$9, value_date=$10, refusal_code=$11, refusal_detail=$12,"
        " ended_at=$13 WHERE tenant=$1 AND id=$2 AND state IN ('processing', 'waiting')"
        " RETURNING id),"
        " w AS (DELETE FROM waiting WHERE tenant=$1 AND payment=$2 AND EXISTS (SELECT FROM p)),"
        # by $2 and not by p.id: a join would read all attempts of the tenant while they are few
        " a AS (UPDATE attempt SET ended_at=$13, outcome=$3"
        " WHERE tenant=$1 AND payment=$2 AND ended_at IS NULL AND EXISTS (SELECT FROM p)),"
        " d AS (INSERT INTO decision (tenant, payment, n, step, label, generation, outcome,"
        " binding, at, took_us, product)"
        " SELECT $1, p.id, d.n, d.step, d.label, d.generation, d.outcome, d.binding, d.at,"
        " d.took_us, d.product FROM p, unnest($14::text[], $15::text[], $16::int[], $17::text[],"
        " $21::uuid[], $22::timestamptz[], $23::int[], $24::text[])"
        " WITH ORDINALITY AS d(step, label, generation, outcome, binding, at, took_us, product, n))"
        " INSERT INTO activity (tenant, payment, at, what, detail)"
        " SELECT $1, p.id, l.at, l.what, l.detail FROM p, unnest($18::timestamptz[], $19::text[],"
        " $20::text[]) WITH ORDINALITY AS l(at, what, detail, n) ORDER BY l.n",
        tenant,
        attempt.id,
        "booked" if booked else "refused",
        attempt.debtor,
        attempt.creditor,
        attempt.fee.minor if attempt.fee is not None else None,
        attempt.subject,
        sealed,
        booked.booked_at if booked else None,
        booked.value_date if booked else None,
        refusal.code if refusal else None,
        refusal.detail if refusal else None,
        tx.at,
        [step.step for step in steps],
        [step.by for step in steps],
        [step.generation for step in steps],
        [step.outcome for step in steps],
        [line[0] for line in lines],
        [line[1] for line in lines],
        [line[2] for line in lines],
        [step.binding for step in steps],
        [step.at for step in steps],
        [step.took_us for step in steps],
        [step.product for step in steps],
    )


async def say(tx: Tx, tenant: int, payment: UUID, what: v1.What, detail: str) -> None:
    """Add a line to a payment's activity."""
    await tx.execute(
        "INSERT INTO activity (tenant, payment, at, what, detail) VALUES ($1,$2,$3,$4,$5)",
        tenant,
        payment,
        tx.at,
        what,
        detail,
    )


async def repeated(tx: Tx, tenant: int, payment: UUID) -> None:
    """Note that the same order came again; the first REPEATS_SHOWN times."""
    await tx.execute(
        "INSERT INTO activity (tenant, payment, at, what, detail)"
        " SELECT tenant, id, $3, 'repeated', 'the same order came again; nothing was done'"
        " FROM payment WHERE tenant=$1 AND id=$2 AND (SELECT count(*) FROM activity"
        " WHERE tenant=$1 AND payment=$2 AND what='repeated') < $4",
        tenant,
        payment,
        tx.at,
        REPEATS_SHOWN,
    )


async def find(tx: Tx, tenant: int, payment: UUID) -> Any:
    """A payment, what it waits for, and the id of its booked reversal (`reversed_by`), or None."""
    return await tx.row(
        "SELECT p.*, w.since, w.part, w.hold, w.asked_at,"
        " (SELECT r.id FROM payment r WHERE r.tenant=$1 AND r.reverses=p.id"
        " AND r.state='booked') AS reversed_by"
        " FROM payment p LEFT JOIN waiting w ON w.tenant=$1 AND w.payment=$2"
        " WHERE p.tenant=$1 AND p.id=$2",
        tenant,
        payment,
    )


async def decisions(tx: Tx, tenant: int, payment: UUID) -> list[v1.Decided]:
    """The decisions on a payment, in order."""
    return [
        v1.Decided(
            step=row["step"],
            by=row["label"],
            generation=row["generation"],
            outcome=row["outcome"],
        )
        for row in await decision_rows(tx, tenant, payment)
    ]


async def decision_rows(tx: Tx, tenant: int, payment: UUID) -> list[Any]:
    """The same with what each came from."""
    return await tx.fetch(
        "SELECT * FROM decision WHERE tenant=$1 AND payment=$2 ORDER BY n", tenant, payment
    )


async def activity(tx: Tx, tenant: int, payment: UUID, limit: int) -> list[v1.ActivityLine]:
    """The first lines of a payment's activity."""
    rows = await tx.fetch(
        "SELECT * FROM activity WHERE tenant=$1 AND payment=$2 ORDER BY n LIMIT $3",
        tenant,
        payment,
        limit,
    )
    return [v1.ActivityLine(at=r["at"], what=r["what"], detail=r["detail"]) for r in rows]


async def to_resume(tx: Tx, tenant: int, limit: int) -> list[Any]:
    """Payments whose last attempt is over without an outcome and whose pause has passed."""
    return await tx.fetch(
        "SELECT * FROM payment WHERE tenant=$4 AND state='processing' AND retry_at<=$1"
        " AND attempts<$2"
        " ORDER BY retry_at LIMIT $3",
        tx.at,
        MAX_ATTEMPTS,
        limit,
        tenant,
    )


# ── self check ───────────────────────────────────────────────────────────────────────────────


async def counts(tx: Tx, until: datetime) -> tuple[int, int]:
    """Number of payments, and of transfers that those booked until a moment must have."""
    row = await tx.row(
        "SELECT count(*) AS payments, coalesce(sum(1 + (fee<>0)::int)"
        " FILTER (WHERE state='booked' AND ended_at<=$1), 0) AS legs FROM payment",
        until,
    )
    return row["payments"], row["legs"]


async def by_ids(tx: Tx, tenant: int, ids: list[UUID]) -> dict[UUID, Any]:
    """Payments by id."""
    rows = await tx.fetch("SELECT * FROM payment WHERE tenant=$1 AND id=ANY($2)", tenant, ids)
    return {row["id"]: row for row in rows}


async def booked_page(tx: Tx, tenant: int, after: UUID | None, limit: int) -> list[Any]:
    """Booked payments in the order of their ids."""
    return await tx.fetch(
        "SELECT * FROM payment WHERE tenant=$1 AND state='booked' AND ($2::uuid IS NULL OR id>$2)"
        " ORDER BY id LIMIT $3",
        tenant,
        after,
        limit,
    )


async def faulty(tx: Tx, now: datetime) -> list[tuple[str, UUID]]:
    """Payments that contradict themselves or do not get on: name of the check and payment."""
    rows = await tx.fetch(
        "SELECT 'payment-stuck' AS name, id FROM payment"
        " WHERE state='processing' AND created_at<$1"
        " UNION ALL SELECT 'payment-waits-long', payment FROM waiting"
        " WHERE since<CASE WHEN hold IS NOT NULL THEN $3::timestamptz"
        " WHEN part='check' THEN $4 ELSE $2::timestamptz END"
        " UNION ALL SELECT 'payment-waits-for-nothing', coalesce(p.id, w.payment)"
        " FROM (SELECT tenant, id FROM payment WHERE state='waiting') p FULL JOIN waiting w"
        " ON w.tenant=p.tenant AND w.payment=p.id WHERE p.id IS NULL OR w.payment IS NULL"
        " UNION ALL SELECT 'payment-reversed-twice', reverses FROM payment"
        " WHERE reverses IS NOT NULL AND state<>'refused' GROUP BY reverses HAVING count(*)>1"
        " UNION ALL SELECT 'payment-incomplete', id FROM payment WHERE state='booked'"
        " AND (booked_at IS NULL OR value_date IS NULL OR fee IS NULL OR debtor IS NULL"
        " OR creditor IS NULL) OR state='refused' AND refusal_code IS NULL"
        " UNION ALL SELECT 'reversal-of-nothing', r.id FROM payment r LEFT JOIN payment p"
        " ON p.tenant=r.tenant AND p.id=r.reverses AND p.state='booked' AND p.reverses IS NULL"
        " WHERE r.reverses IS NOT NULL AND p.id IS NULL LIMIT 1000",
        now - STUCK,
        now - WAITS_LONG,
        now - HELD_LONG,
        now - CHECKED_LONG,
    )
    return [(row["name"], row["id"]) for row in rows]
