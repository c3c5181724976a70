"""All SQL of the ledger's operations (`store_checks.py` holds that of the self check)."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.ledger import v1
from guilder.services.ledger.chain import GENESIS
from guilder.services.ledger.journal import Account, Key, Pending, Row

COLUMNS = ", ".join(Row._fields)
_POSTED = "kind IN ('transfer', 'post')"
_TYPES = (
    "int,bigint,uuid,text,uuid,uuid,bigint,text,date,text,uuid,timestamptz,uuid,uuid,text,"
    "timestamptz,bigint,bigint"
)
_MANY = ", ".join(f"${i}::{kind}[]" for i, kind in enumerate(_TYPES.split(","), 1))

MAX_SEQ = 2**62

LOCK = 0x6C6564676572
"""The writer's advisory lock ("ledger"); locks are per database, hence per shard."""


def _keys(keys: Iterable[Key]) -> tuple[list[int], list[UUID]]:
    listed = list(keys)
    return [key[0] for key in listed], [key[1] for key in listed]


async def take_lock(session: Any) -> bool:
    """Take the writer's lock for as long as the session lives; False while another has it."""
    taken: bool = await session.fetchval("SELECT pg_try_advisory_lock($1)", LOCK)
    return taken


# ── what the writer loads ────────────────────────────────────────────────────────────────────


async def accounts(tx: Tx, keys: Iterable[Key]) -> dict[Key, Account]:
    """The deciding part of these accounts; an unknown one is absent."""
    rows = await tx.fetch(
        "SELECT a.tenant, a.id, a.currency, a.floor, a.state, a.debits, a.credits,"
        " a.pending_debits, a.pending_credits"
        " FROM unnest($1::int[], $2::uuid[]) AS w(tenant, id) JOIN account a USING (tenant, id)",
        *_keys(keys),
    )
    return {
        (r["tenant"], r["id"]): Account(
            r["currency"],
            r["floor"],
            r["state"] == "closed",
            r["debits"],
            r["credits"],
            r["pending_debits"],
            r["pending_credits"],
        )
        for r in rows
    }


async def transfers(tx: Tx, keys: Iterable[Key]) -> dict[Key, Row]:
    """The transfers with these ids."""
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM unnest($1::int[], $2::uuid[]) AS w(tenant, id)"
        " JOIN transfer USING (tenant, id)",
        *_keys(keys),
    )
    return {(r["tenant"], r["id"]): Row._make(r) for r in rows}


async def pendings(tx: Tx, keys: Iterable[Key]) -> dict[Key, Pending]:
    """The pending transfers with these ids."""
    rows = await tx.fetch(
        "SELECT p.* FROM unnest($1::int[], $2::uuid[]) AS w(tenant, id)"
        " JOIN pending p USING (tenant, id)",
        *_keys(keys),
    )
    return {(r["tenant"], r["id"]): _pending(r) for r in rows}


async def due_pendings(tx: Tx, tenant: int, at: datetime, limit: int) -> dict[Key, Pending]:
    """Open pending transfers whose time has passed, the oldest first."""
    rows = await tx.fetch(
        "SELECT * FROM pending WHERE tenant=$1 AND state='open' AND expires_at<=$2"
        " ORDER BY expires_at, id LIMIT $3",
        tenant,
        at,
        limit,
    )
    return {(r["tenant"], r["id"]): _pending(r) for r in rows}


def _pending(row: Any) -> Pending:
    return Pending(
        row["debit"],
        row["credit"],
        row["amount"],
        row["currency"],
        row["expires_at"],
        row["state"],
    )


async def due_tenants(tx: Tx, at: datetime) -> list[int]:
    """Tenants (at most 1000) that have pending transfers to expire."""
    return [row["tenant"] for row in await tx.fetch("SELECT due_tenants($1) AS tenant", at)]


async def head(tx: Tx) -> tuple[int, bytes]:
    """The next seq and the hash that the next batch stands on."""
    row = await tx.row(
        "SELECT first_seq + n AS next, hash FROM batch ORDER BY first_seq DESC LIMIT 1"
    )
    return (row["next"], bytes(row["hash"])) if row else (1, GENESIS)


async def last_booked(tx: Tx, tenants: list[int]) -> dict[int, datetime]:
    """When each tenant's last transfer was booked."""
    rows = await tx.fetch(
        "SELECT w.tenant, t.booked_at FROM unnest($1::int[]) AS w(tenant),"
        " LATERAL (SELECT max(booked_at) AS booked_at FROM transfer"
        " WHERE transfer.tenant=w.tenant) t WHERE t.booked_at IS NOT NULL",
        tenants,
    )
    return {row["tenant"]: row["booked_at"] for row in rows}


# ── what the writer writes ───────────────────────────────────────────────────────────────────


async def append(tx: Tx, rows: Sequence[Row], prev: bytes, hash_: bytes) -> None:
    """Write new transfers and the batch row that chains them."""
    await tx.execute(
        f"INSERT INTO transfer ({COLUMNS}) SELECT * FROM unnest({_MANY})",
        *(list(column) for column in zip(*rows, strict=True)),
    )
    await tx.execute(
        "INSERT INTO batch (first_seq, n, at, prev, hash) VALUES ($1,$2,$3,$4,$5)",
        rows[0].seq,
        len(rows),
        tx.at,
        prev,
        hash_,
    )


async def save_totals(tx: Tx, changed: dict[Key, Account]) -> None:
    """Write the totals of changed accounts."""
    if not changed:
        return
    await tx.execute(
        "UPDATE account a SET debits=w.d, credits=w.c, pending_debits=w.pd, pending_credits=w.pc"
        " FROM unnest($1::int[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[],"
        " $6::bigint[]) AS w(tenant, id, d, c, pd, pc) WHERE a.tenant=w.tenant AND a.id=w.id",
        *_keys(changed),
        [a.debits for a in changed.values()],
        [a.credits for a in changed.values()],
        [a.pending_debits for a in changed.values()],
        [a.pending_credits for a in changed.values()],
    )


async def save_pendings(tx: Tx, changed: dict[Key, Pending]) -> None:
    """Write new pending transfers and the new state of others."""
    if not changed:
        return
    holds = list(changed.values())
    await tx.execute(
        "INSERT INTO pending (tenant, id, debit, credit, amount, currency, expires_at, state)"
        " SELECT * FROM unnest($1::int[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[],"
        " $6::text[], $7::timestamptz[], $8::text[])"
        " ON CONFLICT (tenant, id) DO UPDATE SET state=excluded.state",
        *_keys(changed),
        [h.debit for h in holds],
        [h.credit for h in holds],
        [h.amount for h in holds],
        [h.currency for h in holds],
        [h.expires_at for h in holds],
        [h.state for h in holds],
    )


async def add_day_totals(tx: Tx, days: dict[tuple[int, UUID, date], tuple[int, int]]) -> None:
    """Add posted debits and credits to the totals by value date."""
    if not days:
        return
    await tx.execute(
        "INSERT INTO day_total AS d (tenant, account, value_date, debits, credits)"
        " SELECT * FROM unnest($1::int[], $2::uuid[], $3::date[], $4::bigint[], $5::bigint[])"
        " ON CONFLICT (tenant, account, value_date)"
        " DO UPDATE SET debits=d.debits+excluded.debits, credits=d.credits+excluded.credits",
        [key[0] for key in days],
        [key[1] for key in days],
        [key[2] for key in days],
        [total[0] for total in days.values()],
        [total[1] for total in days.values()],
    )


async def add_accounts(tx: Tx, asked: Sequence[tuple[int, v1.OpenAccount]]) -> None:
    """Open accounts whose ids are free, with a tenant each."""
    await tx.execute(
        "INSERT INTO account (tenant, id, chart, currency, partner, opened_floor, floor, state,"
        " opened_at, debits, credits, pending_debits, pending_credits)"
        " SELECT w.*, w.floor, 'open', $7, 0, 0, 0, 0 FROM unnest($1::int[], $2::uuid[],"
        " $3::text[], $4::text[], $5::text[], $6::bigint[])"
        " AS w(tenant, id, chart, currency, partner, floor) ON CONFLICT DO NOTHING",
        *_keys((tenant, item.id) for tenant, item in asked),
        [item.chart for _, item in asked],
        [item.currency for _, item in asked],
        [item.partner for _, item in asked],
        [item.floor for _, item in asked],
        tx.at,
    )


async def set_floor(tx: Tx, tenant: int, account: UUID, floor: int | None) -> Any:
    """Set the limit; the row as it is then, or None. Remembers what already lies below it."""
    return await tx.row(
        "UPDATE account SET floor=$3, excused=CASE WHEN credits-debits-pending_debits < $3"
        " THEN credits-debits-pending_debits END WHERE tenant=$1 AND id=$2 RETURNING *",
        tenant,
        account,
        floor,
    )


async def close_account(tx: Tx, tenant: int, account: UUID) -> Any:
    """Close the account; the row as it is then."""
    return await tx.row(
        "UPDATE account SET state='closed' WHERE tenant=$1 AND id=$2 RETURNING *", tenant, account
    )


async def analyze(tx: Tx) -> None:
    """Let the planner learn how large the tables are."""
    await tx.execute("ANALYZE account, transfer, pending, day_total")


# ── what readers ask ─────────────────────────────────────────────────────────────────────────


async def account(tx: Tx, tenant: int, account_id: UUID) -> Any:
    """One account's row, or None."""
    return await tx.row("SELECT * FROM account WHERE tenant=$1 AND id=$2", tenant, account_id)


async def account_rows(tx: Tx, keys: Iterable[Key]) -> dict[Key, Any]:
    """The rows of these accounts."""
    rows = await tx.fetch(
        "SELECT a.* FROM unnest($1::int[], $2::uuid[]) AS w(tenant, id)"
        " JOIN account a USING (tenant, id)",
        *_keys(keys),
    )
    return {(r["tenant"], r["id"]): r for r in rows}


async def balance_at(tx: Tx, tenant: int, account_id: UUID, seq: int) -> int:
    """Booked balance of an account after the transfer `seq`, in minor units: two look-ups."""
    balance: int = await tx.value(
        "SELECT coalesce((SELECT c_after FROM transfer WHERE tenant=$1 AND credit=$2 AND seq<=$3"
        f" AND {_POSTED} ORDER BY seq DESC LIMIT 1), 0)"
        " - coalesce((SELECT d_after FROM transfer WHERE tenant=$1 AND debit=$2 AND seq<=$3"
        f" AND {_POSTED} ORDER BY seq DESC LIMIT 1), 0)",
        tenant,
        account_id,
        seq,
    )
    return balance


async def seq_at(tx: Tx, tenant: int, at: datetime) -> int:
    """The tenant's last transfer booked at or before a moment; 0 if there is none."""
    seq: int | None = await tx.value(
        "SELECT seq FROM transfer WHERE tenant=$1 AND booked_at<=$2"
        " ORDER BY booked_at DESC, seq DESC LIMIT 1",
        tenant,
        at,
    )
    return seq or 0


async def booked_after_day(tx: Tx, tenant: int, account_id: UUID, day: date) -> int:
    """Credits minus debits of all value dates after a day, in minor units."""
    total: int = await tx.value(
        "SELECT coalesce(sum(credits - debits), 0)::bigint FROM day_total"
        " WHERE tenant=$1 AND account=$2 AND value_date>$3",
        tenant,
        account_id,
        day,
    )
    return total


async def entries(tx: Tx, tenant: int, account_id: UUID, before: int, limit: int) -> list[Row]:
    """Posted transfers that touch an account, newest first."""
    side = (
        f"(SELECT {COLUMNS} FROM transfer WHERE tenant=$1 AND {{side}}=$2 AND seq<$3"
        f" AND {_POSTED} ORDER BY seq DESC LIMIT $4)"
    )
    rows = await tx.fetch(
        f"{side.format(side='debit')} UNION ALL {side.format(side='credit')}"
        " ORDER BY seq DESC LIMIT $4",
        tenant,
        account_id,
        before,
        limit,
    )
    return [Row._make(row) for row in rows]


async def journal(tx: Tx, tenant: int, after: int, limit: int) -> list[Row]:
    """The tenant's transfers after a seq, in booking order."""
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM transfer WHERE tenant=$1 AND seq>$2 ORDER BY seq LIMIT $3",
        tenant,
        after,
        limit,
    )
    return [Row._make(row) for row in rows]


async def trial(tx: Tx, tenant: int, after: UUID | None, limit: int) -> list[Any]:
    """Accounts by id, after one."""
    return await tx.fetch(
        "SELECT * FROM account WHERE tenant=$1 AND id>$2 ORDER BY id LIMIT $3",
        tenant,
        after or UUID(int=0),
        limit,
    )
