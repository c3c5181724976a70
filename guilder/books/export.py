"""`guilder export`: a tenant's books as a plain-text journal that hledger or beancount recompute.

Posted transfers only. The file ends with the balance of every account as the ledger itself says
it, so the program that reads the file proves the books or refuses them.
"""

from collections.abc import Callable
from datetime import date, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from guilder.books.forms import FORMS, Closing, Form, Posting, place
from guilder.books.journal import POSTED
from guilder.books.reading import Clients, acting, every, resolved
from guilder.contracts.accounts.v1 import Accounts
from guilder.contracts.declare import Answer
from guilder.contracts.errors import InvalidRequest, Unavailable
from guilder.contracts.ledger.v1 import (
    BookedTransfer,
    JournalQuery,
    Ledger,
    LedgerAccount,
    TrialLine,
    TrialQuery,
)
from guilder.contracts.registry.v1 import Registry, TenantNumber

ROUNDS = 10
"""How often the end is read again because something was booked meanwhile."""

EPOCH = date(1970, 1, 1)
LAST_DAY = date.max - timedelta(days=1)
"""The last value date after which there is still a day for the balances to stand on."""

NOWHERE = "Equity:Unknown"
"""Side of a transfer that the ledger has no account for; both programs then refuse the file."""

Write = Callable[[str], object]
"""Takes one line, without its end."""


class Exported(Answer, frozen=True, kw_only=True):
    """What was written, and up to which place of the journal."""

    transfers: int
    accounts: int
    seq: int


async def export(clients: Clients, tenant: int, program: str, write: Write) -> Exported:
    """Write a tenant's books line by line, in the form of `program`.

    Raises InvalidRequest for an unknown program, Unavailable when the books do not hold still.
    """
    form = FORMS.get(program)
    if form is None:
        raise InvalidRequest(f"the format must be one of {', '.join(FORMS)}", at="$.format")
    found = await clients(Registry).tenant_by_number(acting(tenant), TenantNumber(number=tenant))
    for line in form.head(f"Guilder {found.slug}"):
        write(line)
    pen = _Pen(clients(Ledger), tenant, form, ZoneInfo(found.zone), write)
    closings = await pen.run()
    customers = [i for i, line in closings.items() if line.account.chart == "customer"]
    known = await resolved(clients(Accounts), acting(tenant), customers)
    ibans = {i: account.iban for i, account in known.items()}
    ends = [
        Closing(line.account, pen.name(line.account), line.debits - line.credits, ibans.get(i))
        for i, line in closings.items()
    ]
    for text in form.end(ends, pen.first or EPOCH, min(pen.last, LAST_DAY) + timedelta(days=1)):
        write(text)
    return Exported(transfers=pen.count, accounts=len(ends), seq=pen.seq)


class _Pen:
    """Writes the journal as it is read."""

    def __init__(
        self, ledger: Ledger, tenant: int, form: Form, zone: ZoneInfo, write: Write
    ) -> None:
        """Nothing is written yet."""
        self._ledger, self._tenant, self._form = ledger, tenant, form
        self._zone, self._write = zone, write
        self._names: dict[UUID, str] = {}
        self.seq, self.count = 0, 0
        self.first: date | None = None
        self.last = EPOCH

    async def run(self) -> dict[UUID, TrialLine]:
        """Write all posted transfers; the trial balance at exactly that point."""
        await self._learn()
        await self._write_on()
        for _ in range(ROUNDS):
            before, lines = self.seq, await self._learn()
            await self._write_on()
            if self.seq == before:
                return lines
        raise Unavailable("payments are booked all the time; export again in a quieter moment")

    def name(self, account: LedgerAccount) -> str:
        """The account's name in the file."""
        return self._names.setdefault(account.id, place(self._tenant, account))

    async def _learn(self) -> dict[UUID, TrialLine]:
        """Read the trial balance and with it the names of all accounts."""
        query = TrialQuery(limit=2000)
        lines = {
            line.account.id: line
            async for line in every(self._ledger.trial_balance, acting(self._tenant), query)
        }
        for line in lines.values():
            self.name(line.account)
        return lines

    async def _write_on(self) -> None:
        """Write what the journal holds after the last transfer written."""
        query = JournalQuery(after=self.seq, limit=2000)
        async for transfer in every(self._ledger.journal, acting(self._tenant), query):
            if not {transfer.debit, transfer.credit} <= self._names.keys():
                await self._learn()  # an account opened since
            self.seq = transfer.seq
            if transfer.kind in POSTED:
                self._put(transfer)

    def _put(self, transfer: BookedTransfer) -> None:
        self.count += 1
        self.first = min(self.first or transfer.value_date, transfer.value_date)
        self.last = max(self.last, transfer.value_date)
        posting = Posting(
            transfer,
            self._names.get(transfer.debit, NOWHERE),
            self._names.get(transfer.credit, NOWHERE),
            transfer.booked_at.astimezone(self._zone).date(),
        )
        for line in self._form.posting(posting):
            self._write(line)
