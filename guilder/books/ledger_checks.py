"""Checks of the books of one tenant: the journal against the trial balance and against payments."""

from copy import copy
from dataclasses import dataclass, field
from uuid import UUID

from guilder.books.journal import POSTED, Recount, Totals
from guilder.books.reading import Clients, acting, every
from guilder.books.report import Notes
from guilder.contracts.context import Context
from guilder.contracts.ledger import v1 as ledger

ROUNDS = 5
"""How often the trial balance is read again because something was booked meanwhile."""


@dataclass
class Books:
    """What was read of a tenant's ledger."""

    recount: Recount = field(default_factory=Recount)
    lines: dict[UUID, ledger.TrialLine] = field(default_factory=dict)
    payments: set[UUID] = field(default_factory=set)
    """Payments for which money moved."""


async def check_ledger(clients: Clients, tenant: int, booked: set[UUID], notes: Notes) -> Books:
    """Recompute every account from the journal and hold the trial balance against it.

    `booked` are the payments that the log of payments says were booked, read before.
    """
    client, ctx, books = clients(ledger.Ledger), acting(tenant), Books()
    await _read_on(client, ctx, books)
    for _ in range(ROUNDS):
        before, low = books.recount.seq, {k: copy(t) for k, t in books.recount.accounts.items()}
        books.lines = {
            line.account.id: line
            async for line in every(client.trial_balance, ctx, ledger.TrialQuery(limit=2000))
        }
        await _read_on(client, ctx, books)
        if books.recount.seq == before:
            _check_sums(books, tenant, notes)
            break
    for line in books.lines.values():
        key = (line.account.id, line.account.currency)
        wrong = books.recount.differs(line, before, low.get(key, Totals()))
        if wrong:
            notes.wrong("balance", wrong, tenant)
    for account, currency in books.recount.accounts:
        place = books.lines.get(account)
        if place is None:
            notes.wrong("transfer-account", f"ledger account {account} does not exist", tenant)
        elif place.account.currency != currency:
            detail = f"ledger account {account} holds {place.account.currency}, moved {currency}"
            notes.wrong("transfer-currency", detail, tenant)
    for payment in sorted(booked - books.payments):
        notes.wrong("payment-transfer", f"payment {payment} is booked, nothing moved", tenant)
    for detail in books.recount.wrong:
        notes.wrong("journal", detail, tenant)
    notes.checked["transfers"] += books.recount.transfers
    notes.checked["ledger accounts"] += len(books.lines)
    notes.position[f"journal:{tenant}"] = str(books.recount.seq)
    return books


async def _read_on(client: ledger.Ledger, ctx: Context, books: Books) -> None:
    query = ledger.JournalQuery(after=books.recount.seq, limit=2000)
    async for transfer in every(client.journal, ctx, query):
        books.recount.take(transfer)
        if transfer.meta.payment is not None and transfer.kind in POSTED:
            books.payments.add(transfer.meta.payment)


def _check_sums(books: Books, tenant: int, notes: Notes) -> None:
    """Debits equal credits in each currency."""
    sums: dict[str, list[int]] = {}
    for line in books.lines.values():
        total = sums.setdefault(line.account.currency, [0, 0, 0, 0])
        for i, part in enumerate(
            (line.debits, line.credits, line.pending_debits, line.pending_credits)
        ):
            total[i] += part
    for currency, (debits, credits, held, expected) in sums.items():
        notes.checked["trial balances"] += 1
        if debits != credits or held != expected:
            detail = f"{currency}: debits {debits} (held {held}), credits {credits} ({expected})"
            notes.wrong("trial-balance", detail, tenant)
