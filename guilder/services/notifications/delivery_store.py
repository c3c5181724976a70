"""All SQL of deliveries, their small logs and stock's receipts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.notifications.deliveries import DeliveryQuery
from guilder.services.notifications.delivery import CODE_TOPIC, LEASE, Outgoing, Verdict


async def add(tx: Tx, queue: list[Outgoing], most: int) -> None:
    """Queue messages; known ids are passed over."""
    if not queue:
        return
    await tx.execute(
        "INSERT INTO delivery (tenant, id, channel, recipient, person, sealed, url, topic,"
        " order_key, about, subject, text, state, attempts, refused, most, next_at, created_at)"
        " SELECT q.*, 'queued', 0, false, $13, $14, $14 FROM unnest($1::int[], $2::uuid[],"
        " $3::text[], $4::uuid[], $5::uuid[], $6::bytea[], $7::text[], $8::text[], $9::text[],"
        " $10::uuid[], $11::text[], $12::text[]) AS q ON CONFLICT DO NOTHING",
        [o.tenant for o in queue],
        [o.id for o in queue],
        [o.channel for o in queue],
        [o.recipient for o in queue],
        [o.person for o in queue],
        [o.sealed for o in queue],
        [o.url for o in queue],
        [o.topic for o in queue],
        [o.order for o in queue],
        [o.about for o in queue],
        [o.subject for o in queue],
        [o.text for o in queue],
        most,
        tx.at,
    )


async def take(tx: Tx, most: int, each: int, busy: list[UUID]) -> list[tuple[int, UUID, UUID]]:
    """Lease up to `most` deliveries that are due: tenant, id and recipient of each.

    Of each recipient up to `each`, of those in `busy` none.
    """
    rows = await tx.fetch(
        "SELECT * FROM take_deliveries($1,$2,$3,$4,$5)", tx.at, tx.at + LEASE, most, each, busy
    )
    return [(row["tenant"], row["id"], row["recipient"]) for row in rows]


async def find(tx: Tx, tenant: int, delivery: UUID) -> Any:
    """A delivery, or None."""
    return await tx.row("SELECT * FROM delivery WHERE tenant=$1 AND id=$2", tenant, delivery)


async def settle(tx: Tx, row: Any, verdict: Verdict, next_at: datetime) -> bool:
    """Write how an attempt ended; False where the lease was lost or somebody else ended it."""
    ended = verdict.state != "queued"
    mine = await tx.execute(
        "UPDATE delivery SET state=$4, why=$5, carried_by=coalesce($6, carried_by), reference=$7,"
        " next_at=$8, ended_at=$9, refused=$10, lease_until=NULL"
        " WHERE tenant=$1 AND id=$2 AND state='queued' AND lease_until=$3",
        row["tenant"],
        row["id"],
        row["lease_until"],
        verdict.state,
        verdict.why,
        verdict.by,
        verdict.reference,
        next_at,
        tx.at if ended else None,
        verdict.refused,
    )
    if mine:
        what = verdict.state if ended else "tried"
        await say(tx, row["tenant"], row["id"], what, verdict.why, verdict.by)
    return bool(mine)


async def say(
    tx: Tx, tenant: int, delivery: UUID, what: str, why: str | None = None, by: str | None = None
) -> None:
    """Add a line to a delivery's small log."""
    await tx.execute(
        "INSERT INTO delivery_line (tenant, delivery, at, what, why, carried_by)"
        " VALUES ($1,$2,$3,$4,$5,$6)",
        tenant,
        delivery,
        tx.at,
        what,
        why,
        by,
    )


async def lines(tx: Tx, tenant: int, delivery: UUID) -> list[Any]:
    """The small log, oldest first."""
    return await tx.fetch(
        "SELECT * FROM delivery_line WHERE tenant=$1 AND delivery=$2 ORDER BY n", tenant, delivery
    )


async def page(tx: Tx, tenant: int, asked: DeliveryQuery) -> list[Any]:
    """Deliveries, newest first; one more than asked for, where there is."""
    return await tx.fetch(
        "SELECT * FROM delivery WHERE tenant=$1 AND ($2::text IS NULL OR state=$2)"
        " AND ($3::text IS NULL OR channel=$3) AND ($4::uuid IS NULL OR recipient=$4)"
        " AND ($5::uuid IS NULL OR about=$5) AND ($6::uuid IS NULL OR id<$6)"
        " ORDER BY id DESC LIMIT $7",
        tenant,
        asked.state,
        asked.channel,
        asked.recipient,
        asked.about,
        asked.before,
        asked.limit + 1,
    )


async def requeue(tx: Tx, tenant: int, delivery: UUID, attempts: int) -> None:
    """Let a failed delivery be tried again, at once and up to `attempts` times."""
    await tx.execute(
        "UPDATE delivery SET state='queued', most=attempts+$3, next_at=$4, ended_at=NULL"
        " WHERE tenant=$1 AND id=$2",
        tenant,
        delivery,
        attempts,
        tx.at,
    )


async def under_repeat(tx: Tx, row: Any) -> bool:
    """Whether a repeat of it waits or is under way; until the commit nobody else begins one."""
    same = row["tenant"], row["id"]
    await tx.execute("SELECT id FROM delivery WHERE tenant=$1 AND id=$2 FOR UPDATE", *same)
    found: bool = await tx.value(
        "SELECT EXISTS (SELECT FROM delivery WHERE tenant=$1 AND recipient=$3 AND replays=$2"
        " AND state='queued')",
        *same,
        row["recipient"],
    )
    return found


async def repeat(tx: Tx, row: Any, new: UUID, attempts: int) -> None:
    """Queue what has ended once more, under a new id."""
    await tx.execute(
        "INSERT INTO delivery (tenant, id, channel, recipient, person, sealed, url, topic,"
        " order_key, about, subject, text, state, attempts, refused, most,"
        " next_at, created_at, replays) SELECT tenant, $3, channel, recipient, person, sealed,"
        " url, topic, order_key, about, subject, text, 'queued', 0, false, $4, $5, $5, id"
        " FROM delivery WHERE tenant=$1 AND id=$2",
        row["tenant"],
        row["id"],
        new,
        attempts,
        tx.at,
    )


async def give_up(tx: Tx, tenant: int, recipient: UUID) -> None:
    """End what waits for a recipient that is no longer there, and forget the address."""
    await tx.execute(
        "WITH g AS (UPDATE delivery SET state='gone', why='recipient-gone', ended_at=$3,"
        " sealed=NULL, lease_until=NULL WHERE tenant=$1 AND recipient=$2 AND state='queued'"
        " RETURNING tenant, id) INSERT INTO delivery_line (tenant, delivery, at, what, why)"
        " SELECT tenant, id, $3, 'gone', 'recipient-gone' FROM g",
        tenant,
        recipient,
        tx.at,
    )
    await tx.execute(
        "UPDATE delivery SET sealed=NULL"
        " WHERE tenant=$1 AND recipient=$2 AND sealed IS NOT NULL AND state<>'queued'",
        tenant,
        recipient,
    )


async def of_person(tx: Tx, tenant: int, person: UUID) -> list[UUID]:
    """The recipients under which a person was written to."""
    rows = await tx.fetch(
        "SELECT DISTINCT recipient FROM delivery"
        " WHERE tenant=$1 AND person=$2 AND sealed IS NOT NULL",
        tenant,
        person,
    )
    return [row["recipient"] for row in rows]


async def codes_since(tx: Tx, tenant: int, recipient: UUID, since: datetime) -> int:
    """How many codes somebody was meant to get since a moment."""
    found: int = await tx.value(
        "SELECT count(*) FROM delivery"
        # as a literal: the index holds codes alone
        f" WHERE tenant=$1 AND recipient=$2 AND topic='{CODE_TOPIC}' AND created_at>$3",
        tenant,
        recipient,
        since,
    )
    return found


async def waiting(tx: Tx) -> tuple[int, datetime | None]:
    """How many deliveries wait over all tenants, and since when the oldest does."""
    row = await tx.row("SELECT * FROM deliveries_waiting()")
    return row["queued"], row["oldest"]


async def tidy(tx: Tx, before: datetime) -> int:
    """Forget deliveries that ended before a moment, with their lines, and old receipts."""
    gone = await tx.execute(
        "WITH d AS (DELETE FROM delivery WHERE state<>'queued' AND ended_at<$1"
        " RETURNING tenant, id)"
        " DELETE FROM delivery_line l USING d WHERE l.tenant=d.tenant AND l.delivery=d.id",
        before,
    )
    return gone + await tx.execute("DELETE FROM receipt WHERE at<$1", before)


async def receipt(tx: Tx, tenant: int, message: UUID) -> Any:
    """What stock answered to a message, or None."""
    return await tx.row("SELECT * FROM receipt WHERE tenant=$1 AND id=$2", tenant, message)


async def add_receipt(
    tx: Tx,
    tenant: int,
    message: UUID,
    hash_: bytes,
    reference: str | None,
    refused: str | None,
) -> None:
    """Note that a message was handed over, or refused for good; the first receipt stays."""
    await tx.execute(
        "INSERT INTO receipt (tenant, id, hash, at, reference, refused)"
        " VALUES ($1,$2,$3,$4,$5,$6) ON CONFLICT DO NOTHING",
        tenant,
        message,
        hash_,
        tx.at,
        reference,
        refused,
    )


async def count(tx: Tx) -> int:
    """How many deliveries the transaction sees."""
    found: int = await tx.value("SELECT count(*) FROM delivery")
    return found
