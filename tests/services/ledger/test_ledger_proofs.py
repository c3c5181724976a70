"""What the self check finds, and how the writer is fenced."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest
import pytest_asyncio
from ledger_desk import Desk, eur, move, settle

from guilder.contracts.declare import Nothing
from guilder.contracts.errors import Problem, Unavailable
from guilder.contracts.ledger import v1
from guilder.services.ledger.store import LOCK
from guilder.services.ledger.writer import Writer


def database_of(world):
    return world.process.stores["ledger"]._connect["database"]


@pytest_asyncio.fixture(loop_scope="session")
async def superuser(direct, admin):
    connection = await asyncpg.connect(**{**admin, "database": database_of(direct)})
    yield connection
    await connection.close()


async def checks(desk):
    return await desk.ledger.self_check(desk.who.ctx(), Nothing())


async def populated(desk):
    """A tenant with everything in it."""
    account, cash = await desk.funded(1_000, floor=-100)
    await desk.book(move(account, cash, 1_050))
    (hold,) = await desk.book(move(cash, account, 9, kind="pending"))
    await desk.book(settle("post", hold.id, amount=eur(4)))
    (gone,) = await desk.book(move(cash, account, 9, kind="pending"))
    await desk.book(settle("void", gone.id))
    await desk.book(move(cash, account, 11, kind="pending"))
    await desk.book(move(account, cash, 3), move(cash, account, 2))
    return account, cash


async def test_sound_books_have_no_findings_and_tell_their_head(near):
    await populated(near)
    found = await checks(near)
    assert found.findings == []
    page = await near.ledger.journal(near.who.ctx(), v1.JournalQuery())
    assert found.facts[f"tenant.{near.tenant}.transfers"] == str(len(page.items)) == "9"
    assert found.facts[f"tenant.{near.tenant}.debits.EUR"] == str(1_000 + 1_050 + 4 + 3 + 2)
    assert int(found.facts["chain.seq"]) >= page.items[-1].seq
    assert len(found.facts["chain.hash"]) == 64
    await near.book(move(page.items[0].debit, page.items[0].credit, 1))
    assert (await checks(near)).facts["chain.hash"] != found.facts["chain.hash"]


CORRUPTIONS = {
    "UPDATE transfer SET amount=amount+1 WHERE {row}": {
        "chain-hash",
        "account-totals",
        "running-totals",
        "day-totals",
    },
    "UPDATE transfer SET payment=gen_random_uuid() WHERE {row}": {"chain-hash"},
    "UPDATE transfer SET value_date=value_date+1 WHERE {row}": {"chain-hash", "day-totals"},
    "UPDATE transfer SET d_after=d_after+1 WHERE {row}": {"chain-hash", "running-totals"},
    "UPDATE transfer SET booked_at=booked_at+interval '1 day' WHERE {row}": {
        "chain-hash",
        "booking-time",
    },
    "UPDATE transfer SET currency='CZK' WHERE {row}": {"chain-hash", "transfer-accounts"},
    "DELETE FROM transfer WHERE {row}": {
        "seq-gap",
        "chain-hash",
        "account-totals",
        "running-totals",
        "day-totals",
    },
    "UPDATE batch SET hash=sha256('x') WHERE first_seq={seq}": {"chain-hash", "chain-link"},
    "DELETE FROM batch WHERE first_seq={seq}": {
        "chain-gap",
        "chain-link",
        "seq-gap",
        "chain-hash",
    },
    "UPDATE account SET debits=debits+1 WHERE {account}": {
        "account-totals",
        "debits-equal-credits",
    },
    "UPDATE account SET debits=debits+1, credits=credits+1 WHERE {account}": {"account-totals"},
    "UPDATE account SET floor=-10 WHERE {account}": {"limits"},
    "UPDATE pending SET state='open' WHERE {tenant} AND state='posted'": {
        "pending-states",
        "account-totals",
    },
    "DELETE FROM pending WHERE {tenant} AND state='voided'": {
        "pending-states",
        "orphan-settlement",
    },
    "UPDATE day_total SET credits=credits+1 WHERE {tenant} AND account='{cash}'": {"day-totals"},
    "DELETE FROM account WHERE {tenant} AND id='{cash}'": {
        "transfer-accounts",
        "debits-equal-credits",
    },
}


@asynccontextmanager
async def restored(superuser):
    """Whatever happens to the tables inside is put back: the world is shared."""
    tables = ("transfer", "batch", "account", "pending", "day_total")
    for table in tables:
        await superuser.execute(f"CREATE TEMP TABLE kept_{table} AS TABLE {table}")
    try:
        yield
    finally:
        for table in tables:
            await superuser.execute(
                f"BEGIN; DELETE FROM {table}; INSERT INTO {table} TABLE kept_{table};"
                f" DROP TABLE kept_{table}; COMMIT"
            )


@pytest.mark.parametrize("sql", CORRUPTIONS)
async def test_every_corruption_is_found_by_name(near, superuser, sql):
    account, cash = await populated(near)
    seq = await superuser.fetchval("SELECT min(seq)+1 FROM transfer WHERE tenant=$1", near.tenant)
    places = {
        "row": f"tenant={near.tenant} AND seq={seq}",
        "account": f"tenant={near.tenant} AND id='{account}'",
        "tenant": f"tenant={near.tenant}",
        "seq": seq,
        "cash": cash,
    }
    async with restored(superuser):
        done = await superuser.execute(sql.format(**places))
        assert int(done.split()[-1]) >= 1
        found = await checks(near)
    assert {f.check for f in found.findings} == CORRUPTIONS[sql]
    assert {f.tenant for f in found.findings} <= {near.tenant, None}
    assert (await checks(near)).findings == []


async def test_the_service_itself_cannot_change_what_is_booked(near):
    await populated(near)
    for sql in ("UPDATE transfer SET amount=1", "DELETE FROM transfer", "DELETE FROM batch"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with near.world.process.stores["ledger"].tx(near.tenant) as tx:
                await tx.execute(sql)


async def test_a_second_writer_is_kept_out(near):
    account, cash = await near.funded(100)
    second = Writer(near.world.process.stores["ledger"])
    with pytest.raises(Unavailable):
        async with second.tx(near.tenant):
            pytest.fail("the lock was held")
    await near.book(move(account, cash, 5))


async def test_a_lost_session_is_replaced_and_locked_anew(near, superuser):
    account, cash = await near.funded(100)
    holder = "SELECT pid FROM pg_locks WHERE locktype='advisory' AND granted AND objid=$1::int8"
    low = LOCK & 0xFFFFFFFF
    pid = await superuser.fetchval(holder, low)
    assert await superuser.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    answers = await asyncio.gather(*(near.submit([move(account, cash, 5)]) for _ in range(5)))
    assert not [a for (a,) in answers if isinstance(a, Problem)]
    fresh = await superuser.fetchval(holder, low)
    assert fresh not in (None, pid)
    assert await near.booked(account) == 75


async def test_two_writers_cannot_extend_one_link(near, superuser):
    """Even past the lock: the first seq and the hash stood on are unique."""
    await near.funded(100)
    last = "SELECT * FROM batch ORDER BY first_seq DESC LIMIT 1"
    head = await superuser.fetchrow(last)
    insert = "INSERT INTO batch VALUES ($1, 1, now(), $2, sha256('other'))"
    with pytest.raises(asyncpg.UniqueViolationError):
        await superuser.execute(insert, head["first_seq"], b"other")
    with pytest.raises(asyncpg.UniqueViolationError):
        await superuser.execute(insert, head["first_seq"] + 1_000, head["prev"])


async def test_while_another_process_writes_the_ledger_is_unavailable(near, superuser):
    """The lock's holder is gone, somebody else was quicker: nothing is booked, nothing breaks."""
    account, cash = await near.funded(100)
    service = near.world.process.endpoints["ledger"].service
    await service._writer._fenced.close()
    assert await superuser.fetchval("SELECT pg_try_advisory_lock($1)", LOCK)
    try:
        (answer,) = await near.submit([move(account, cash, 5)])
        assert isinstance(answer, Unavailable)
        assert await near.booked(account) == 100
    finally:
        await superuser.execute("SELECT pg_advisory_unlock($1)", LOCK)
    await near.book(move(account, cash, 5))


async def test_a_defect_in_one_entry_spares_the_rest_of_the_batch(near):
    account, cash = await near.funded(100)
    poison = move(account, cash, 5, meta=v1.Meta(row="a\x00b"))  # past the codec's pattern
    answers = await near.submit([move(account, cash, 5)], [poison], [move(account, cash, 6)])
    assert [a.code if isinstance(a, Problem) else None for a in answers] == [
        None,
        "internal",
        None,
    ]
    assert await near.booked(account) == 89


async def test_tenants_share_no_row(near):
    await near.funded(100)
    other = Desk(near.world)
    page = await other.ledger.journal(other.who.ctx(), v1.JournalQuery())
    assert page.items == []
    assert (await other.ledger.trial_balance(other.who.ctx(), v1.TrialQuery())).items == []


async def test_the_planner_learns_of_growing_tables(near, superuser):
    """Without it a young table counts as empty, and one look-up reads a tenant from end to end."""
    account, cash = await near.funded(100)
    batches = near.world.process.endpoints["ledger"].service._batches
    batches._next_look = 0
    await near.book(move(account, cash, 5))
    known = await superuser.fetchval("SELECT reltuples FROM pg_class WHERE relname='transfer'")
    assert known == await superuser.fetchval("SELECT count(*) FROM transfer")
    assert batches._next_look > 0
