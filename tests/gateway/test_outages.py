"""What the gateway goes on with while identity, the registry or the audit does not answer."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from guilder.chassis.call import make_client
from guilder.chassis.clock import Clock
from guilder.chassis.serve import Outcome
from guilder.chassis.testing import somebody
from guilder.contracts.audit.v1 import Audit, Recorded
from guilder.contracts.context import Principal
from guilder.contracts.errors import DeadlineExceeded, Forbidden, Unavailable
from guilder.contracts.identity.v1 import Authenticated, Identity, InvalidToken
from guilder.contracts.registry.v1 import Registry
from guilder.gateway import refusals
from guilder.gateway.admission import Limiter
from guilder.gateway.authenticate import Authenticator
from guilder.gateway.refusals import Refusals
from guilder.gateway.settings import GatewaySettings
from tests.gateway.door import Door

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SILENT = [Unavailable("gone"), DeadlineExceeded("late")]


class Hands(Clock):
    """A clock that tests move; `sleep` moves it."""

    def __init__(self):
        self.seconds = 1000.0

    def now(self):
        return NOW + timedelta(seconds=self.seconds - 1000)

    def monotonic(self):
        return self.seconds

    async def sleep(self, seconds):
        self.seconds += seconds
        await asyncio.sleep(0)


class Says(Identity):
    """Identity that answers what a test wants, and counts."""

    def __init__(self, clock, life=3600):
        who = Principal(id=uuid4(), kind="client")
        until = int(clock.now().timestamp()) + life
        self.good = Authenticated(tenant=7, principal=who, expires_at=until)
        self.answer, self.asked = self.good, 0

    async def authenticate(self, ctx, request):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def identity(clock):
    return Says(clock)


@pytest.fixture
def door(identity, clock):
    anybody = somebody(0).ctx()
    return Authenticator(identity, clock, GatewaySettings(), anybody, Limiter(clock, 1.0, 100))


@pytest.mark.parametrize("silent", SILENT, ids=lambda problem: problem.code)
async def test_without_identity_a_verified_token_is_believed_for_a_minute(
    door, identity, clock, silent
):
    assert (await door.who("Bearer known")).tenant == 7
    identity.answer = silent
    for _ in range(59):
        clock.seconds += 1
        assert (await door.who("Bearer known")).tenant == 7
    assert identity.asked < 30  # not with every request: each may take a second
    clock.seconds += 1
    with pytest.raises(type(silent)):
        await door.who("Bearer known")
    identity.answer = identity.good
    assert (await door.who("Bearer known")).tenant == 7


async def test_without_identity_nobody_new_comes_in(door, identity):
    await door.who("Bearer known")
    identity.answer = Unavailable("gone")
    with pytest.raises(Unavailable):
        await door.who("Bearer other")


async def test_what_identity_has_denied_is_not_believed_when_it_is_gone(door, identity, clock):
    await door.who("Bearer known")
    clock.seconds += 4
    identity.answer = InvalidToken()
    with pytest.raises(InvalidToken):
        await door.who("Bearer known")
    identity.answer = Unavailable("gone")
    with pytest.raises(Unavailable):
        await door.who("Bearer known")


async def test_without_identity_a_token_ends_when_it_says(clock):
    identity = Says(clock, life=20)
    anybody = somebody(0).ctx()
    door = Authenticator(identity, clock, GatewaySettings(), anybody, Limiter(clock, 1.0, 100))
    await door.who("Bearer known")
    identity.answer = Unavailable("gone")
    clock.seconds += 19
    await door.who("Bearer known")
    clock.seconds += 1
    with pytest.raises(Exception, match="expired"):
        await door.who("Bearer known")


async def test_all_who_show_one_token_at_once_ask_once(door, identity, clock):
    async def everybody():
        return await asyncio.gather(*(door.who("Bearer known") for _ in range(500)))

    assert {who.tenant for who in await everybody()} == {7}
    assert identity.asked == 1
    clock.seconds += 10
    await everybody()
    assert identity.asked == 2
    clock.seconds += 10
    identity.answer = InvalidToken()
    with pytest.raises(InvalidToken):
        await everybody()
    assert identity.asked == 3


async def test_one_token_finds_out_for_all_whether_identity_is_back(door, identity, clock):
    tokens = [f"Bearer {n}" for n in range(50)]
    for token in tokens:
        await door.who(token)
    identity.answer = Unavailable("gone")
    clock.seconds += 5
    for _ in range(10):
        before = identity.asked
        assert {(await door.who(token)).tenant for token in tokens} == {7}
        assert identity.asked - before == 1
        clock.seconds += 4
    identity.answer = identity.good
    await door.who(tokens[0])
    identity.answer = InvalidToken()
    for token in tokens[1:]:
        with pytest.raises(InvalidToken):
            await door.who(token)


class Books:
    """An audit that answers or does not."""

    def __init__(self):
        self.problem, self.hangs, self.written, self.asked = None, False, {}, 0

    async def send(self, operation, calls):
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(3600)
        if self.problem:
            return [Outcome(problem=self.problem, status=503) for _ in calls]
        for call in calls:
            self.written.setdefault(call.request.id, call.request)
        return [Outcome(Recorded(id=call.request.id, n=1)) for call in calls]


@pytest.fixture
def books():
    return Books()


@pytest.fixture
def recorder(books, clock):
    return Refusals(make_client(Audit, books.send), clock, rate=1e6)


async def caught_up(recorder):
    while recorder._kept:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_refusals_wait_for_the_audit_and_are_written_once(recorder, books):
    ctx = somebody(7).ctx()
    books.problem = Unavailable("gone")
    for n in range(10):
        await recorder.record(ctx, f"o.{n}", Forbidden())
    books.problem = None
    await caught_up(recorder)
    assert [entry.operation for entry in books.written.values()] == [f"o.{n}" for n in range(10)]
    assert not recorder.unrecorded
    await recorder.record(ctx, "o.10", Forbidden())
    assert len(books.written) == 11


async def test_an_audit_that_hangs_is_waited_for_once(recorder, books, monkeypatch):
    monkeypatch.setattr(refusals, "WAIT_SECONDS", 0.05)
    books.hangs = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(100):
        await recorder.record(somebody(7).ctx(), "o.p", Forbidden())
    assert loop.time() - began < 0.5
    recorder._task.cancel()


async def test_what_is_kept_is_bounded_and_the_rest_is_counted(recorder, books, monkeypatch):
    monkeypatch.setattr(refusals, "KEPT", 5)
    books.hangs = True
    monkeypatch.setattr(refusals, "WAIT_SECONDS", 0.05)
    for _ in range(8):
        await recorder.record(somebody(7).ctx(), "o.p", Forbidden())
    assert recorder.unrecorded == {"forbidden": 3}
    recorder._task.cancel()


async def test_without_the_registry_a_known_tenant_goes_on_and_no_other_comes_in(direct):
    async def silence(operation, calls):
        return [Outcome(problem=Unavailable("gone", retry_after=1), status=503) for _ in calls]

    door = Door(direct, GatewaySettings(stranger_rate=1e6))
    await door.open()
    try:
        bank, token = await door.bank()
        assert (await door.send("GET", "/v1/accounts", token=token)).status == 200
        _, other = await door.bank()
        door.gateway._registry = make_client(Registry, silence)
        door.gateway._open_until[bank.number] = 0.0  # long ago
        assert (await door.send("GET", "/v1/accounts", token=token)).status == 200
        refused = await door.send("GET", "/v1/accounts", token=other)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    finally:
        await door.close()
