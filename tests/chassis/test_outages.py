"""A database that goes away is an outage that may be repeated, never a defect."""

import asyncpg
import pytest

from guilder.chassis.serve import Endpoint
from guilder.chassis.testing import somebody
from guilder.contracts.context import Call
from guilder.contracts.declare import EventQuery
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
