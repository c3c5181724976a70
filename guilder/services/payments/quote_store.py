"""All SQL of quotes, and whether one holds for a payment."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.context import Context
from guilder.contracts.payments import v1
from guilder.contracts.values import Money
from guilder.services.payments.payment import AS_QUOTED, QUOTE_HOLDS, Said, priced

FORGET = timedelta(days=1)
"""How long after its end a quote is kept."""


async def add(
    tx: Tx,
    ctx: Context,
    sides: tuple[UUID, UUID],
    amount: Money,
    fee: Money,
    rule: str,
    decided: Said,
) -> datetime:
    """Keep a quote under `tx.resource`; the moment until which it holds."""
    valid_until = tx.at + QUOTE_HOLDS
    await tx.execute(
        "INSERT INTO quote (tenant, id, principal, debtor, creditor, amount, fee, currency, label,"
        " generation, rule, valid_until, binding, asked_at, took_us, product)"
        " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16)",
        ctx.tenant,
        tx.resource,
        ctx.principal.id,
        *sides,
        amount.minor,
        fee.minor,
        amount.currency,
        decided.by,
        decided.generation,
        rule,
        valid_until,
        decided.binding,
        decided.at,
        decided.took_us,
        decided.product,
    )
    return valid_until


async def find(tx: Tx, tenant: int, quote: UUID) -> Any:
    """A quote, or None."""
    return await tx.row("SELECT * FROM quote WHERE tenant=$1 AND id=$2", tenant, quote)


async def forget(tx: Tx) -> int:
    """Delete quotes long past their end; how many."""
    return await tx.execute("DELETE FROM quote WHERE valid_until<$1", tx.at - FORGET)


def honour(
    row: Any, ctx: Context, sides: tuple[UUID, UUID], amount: Money, ordered_at: datetime
) -> tuple[Money, Said]:
    """The quoted fee and who decided it; QuoteInvalid unless it was for exactly this payment."""
    if row is None or row["principal"] != ctx.principal.id:
        raise v1.QuoteInvalid("there is no such quote", at="$.quote_id")
    if ordered_at > row["valid_until"]:
        raise v1.QuoteInvalid("the quote has expired", at="$.quote_id")
    quoted = Money(row["amount"], row["currency"])
    if (row["debtor"], row["creditor"]) != sides or quoted != amount:
        raise v1.QuoteInvalid("the quote was for another payment", at="$.quote_id")
    fee = Money(row["fee"], row["currency"])
    outcome = priced(fee, row["rule"] + AS_QUOTED)
    decided = Said(
        step="pricing",
        by=row["label"],
        generation=row["generation"],
        outcome=outcome,
        binding=row["binding"],
        at=row["asked_at"],
        took_us=row["took_us"],
        product=row["product"],
    )
    return fee, decided
