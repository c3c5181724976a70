"""Transactions: all or nothing, whatever cuts them short."""

import asyncio

import asyncpg
import pytest

from guilder.chassis.testing import somebody
from guilder.contracts.errors import Refused

TENANT = 981


class Cut:
    """A session in which one statement is cancelled: before it is sent, or after it was done."""

    def __init__(self, session, statement, *, sent):
        self.session, self.statement, self.sent = session, statement, sent

    def __getattr__(self, name):
        return getattr(self.session, name)

    async def execute(self, sql, *args):
        cut = sql.startswith(self.statement)
        if cut and not self.sent:
            raise asyncio.CancelledError
        done = await self.session.execute(sql, *args)
        if cut:
            raise asyncio.CancelledError
        return done


@pytest.fixture
def store(direct):
    return direct.process.stores["vault"]


async def told(store, kind):
    async with store.tx(TENANT) as tx:
        return await tx.value(
            "SELECT count(*) FROM event WHERE tenant=$1 AND type=$2", TENANT, kind
        )


async def write(tx, kind):
    tx.emit(somebody(TENANT).ctx(), kind)
    await tx.flush()
    tx._events.clear()


async def test_an_error_that_was_passed_over_is_no_success(store):
    """COMMIT of a failed transaction is a rollback that PostgreSQL does not call an error."""

    async def attempt():
        async with store.tx(TENANT) as tx:
            await write(tx, "swallowed")
            with pytest.raises(asyncpg.DivisionByZeroError):
                await tx.value("SELECT 1/0")

    with pytest.raises(RuntimeError, match="nothing was written"):
        await attempt()
    assert await told(store, "swallowed") == 0


async def test_a_savepoint_undoes_its_own_part_and_its_events(store):
    ctx = somebody(TENANT).ctx()

    async def refuse(tx):
        async with tx.savepoint():
            tx.emit(ctx, "savepoint.undone")
            await tx.flush()
            raise Refused()

    async with store.tx(TENANT) as tx:
        await write(tx, "savepoint.kept")
        with pytest.raises(Refused):
            await refuse(tx)
    assert await told(store, "savepoint.kept") == 1
    assert await told(store, "savepoint.undone") == 0


async def test_a_transaction_cut_by_its_deadline_leaves_nothing(store):

    async def attempt():
        async with asyncio.timeout(0.05), store.tx(TENANT) as tx:
            await write(tx, "cut")
            await tx.value("SELECT pg_sleep(30)")

    with pytest.raises(TimeoutError):
        await attempt()
    assert await told(store, "cut") == 0


async def test_a_session_cancelled_in_its_rollback_is_never_used_again(store):
    """Two deadlines end together: the second one hits the rollback that the first one caused."""
    session = await store.session()

    async def attempt():
        async with store.on(Cut(session, "ROLLBACK", sent=False), TENANT) as tx:
            await write(tx, "half")
            raise TimeoutError

    with pytest.raises(asyncio.CancelledError):
        await attempt()
    assert session.is_closed()
    assert await told(store, "half") == 0


@pytest.mark.parametrize("sent", [False, True])
async def test_a_cancelled_beginning_leaves_no_open_transaction(store, sent):
    session = await store.session()
    with pytest.raises(asyncio.CancelledError):
        async with store.on(Cut(session, "BEGIN", sent=sent), TENANT):
            pytest.fail("it never began")
    assert not session.is_in_transaction()
    await session.close()


@pytest.mark.parametrize("sent", [False, True])
async def test_a_cancelled_commit_is_all_or_nothing(store, sent):
    session, kind = await store.session(), f"commit.{sent}"

    async def attempt():
        async with store.on(Cut(session, "COMMIT", sent=sent), TENANT) as tx:
            await write(tx, kind)
            await write(tx, kind)

    with pytest.raises(asyncio.CancelledError):
        await attempt()
    assert not session.is_in_transaction()
    assert await told(store, kind) == (2 if sent else 0)
    await session.close()


async def test_tenants_see_their_own_rows_alone(store):
    async with store.tx(TENANT) as tx:
        await write(tx, "mine")
    async with store.tx(TENANT + 1) as tx:
        assert await tx.value("SELECT count(*) FROM event WHERE type='mine'") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with tx.savepoint():
                await tx.execute(
                    "INSERT INTO event (at, tenant, type, principal, request, ids)"
                    " SELECT now(), $1, 'mine', gen_random_uuid(), '', '{}'",
                    TENANT,
                )
    assert await told(store, "mine") == 1
