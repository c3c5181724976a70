"""Distinctive names, addresses, texts, logins, tokens and keys go through everything that can fail,
and come out nowhere but in answers to those who may read them.
"""

import itertools

import asyncpg
import pytest
import pytest_asyncio

from guilder.chassis import observe
from guilder.chassis.contract import convert
from guilder.chassis.store import Tx
from guilder.chassis.testing import operator
from guilder.contracts.audit.v1 import Audit, AuditQuery
from guilder.contracts.declare import EventQuery
from guilder.contracts.parties.v1 import CreateParty, Parties
from guilder.gateway.settings import GatewaySettings
from tests.gateway.door import Door, key, read
from tests.services.payments.payments_desk import an_account, eur, fund, somebody as somebody_of

NAME, ADDRESS, CITY = "Zwetschgenstein", "Quittenpfad", "Hollerbach"
REMITTANCE, REASON, LOGIN = "Preiselbeersaft", "Mirabellengrund", "brombeerli"
CLIENT, SECRET, KEY = "Stachelbeerkasse", "Dattelgeheimnis", "feigenschluessel"
BORN = "1969-07-23"
CANARIES = {NAME, ADDRESS, CITY, REMITTANCE, REASON, LOGIN, CLIENT, SECRET, KEY, BORN}
PARTY = {
    "kind": "person",
    "name": f"Ottilie {NAME}",
    "birth_date": BORN,
    "address": {"lines": [f"{ADDRESS} 7", CITY], "country": "DE"},
}


def seen(text):
    """The canaries that sing in a text."""
    low = text.lower()
    return {canary for canary in CANARIES if canary.lower() in low}


@pytest_asyncio.fixture(loop_scope="session")
async def door(direct):
    direct.mode = "http"
    made = Door(direct, GatewaySettings(stranger_rate=1e6, tenant_rate=1e6, principal_rate=1e6))
    await made.open()
    yield made
    await made.close()
    direct.mode = "direct"


class Scene:
    """A bank, a customer with money, a second customer, and a second bank that looks in."""

    def __init__(self, door, bank, token, stranger):
        self.door, self.bank, self.token, self.stranger = door, bank, token, stranger
        self.tokens = {token, stranger}
        self.made = set()
        """Paths of what was made."""

    async def open(self):
        parties, ctx = self.door.world.client(Parties), self.bank.manager.ctx()
        self.party = (await parties.create(ctx, convert(PARTY, CreateParty))).id
        self.who = somebody_of(self.bank.number, party=self.party)
        self.mine = await an_account(self.door.world, self.bank, self.who)
        self.hers = await an_account(self.door.world, self.bank, self.who)
        await fund(self.door.world, self.bank, self.mine, eur("100.00"))

    async def send(self, method, path, body=None, token=None, **headers):
        once = headers.pop("once", f"{KEY}-{key()}")
        return await self.door.send(method, path, body, token or self.token, once, **headers)

    def order(self, **more):
        given = {"debtor_account": str(self.mine.id), "creditor_account": self.hers.iban}
        amount = {"amount": "1.00", "currency": "EUR"}
        return {**given, "amount": amount, "remittance": REMITTANCE, **more}

    async def everything(self):
        """Every kind of request that carries something personal, rightly and wrongly made."""
        account, once = f"/v1/accounts/{self.mine.id}", f"{KEY}-{key()}"
        sends = [
            ("POST", "/v1/parties", PARTY),
            ("POST", "/v1/parties", {**PARTY, "kind": NAME}),
            ("POST", "/v1/parties", {**PARTY, NAME: ADDRESS}),
            ("POST", "/v1/parties", {**PARTY, "birth_date": f"{BORN}x"}),
            ("POST", "/v1/parties", f'{{"name": "{NAME}", "name": "{NAME}"}}'.encode()),
            ("POST", "/v1/parties", f'{{"name": "{NAME}'.encode()),
            ("GET", f"/v1/parties?name={NAME}", None),
            ("GET", f"/v1/parties?limit={NAME}", None),
            ("GET", f"/v1/parties/{NAME}", None),
            ("GET", f"/v1/{NAME}", None),
            ("POST", "/v1/people", {"login": LOGIN}),
            ("POST", "/v1/people", {"login": LOGIN}),
            ("POST", "/v1/people", {"login": f"{LOGIN} {NAME}"}),
            ("POST", "/v1/clients", {"name": CLIENT}),
            ("POST", "/v1/payments", self.order()),
            ("POST", "/v1/payments", self.order(amount={"amount": "9999", "currency": "EUR"})),
            ("POST", "/v1/payments", self.order(creditor_account=NAME)),
            ("POST", "/v1/payments", self.order(amount={"amount": NAME, "currency": "EUR"})),
            ("POST", "/v1/payments", self.order(remittance=REMITTANCE * 400)),
            ("POST", f"{account}/block", {"reason": REASON}),
            ("POST", f"{account}/unblock", {"reason": REASON}),
            ("POST", f"/v1/parties/{self.party}/erasure", {"reason": REASON}),
        ]
        for method, path, body in sends:
            found = read(await self.send(method, path, body))
            if "id" in found:
                self.made.add(f"{path if path.count('/') == 2 else '/v1/proposals'}/{found['id']}")
        for body in (self.order(), self.order(remittance=f"{REMITTANCE} twice")):
            await self.send("POST", "/v1/payments", body, once=once)
        await self.send("GET", "/v1/parties", token=f"{SECRET}.{SECRET}.{SECRET}")
        form = f"grant_type=client_credentials&client_id={CLIENT}&client_secret={SECRET}"
        kind = "application/x-www-form-urlencoded"
        await self.send("POST", "/oauth/token", form.encode(), Content_Type=kind)
        await self.send("POST", f"/v1/{NAME}", PARTY, X_Note=NAME, User_Agent=NAME)

    async def looked_at(self):
        """What somebody of another bank is told of all that was made here."""
        paths = [*self.made, "/v1/parties", "/v1/people", "/v1/clients", "/v1/accounts"]
        paths += ["/v1/proposals", "/v1/audit-entries", f"/v1/accounts/{self.mine.id}/transactions"]
        replies = [await self.send("GET", path, token=self.stranger) for path in paths]
        return "\n".join(reply.body.decode() for reply in replies)


@pytest_asyncio.fixture(loop_scope="session")
async def scene(door):
    bank, token = await door.bank()
    _, stranger = await door.bank()
    made = Scene(door, bank, token, stranger)
    await made.open()
    return made


async def told_by(world):
    """Health, metrics, every log of events and every audit entry of every tenant, as text."""
    metrics = observe.ProcessMetrics(world.process)
    found = [str(await observe.health(world.process))]
    found += [str(family.samples) for family in metrics.collect()]
    for endpoint in world.process.endpoints.values():
        after = ""
        while True:
            query, client = EventQuery(after=after, limit=500), world.client(endpoint.contract)
            page = await client.events(operator().ctx(""), query)
            found.append(str(page))
            if not page.events:
                break
            after = page.next
    for tenant in await world.process.stores["audit"].seen_tenants():
        ctx = operator().ctx("")
        ctx = type(ctx)(tenant, ctx.principal)
        found.append(str(await world.client(Audit).entries(ctx, AuditQuery(limit=200))))
    return "\n".join(found)


def postgres_log(cluster):
    return "".join(p.read_text("utf-8", "replace") for p in (cluster.root / "log").iterdir())


def quoting(kind):
    """An error of the database, or of a driver, that quotes what it was given."""

    def make(args):
        error = kind(f"no: {args!r}")
        if isinstance(error, asyncpg.PostgresError):
            error.detail = f"Key (name)=({args!r}) already exists."
        return error

    return make


def break_writes(monkeypatch, error):
    """Every third statement that writes fails, and quotes what it was given."""
    count = itertools.count(1)
    for name in ("fetch", "row", "value", "execute", "many"):
        whole = getattr(Tx, name)

        async def broken(tx, sql, *args, whole=whole):
            if sql.lstrip().startswith(("INSERT", "UPDATE")) and next(count) % 3 == 0:
                raise error((*args, NAME))
            return await whole(tx, sql, *args)

        monkeypatch.setattr(Tx, name, broken)


@pytest.mark.parametrize(
    "error",
    [
        None,
        *(
            quoting(kind)
            for kind in (
                asyncpg.UniqueViolationError,
                asyncpg.CheckViolationError,
                asyncpg.ConnectionDoesNotExistError,
                asyncpg.InterfaceError,
                KeyError,
            )
        ),
    ],
    ids=["sound", "unique", "check", "gone", "driver", "defect"],
)
async def test_no_canary_sings(scene, lines, monkeypatch, error):
    world = scene.door.world
    if error is not None:
        break_writes(monkeypatch, error)
    await scene.everything()
    monkeypatch.undo()
    await world.settle()

    assert seen(await scene.looked_at()) == set()
    assert seen(lines.getvalue()) == set()
    assert not any(token in lines.getvalue() for token in scene.tokens)
    assert seen(await told_by(world)) == set()
    assert scene.made if error is None else lines.read_all()  # it did what it should


async def test_the_database_quotes_nobody_in_its_own_log(scene, cluster):
    store = scene.door.world.process.stores["identity"]
    # Under row security PostgreSQL itself names no values; here stands a table without it.
    async with store.tx() as tx:
        twice = [(LOGIN,), (LOGIN,)]
        with pytest.raises(asyncpg.UniqueViolationError, match=LOGIN):
            await tx.many("INSERT INTO feed_position (feed, position) VALUES ($1, '')", twice)
        await tx.execute("ROLLBACK; BEGIN")
    log = postgres_log(cluster)
    assert "ERROR:" in log
    assert seen(log) == set()


def test_a_canary_would_be_heard():
    assert seen(f"x {NAME.upper()} y {KEY}-1") == {NAME, KEY}
