"""Deprecated operations and versions say so in every answer, over real HTTP."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
import pytest_asyncio

from guilder.chassis.clock import SetClock
from guilder.chassis.versions import Versions
from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Contract, Nothing, operation
from guilder.contracts.payments.v1 import Payments
from guilder.gateway.notices import Notices
from guilder.gateway.settings import GatewaySettings
from tests.gateway.door import Door

BOOK = f"""
[payments."{Payments.contract_version}"]
released = 2025-01-01
[payments.operations.activity]
deprecated = 2026-02-01
sunset = 2026-08-01
"""


@pytest_asyncio.fixture(loop_scope="session")
async def door(direct):
    made = Door(direct, GatewaySettings(stranger_rate=1e6))
    await made.open()
    yield made
    await made.close()


@asynccontextmanager
async def announced(door, text):
    """The door, while `versions.toml` says this."""
    gateway, before = door.gateway, door.gateway.notices
    contracts = [type(e.service) for e in door.world.process.endpoints.values()]
    gateway.notices = Notices(contracts, door.world.clock, Versions(text))
    try:
        yield
    finally:
        gateway.notices = before


async def test_an_operation_that_goes_says_when_and_what_to_read(door):
    _, token = await door.bank()
    path = "/v1/payments/0198c2f6-7a51-7000-8000-000000000000"
    async with announced(door, BOOK):
        going = await door.send("GET", f"{path}/activity", token=token)
        staying = await door.send("GET", path, token=token)
        stranger = await door.send("GET", f"{path}/activity")
    for reply, status in ((going, 404), (stranger, 401)):
        assert reply.status == status  # every answer says so, a refusal too
        since = datetime.fromtimestamp(int(reply.headers["deprecation"].removeprefix("@")), UTC)
        assert since == datetime(2026, 2, 1, tzinfo=UTC)
        assert parsedate_to_datetime(reply.headers["sunset"]) == datetime(2026, 8, 1, tzinfo=UTC)
        page = "</docs#payments.activity>"
        assert reply.headers["link"] == f'{page}; rel="deprecation", {page}; rel="sunset"'
    assert not {"deprecation", "sunset", "link"} & set(staying.headers)
    html = (await door.send("GET", "/docs")).body.decode()
    assert 'id="payments.activity"' in html  # the page that the link names is there


async def test_a_version_that_goes_says_so_for_all_its_operations(door):
    _, token = await door.bank()
    book = f'[payments."{Payments.contract_version}"]\nreleased = 2025-01-01\n'
    for day, said in (("2026-02-01", True), ("2026-12-01", False)):
        async with announced(door, f"{book}deprecated = {day}\n"):
            found = await door.send("GET", "/v1/waiting-payments", token=token)
            other = await door.send("GET", "/v1/tariffs", token=token)
        assert found.status == other.status == 200
        assert ("deprecation" in found.headers) is said  # not before its day
        assert "sunset" not in found.headers
        assert "deprecation" not in other.headers


class Note(Answer, frozen=True, kw_only=True):
    """An answer."""

    text: str


def made(version):
    class Made(Contract, name="made", version=version):
        """Made up for this test."""

        @operation("GET /notes", public=True, may="view")
        async def notes(self, ctx: Context, request: Nothing) -> Note:
            """Read."""

    return Made


@pytest.mark.parametrize(("version", "said"), [("1.0.0", True), ("1.1.0", False)])
def test_of_two_versions_only_the_old_one_goes(version, said):
    text = '[made."1.0.0"]\nreleased=2025-01-01\ndeprecated=2025-06-01\nsunset=2026-06-01\n'
    text += '[made."1.1.0"]\nreleased=2025-06-01\n'
    clock = SetClock(datetime(2026, 3, 2, tzinfo=UTC))
    headers = Notices([made(version)], clock, Versions(text)).headers("made.notes")
    assert ("Deprecation" in headers) is said
