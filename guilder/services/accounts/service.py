"""Accounts: agreements with parties, and what the ledger says of them."""

from typing import Any
from uuid import UUID

from guilder.chassis.contract import as_uuid
from guilder.chassis.events import feed
from guilder.chassis.idempotency import Claim, Once, claimed
from guilder.chassis.store import Store, Tx
from guilder.contracts.access.v1 import Access, AccountQuestion
from guilder.contracts.accounts import v1
from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Answers, Batch, EventPage, EventQuery, Nothing, SelfCheck
from guilder.contracts.errors import NotFound, Problem
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.parties.v1 import Parties, PartyId
from guilder.contracts.values import Money
from guilder.services.accounts import iban, store
from guilder.services.accounts.agreement import check_moment, cursor, read_cursor, terms, utc
from guilder.services.accounts.changes import Changes
from guilder.services.accounts.check import check
from guilder.services.accounts.tenants import Tenants

VISIBLE = 1000
"""Most accounts of one's own that one page looks through."""


class AccountsService(v1.Accounts):
    """Accounts and who holds them."""

    def __init__(
        self,
        database: Store,
        once: Once,
        books: ledger.Ledger,
        parties: Parties,
        access: Access,
        tenants: Tenants,
    ) -> None:
        """`books` keep the money, `parties` know the holders, `access` who may see what."""
        self.store, self.once = database, once
        self._books, self._parties, self._access, self._tenants = books, parties, access, tenants
        self.changes = Changes(database, books, access, tenants)

    # ── commands ─────────────────────────────────────────────────────────────────────────────

    @claimed
    async def open(self, claim: Claim, ctx: Context, request: v1.OpenAccount) -> v1.Account:
        """Reserve the row, open the ledger account, make the holders owners, give the IBAN."""
        row = await self.changes.resume(ctx, claim.resource) if claim.resumed else None
        if row is None:
            tenant = await self._tenants.of(ctx)
            agreed = terms(request, tenant.currency, self._tenants.today(tenant))
            await self._check_holders(ctx, request.holders)
            row = await self.changes.reserve(ctx, claim.resource, agreed)
        return await self._finish(claim, ctx, row)

    @claimed
    async def block(self, claim: Claim, ctx: Context, request: v1.ChangeState) -> v1.Account:
        """Let nothing be debited any more."""
        return await self._change(claim, ctx, request, ("open",), "blocked")

    @claimed
    async def unblock(self, claim: Claim, ctx: Context, request: v1.ChangeState) -> v1.Account:
        """Lift a block."""
        return await self._change(claim, ctx, request, ("blocked",), "open")

    @claimed
    async def close(self, claim: Claim, ctx: Context, request: v1.ChangeState) -> v1.Account:
        """Close an account on which the ledger holds nothing."""
        return await self._change(claim, ctx, request, ("open", "blocked"), "closed")

    async def _change(
        self,
        claim: Claim,
        ctx: Context,
        request: v1.ChangeState,
        before: tuple[str, ...],
        wanted: str,
    ) -> v1.Account:
        row = await self.changes.begin(ctx, claim.resource, request.account_id, before, wanted)
        return await self._finish(claim, ctx, row)

    async def _finish(self, claim: Claim, ctx: Context, row: Any) -> v1.Account:
        if row["wanted"] is not None:  # else an earlier attempt was completed by the sweep
            await self.changes.carry_out(ctx, row)

        async def finish(tx: Tx) -> v1.Account:
            if row["wanted"] is None:
                return _account(row)
            return _account(await self.changes.end(tx, ctx, row))

        return await claim.finish(finish)

    async def _check_holders(self, ctx: Context, holders: list[UUID]) -> None:
        calls = [Call(ctx, PartyId(party_id=party)) for party in holders]
        for i, answer in enumerate(await self._parties.known(calls)):
            if isinstance(answer, NotFound):  # missing, another tenant's or erased: all alike
                raise v1.UnknownHolder(f"no party {holders[i]}", at=f"$.holders[{i}]")
            if isinstance(answer, Problem):
                raise answer

    # ── queries ──────────────────────────────────────────────────────────────────────────────

    async def accounts(self, ctx: Context, request: v1.AccountQuery) -> v1.AccountPage:
        """List those of the tenant for staff, else those on which one has the right to view."""
        question = AccountQuestion(right="view", after=request.after, limit=VISIBLE)
        seen = await self._access.accounts(ctx, question)
        allowed = None if seen.all else seen.accounts
        async with self.store.tx(ctx.tenant) as tx:
            rows = await store.page(
                tx,
                ctx.tenant,
                allowed,
                request.holder,
                request.reference,
                request.after,
                request.limit,
            )
        following = rows[-1]["id"] if len(rows) == request.limit else None
        if following is None and allowed is not None and len(allowed) == VISIBLE:
            following = allowed[-1]
        return v1.AccountPage(items=[_account(row) for row in rows], next=following)

    async def account(self, ctx: Context, request: v1.AccountId) -> v1.Account:
        """Read an account."""
        return _account(await self._opened(ctx, request.account_id))

    async def balance(self, ctx: Context, request: v1.BalanceQuery) -> v1.AccountBalance:
        """Ask the ledger; its own accounts are no accounts here."""
        check_moment(request)
        await self._opened(ctx, request.account_id)
        query = ledger.BalanceQuery(
            account_id=request.account_id,
            booked_at=utc(request.booked_at),
            value_date=request.value_date,
        )
        found = await self._books.balance(ctx, query)
        return v1.AccountBalance(
            account_id=request.account_id,
            booked=found.booked,
            held=found.held,
            available=found.available,
            booked_at=found.booked_at,
            value_date=found.value_date,
        )

    async def transactions(self, ctx: Context, request: v1.TransactionQuery) -> v1.TransactionPage:
        """Page through the ledger's entries, newest first."""
        account, before = request.account_id, None
        if request.cursor is not None:
            before = read_cursor(ctx.tenant, account, request.cursor)
        await self._opened(ctx, account)
        query = ledger.EntryQuery(account_id=account, before=before, limit=request.limit)
        page = await self._books.entries(ctx, query)
        return v1.TransactionPage(
            items=[_transaction(entry) for entry in page.items],
            next=None if page.next is None else cursor(ctx.tenant, account, page.next),
        )

    async def resolve(self, calls: Batch[v1.Which]) -> Answers[v1.Account]:
        """Find accounts by id or IBAN, each within the tenant of its call."""
        wanted = [(call.ctx.tenant, _which(call.request.account)) for call in calls]
        ids = [(tenant, which) for tenant, which in wanted if isinstance(which, UUID)]
        ibans = [(tenant, which) for tenant, which in wanted if isinstance(which, str)]
        async with self.store.tx(*sorted({tenant for tenant, _ in wanted})) as tx:
            found = await store.find_many(tx, ids, ibans)
        answers: Answers[v1.Account] = []
        for tenant, which in wanted:
            if isinstance(which, Problem):
                answers.append(which)
                continue
            row = found.get((tenant, which))
            answers.append(v1.UnknownAccount() if row is None else _account(row))
        return answers

    async def _opened(self, ctx: Context, account: UUID) -> Any:
        async with self.store.tx(ctx.tenant) as tx:
            row = await store.find(tx, ctx.tenant, account)
        if row is None or row["state"] == "opening":
            raise v1.UnknownAccount(f"no account {account}")
        return row

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Hold every account against its IBAN, its change under way and its ledger account."""
        return await check(self.store, self._books, self._tenants)


def _which(text: str) -> UUID | str | Problem:
    found = as_uuid(text)
    if found is not None:
        return found
    try:
        return iban.read(text)
    except v1.BadIban as problem:
        return problem


def _account(row: Any) -> v1.Account:
    overdraft = row["overdraft"]
    return v1.Account(
        id=row["id"],
        iban=row["iban"],
        product=row["product"],
        currency=row["currency"],
        holders=list(row["holders"]),
        overdraft=None if overdraft is None else Money(overdraft, row["currency"]),
        state=row["state"],
        opened_on=row["opened_on"],
        reference=row["reference"],
    )


def _transaction(entry: ledger.Entry) -> v1.Transaction:
    return v1.Transaction(
        id=entry.transfer,
        amount=entry.amount,
        balance_after=entry.balance_after,
        counter_account=entry.counter_account,
        value_date=entry.value_date,
        booked_at=entry.booked_at,
        kind=entry.code,
        payment_id=entry.meta.payment,
    )
