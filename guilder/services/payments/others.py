"""What payments asks of other services, and in whose name; nothing is decided here."""

import asyncio
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from guilder.chassis.batch import answered, one
from guilder.chassis.bindings import Binding
from guilder.chassis.call import Calls
from guilder.chassis.clock import Clock
from guilder.contracts.access.v1 import Access, Evaluation
from guilder.contracts.accounts.v1 import Account, Accounts, Product, UnknownAccount, Which
from guilder.contracts.context import Context
from guilder.contracts.declare import May
from guilder.contracts.errors import Forbidden, NotFound, Problem, Unavailable
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.pricing.v1 import Pricing, Question
from guilder.contracts.registry.v1 import Registry, TenantNumber
from guilder.contracts.values import Money, derived
from guilder.services.payments.payment import Said, priced

ZONE_SECONDS = 60.0
"""How long a tenant's zone is remembered, and that it is open."""

KNOWN = 10_000
"""The most tenants and fee accounts this process remembers."""


class Others:
    """The clients of payments, with one method for each thing it needs of them."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        """`calls` gives the clients that calls.toml allows."""
        self._bindings, self._clock = calls.bindings, clock
        self.access = calls.client(Access)
        self.accounts = calls.client(Accounts)
        self.pricing, self.stock_pricing = calls.client(Pricing), calls.stock(Pricing)
        self.ledger = calls.client(ledger.Ledger)
        self.registry = calls.client(Registry)
        self._zones: dict[int, tuple[float, ZoneInfo]] = {}
        self._fee_accounts: set[UUID] = set()

    async def resolve(self, ctx: Context, ref: str) -> Account | Problem:
        """An account by id or IBAN, or why there is none."""
        try:
            return await one(self.accounts.resolve, ctx, Which(account=ref))
        except Problem as problem:
            if not problem.final:
                raise
            return problem

    async def may(self, ctx: Context, right: May, account: UUID | None, operation: str) -> bool:
        """Whether the principal has a right on an account, or on the tenant."""
        question = Evaluation(right=right, operation=operation, account=account)
        return (await one(self.access.evaluate, ctx, question)).allowed

    async def allow(self, ctx: Context, debtor: UUID) -> tuple[Said, Problem | None]:
        """Whether the principal may pay from this account: who said so, and why not.

        To those who may not even see the account it looks like one that does not exist.
        """
        question = Evaluation(right="make", operation="payments.create", account=debtor)
        begun = self.begin()
        decision, by = await answered(self.access.evaluate, ctx, question)
        if decision.allowed:
            said = f"allowed as {decision.role}" if decision.role else "allowed"
            return self.decided(ctx, "access", said, by, begun), None
        refused = self.decided(ctx, "access", "refused", by, begun)
        if await self.may(ctx, "view", debtor, "payments.create"):
            return refused, Forbidden("you may see this account, but not pay from it")
        return refused, unknown("$.debtor_account")

    async def price(self, ctx: Context, debtor: Account, amount: Money) -> tuple[Money, str, Said]:
        """The fee, its rule, and who said so."""
        begun = self.begin()
        asked = question(debtor.product, amount, begun[0])
        quoted, by = await answered(self.pricing.quote, ctx, asked)
        if quoted.fee.currency != amount.currency or quoted.fee.minor < 0:
            raise Unavailable("pricing named a fee that cannot be", retry_after=5)
        outcome = priced(quoted.fee, quoted.rule)
        said = self.decided(ctx, "pricing", outcome, by, begun, debtor.product)
        return quoted.fee, quoted.rule, said

    async def today(self, ctx: Context) -> date:
        """The business date: today in the tenant's zone; Forbidden where the bank is closed."""
        known = self._zones.get(ctx.tenant)
        if known is None or known[0] < self._clock.monotonic():
            try:
                which = TenantNumber(number=ctx.tenant)
                tenant = await self.registry.tenant_by_number(ctx, which)
                if tenant.state != "open":
                    raise Forbidden("the bank is closed")
                zone = ZoneInfo(tenant.zone)
            except Problem as problem:
                if problem.final or known is None:
                    raise
                zone = known[1]  # an outage: nobody moved the bank meanwhile
            if len(self._zones) >= KNOWN:
                self._zones.clear()
            known = (self._clock.monotonic() + ZONE_SECONDS, zone)
            self._zones[ctx.tenant] = known
        return self._clock.now().astimezone(known[1]).date()

    async def fees(self, ctx: Context, currency: str) -> UUID:
        """The bank's ledger account for fees, opened before its first use."""
        account = ledger.internal_account(ctx.tenant, "fees", currency)
        if account not in self._fee_accounts:
            wanted = ledger.OpenAccount(id=account, chart="fees", currency=currency)
            await one(self.ledger.open_accounts, ctx.step(f"fees:{currency}"), wanted)
            if len(self._fee_accounts) >= KNOWN:
                self._fee_accounts.clear()
            self._fee_accounts.add(account)
        return account

    async def book(
        self, ctx: Context, payment: UUID, transfers: list[ledger.Transfer]
    ) -> list[ledger.BookedTransfer]:
        """Have the transfers decided and written as one journal entry."""
        entry = ledger.JournalEntry(transfers=transfers)
        try:
            booked = await one(self.ledger.submit, ctx.step(f"{payment}:book"), entry)
        except ledger.TransferIdReused:
            # Another attempt booked this payment, on another day or for another fee: that counts.
            booked_before = await self.booked_before(ctx, payment)
            if not booked_before:
                raise
            return booked_before
        return booked.transfers

    async def booked_before(self, ctx: Context, payment: UUID) -> list[ledger.BookedTransfer]:
        """The transfers of this payment that are in the books already; none, one or two."""
        found = await asyncio.gather(*(self._transfer(ctx, derived(payment, n)) for n in (1, 2)))
        return [transfer for transfer in found if transfer is not None]

    async def _transfer(self, ctx: Context, transfer: UUID) -> ledger.BookedTransfer | None:
        try:
            return await self.ledger.transfer(ctx, ledger.TransferId(transfer_id=transfer))
        except NotFound:
            return None

    def bound(self, ctx: Context, contract: str) -> Binding:
        """What serves a contract for whoever asks, of the tenant, now."""
        return self._bindings.resolve(ctx.tenant, contract, ctx.principal.id)

    def begin(self) -> tuple[datetime, float]:
        """When something is asked: the moment, and the monotonic clock."""
        return self._clock.now(), self._clock.monotonic()

    def decided(
        self,
        ctx: Context,
        step: str,
        outcome: str,
        by: Binding | None = None,
        begun: tuple[datetime, float] | None = None,
        product: str | None = None,
    ) -> Said:
        """A decision with the edition, version and binding that it came from.

        `by` is who answered where another release can be bound: which one is in force may have
        changed since it was asked. `begun` is when it was.
        """
        at, since = begun or (self._clock.now(), None)
        took = None if since is None else int((self._clock.monotonic() - since) * 1_000_000)
        binding = by or self._bindings.resolve(ctx.tenant, step)
        return Said(
            step=step,  # type: ignore[arg-type]
            by=binding.label,
            generation=binding.generation,
            outcome=outcome,
            binding=binding.id if binding.id and binding.id.int else None,
            at=at,
            took_us=took if took is None else min(took, 2**31 - 1),
            product=product,
        )


def question(product: Product, amount: Money, at: datetime) -> Question:
    """What pricing is asked: to derive a fee again is to ask the same again."""
    return Question(operation="book_transfer", product=product, amount=amount, at=at)


def unknown(at: str) -> UnknownAccount:
    """The one answer for accounts that do not exist and for those one may not see."""
    return UnknownAccount("there is no such account", at=at)
