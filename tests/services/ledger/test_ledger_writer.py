"""Two processes and one writer's lock: who takes over from whom, and how long that takes."""

import asyncio
import random

import asyncpg
import pytest
import pytest_asyncio
from ledger_desk import move

from guilder.chassis.clock import Clock
from guilder.chassis.store import Store
from guilder.chassis.testing import new_id
from guilder.contracts.context import Call
from guilder.contracts.errors import Problem, Unavailable
from guilder.contracts.ledger import v1
from guilder.services.ledger import writer as module
from guilder.services.ledger.service import LedgerService
from guilder.services.ledger.store import LOCK
from guilder.services.ledger.writer import LOCK_PAUSE, LOCK_TRIES, Writer

HOLDER = "SELECT pid FROM pg_locks WHERE locktype='advisory' AND granted AND objid=$1::int8"


class Turns(Clock):
    """Counts the pauses of whoever waits, and lets the others work meanwhile."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.then = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.then()
        await asyncio.sleep(0)


async def let_go(near):
    """The world's own process writes no more."""
    await near.world.process.endpoints["ledger"].service._writer._fenced.close()


@pytest_asyncio.fixture(loop_scope="session")
async def processes(near):
    """Stores as two more processes have them; the world's own writer lets go meanwhile."""
    mine = near.world.process.stores["ledger"]
    await near.funded(1)
    await let_go(near)
    made = [Store("ledger", mine._connect, Turns()) for _ in range(2)]
    for store in made:
        await store.open()
    yield made
    for store in made:
        await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def superuser(admin, near):
    database = near.world.process.stores["ledger"]._connect["database"]
    made = await asyncpg.connect(**{**admin, "database": database})
    yield made
    await made.close()


async def sessions(superuser):
    """How many sessions the service has in its database."""
    return await superuser.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname=current_database() AND pid<>pg_backend_pid()"
    )


async def holder(superuser):
    return await superuser.fetchval(HOLDER, LOCK & 0xFFFFFFFF)


async def until(look, wanted):
    async with asyncio.timeout(10):
        while await look() != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_second_writer_waits_until_the_first_has_gone(near, processes):
    first, second = (Writer(store) for store in processes)
    async with first.tx(near.tenant):
        pass
    clock = processes[1].clock

    def gone() -> None:
        if len(clock.slept) == 3:
            first._fenced.terminate()

    clock.then = gone
    async with second.tx(near.tenant) as tx:
        assert await tx.value("SELECT 1") == 1
    assert 3 <= len(clock.slept) < LOCK_TRIES
    assert set(clock.slept) == {LOCK_PAUSE}


async def test_it_waits_three_seconds_and_no_longer(near, processes, superuser):
    first, second = (Writer(store) for store in processes)
    async with first.tx(near.tenant):
        pass
    before = await sessions(superuser)
    with pytest.raises(Unavailable, match="another process") as refused:
        async with second.tx(near.tenant):
            pytest.fail("the lock was held")
    assert refused.value.retry_after == 1
    assert sum(processes[1].clock.slept) == pytest.approx(3.0)
    await until(lambda: sessions(superuser), before)
    async with first.tx(near.tenant):
        pass


async def test_whoever_gives_up_waiting_leaves_no_session(near, processes, superuser):
    first, second = (Writer(store) for store in processes)
    async with first.tx(near.tenant):
        pass
    before, held = await sessions(superuser), await holder(superuser)
    processes[1].clock.then = lambda: processes[1].clock.slept.clear()

    async def write() -> None:
        async with second.tx(near.tenant):
            pytest.fail("the lock was held")

    tries = [asyncio.create_task(write()) for _ in range(3)]
    await asyncio.sleep(0.1)
    for each in tries:
        each.cancel()
    assert {type(e) for e in await asyncio.gather(*tries, return_exceptions=True)} <= {
        asyncio.CancelledError,
        Unavailable,
    }
    await until(lambda: sessions(superuser), before)
    assert await holder(superuser) == held
    assert second._fenced is None


async def test_one_that_leaves_lets_go_also_while_somebody_reads(
    near, processes, superuser, monkeypatch
):
    """A self check may take minutes: nobody could write so long."""
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.05)
    first, second = (Writer(store) for store in processes)
    async with first.tx(near.tenant):
        pass
    async with processes[0].tx(near.tenant) as reading:
        processes[0].leave()
        assert await holder(superuser) is not None
        await until(lambda: holder(superuser), None)
        async with second.tx(near.tenant):
            pass
        assert await reading.value("SELECT 1") == 1


async def test_one_that_leaves_writes_first_what_it_has_begun(
    near, processes, superuser, monkeypatch
):
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.0)
    first, _ = (Writer(store) for store in processes)
    order = []

    async def write(n: int) -> None:
        async with first.tx(near.tenant) as tx:
            order.append(n)
            await tx.value("SELECT pg_sleep(0.02)")
            assert await holder(superuser) is not None

    writes = [asyncio.create_task(write(n)) for n in range(5)]
    await asyncio.sleep(0.01)
    processes[0].leave()
    await asyncio.gather(*writes)
    assert order == list(range(5))
    await until(lambda: holder(superuser), None)
    async with first.tx(near.tenant):  # late, and nobody else wants it
        pass
    await until(lambda: holder(superuser), None)


async def test_two_ledgers_on_one_database_never_interleave_a_batch(
    near, processes, superuser, monkeypatch
):
    """Many hands on both, and a lock that changes hands: one chain, and every entry once."""
    monkeypatch.setattr(module, "LOCK_TRIES", 2)
    account, cash = await near.funded(100_000)
    await let_go(near)
    for store in processes:
        store.clock = Clock()
    ledgers = [LedgerService(store, Writer(store)) for store in processes]
    before = len(await superuser.fetch("SELECT 1 FROM batch"))
    booked: list[object] = []
    chance = random.Random(7)

    async def hand(ledger) -> None:
        for _ in range(10):
            entry = v1.JournalEntry(transfers=[move(account, cash, 1, id=new_id())])
            (answer,) = await ledger.submit([Call(near.who.ctx(), entry)])
            if isinstance(answer, Problem):
                assert answer.code == "unavailable"
            else:
                booked.append(answer.transfers[0])
            await asyncio.sleep(chance.random() / 100)

    async def usurp() -> None:
        for _ in range(6):
            await asyncio.sleep(0.05)
            await superuser.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype='advisory' AND granted AND objid=$1::int8",
                LOCK & 0xFFFFFFFF,
            )

    await asyncio.gather(usurp(), *(hand(ledger) for ledger in ledgers for _ in range(4)))
    chain = await superuser.fetch("SELECT * FROM batch ORDER BY first_seq")
    assert len(chain) > before
    assert [row["prev"] for row in chain[1:]] == [row["hash"] for row in chain[:-1]]
    spent = 100_000 - await near.booked(account)
    assert len(booked) <= spent <= 80


async def test_what_hangs_too_long_is_never_booked(near, superuser, monkeypatch):
    """As while a migration makes an index: everybody reads, and nobody writes."""
    monkeypatch.setattr(v1, "BOOKED_WITHIN", 0.3)
    account, cash = await near.funded(100)
    async with superuser.transaction():
        await superuser.execute("LOCK TABLE transfer IN SHARE MODE")
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*(near.submit([move(account, cash, 1)]) for _ in "ab"))
        assert [answer.code for (answer,) in answers] == ["unavailable"] * 2
    assert await near.booked(account) == 100
    monkeypatch.undo()
    await near.book(move(account, cash, 1))
    assert await near.booked(account) == 99
