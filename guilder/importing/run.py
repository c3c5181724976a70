"""Sends a plan through the services' contracts, and reconciles what the books then say.

Every command carries a key derived from the plan, so an import that was interrupted is repeated
whole and doubles nothing. Amounts are minor units.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

import msgspec

from guilder.contracts.access.v1 import Access, GrantRole
from guilder.contracts.accounts.v1 import Accounts, OpenAccount
from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Contract
from guilder.contracts.errors import DeadlineExceeded, InFlight, Problem, Refused, Unavailable
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.parties.v1 import CreateParty, Parties
from guilder.contracts.payments.v1 import Payments, RecordStandingOrder
from guilder.contracts.values import Money
from guilder.importing.plan import Plan, Transfer
from guilder.importing.records import Account, Holder, Party, StandingOrder

C = TypeVar("C", bound=Contract)
T = TypeVar("T")
A = TypeVar("A")

PARALLEL = 24
ENTRIES_A_BATCH = 250
ATTEMPTS = 6
OWNERS_MOST = 8

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, how many are done, and how many there are."""


class Platform(Protocol):
    """What an import needs of a running platform."""

    def client(self, contract: type[C]) -> C:
        """A client of a contract."""
        ...

    def ctx(self, tenant: int, key: str) -> Context:
        """The operator acting in a tenant, under a key."""
        ...


class ImportFailed(Refused):
    """A record of the source was refused by the service it belongs to."""

    code = "import-refused"
    title = "A record was refused"
    fix = "Correct the mapping or the source and run the same import again; it doubles nothing."


class Unreconciled(msgspec.Struct, frozen=True):
    """A row after which our books do not show the printed balance by themselves."""

    account: str
    row: str
    date: str
    expected: str
    printed: str


class Report(msgspec.Struct, frozen=True):
    """What an import did and how far our books agree with the printed balances.

    `reconciled` counts rows after which the ledger shows the printed balance without suspense,
    `exact` those among them without rounding. Amounts are decimal strings of `currency`.
    """

    rows: int
    reconciled: int
    exact: int
    rounded: int
    unchecked: int
    breaks: list[Unreconciled]
    differs: list[Unreconciled]
    currency: str
    rounding_total: str
    suspense_total: str
    negative_balances: int
    parties: int
    accounts: int
    holders: int
    standing_orders: int
    transfers: int


@dataclass
class Run:
    """One import into one tenant."""

    platform: Platform
    tenant: int
    plan: Plan
    progress: Progress
    parties: dict[str, UUID] = field(default_factory=dict)
    accounts: dict[str, UUID] = field(default_factory=dict)

    async def all(self) -> Report:
        """Send everything, then reconcile."""
        plan = self.plan
        await self._each("parties", plan.parties, self._party)
        await self._each("accounts", plan.accounts, self._account)
        signatories = [h for h in plan.holders if h.role != "owner"]
        await self._each("signatories", signatories, self._signatory)
        await self._each("standing orders", plan.standing_orders, self._standing_order)
        await self._internal_accounts()
        await self._transfers()
        return self._report(await self._compare())

    def _ctx(self, kind: str, external_id: str) -> Context:
        return self.platform.ctx(self.tenant, f"import:{self.plan.namespace}:{kind}:{external_id}")

    async def _each(
        self, stage: str, items: Sequence[T], send: Callable[[T], Awaitable[None]]
    ) -> None:
        """Send items, PARALLEL at a time; the first refusal stops the stage."""
        done, total = 0, len(items)
        todo = iter(items)

        async def worker() -> None:
            nonlocal done
            for item in todo:
                await send(item)
                done += 1
                if done % 100 == 0:
                    self.progress(stage, done, total)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(PARALLEL, total)):
                group.create_task(worker())
        self.progress(stage, done, total)

    async def _party(self, party: Party) -> None:
        request = CreateParty(
            kind="person",
            name=party.name or f"Client {party.external_id}",
            birth_date=party.birth_date,
            reference=f"{self.plan.namespace}:{party.external_id}",
        )
        client = self.platform.client(Parties)
        ctx = self._ctx("party", party.external_id)
        made = await _retried(f"party {party.external_id}", lambda: client.create(ctx, request))
        self.parties[party.external_id] = made.id

    async def _account(self, account: Account) -> None:
        owners = [h for h in self._holders[account.external_id] if h.role == "owner"]
        if len(owners) > OWNERS_MOST:
            raise ImportFailed(
                f"account {account.external_id} has {len(owners)} owners, at most {OWNERS_MOST}"
            )
        request = OpenAccount(
            holders=[self.parties[h.party] for h in owners],
            currency=self.plan.currency,
            overdraft=self._money(self._overdrafts.get(account.external_id, 0)),
            opened_on=account.opened,
            reference=f"{self.plan.namespace}:{account.external_id}",
        )
        client = self.platform.client(Accounts)
        ctx = self._ctx("account", account.external_id)
        made = await _retried(f"account {account.external_id}", lambda: client.open(ctx, request))
        self.accounts[account.external_id] = made.id

    async def _signatory(self, holder: Holder) -> None:
        request = GrantRole(
            subject=self.parties[holder.party],
            role="signatory",
            account=self.accounts[holder.account],
        )
        client, ctx = self.platform.client(Access), self._ctx("holder", holder.external_id)
        await _retried(f"holder {holder.external_id}", lambda: client.assign(ctx, request))

    async def _standing_order(self, order: StandingOrder) -> None:
        request = RecordStandingOrder(
            account_id=self.accounts[order.account],
            reference=f"{self.plan.namespace}:{order.external_id}",
            amount=self._money(order.amount_minor),
            creditor_bank=order.partner_bank,
            creditor_number=order.partner_account,
            purpose=order.purpose,
        )
        client, ctx = self.platform.client(Payments), self._ctx("order", order.external_id)
        await _retried(
            f"order {order.external_id}", lambda: client.record_standing_order(ctx, request)
        )

    async def _internal_accounts(self) -> None:
        """Open the bank's own accounts that the transfers need."""
        calls = []
        for counter in self.plan.counters():
            chart, _, partner = counter.partition(":")
            kind = cast(ledger.Chart, chart)
            request = ledger.OpenAccount(
                id=self._internal(counter),
                chart=kind,
                currency=self.plan.currency,
                partner=partner,
            )
            calls.append(Call(self._ctx("internal", counter), request))
        client = self.platform.client(ledger.Ledger)
        for answer in await _retried("accounts", lambda: client.open_accounts(calls)):
            if isinstance(answer, Problem):
                raise answer

    async def _transfers(self) -> None:
        """Book the rows in order, a batch after the other; a row and its differences together."""
        client, total, done = self.platform.client(ledger.Ledger), len(self.plan.transfers), 0
        for batch in _batches(self._entries(), ENTRIES_A_BATCH):
            answers = await _retried("transfers", lambda b=batch: client.submit(b))  # type: ignore[misc]
            for call, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Problem):
                    row = call.request.transfers[0].meta.row
                    raise ImportFailed(f"row {row}: {answer.title}: {answer.detail}")
                done += len(call.request.transfers)
            self.progress("transfers", done, total)

    def _entries(self) -> Iterator[Call[ledger.JournalEntry]]:
        for base, parts in groupby(self.plan.transfers, key=lambda t: _base(t.external_id)):
            entry = ledger.JournalEntry(transfers=[self._transfer(part) for part in parts])
            yield Call(self._ctx("transfer", base), entry)

    def _transfer(self, part: Transfer) -> ledger.Transfer:
        customer, internal = self.accounts[part.account], self._internal(part.counter)
        credit = part.direction == "credit"
        chart = part.counter.partition(":")[0]
        return ledger.Transfer(
            id=part.id,
            debit=internal if credit else customer,
            credit=customer if credit else internal,
            amount=self._money(part.amount_minor),
            value_date=part.value_date,
            code=cast(ledger.TransferCode, "fee" if chart == "fees" else chart),
            meta=ledger.Meta(row=part.external_id.replace("+", ":")),
        )

    async def _compare(self) -> set[str]:
        """Rows after which the ledger shows another balance than the bank printed."""
        wrong: set[str] = set()

        async def account(name: str) -> None:
            steps = self.plan.steps[name]
            balances: dict[str, int] = {}
            async for entry in self._statement(self.accounts[name]):
                row = _base((entry.meta.row or "").replace(":", "+"))
                balances.setdefault(row, entry.balance_after.minor)
            before = 0
            for step in steps:
                row = step.transaction.external_id
                before = balances.get(row, before)  # a row of zero leaves no transfer
                if before != step.balance_minor:
                    wrong.add(row)

        await self._each("reconciling", list(self.plan.steps), account)
        return wrong

    async def _statement(self, account: UUID) -> AsyncIterator[ledger.Entry]:
        """All entries of an account, newest first."""
        client, before = self.platform.client(ledger.Ledger), None
        while True:
            query = ledger.EntryQuery(account_id=account, before=before, limit=500)
            ctx = self._ctx("read", str(account))
            page = await _retried("entries", lambda q=query, c=ctx: client.entries(c, q))  # type: ignore[misc]
            for entry in page.items:
                yield entry
            if page.next is None:
                return
            before = page.next

    def _report(self, wrong: set[str]) -> Report:
        plan, said = self.plan, self.plan.summary
        steps = [step for account in plan.steps.values() for step in account]
        good = [s for s in steps if s.transaction.external_id not in wrong]
        exact = sum(step.status == "exact" for step in good)
        rounded = sum(step.status == "rounded" for step in good)
        differs = [
            self._unreconciled(
                s.transaction.account,
                s.transaction.external_id,
                s.transaction.value_date,
                s.expected_minor,
                s.balance_minor,
            )
            for s in steps
            if s.transaction.external_id in wrong
        ]
        return Report(
            rows=said.rows,
            reconciled=exact + rounded,
            exact=exact,
            rounded=rounded,
            unchecked=said.unchecked,
            breaks=[
                self._unreconciled(
                    b.account, b.external_id, b.value_date, b.expected_minor, b.printed_minor
                )
                for b in said.breaks
            ],
            differs=differs,
            currency=plan.currency,
            rounding_total=self._money(said.rounding_total_abs_minor).amount,
            suspense_total=self._money(said.suspense_total_abs_minor).amount,
            negative_balances=said.negative_balances,
            parties=len(plan.parties),
            accounts=len(plan.accounts),
            holders=len(plan.holders),
            standing_orders=len(plan.standing_orders),
            transfers=len(plan.transfers),
        )

    def _unreconciled(
        self, account: str, row: str, on: object, expected: int, printed: int
    ) -> Unreconciled:
        return Unreconciled(
            account=account,
            row=row,
            date=str(on),
            expected=self._money(expected).amount,
            printed=self._money(printed).amount,
        )

    def _money(self, minor: int) -> Money:
        return Money(minor, self.plan.currency)

    def _internal(self, counter: str) -> UUID:
        chart, _, partner = counter.partition(":")
        return ledger.internal_account(
            self.tenant, cast(ledger.Chart, chart), self.plan.currency, partner
        )

    @cached_property
    def _holders(self) -> dict[str, list[Holder]]:
        found: dict[str, list[Holder]] = defaultdict(list)
        for holder in self.plan.holders:
            found[holder.account].append(holder)
        return found

    @cached_property
    def _overdrafts(self) -> dict[str, int]:
        """The overdraft each account needs for its own history, in minor units."""
        return _deepest(self.plan.transfers)


def _deepest(transfers: Iterable[Transfer]) -> dict[str, int]:
    balance: dict[str, int] = defaultdict(int)
    deepest: dict[str, int] = {}
    for each in transfers:
        balance[each.account] += (
            each.amount_minor if each.direction == "credit" else -each.amount_minor
        )
        deepest[each.account] = max(deepest.get(each.account, 0), -balance[each.account])
    return deepest


def _base(external_id: str) -> str:
    return external_id.partition("+")[0]


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def _retried(what: str, send: Callable[[], Awaitable[A]]) -> A:
    """Repeat through a short outage; a refusal says which record it was."""
    for attempt in range(ATTEMPTS):
        try:
            return await send()
        except (Unavailable, DeadlineExceeded, InFlight):
            if attempt == ATTEMPTS - 1:
                raise
            await asyncio.sleep(0.2 * 2**attempt)
        except Problem as problem:
            raise ImportFailed(f"{what}: {problem.title}: {problem.detail}") from problem
    raise AssertionError("unreachable")


async def run_import(platform: Platform, tenant: int, plan: Plan, progress: Progress) -> Report:
    """Bring a plan's records into a tenant and reconcile them."""
    try:
        return await Run(platform, tenant, plan, progress).all()
    except ExceptionGroup as group:
        first: Any = group.exceptions[0]
        raise first from None
