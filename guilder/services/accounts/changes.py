"""Carries the changes of an account to their end: opening, blocking, unblocking, closing.

Each is three steps: the row says what is wanted, the books follow, the row says that it is done.
In between only the books may already have changed, and always to the safe side or not at all:

- block raises the floor in the books first, then the state: a crash leaves an account that says
  `open` and lets nothing out. No debit can race it, because the ledger decides on the floor.
- unblock restores the floor first, then the state: a crash leaves one that says `blocked`, which
  payments refuse by.
- close closes the books first (they refuse while money or holds are on them), then the state.

One carrier at a time has a change to himself until `change_until`; then a repeat, another change
or the sweep takes it over and carries it on. Every step may be repeated.
"""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from guilder.chassis.batch import one
from guilder.chassis.events import SYSTEM
from guilder.chassis.store import Store, Tx
from guilder.contracts.access.v1 import Access, GrantRole
from guilder.contracts.accounts import v1
from guilder.contracts.context import Context
from guilder.contracts.errors import Internal, Problem, Unavailable
from guilder.contracts.ledger import v1 as ledger
from guilder.services.accounts import iban, store
from guilder.services.accounts.agreement import Terms, floor
from guilder.services.accounts.tenants import Tenants

log = structlog.get_logger()

LEASE: Final = timedelta(seconds=30)
"""How long a carrier has a change to himself; far longer than any call to the books may take."""

SWEEP_SECONDS: Final = 30.0
SWEEP_ROWS: Final = 100

EVENTS: Final = {
    ("opening", "open"): "account.opened",
    ("open", "blocked"): "account.blocked",
    ("blocked", "open"): "account.unblocked",
    ("open", "closed"): "account.closed",
    ("blocked", "closed"): "account.closed",
}


class Changes:
    """The changes under way."""

    def __init__(
        self, database: Store, books: ledger.Ledger, access: Access, tenants: Tenants
    ) -> None:
        """`books` hold the floor, `access` the owners, `tenants` the bank codes."""
        self._store, self._books, self._access, self._tenants = database, books, access, tenants

    async def reserve(self, ctx: Context, account: UUID, terms: Terms) -> Any:
        """Write the account before anything else happens; AccountReferenceTaken if it cannot."""
        async with self._store.tx(ctx.tenant) as tx:
            if not await store.reserve(tx, ctx.tenant, account, account, terms, tx.at + LEASE):
                raise v1.AccountReferenceTaken(at="$.reference")
            return await store.find(tx, ctx.tenant, account)

    async def resume(self, ctx: Context, account: UUID) -> Any:
        """Take up an opening that was begun and left; None when it was never begun."""
        async with self._store.tx(ctx.tenant) as tx:
            row = await store.lock(tx, ctx.tenant, account)
            if row is not None and row["wanted"] is not None:
                await self._take(tx, row)
            return row

    async def begin(
        self, ctx: Context, change: UUID, account: UUID, before: tuple[str, ...], wanted: str
    ) -> Any:
        """Note what is wanted; the row is returned as it is before the change.

        UnknownAccount, AccountState, or AccountChanging while somebody else changes it.
        """
        async with self._store.tx(ctx.tenant) as tx:
            row = await store.lock(tx, ctx.tenant, account)
            if row is None or row["state"] == "opening":
                raise v1.UnknownAccount(f"no account {account}")
            if row["change"] == change:
                if row["wanted"] is not None:
                    await self._take(tx, row)
                return row
            if row["wanted"] is not None:
                await self._take(tx, row)
            elif row["state"] not in before:
                raise v1.AccountState(f"the account is {row['state']}")
            else:
                await store.begin(tx, ctx.tenant, account, change, wanted, tx.at + LEASE)
                return await store.find(tx, ctx.tenant, account)
        await self._try_complete(row)  # somebody else's change was left behind
        raise v1.AccountChanging("an earlier change had to be completed first", retry_after=1)

    async def _take(self, tx: Tx, row: Any) -> None:
        """Take a change whose carrier has had his time; AccountChanging while he has it."""
        left = row["change_until"] - tx.at
        if left > timedelta():
            raise v1.AccountChanging(retry_after=int(left.total_seconds()) + 1)
        await store.extend(tx, row["tenant"], row["id"], row["change"], tx.at + LEASE)

    async def carry_out(self, ctx: Context, row: Any) -> None:
        """Make the books follow. A refusal drops the change; an outage gives it back."""
        try:
            await self._effects(ctx, row)
        except Problem as problem:
            async with self._store.tx(row["tenant"]) as tx:
                if problem.final:
                    await store.drop(tx, row["tenant"], row["id"], row["change"])
                elif isinstance(problem, Unavailable):
                    await store.extend(tx, row["tenant"], row["id"], row["change"], tx.at)
            raise

    async def _effects(self, ctx: Context, row: Any) -> None:
        account: UUID = row["id"]
        step = ctx.step(f"{row['change']}:ledger")
        if row["state"] == "opening":
            lowest = floor(row["wanted"], row["overdraft"])
            place = ledger.OpenAccount(
                id=account, chart="customer", currency=row["currency"], floor=lowest
            )
            await one(self._books.open_accounts, step, place)
            for n, party in enumerate(row["holders"]):
                owner = GrantRole(subject=party, role="owner", account=account)
                await self._access.assign(ctx.step(f"{row['change']}:owner:{n}"), owner)
        elif row["wanted"] == "closed":
            await self._books.close_account(step, ledger.AccountId(account_id=account))
        else:
            lowest = floor(row["wanted"], row["overdraft"])
            await self._books.set_floor(step, ledger.SetFloor(account_id=account, floor=lowest))

    async def end(self, tx: Tx, ctx: Context, row: Any) -> Any:
        """Say that the change is done, once, and return the row as it then is."""
        tenant, account, change = row["tenant"], row["id"], row["change"]
        if row["state"] == "opening":
            ended = await self._number(tx, ctx, row)
        else:
            ended = await store.end(tx, tenant, account, change)
        if ended:
            tx.emit(ctx, EVENTS[row["state"], row["wanted"]], account=account)
        return await store.find(tx, tenant, account)

    async def _number(self, tx: Tx, ctx: Context, row: Any) -> bool:
        """Give the account the tenant's next number whose IBAN passes every check."""
        tenant = await self._tenants.of(ctx)
        start = await store.next_number(tx, tenant.number)
        try:
            found, text = iban.first(tenant.country, tenant.bank_code, start)
        except LookupError as error:
            raise Internal(str(error)) from None
        if not await store.number(tx, tenant.number, row["id"], row["change"], found, text):
            return False
        await store.set_next_number(tx, tenant.number, found + 1)
        return True

    async def complete(self, row: Any) -> None:
        """Carry a change that was left behind to its end, in the platform's name."""
        ctx = Context(tenant=row["tenant"], principal=SYSTEM, request=f"change:{row['change']}")
        await self.carry_out(ctx, row)
        async with self._store.tx(row["tenant"]) as tx:
            await self.end(tx, ctx, row)

    async def sweep(self) -> int:
        """Complete what was left behind; the number of changes completed."""
        done = 0
        for tenant in await self._store.seen_tenants():
            async with self._store.tx(tenant) as tx:
                rows = await store.take_overdue(tx, tenant, tx.at + LEASE, SWEEP_ROWS)
            for row in rows:
                done += await self._try_complete(row)
        return done

    async def _try_complete(self, row: Any) -> bool:
        """Complete a change; when it is refused or cannot be now, the row already says so."""
        try:
            await self.complete(row)
        except Problem as problem:
            log.warning("change", account=str(row["id"]), problem=problem.code)
            return False
        return True


def overdue(row: Any, now: datetime) -> bool:
    """Whether a change of the account was left behind and not yet taken up."""
    return row["wanted"] is not None and bool(row["change_until"] + LEASE < now)
