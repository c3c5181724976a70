"""The door when there is more work than it admits: services that answer when the test says so."""

import asyncio
import json
import socket
from collections import Counter
from types import SimpleNamespace
from uuid import UUID

import pytest
import pytest_asyncio
import uvicorn

from guilder.chassis.bindings import Bindings
from guilder.chassis.call import Calls
from guilder.chassis.clock import Clock
from guilder.chassis.directory import DirectoryFollower
from guilder.chassis.serve import Outcome
from guilder.chassis.wire import Address, Wire
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.context import PLATFORM, Context, Principal
from guilder.contracts.errors import Unavailable
from guilder.contracts.identity.v1 import Authenticated, InvalidToken
from guilder.contracts.registry.v1 import Directory, Registry
from guilder.gateway.admission import Limiter, Overloaded
from guilder.gateway.app import Gateway
from guilder.gateway.authenticate import Authenticator
from guilder.gateway.settings import GatewaySettings
from guilder.gateway.strict import server_settings
from tests.gateway.test_admission import Ticks

PARTY = {"kind": "person", "name": "Ann"}
MOST = 4


class Services:
    """Every service at once. Identity takes `TENANT` or `TENANT.NAME` for a token."""

    def __init__(self):
        self.go = asyncio.Event()
        self.asked = Counter()
        self.down = set()

    def __getitem__(self, contract):
        return self

    async def send(self, operation, calls):
        self.asked[operation.id] += 1
        if operation.id in self.down:
            problem = Unavailable("down")
            return [Outcome(problem=problem, status=503) for _ in calls]
        if operation.id == "identity.authenticate":
            return [self._who(call.request.token) for call in calls]
        if operation.id == "registry.tenant_by_number":
            return [Outcome(SimpleNamespace(state="open"), status=200) for _ in calls]
        await self.go.wait()
        return [Outcome(raw=b"{}", status=200) for _ in calls]

    def _who(self, token):
        tenant, _, name = token.partition(".")
        if not tenant.isdigit():
            problem = InvalidToken("no")
            return Outcome(problem=problem, status=401)
        principal = Principal(id=UUID(int=hash(name) % 2**64), kind="client")
        return Outcome(
            Authenticated(tenant=int(tenant), principal=principal, expires_at=2**40), status=200
        )


class Door:
    """A gateway before fake services, on a socket."""

    def __init__(self, **settings):
        self.services = Services()
        calls = Calls("gateway", self.services, Bindings())
        settings = {"in_flight_max": MOST, "stranger_rate": 1e6, **settings}
        contracts = list(all_contracts().values())
        clock = Clock()
        directory = DirectoryFollower(calls.client(Registry), calls.bindings, clock)
        directory.latest = Directory(generation=0, bindings=[])  # heard: nothing is held back
        given = GatewaySettings(**settings)
        self.gateway = Gateway(calls, contracts, clock, given, directory)
        config = uvicorn.Config(self.gateway, lifespan="off", loop="none", **server_settings())
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = Address(port=self._socket.getsockname()[1])
        self._wires, self._tasks = [], []

    async def open(self):
        self._task = asyncio.create_task(self._server._serve([self._socket]))
        while not self._server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return self

    async def close(self):
        self.services.go.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for wire in self._wires:
            wire.close()
        self._server.should_exit = True
        await self._task

    def wire(self):
        self._wires.append(Wire(self.address))
        return self._wires[-1]

    async def send(self, token, method="POST", path="/v1/parties", wire=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers |= {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
        body = b""
        if method == "POST":
            headers["Content-Type"] = "application/json"
            body = json.dumps(PARTY).encode()
        return await (wire or self.wire()).request(method, path, headers, body)

    @property
    def parties(self):
        return self.gateway.admission.limiter("parties")

    async def occupy(self, token, count):
        """Requests in flight, waiting for the service."""
        tasks = [asyncio.create_task(self.send(token)) for _ in range(count)]
        self._tasks += tasks
        wanted = self.parties.in_flight + count
        async with asyncio.timeout(10):
            while self.parties.in_flight < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return tasks


@pytest_asyncio.fixture
async def door():
    made = await Door().open()
    yield made
    await made.close()


def code(reply):
    return json.loads(reply.body)["code"]


async def test_beyond_the_bound_requests_are_refused_at_once_and_what_was_begun_ends(door):
    held = await door.occupy("7", MOST)
    refused = [await door.send("7") for _ in range(20)]
    assert {(reply.status, code(reply)) for reply in refused} == {(503, "overloaded")}
    assert all(1 <= int(reply.headers["retry-after"]) <= 5 for reply in refused)
    assert json.loads(refused[0].body)["fix"]
    assert door.parties.in_flight == MOST
    assert door.services.asked["parties.create"] == MOST
    door.services.go.set()
    assert [reply.status for reply in await asyncio.gather(*held)] == [200] * MOST
    assert door.parties.in_flight == 0
    assert (await door.send("7")).status == 200


async def test_refusals_ask_no_service_and_are_counted(door):
    await door.occupy("7", MOST)
    before = Counter(door.services.asked)
    for _ in range(10):
        await door.send("7")
        await door.send("7", Connection="keep-alive")  # the long way
    assert door.services.asked == before
    assert door.parties.refused == 20
    measures = door.gateway.measures
    assert (measures.early["overloaded"], measures.problems["overloaded"]) == (10, 10)


async def test_the_short_way_says_what_the_long_way_says(door):
    await door.occupy("7", MOST)
    short, long = await door.send("7"), await door.send("7", Connection="keep-alive")
    assert "x-request-id" in long.headers
    assert "x-request-id" not in short.headers, "it took the long way"
    documents = [json.loads(reply.body) for reply in (short, long)]
    for reply, document in zip((short, long), documents, strict=True):
        assert int(reply.headers["retry-after"]) == document.pop("retry_after")
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert short.headers["content-type"] == long.headers["content-type"]
    assert documents[0] == documents[1]


async def test_the_short_way_announces_maintenance_too(door, monkeypatch):
    await door.occupy("7", MOST)
    monkeypatch.setattr(door.gateway._maintenance, "header", lambda tenant: f"tenant={tenant}")
    for headers in ({}, {"Connection": "keep-alive"}):
        reply = await door.send("7", **headers)
        assert (reply.status, reply.headers["guilder-maintenance"]) == (503, "tenant=7")


async def test_a_refusal_leaves_the_connection_open(door):
    await door.occupy("7", MOST)
    wire = door.wire()
    for _ in range(3):
        assert (await door.send("7", wire=wire)).status == 503
    assert len(wire._idle) == 1
    door.services.go.set()
    assert (await door.send("7", "GET", wire=wire)).status == 200


async def test_pipelined_requests_are_each_refused_in_order(door):
    await door.occupy("7", MOST)
    reader, writer = await asyncio.open_connection(door.address.host, door.address.port)
    head = "Host: g\r\nAuthorization: Bearer 7\r\n"
    one = f"POST /v1/parties HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n".encode()
    health = b"GET /healthz HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n"
    writer.write(one * 1500 + health)
    async with asyncio.timeout(20):
        seen = await reader.read(-1)
    writer.close()
    assert seen.count(b"HTTP/1.1 503 ") == 1500
    assert seen.count(b"HTTP/1.1 200 ") == 1
    assert seen.rindex(b"HTTP/1.1 503 ") < seen.index(b"HTTP/1.1 200 ")


async def test_other_services_tenants_reads_operators_and_pages_go_on(door):
    await door.occupy("7", MOST)
    assert (await door.send("7")).status == 503
    others = [
        asyncio.create_task(door.send("8")),
        asyncio.create_task(door.send(str(PLATFORM))),
        asyncio.create_task(door.send("7", "GET", "/v1/accounts")),
    ]
    async with asyncio.timeout(10):
        accounts = door.gateway.admission.limiter("accounts")
        while accounts.in_flight + door.parties.in_flight < MOST + 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert (await door.send("7", "GET", "/healthz")).status == 200
    door.services.go.set()
    assert [reply.status for reply in await asyncio.gather(*others)] == [200] * 3


async def test_a_client_that_goes_away_leaves_no_place_taken(door):
    held = await door.occupy("7", MOST)
    for task in held:
        task.cancel()
    door.services.go.set()
    async with asyncio.timeout(10):
        while door.parties.in_flight:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert (await door.send("7")).status == 200


async def test_a_principal_over_its_rate_is_refused_without_asking_anybody():
    door = await Door(principal_rate=2.0).open()
    try:
        door.services.go.set()
        replies = [await door.send("7") for _ in range(20)]
        assert [reply.status for reply in replies[:4]] == [200] * 4
        late = [reply for reply in replies if reply.status == 429]
        assert len(late) >= 10
        assert {code(reply) for reply in late} == {"too-many-requests"}
        assert len({reply.headers["retry-after"] for reply in late}) > 1
        assert "x-request-id" not in late[-1].headers, "it took the long way"
        assert (await door.send("7", "GET", "/healthz")).status == 200
        assert (await door.send("7.other")).status == 200
        assert door.services.asked["audit.record"] == 0
    finally:
        await door.close()


class Identities:
    """Verifies tokens when the test says so."""

    def __init__(self):
        self.asked, self.problem, self.go = 0, None, asyncio.Event()

    async def authenticate(self, ctx, presented):
        self.asked += 1
        await self.go.wait()
        if self.problem is not None:
            raise self.problem
        principal = Principal(id=UUID(int=1), kind="client")
        return Authenticated(tenant=7, principal=principal, expires_at=2**40)


@pytest_asyncio.fixture
async def tokens():
    """An authenticator that knows `t` for three seconds, its clock and its identity."""
    clock, identity = Ticks(), Identities()
    identity.go.set()
    nobody = Context(tenant=PLATFORM, principal=Principal(id=UUID(int=2), kind="service"))
    limiter = Limiter(clock, 1.0, MOST)
    settings = GatewaySettings(token_cache_s=3.0, token_alone_s=3.0)
    made = Authenticator(identity, clock, settings, nobody, limiter)
    await made.who("Bearer t")
    return made, clock, identity


async def begun():
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_request_verifies_a_token_again_ahead_of_its_time(tokens):
    made, clock, identity = tokens
    clock.at += 1.9
    await made.who("Bearer t")
    assert identity.asked == 1
    clock.at += 0.2
    identity.go.clear()
    first = asyncio.create_task(made.who("Bearer t"))
    await begun()
    assert [(await made.who("Bearer t")).tenant for _ in range(10)] == [7] * 10
    assert identity.asked == 2
    identity.go.set()
    assert (await first).tenant == 7
    clock.at += 2.9
    assert made.known("Bearer t"), "it counts anew from the second time"


async def test_a_token_is_not_believed_beyond_its_time(tokens):
    made, clock, identity = tokens
    identity.problem = Unavailable("down")
    clock.at += 2.9
    assert (await made.who("Bearer t")).tenant == 7, "an outage takes away nothing before"
    clock.at += 0.2
    assert made.known("Bearer t") is None
    with pytest.raises(Unavailable):
        await made.who("Bearer t")


async def test_a_token_that_was_revoked_is_forgotten_when_it_is_seen(tokens):
    made, clock, identity = tokens
    identity.problem = InvalidToken("no")
    clock.at += 2.5
    with pytest.raises(InvalidToken):
        await made.who("Bearer t")
    assert made.known("Bearer t") is None


async def test_no_more_unknown_tokens_than_the_bound_are_verified_at_once(tokens):
    made, _, identity = tokens
    identity.go.clear()
    asking = [asyncio.create_task(made.who(f"Bearer {n}")) for n in range(20)]
    await begun()
    assert identity.asked - 1 <= MOST * 1.5
    identity.go.set()
    ended = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(answer) for answer in ended} == {Authenticated, Overloaded}
    assert (await made.who("Bearer t")).tenant == 7
