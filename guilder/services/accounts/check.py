"""The self check of accounts: each against its IBAN and against its place in the ledger."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.events import SYSTEM
from guilder.chassis.store import Store
from guilder.contracts.context import Context
from guilder.contracts.declare import Finding, SelfCheck
from guilder.contracts.ledger.v1 import Ledger, LedgerAccount, TrialQuery
from guilder.contracts.registry.v1 import Tenant, UnknownTenant
from guilder.services.accounts import iban, store
from guilder.services.accounts.agreement import floor
from guilder.services.accounts.changes import overdue
from guilder.services.accounts.tenants import Tenants

MAX_PAGES = 100_000
TRIAL_PAGE = 2000


async def check(database: Store, books: Ledger, tenants: Tenants) -> SelfCheck:
    """Check every account of every tenant that has one."""
    findings: list[Finding] = []
    count = 0
    for number in await database.seen_tenants():
        ctx = Context(tenant=number, principal=SYSTEM)
        # The rows are read before and after the ledger: what changed in between is not compared.
        before = {row["id"]: row for row in (await _rows(database, number))[0]}
        places = await _places(ctx, books)
        rows, now = await _rows(database, number)
        try:
            tenant = await tenants.of(ctx) if rows else None
        except UnknownTenant:
            tenant = None
        count += len(rows)
        found = [(name, row["id"]) for row in rows for name in _own(row, tenant, now)]
        still = [row for row in rows if before.get(row["id"]) == row]
        found += [(name, row["id"]) for row in still for name in _books(row, places.get(row["id"]))]
        strays = set(places) - {row["id"] for row in rows}
        found += [("ledger-account-without-account", stray) for stray in sorted(strays)]
        findings += [
            Finding(check=name, detail=f"account {account}", tenant=number)
            for name, account in found
        ]
    return SelfCheck(service="accounts", checked={"accounts": count}, findings=findings, facts={})


async def _rows(database: Store, tenant: int) -> tuple[list[Any], datetime]:
    """Every account of a tenant, and when they were read."""
    async with database.tx(tenant) as tx:
        return await store.all_accounts(tx, tenant), tx.at


async def _places(ctx: Context, books: Ledger) -> dict[UUID, LedgerAccount]:
    """The customers' places in the tenant's ledger."""
    found: dict[UUID, LedgerAccount] = {}
    after: UUID | None = None
    for _ in range(MAX_PAGES):
        page = await books.trial_balance(ctx, TrialQuery(after=after, limit=TRIAL_PAGE))
        for line in page.items:
            if line.account.chart == "customer":
                found[line.account.id] = line.account
        after = page.next
        if after is None:
            break
    return found


def _own(row: Any, tenant: Tenant | None, now: datetime) -> Iterator[str]:
    """What an account's own row says against itself."""
    if not row["holders"]:
        yield "account-holders"
    if overdue(row, now):
        yield "account-change"
    if row["state"] == "opening":
        return
    if tenant is None:
        yield "account-tenant"
    elif iban.make(tenant.country, tenant.bank_code, row["number"] or 0) != row["iban"]:
        yield "account-iban"


def _books(row: Any, place: LedgerAccount | None) -> Iterator[str]:
    """What the ledger says against an account; one being opened may not be there yet."""
    if place is None:
        if row["state"] != "opening":
            yield "account-without-ledger-account"
        return
    if place.currency != row["currency"]:
        yield "account-currency"
    if row["wanted"] is not None:  # the books may be ahead of the row
        return
    if (place.state == "closed") != (row["state"] == "closed"):
        yield "account-state"
    elif row["state"] != "closed" and place.floor != floor(row["state"], row["overdraft"]):
        yield "account-floor"
