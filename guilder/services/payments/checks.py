"""Holds every payment against the books, in bounded memory and with bounded findings."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.events import SYSTEM
from guilder.chassis.store import Store
from guilder.contracts.context import Context
from guilder.contracts.declare import Finding, SelfCheck
from guilder.contracts.errors import NotFound
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.values import Money, derived
from guilder.services.payments import standing_store, store

PAGE = 500
AT_ONCE = 50
MAX_FINDINGS = 1000


async def self_check(database: Store, books: ledger.Ledger) -> SelfCheck:
    """Check every tenant: payments against transfers, transfers against payments."""
    checked: Counter[str] = Counter({"payments": 0, "standing_orders": 0, "transfers": 0})
    findings: list[Finding] = []
    for tenant in await database.seen_tenants():
        ctx = Context(tenant=tenant, principal=SYSTEM, request="self-check")
        until = database.clock.now()
        async with database.tx(tenant) as tx:
            payments, expected = await store.counts(tx, until)
            checked["standing_orders"] += await standing_store.count(tx)
            faults = await store.faulty(tx, until)
        checked["payments"] += payments
        findings += [_finding(tenant, name, payment) for name, payment in faults]
        seen, wrong = await _against_journal(database, books, ctx, until)
        checked["transfers"] += seen
        findings += wrong
        if seen != expected:
            findings += await _missing(database, books, ctx, until)
    return SelfCheck(
        service="payments", checked=dict(checked), findings=findings[:MAX_FINDINGS], facts={}
    )


def _finding(tenant: int, name: str, payment: UUID, detail: str = "") -> Finding:
    return Finding(check=name, detail=f"payment {payment} {detail}".rstrip(), tenant=tenant)


async def _against_journal(
    database: Store, books: ledger.Ledger, ctx: Context, until: datetime
) -> tuple[int, list[Finding]]:
    """Transfers of payments booked until a moment, and what is wrong with any transfer."""
    findings: list[Finding] = []
    seen, after = 0, 0
    while True:  # every page starts behind the one before; the journal ends
        page = await books.journal(ctx, ledger.JournalQuery(after=after))
        ours = [transfer for transfer in page.items if transfer.meta.payment is not None]
        async with database.tx(ctx.tenant) as tx:
            ids = [t.meta.payment for t in ours if t.meta.payment is not None]
            rows = await store.by_ids(tx, ctx.tenant, ids) if ids else {}
        for transfer in ours:
            payment = transfer.meta.payment
            assert payment is not None
            fault = _fault(transfer, rows.get(payment))
            if fault is not None and len(findings) < MAX_FINDINGS:
                findings.append(_finding(ctx.tenant, fault, payment, f"transfer {transfer.id}"))
            elif fault is None and _counts(rows[payment], until):
                seen += 1
        if page.next is None:
            return seen, findings
        after = page.next


def _counts(row: Any, until: datetime) -> bool:
    return bool(row["state"] == "booked" and row["ended_at"] <= until)


def _fault(transfer: ledger.BookedTransfer, row: Any) -> str | None:
    """What is wrong with a transfer that names a payment."""
    if row is None:
        return "transfer-without-payment"
    if row["state"] == "refused":
        return "refused-but-booked"
    if row["state"] in ("processing", "waiting"):  # on its way, or reported as such
        return None
    said = (transfer.debit, transfer.credit, transfer.amount, transfer.meta.reverses)
    return None if _legs(row).get(transfer.id) == said else "payment-differs-from-books"


def _legs(row: Any) -> dict[UUID, tuple[UUID, UUID, Money, UUID | None]]:
    """Sides, amount and what is reversed, of the transfers that a booked payment must have."""
    debtor, creditor, fee, of = row["debtor"], row["creditor"], row["fee"], row["reverses"]
    amount = Money(row["amount"], row["currency"])
    legs = {derived(row["id"], 1): (debtor, creditor, amount, of)}
    if fee:
        fees = ledger.internal_account(row["tenant"], "fees", row["currency"])
        payer, payee = (debtor, fees) if fee > 0 else (fees, creditor)
        legs[derived(row["id"], 2)] = (payer, payee, Money(abs(fee), row["currency"]), of)
    return legs


async def _missing(
    database: Store, books: ledger.Ledger, ctx: Context, until: datetime
) -> list[Finding]:
    """Booked payments without all of their transfers."""
    findings: list[Finding] = []
    after: UUID | None = None
    while len(findings) < MAX_FINDINGS:  # every page starts behind the one before
        async with database.tx(ctx.tenant) as tx:
            rows = await store.booked_page(tx, ctx.tenant, after, PAGE)
        if not rows:
            break
        after = rows[-1]["id"]
        wanted = [(row, leg) for row in rows if _counts(row, until) for leg in _legs(row)]
        for start in range(0, len(wanted), AT_ONCE):
            part = wanted[start : start + AT_ONCE]
            found = await _exist(books, ctx, [leg for _, leg in part])
            findings += [
                _finding(ctx.tenant, "payment-not-in-books", row["id"], f"transfer {leg}")
                for (row, leg), there in zip(part, found, strict=True)
                if not there
            ]
    return findings


async def _exist(books: ledger.Ledger, ctx: Context, ids: Sequence[UUID]) -> list[bool]:
    async def exists(transfer: UUID) -> bool:
        try:
            await books.transfer(ctx, ledger.TransferId(transfer_id=transfer))
        except NotFound:
            return False
        return True

    return list(await asyncio.gather(*(exists(transfer) for transfer in ids)))
