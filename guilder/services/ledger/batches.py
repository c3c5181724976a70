"""Gathers submitted entries: those that arrive while a batch is being written make the next one.

One batch is one transaction of the writer. An answer leaves after its commit.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import date
from uuid import UUID

import structlog

from guilder.chassis.hop import HERE
from guilder.chassis.logs import named
from guilder.chassis.meter import Measure
from guilder.chassis.store import OUTAGES, Tx
from guilder.contracts.context import Call
from guilder.contracts.errors import Internal, Problem, Unavailable
from guilder.contracts.ledger import v1
from guilder.services.ledger import journal, store
from guilder.services.ledger.chain import Link
from guilder.services.ledger.journal import Books, Key, Row
from guilder.services.ledger.writer import Writer

log = structlog.get_logger()

MAX_BATCH = 1_000
"""Entries in one transaction."""

MAX_WAITING = 20_000
"""Entries that may wait; more are told to come back."""

FIRST_LOOK = 500
"""Transfers after which the planner looks at the tables; again each time they have doubled."""

Submitted = Call[v1.JournalEntry]
Answer = list[Row] | Problem


class _Job:
    """The calls of one caller and the answers found so far."""

    def __init__(self, calls: Sequence[Submitted]) -> None:
        self.calls = calls
        self.answers: list[Answer] = [Internal()] * len(calls)
        self.left = len(calls)
        loop = asyncio.get_running_loop()
        self.until = loop.time() + v1.BOOKED_WITHIN
        self.done: asyncio.Future[None] = loop.create_future()

    def answer(self, i: int, answer: Answer) -> None:
        """Note one answer; the last one wakes the caller."""
        self.answers[i] = answer
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


class Batches:
    """Turns what callers submit at the same time into one transaction."""

    def __init__(self, writer: Writer) -> None:
        """`writer` is the ledger's only one."""
        self._writer = writer
        self._waiting: deque[tuple[_Job, int]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._next_look = FIRST_LOOK
        self._written = self._entries = 0

    def measures(self) -> list[Measure]:
        """What is worth watching of the one writer."""
        return [
            Measure("guilder_ledger_batches_total", "Batches committed.", lambda: self._written),
            Measure("guilder_ledger_entries_total", "Entries in them.", lambda: self._entries),
            Measure(
                "guilder_ledger_waiting",
                "Entries that wait for the next batch.",
                lambda: len(self._waiting),
            ),
        ]

    async def submit(self, calls: Sequence[Submitted]) -> list[Answer]:
        """Book entries; a caller who gives up waiting does not stop the batch."""
        if len(self._waiting) + len(calls) > MAX_WAITING:
            return [Unavailable("too many entries are waiting", retry_after=1)] * len(calls)
        if not calls:
            return []
        job = _Job(calls)
        self._waiting.extend((job, i) for i in range(len(calls)))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        await job.done
        return job.answers

    async def _drain(self) -> None:
        try:
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                until = taken[0][0].until  # who came first waits for the shortest
                answers = await self._decide([job.calls[i] for job, i in taken], until)
                for (job, i), answer in zip(taken, answers, strict=True):
                    job.answer(i, answer)
        finally:
            self._task = None

    async def _decide(self, calls: list[Submitted], until: float) -> list[Answer]:
        """One transaction, none after `until`; never raises.

        After a lost session once more: ids make it safe.
        """
        HERE.set(("ledger", calls))  # the task was begun by another request
        for again in (True, False):
            try:
                async with asyncio.timeout_at(until):
                    return await self._book(calls)
            except Problem as problem:
                return [problem] * len(calls)
            except OUTAGES as error:
                log.warning("ledger session lost", error=named(error), again=again)
            except Exception:
                log.exception("defect in a batch of the ledger", entries=len(calls))
                if len(calls) == 1:
                    return [Internal()]
                # One entry that cannot be written must not take the others with it.
                return [(await self._decide([call], until))[0] for call in calls]
        return [Unavailable("the ledger's database does not answer", retry_after=1)] * len(calls)

    async def _book(self, calls: list[Submitted]) -> list[Answer]:
        tenants = sorted({call.ctx.tenant for call in calls})
        async with self._writer.tx(*tenants) as tx:
            books, prev = await _load(tx, tenants, calls)
            answers: list[Answer] = []
            for call in calls:
                mark = len(books.rows)
                answer = journal.enter(books, call.ctx.tenant, tx.at, call.request)
                answers.append(answer)
                if not isinstance(answer, Problem) and len(books.rows) > mark:
                    payment = next((row.payment for row in answer if row.payment), None)
                    tx.emit(call.ctx, "entry.booked", transfer=answer[0].id, payment=payment)
            await write(tx, books, prev)
            if books.next_seq >= self._next_look:
                self._next_look = 2 * books.next_seq
                await store.analyze(tx)
        self._written += 1
        self._entries += len(calls)
        return answers


async def _load(tx: Tx, tenants: list[int], calls: list[Submitted]) -> tuple[Books, bytes]:
    """What the entries of a batch can touch."""
    asked = [(call.ctx.tenant, t) for call in calls for t in call.request.transfers]
    known = await store.transfers(tx, {(tenant, t.id) for tenant, t in asked})
    settled = {(tenant, t.pending_id) for tenant, t in asked if t.pending_id}
    pendings = await store.pendings(tx, settled) if settled else {}
    wanted = {(tenant, side) for tenant, t in asked for side in (t.debit, t.credit) if side}
    wanted |= _sides((key[0], hold.debit, hold.credit) for key, hold in pendings.items())
    next_seq, prev = await store.head(tx)
    books = Books(
        next_seq=next_seq,
        accounts=await store.accounts(tx, wanted),
        known=known,
        pendings=pendings,
        last_booked=await store.last_booked(tx, tenants),
    )
    return books, prev


def _sides(items: Iterable[tuple[int, UUID, UUID]]) -> set[Key]:
    return {(tenant, side) for tenant, *sides in items for side in sides}


async def write(tx: Tx, books: Books, prev: bytes) -> None:
    """Write the new rows of a batch, its link of the chain, and every total they changed."""
    rows = books.rows
    if not rows:
        return
    await store.append(tx, rows, prev, Link(prev).add(rows).digest())
    touched = sorted(_sides((row.tenant, row.debit, row.credit) for row in rows))
    await store.save_totals(tx, {key: books.accounts[key] for key in touched})
    ended = {(row.tenant, row.pending_id) for row in rows if row.pending_id}
    begun = {(row.tenant, row.id) for row in rows if row.kind == "pending"}
    await store.save_pendings(tx, {key: books.pendings[key] for key in sorted(ended | begun)})
    await store.add_day_totals(tx, _days(rows))


def _days(rows: Sequence[Row]) -> dict[tuple[int, UUID, date], tuple[int, int]]:
    """Posted debits and credits by account and value date."""
    days: dict[tuple[int, UUID, date], tuple[int, int]] = {}
    for row in rows:
        if row.kind in ("transfer", "post"):
            for side, debits, credits_ in (
                (row.debit, row.amount, 0),
                (row.credit, 0, row.amount),
            ):
                key = (row.tenant, side, row.value_date)
                was = days.get(key, (0, 0))
                days[key] = (was[0] + debits, was[1] + credits_)
    return days
