"""Checks that booked payments and what the journal moved for them are the same."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from guilder.books.ledger_checks import Books, Moved
from guilder.books.reading import Clients, acting
from guilder.books.report import Notes
from guilder.contracts.errors import NotFound
from guilder.contracts.payments import v1 as payments

AT_ONCE = 32
"""Payments that are read side by side."""

PATIENCE = timedelta(minutes=5)
"""How long a payment may be on its way before that is a finding."""

ORDER = ("payment", "reversal")
"""Codes of the transfer that carries the amount."""


async def check_payments(
    clients: Clients, tenant: int, books: Books, booked: set[UUID], now: datetime, notes: Notes
) -> None:
    """`booked` are the payments that the log of payments says were booked."""
    for payment in sorted(booked - set(books.payments)):
        notes.wrong("payment-transfer", f"payment {payment} is booked, nothing moved", tenant)
    moved = sorted(books.payments.items())
    for start in range(0, len(moved), AT_ONCE):
        await _check_some(clients, tenant, moved[start : start + AT_ONCE], now, notes)
    notes.checked["payments"] += len(booked | set(books.payments))


async def _check_some(
    clients: Clients, tenant: int, some: Sequence[tuple[UUID, Moved]], now: datetime, notes: Notes
) -> None:
    client, ctx = clients(payments.Payments), acting(tenant)

    async def read(payment: UUID) -> payments.Payment | None:
        try:
            return await client.payment(ctx, payments.PaymentId(payment_id=payment))
        except NotFound:
            return None

    found = await asyncio.gather(*(read(payment) for payment, _ in some))
    for (payment, moved), row in zip(some, found, strict=True):
        if row is None:
            notes.wrong("transfer-payment", f"money moved for {payment}, no payment", tenant)
            continue
        detail = differs(row, moved, now)
        if detail:
            notes.wrong("payment-transfer", f"payment {payment} {detail}", tenant)


def differs(payment: payments.Payment, moved: Moved, now: datetime) -> str | None:
    """How a payment differs from what moved for it, or None. Pure."""
    if payment.state == "processing":
        late = now - payment.created_at > PATIENCE
        return "moved money long ago and is still processing" if late else None
    if payment.state != "booked":
        return f"is {payment.state}, yet money moved"
    if payment.amount.currency != moved.currency:
        return f"is in {payment.amount.currency}, {moved.currency} moved"
    total = payment.amount.minor + abs(payment.fee.minor if payment.fee else 0)
    if sum(moved.by_code.values()) != total:
        return f"is for {total} with its fee, {sum(moved.by_code.values())} moved"
    if max(moved.by_code[code] for code in ORDER) < payment.amount.minor:
        return f"is for {payment.amount.minor}, less moved under its own code"
    return None
