"""The ledger: every operation of the contract, one method each."""

from datetime import UTC, datetime

from guilder.chassis.events import SYSTEM, feed
from guilder.chassis.idempotency import Once, local
from guilder.chassis.store import Store, Tx
from guilder.contracts.context import Context
from guilder.contracts.declare import (
    Answers,
    Batch,
    EventPage,
    EventQuery,
    Nothing,
    SelfCheck,
)
from guilder.contracts.errors import InvalidRequest, NotFound, Problem
from guilder.contracts.ledger import v1
from guilder.contracts.values import CURRENCIES
from guilder.services.ledger import checks, journal, store, views
from guilder.services.ledger.batches import Batches, write
from guilder.services.ledger.journal import Books
from guilder.services.ledger.writer import Writer

MAX_EXPIRED = 2_000
"""Pending transfers freed by one call; the next call takes the rest."""


class LedgerService(v1.Ledger):
    """The books of every tenant.

    `store` serves readers. Whatever decides or changes what decides runs in the writer's
    transactions; `once` works on the writer too, so `@local` commands are fenced like the rest.
    """

    def __init__(self, database: Store, writer: Writer) -> None:
        """`writer` is the only one of this ledger."""
        self.store, self.once = database, Once(writer, None)
        self._writer, self._batches = writer, Batches(writer)
        self.measures = self._batches.measures()

    async def open_accounts(self, calls: Batch[v1.OpenAccount]) -> Answers[v1.LedgerAccount]:
        """Open accounts; the id recognises a repeat, which answers as the first time did."""
        asked = [(call.ctx.tenant, call.request) for call in calls]
        sound = [item for item in asked if item[1].currency in CURRENCIES]
        async with self._writer.tx(*sorted({tenant for tenant, _ in asked})) as tx:
            await store.add_accounts(tx, sound)
            rows = await store.account_rows(tx, {(tenant, item.id) for tenant, item in sound})
        return [views.opened(item, rows.get((tenant, item.id))) for tenant, item in asked]

    @local
    async def set_floor(self, tx: Tx, ctx: Context, request: v1.SetFloor) -> v1.LedgerAccount:
        """Change the limit; what lies below it already stays, only debits are refused."""
        row = await store.set_floor(tx, ctx.tenant, request.account_id, request.floor)
        if row is None:
            raise v1.UnknownLedgerAccount(f"no ledger account {request.account_id}")
        tx.emit(ctx, "account.limited", account=request.account_id)
        return views.account(row)

    @local
    async def close_account(self, tx: Tx, ctx: Context, request: v1.AccountId) -> v1.LedgerAccount:
        """Close an account without balance and pending transfers."""
        key = (ctx.tenant, request.account_id)
        found = (await store.accounts(tx, [key])).get(key)
        if found is None:
            raise v1.UnknownLedgerAccount(f"no ledger account {request.account_id}")
        if found.booked or found.pending_debits or found.pending_credits:
            raise v1.LedgerAccountInUse()
        if not found.closed:
            tx.emit(ctx, "account.closed", account=request.account_id)
        return views.account(await store.close_account(tx, *key))

    async def submit(self, calls: Batch[v1.JournalEntry]) -> Answers[v1.Booked]:
        """Book entries; the transfers' ids recognise a repeat."""
        answers = await self._batches.submit(calls)
        return [
            answer
            if isinstance(answer, Problem)
            else v1.Booked(transfers=[views.transfer(row) for row in answer])
            for answer in answers
        ]

    @local
    async def expire(self, tx: Tx, ctx: Context, request: Nothing) -> v1.Expired:
        """Free pending transfers whose time has passed, at most MAX_EXPIRED of them."""
        due = await store.due_pendings(tx, ctx.tenant, tx.at, MAX_EXPIRED)
        if not due:
            return v1.Expired(count=0)
        sides = {(key[0], side) for key, hold in due.items() for side in (hold.debit, hold.credit)}
        next_seq, prev = await store.head(tx)
        books = Books(
            next_seq=next_seq,
            accounts=await store.accounts(tx, sides),
            known=await store.transfers(tx, due),
            pendings=due,
            last_booked=await store.last_booked(tx, [ctx.tenant]),
        )
        for row in journal.expire(books, ctx.tenant, tx.at):
            tx.emit(ctx, "hold.expired", transfer=row.pending_id, payment=row.payment)
        await write(tx, books, prev)
        return v1.Expired(count=len(books.rows))

    async def sweep(self) -> None:
        """Free what has expired, in every tenant that has something to free."""
        async with self.store.tx() as tx:
            tenants = await store.due_tenants(tx, tx.at)
        for tenant in tenants:
            await self.expire(Context(tenant=tenant, principal=SYSTEM), Nothing())

    async def transfer(self, ctx: Context, request: v1.TransferId) -> v1.BookedTransfer:
        """Read a transfer."""
        key = (ctx.tenant, request.transfer_id)
        async with self.store.tx(ctx.tenant) as tx:
            found = await store.transfers(tx, [key])
        if key not in found:
            raise NotFound(f"no transfer {request.transfer_id}")
        return views.transfer(found[key])

    async def balance(self, ctx: Context, request: v1.BalanceQuery) -> v1.Balance:
        """Read balances: now, as booked at a moment, or by value date."""
        if request.booked_at is not None and request.value_date is not None:
            raise InvalidRequest("give booked_at or value_date, not both", at="$.value_date")
        moment = None if request.booked_at is None else _utc(request.booked_at)
        tenant, account_id = ctx.tenant, request.account_id
        async with self.store.tx(tenant) as tx:
            row = await store.account(tx, tenant, account_id)
            if row is None:
                raise v1.UnknownLedgerAccount(f"no ledger account {account_id}")
            booked = row["credits"] - row["debits"]
            if moment is not None:
                seq = await store.seq_at(tx, tenant, moment)
                booked = await store.balance_at(tx, tenant, account_id, seq)
            elif request.value_date is not None:
                booked -= await store.booked_after_day(tx, tenant, account_id, request.value_date)
        held, currency = row["pending_debits"], row["currency"]
        now = moment is None and request.value_date is None
        return v1.Balance(
            account=account_id,
            booked=views.money(booked, currency),
            held=views.money(held, currency) if now else None,
            available=views.money(booked - held, currency) if now else None,
            booked_at=moment,
            value_date=request.value_date,
        )

    async def entries(self, ctx: Context, request: v1.EntryQuery) -> v1.EntryPage:
        """Read an account's entries, newest first."""
        tenant, account_id = ctx.tenant, request.account_id
        before = _place(request.before, store.MAX_SEQ)
        limit = max(1, min(request.limit, 500))
        async with self.store.tx(tenant) as tx:
            if await store.account(tx, tenant, account_id) is None:
                raise v1.UnknownLedgerAccount(f"no ledger account {account_id}")
            rows = await store.entries(tx, tenant, account_id, before, limit + 1)
            newest = 0
            if rows:
                newest = await store.balance_at(tx, tenant, account_id, rows[0].seq)
        more = len(rows) > limit
        rows = rows[:limit]
        items = views.entries(rows, account_id, newest)
        return v1.EntryPage(items=items, next=rows[-1].seq if more else None)

    async def journal(self, ctx: Context, request: v1.JournalQuery) -> v1.JournalPage:
        """Read the tenant's transfers in booking order."""
        limit = max(1, min(request.limit, 2000))
        async with self.store.tx(ctx.tenant) as tx:
            rows = await store.journal(tx, ctx.tenant, _place(request.after, 0), limit + 1)
        more = len(rows) > limit
        rows = rows[:limit]
        items = [views.transfer(row) for row in rows]
        return v1.JournalPage(items=items, next=rows[-1].seq if more else None)

    async def trial_balance(self, ctx: Context, request: v1.TrialQuery) -> v1.TrialPage:
        """Read the totals of every account."""
        limit = max(1, min(request.limit, 2000))
        async with self.store.tx(ctx.tenant) as tx:
            rows = await store.trial(tx, ctx.tenant, request.after, limit + 1)
        more = len(rows) > limit
        items = [views.trial_line(row) for row in rows[:limit]]
        return v1.TrialPage(items=items, next=items[-1].account.id if more else None)

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Prove the books: chain, totals, pending transfers, limits."""
        return await checks.prove(self.store)


def _utc(moment: datetime) -> datetime:
    try:
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest("a moment needs a zone", at="$.booked_at") from None


def _place(seq: int | None, default: int) -> int:
    """A place in the journal within what the database can compare."""
    return default if seq is None else max(-1, min(seq, store.MAX_SEQ))
