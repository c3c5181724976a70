"""A database that goes away is an outage that may be repeated, never a defect."""

import asyncpg
import pytest

from guilder.chassis.serve import Endpoint
from guilder.chassis.testing import make_bank, somebody
from guilder.contracts.context import Call
from guilder.contracts.declare import EventQuery
from guilder.contracts.parties.v1 import Parties, PartyQuery
from guilder.contracts.vault.v1 import Vault


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.AdminShutdownError("terminating"),
        asyncpg.CrashShutdownError("crashed"),
        asyncpg.TooManyConnectionsError("full"),
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation is in progress"),
        ConnectionRefusedError("nobody there"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_outage_is_503_with_when_to_come_back(error):
    class Gone(Vault):
        async def events(self, ctx, request):
            raise error

    endpoint = Endpoint(Gone(), None)
    call = Call(somebody(1).ctx(), EventQuery())
    (outcome,) = await endpoint.dispatch(endpoint.operations["events"], "tests", [call])
    assert (outcome.status, outcome.problem.code) == (503, "unavailable")
    assert outcome.problem.retry_after == 1


async def test_a_table_that_grows_under_a_release_that_goes_on_fails_nobody(direct, admin):
    """Plans of `SELECT *` are stale then, once for each pool; PostgreSQL refuses them."""
    bank = await make_bank(direct)
    login = direct.process.stores["parties"]._connect
    owner = await asyncpg.connect(**{**admin, "database": login["database"]})
    query = PartyQuery(limit=1)
    try:
        for change in ("ADD COLUMN later_note text", "DROP COLUMN later_note"):
            await direct.public(Parties).parties(bank.manager.ctx(), query)
            await owner.execute(f"ALTER TABLE party {change}")
            page = await direct.public(Parties).parties(bank.manager.ctx(), query)
            assert page.items == []
    finally:
        await owner.close()
