"""All SQL of standing orders taken over from another system."""

from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.payments import v1
from guilder.contracts.values import Money


async def record(tx: Tx, tenant: int, wanted: v1.RecordStandingOrder) -> v1.StandingOrder:
    """Record an order, or find the same one; StandingOrderTaken where another has its reference."""
    made = await tx.execute(
        "INSERT INTO standing_order (tenant, id, account, reference, amount, currency,"
        " creditor_bank, creditor_number, purpose, created_at)"
        " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10) ON CONFLICT (tenant, account, reference)"
        " DO NOTHING",
        tenant,
        tx.resource,
        wanted.account_id,
        wanted.reference,
        wanted.amount.minor,
        wanted.amount.currency,
        wanted.creditor_bank,
        wanted.creditor_number,
        wanted.purpose,
        tx.at,
    )
    row = await tx.row(
        "SELECT * FROM standing_order WHERE tenant=$1 AND account=$2 AND reference=$3",
        tenant,
        wanted.account_id,
        wanted.reference,
    )
    found = _order(row)
    fields = ("amount", "creditor_bank", "creditor_number", "purpose")
    if not made and any(getattr(found, name) != getattr(wanted, name) for name in fields):
        raise v1.StandingOrderTaken(at="$.reference")
    return found


async def page(
    tx: Tx, tenant: int, account: UUID, after: UUID | None, limit: int
) -> list[v1.StandingOrder]:
    """The orders of an account in the order of their ids."""
    rows = await tx.fetch(
        "SELECT * FROM standing_order WHERE tenant=$1 AND account=$2"
        " AND ($3::uuid IS NULL OR id>$3) ORDER BY id LIMIT $4",
        tenant,
        account,
        after,
        limit,
    )
    return [_order(row) for row in rows]


async def count(tx: Tx) -> int:
    """How many there are."""
    number: int = await tx.value("SELECT count(*) FROM standing_order")
    return number


def _order(row: Any) -> v1.StandingOrder:
    return v1.StandingOrder(
        id=row["id"],
        account_id=row["account"],
        reference=row["reference"],
        amount=Money(row["amount"], row["currency"]),
        creditor_bank=row["creditor_bank"],
        creditor_number=row["creditor_number"],
        purpose=row["purpose"],
        state="recorded",
    )
