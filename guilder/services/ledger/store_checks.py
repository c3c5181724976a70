"""All SQL of the self check. Each proof answers with what is wrong, at most `MOST` lines a tenant.

The proofs run in one snapshot, so books that are being written meanwhile are still proven whole.
"""

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from guilder.chassis.store import Tx
from guilder.services.ledger.journal import Row
from guilder.services.ledger.store import COLUMNS

MOST: Final = 20
PAGE: Final = 5_000

_SUMS = """
  SELECT account, sum(d) AS d, sum(c) AS c, sum(pd) AS pd, sum(pc) AS pc FROM (
    SELECT debit AS account, amount AS d, 0 AS c, 0 AS pd, 0 AS pc FROM transfer
      WHERE tenant=$1 AND kind IN ('transfer', 'post')
    UNION ALL SELECT credit, 0, amount, 0, 0 FROM transfer
      WHERE tenant=$1 AND kind IN ('transfer', 'post')
    UNION ALL SELECT debit, 0, 0, amount, 0 FROM pending WHERE tenant=$1 AND state='open'
    UNION ALL SELECT credit, 0, 0, 0, amount FROM pending WHERE tenant=$1 AND state='open'
  ) sides GROUP BY account"""

PROOFS: Final = {
    "debits-equal-credits": """
SELECT format('%s: debits %s, credits %s, held %s, expected %s', currency, sum(debits),
  sum(credits), sum(pending_debits), sum(pending_credits)) AS detail
FROM account WHERE tenant=$1 GROUP BY currency
HAVING sum(debits)<>sum(credits) OR sum(pending_debits)<>sum(pending_credits)""",
    "account-totals": f"""
SELECT format('account %s: its totals are not those of its transfers', a.id) AS detail
FROM account a LEFT JOIN ({_SUMS}) s ON s.account=a.id
WHERE a.tenant=$1 AND (a.debits, a.credits, a.pending_debits, a.pending_credits) IS DISTINCT FROM
  (coalesce(s.d,0), coalesce(s.c,0), coalesce(s.pd,0), coalesce(s.pc,0))""",
    "running-totals": """
SELECT format('transfer seq %s: a running total is not the sum up to it', seq) AS detail FROM (
  SELECT seq, d_after, c_after,
    sum(amount) FILTER (WHERE kind IN ('transfer', 'post'))
      OVER (PARTITION BY debit ORDER BY seq) AS d,
    sum(amount) FILTER (WHERE kind IN ('transfer', 'post'))
      OVER (PARTITION BY credit ORDER BY seq) AS c
  FROM transfer WHERE tenant=$1) t
WHERE d_after<>coalesce(d,0) OR c_after<>coalesce(c,0)""",
    "transfer-accounts": """
SELECT format('transfer seq %s: an account is missing or in another currency', t.seq) AS detail
FROM transfer t
LEFT JOIN account d ON d.tenant=t.tenant AND d.id=t.debit AND d.currency=t.currency
LEFT JOIN account c ON c.tenant=t.tenant AND c.id=t.credit AND c.currency=t.currency
WHERE t.tenant=$1 AND (d.id IS NULL OR c.id IS NULL)""",
    "pending-states": """
SELECT format('pending transfer %s: its state is not what the journal says',
  coalesce(p.id, o.id)) AS detail
FROM (SELECT * FROM pending WHERE tenant=$1) p
FULL JOIN (SELECT * FROM transfer WHERE tenant=$1 AND kind='pending') o ON o.id=p.id
LEFT JOIN (SELECT pending_id, count(*) AS n, min(kind) AS kind, max(amount) AS amount
  FROM transfer WHERE tenant=$1 AND pending_id IS NOT NULL GROUP BY pending_id) e
  ON e.pending_id=coalesce(p.id, o.id)
WHERE p.id IS NULL OR o.id IS NULL OR e.n>1 OR e.amount>p.amount
  OR (p.debit, p.credit, p.amount, p.currency, p.expires_at)
    IS DISTINCT FROM (o.debit, o.credit, o.amount, o.currency, o.expires_at)
  OR p.state<>CASE coalesce(e.kind, '') WHEN 'post' THEN 'posted' WHEN 'void' THEN 'voided'
    WHEN 'expire' THEN 'expired' ELSE 'open' END""",
    "orphan-settlement": """
SELECT format('transfer seq %s: there is no such pending transfer', t.seq) AS detail
FROM transfer t LEFT JOIN pending p ON p.tenant=t.tenant AND p.id=t.pending_id
WHERE t.tenant=$1 AND (t.pending_id IS NOT NULL) AND (p.id IS NULL
  OR (p.debit, p.credit, p.currency) <> (t.debit, t.credit, t.currency))""",
    "limits": """
SELECT format('account %s: available %s is below its limit %s', id,
  credits-debits-pending_debits, floor) AS detail
FROM account WHERE tenant=$1 AND floor IS NOT NULL
AND credits-debits-pending_debits < least(floor, coalesce(excused, floor))""",
    "day-totals": """
SELECT format('account %s, %s: the day''s total is not that of its transfers',
  coalesce(k.account, s.account), coalesce(k.value_date, s.value_date)) AS detail
FROM (SELECT * FROM day_total WHERE tenant=$1) k
FULL JOIN (SELECT account, value_date, sum(d) AS d, sum(c) AS c FROM (
    SELECT debit AS account, value_date, amount AS d, 0 AS c FROM transfer
      WHERE tenant=$1 AND kind IN ('transfer', 'post')
    UNION ALL SELECT credit, value_date, 0, amount FROM transfer
      WHERE tenant=$1 AND kind IN ('transfer', 'post')) sides
  GROUP BY account, value_date) s ON s.account=k.account AND s.value_date=k.value_date
WHERE k.debits IS DISTINCT FROM s.d OR k.credits IS DISTINCT FROM s.c""",
    "booking-time": """
SELECT format('transfer seq %s was booked before the one ahead of it', seq) AS detail FROM (
  SELECT seq, booked_at, lag(booked_at) OVER (ORDER BY seq) AS before
  FROM transfer WHERE tenant=$1) t WHERE booked_at<before""",
}
"""Per tenant: name of the check, and the query whose every row is a violation."""


class Batch(NamedTuple):
    """A link of the chain."""

    first_seq: int
    n: int
    prev: bytes
    hash: bytes


async def freeze(tx: Tx) -> None:
    """Let all further reads of the transaction see one moment.

    Proofs read whole tables. On young tables the planner takes them for empty and would join them
    row against row, so that is switched off.
    """
    await tx.execute(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
        " SET LOCAL enable_nestloop = off"
    )


async def violations(tx: Tx, tenant: int, proof: str) -> list[str]:
    """What one proof finds wrong, at most MOST lines."""
    rows = await tx.fetch(f"{PROOFS[proof]} LIMIT {MOST}", tenant)
    return [row["detail"] for row in rows]


async def tenant_facts(tx: Tx, tenant: int) -> tuple[int, dict[str, int]]:
    """How many transfers a tenant has, and its posted debits by currency."""
    rows = await tx.fetch(
        "SELECT currency, sum(debits)::text AS total FROM account WHERE tenant=$1"
        " GROUP BY currency ORDER BY currency",
        tenant,
    )
    count: int = await tx.value("SELECT count(*) FROM transfer WHERE tenant=$1", tenant)
    return count, {row["currency"]: int(row["total"]) for row in rows}


async def batches(tx: Tx, last: int) -> AsyncIterator[Batch]:
    """The links of the chain up to a seq, in order, a page at a time."""
    after = -1
    while True:
        rows = await tx.fetch(
            "SELECT first_seq, n, prev, hash FROM batch WHERE first_seq>$1 AND first_seq<=$2"
            " ORDER BY first_seq LIMIT $3",
            after,
            last,
            PAGE,
        )
        for row in rows:
            yield Batch._make(row)
        if len(rows) < PAGE:
            return
        after = rows[-1]["first_seq"]


async def rows(tx: Tx, last: int) -> AsyncIterator[Row]:
    """All transfers of the transaction's tenants up to a seq, in order, a page at a time."""
    after = -1
    while True:
        found = await tx.fetch(
            f"SELECT {COLUMNS} FROM transfer WHERE seq>$1 AND seq<=$2 ORDER BY seq LIMIT $3",
            after,
            last,
            PAGE,
        )
        for row in found:
            yield Row._make(row)
        if len(found) < PAGE:
            return
        after = found[-1]["seq"]


async def beyond(tx: Tx, last: int) -> int:
    """How many transfers stand after the last link of the chain."""
    count: int = await tx.value("SELECT count(*) FROM transfer WHERE seq>$1", last)
    return count
