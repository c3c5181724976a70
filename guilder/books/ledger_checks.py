"""Checks of the books of one tenant: journal against trial balance, and accounts against both."""

from collections import Counter
from copy import copy
from dataclasses import dataclass, field
from uuid import UUID

from guilder.books.journal import POSTED, Recount, Totals
from guilder.books.reading import Clients, acting, every
from guilder.books.report import Notes
from guilder.contracts.accounts import v1 as accounts
from guilder.contracts.context import Context
from guilder.contracts.errors import NotFound
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.values import Money

ROUNDS = 5
"""How often the trial balance is read again because something was booked meanwhile."""


@dataclass
class Moved:
    """What the journal moved for one payment, by code, in minor units."""

    by_code: Counter[str] = field(default_factory=Counter)
    currency: str = ""


@dataclass
class Books:
    """What was read of a tenant's ledger."""

    recount: Recount = field(default_factory=Recount)
    lines: dict[UUID, ledger.TrialLine] = field(default_factory=dict)
    payments: dict[UUID, Moved] = field(default_factory=dict)


async def check_ledger(clients: Clients, tenant: int, notes: Notes) -> Books:
    """Recompute every account from the journal and hold the trial balance against it."""
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
            moved = books.payments.setdefault(transfer.meta.payment, Moved())
            moved.by_code[transfer.code] += transfer.amount.minor
            moved.currency = transfer.amount.currency


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


async def check_accounts(
    clients: Clients, tenant: int, books: Books, notes: Notes
) -> dict[UUID, accounts.Account]:
    """Every account has its ledger account, and every customer's ledger account its account."""
    client, ctx = clients(accounts.Accounts), acting(tenant)
    query = accounts.AccountQuery(limit=200)
    found = {a.id: a async for a in every(client.accounts, ctx, query)}
    for account in found.values():
        line = books.lines.get(account.id)
        if line is not None:
            for detail in _unlike(account, line.account):
                notes.wrong("account-ledger", f"account {account.id}: {detail}", tenant)
        elif not await _opened_meanwhile(clients, ctx, account.id):
            notes.wrong("account-ledger", f"account {account.id} has no ledger account", tenant)
    for line in books.lines.values():
        if line.account.chart != "customer" or line.account.id in found:
            continue
        if not await exists(client, ctx, line.account.id):
            detail = f"ledger account {line.account.id} belongs to no account"
            notes.wrong("ledger-account", detail, tenant)
    notes.checked["accounts"] += len(found)
    return found


async def _opened_meanwhile(clients: Clients, ctx: Context, account: UUID) -> bool:
    """Whether a ledger account that the trial balance did not show exists after all."""
    try:
        await clients(ledger.Ledger).balance(ctx, ledger.BalanceQuery(account_id=account))
    except NotFound:
        return False
    return True


async def exists(client: accounts.Accounts, ctx: Context, account: UUID) -> bool:
    """Whether an account that a list did not show exists after all."""
    try:
        await client.account(ctx, accounts.AccountId(account_id=account))
    except NotFound:
        return False
    return True


def _unlike(account: accounts.Account, line: ledger.LedgerAccount) -> list[str]:
    overdraft = account.overdraft or Money(0, account.currency)
    wrong = []
    if line.chart != "customer":
        wrong.append(f"its ledger account is in chart {line.chart}")
    if line.currency != account.currency:
        wrong.append(f"holds {account.currency}, its ledger account {line.currency}")
    if line.floor != -overdraft.minor:
        wrong.append(f"may be overdrawn by {overdraft.minor}, in the ledger down to {line.floor}")
    if (line.state == "closed") != (account.state == "closed"):
        wrong.append(f"is {account.state}, its ledger account {line.state}")
    return wrong
