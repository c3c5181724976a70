"""A sound platform has no findings; each of many corruptions has one that names it."""

import asyncio
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from guilder.books.reading import ALL
from guilder.books.report import MAX_FINDINGS, Notes
from guilder.books.verify import verify
from guilder.chassis.selfcheck import POLICY
from guilder.chassis.testing import MODES, World, make_bank, new_id
from guilder.contracts.accounts import v1 as accounts
from guilder.contracts.context import Call
from guilder.contracts.identity import v1 as identity
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.parties import v1 as parties
from guilder.contracts.payments import v1 as payments
from guilder.contracts.pricing import v1 as pricing
from guilder.contracts.values import Money


def eur(text):
    return Money.parse(text, "EUR")


class Town:
    """One bank in a world of its own: Ann pays Bob, a third account stays idle."""

    def __init__(self, world, admin, bank):
        self.world, self.admin, self.bank = world, admin, bank
        self.ids = {"bank": bank.number}

    def ctx(self):
        return self.bank.manager.ctx()

    async def fill(self):
        client = self.world.client
        for name in ("ann", "bob", "idle"):
            asked = parties.CreateParty(kind="person", name=f"{name} of the town")
            party = await client(parties.Parties).create(self.ctx(), asked)
            opened = accounts.OpenAccount(holders=[party.id], overdraft=eur("10.00"))
            account = await client(accounts.Accounts).open(self.ctx(), opened)
            self.ids |= {name: account.id, f"{name}_party": party.id}
        person = identity.CreatePerson(login="ann", party=self.ids["ann_party"])
        await client(identity.Identity).create_person(self.ctx(), person)
        tariff = pricing.PutTariff(
            product="current",
            currency="EUR",
            valid_from=self.world.clock.now(),
            tiers=[pricing.Tier(flat=eur("0.10"))],
        )
        await client(pricing.Pricing).put_tariff(self.ctx(), tariff)
        await self.deposit("50.00")
        for n in range(3):
            self.ids["payment"] = (await self.pay(f"{n + 1}.00")).id
        await self.world.settle()

    async def deposit(self, amount):
        books = self.world.client(ledger.Ledger)
        cash = ledger.internal_account(self.bank.number, "cash", "EUR")
        asked = ledger.OpenAccount(id=cash, chart="cash", currency="EUR")
        await books.open_accounts([Call(self.ctx(), asked)])
        transfer = ledger.Transfer(
            id=new_id(),
            debit=cash,
            credit=self.ids["ann"],
            amount=eur(amount),
            value_date=date(2026, 3, 1),
            code="cash",
        )
        (answer,) = await books.submit(
            [Call(self.ctx(), ledger.JournalEntry(transfers=[transfer]))]
        )
        assert isinstance(answer, ledger.Booked), answer

    async def pay(self, amount):
        order = payments.CreatePayment(
            debtor_account=str(self.ids["ann"]),
            creditor_account=str(self.ids["bob"]),
            amount=eur(amount),
        )
        payment = await self.world.client(payments.Payments).create(self.ctx(), order)
        assert payment.state == "booked", payment
        return payment

    async def report(self):
        return await verify(self.world.client, self.world.clock.now())

    @asynccontextmanager
    async def database(self, service):
        """A superuser's connection: what somebody who holds the machine could do."""
        name = self.world.process.stores[service]._connect["database"]
        connection = await asyncpg.connect(**{**self.admin, "database": name})
        try:
            yield connection
        finally:
            await connection.close()

    def text(self, service, sql):
        login = self.world.process.stores[service]._connect["user"]
        return sql.format(**self.ids, login=f'"{login}"', owner=f'"{login}_owner"')

    @asynccontextmanager
    async def corrupted(self, wrong):
        """Corrupt; put everything back afterwards."""
        async with self.database(wrong.service) as sql:
            await sql.execute("SET session_replication_role = replica; CREATE SCHEMA keep")
            for table in wrong.tables:
                await sql.execute(f"CREATE TABLE keep.{table} AS TABLE {table}")
            try:
                await sql.execute(self.text(wrong.service, wrong.sql))
                yield
            finally:
                for table in wrong.tables:
                    await sql.execute(
                        f"DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE"
                        f" SELECT * FROM keep.{table}"
                    )
                await sql.execute("DROP SCHEMA keep CASCADE")
                if wrong.undo:
                    await sql.execute(self.text(wrong.service, wrong.undo))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(admin):
    folder = Path(tempfile.mkdtemp(prefix="gv-"))
    world = await World.make(admin, list(ALL), folder, dict(os.environ))
    made = Town(world, admin, await make_bank(world))
    await made.fill()
    yield made
    await world.close()
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Wrong:
    """A corruption in the database of `service` and the finding that must name it."""

    name: str
    service: str
    sql: str
    finding: tuple[str, str]
    tables: tuple[str, ...] = ()
    undo: str = ""


ANN = "WHERE tenant={bank} AND id='{ann}'"
PAID = "WHERE tenant={bank} AND payment='{payment}'"

CORRUPTIONS = [
    Wrong(
        "a balance raised by a cent",
        "ledger",
        f"UPDATE account SET credits = credits + 1 {ANN}",
        ("books", "balance"),
        ("account",),
    ),
    Wrong(
        "a trial balance that no longer sums to zero",
        "ledger",
        f"UPDATE account SET debits = debits + 1 {ANN}",
        ("books", "trial-balance"),
        ("account",),
    ),
    Wrong(
        "an amount changed in the journal",
        "ledger",
        f"UPDATE transfer SET amount = amount + 1 {PAID}",
        ("ledger", "chain-hash"),
        ("transfer",),
    ),
    Wrong(
        "a transfer deleted",
        "ledger",
        f"DELETE FROM transfer {PAID}",
        ("books", "payment-transfer"),
        ("transfer",),
    ),
    Wrong(
        "a transfer turned around",
        "ledger",
        f"UPDATE transfer SET debit = credit, credit = debit {PAID}",
        ("books", "balance"),
        ("transfer",),
    ),
    Wrong(
        "a ledger account deleted",
        "ledger",
        "DELETE FROM account WHERE id='{idle}'",
        ("accounts", "account-without-ledger-account"),
        ("account",),
    ),
    Wrong(
        "an account deleted",
        "accounts",
        "DELETE FROM holder WHERE account='{idle}'; DELETE FROM account WHERE id='{idle}'",
        ("accounts", "ledger-account-without-account"),
        ("account", "holder"),
    ),
    Wrong(
        "an overdraft raised beside the ledger",
        "accounts",
        f"UPDATE account SET overdraft = 99999 {ANN}",
        ("accounts", "account-floor"),
        ("account",),
    ),
    Wrong(
        "an account held by nobody known",
        "accounts",
        "UPDATE holder SET party = gen_random_uuid() WHERE account='{ann}'",
        ("books", "holder"),
        ("holder",),
    ),
    Wrong(
        "a payment's amount changed",
        "payments",
        "UPDATE payment SET amount = amount + 1 WHERE id='{payment}'",
        ("payments", "payment-differs-from-books"),
        ("payment",),
    ),
    Wrong(
        "a booked payment called refused",
        "payments",
        "UPDATE payment SET state='refused', refusal_code='forbidden', booked_at=NULL"
        " WHERE id='{payment}'",
        ("payments", "refused-but-booked"),
        ("payment",),
    ),
    Wrong(
        "a payment deleted",
        "payments",
        "DELETE FROM payment WHERE id='{payment}'",
        ("payments", "transfer-without-payment"),
        ("payment",),
    ),
    Wrong(
        "an event deleted from a log",
        "payments",
        "DELETE FROM event WHERE (xid, n) IN (SELECT xid, n FROM event ORDER BY xid, n LIMIT 1)",
        ("books", "audit-events"),
        ("event",),
    ),
    Wrong(
        "an event changed in a log",
        "accounts",
        "UPDATE event SET principal = gen_random_uuid() WHERE ids LIKE '%{ann}%'",
        ("books", "audit-events"),
        ("event",),
    ),
    Wrong(
        "a follower ahead of its source",
        "audit",
        "UPDATE feed_position SET position='99999999.1' WHERE feed='payments'",
        ("books", "feed-position"),
        ("feed_position",),
    ),
    Wrong(
        "an audit entry changed",
        "audit",
        "UPDATE entry SET principal = gen_random_uuid() WHERE tenant={bank} AND n=2",
        ("audit", "audit-chain"),
        ("entry",),
    ),
    Wrong(
        "the end of an audit chain cut off",
        "audit",
        "DELETE FROM entry WHERE tenant={bank} AND n = (SELECT n FROM head WHERE tenant={bank});"
        "UPDATE head SET n=e.n, hash=e.hash FROM entry e WHERE head.tenant={bank}"
        " AND e.tenant={bank} AND e.n = head.n - 1",
        ("books", "audit-events"),
        ("entry", "head"),
    ),
    Wrong(
        "an audit that its login may rewrite",
        "audit",
        "GRANT DELETE ON entry TO {login}",
        ("audit", "audit-privileges"),
        undo="REVOKE DELETE ON entry FROM {login}",
    ),
    Wrong(
        "a role on an account that does not exist",
        "access",
        "UPDATE role_grant SET account = gen_random_uuid() WHERE account='{ann}'",
        ("books", "role-account"),
        ("role_grant",),
    ),
    Wrong(
        "a login of a party that does not exist",
        "identity",
        "UPDATE person SET party = gen_random_uuid() WHERE tenant={bank}",
        ("books", "login-party"),
        ("person",),
    ),
    Wrong(
        "a party under another's name",
        "parties",
        "UPDATE party SET name_hash = sha256(name_hash) WHERE id='{ann_party}'",
        ("parties", "party-lookup"),
        ("party",),
    ),
    Wrong(
        "a data key changed",
        "vault",
        "UPDATE data_key SET wrapped = wrapped || '\\x00' WHERE subject='{ann_party}'",
        ("vault", "data-key"),
        ("data_key",),
    ),
    Wrong(
        "a tariff without its price",
        "pricing",
        "DELETE FROM tier",
        ("pricing", "tariff"),
        ("tier",),
    ),
    Wrong(
        "a tenant that nobody knows",
        "registry",
        "DELETE FROM directory WHERE number={bank}",
        ("books", "tenant"),
        ("directory",),
    ),
    Wrong(
        "row security switched off",
        "payments",
        "ALTER TABLE payment DISABLE ROW LEVEL SECURITY",
        ("payments", "row-security"),
        undo="ALTER TABLE payment ENABLE ROW LEVEL SECURITY",
    ),
    Wrong(
        "a policy that lets everybody see",
        "parties",
        "ALTER POLICY tenant ON party USING (true)",
        ("parties", "row-security"),
        undo=f"ALTER POLICY tenant ON party USING {POLICY}",
    ),
    Wrong(
        "a login role that may bypass row security",
        "accounts",
        "ALTER ROLE {login} BYPASSRLS",
        ("accounts", "login-role"),
        undo="ALTER ROLE {login} NOBYPASSRLS",
    ),
    Wrong(
        "a login role that may become the owner",
        "identity",
        "GRANT {owner} TO {login}",
        ("identity", "login-role"),
        undo="REVOKE {owner} FROM {login}",
    ),
    Wrong(
        "a login role that owns a table",
        "registry",
        "CREATE TABLE stray (tenant int); ALTER TABLE stray OWNER TO {login}",
        ("registry", "login-role"),
        undo="DROP TABLE stray",
    ),
    Wrong(
        "a column that nobody declared",
        "parties",
        "CREATE TABLE nickname (said text)",
        ("parties", "columns"),
        undo="DROP TABLE nickname",
    ),
    Wrong(
        "a migration changed after it ran",
        "ledger",
        "UPDATE schema_migration SET checksum = 'other' WHERE name LIKE '0001%'",
        ("ledger", "migrations"),
        ("schema_migration",),
    ),
]


@pytest.mark.parametrize("mode", MODES)
async def test_a_sound_platform_has_no_findings(town, mode):
    town.world.mode = mode
    try:
        report = await town.report()
    finally:
        town.world.mode = "direct"
    assert report.findings == []
    assert report.ok
    assert report.checked["payments payments"] == 3
    assert report.checked["accounts"] == 3
    assert report.checked["transfers"] == 7
    assert report.checked["trial balances"] == 1
    assert report.checked["events audited"] == report.checked["audit entries"] > 10
    assert report.position[f"journal:{town.bank.number}"] == "7"
    assert "all is well" in report.human()


@pytest.mark.parametrize("wrong", CORRUPTIONS, ids=lambda wrong: wrong.name)
async def test_a_corruption_is_found(town, wrong):
    async with town.corrupted(wrong):
        report = await town.report()
    assert not report.ok
    assert wrong.finding in {(f.service, f.check) for f in report.findings}, report.human()
    assert "of the town" not in report.human()  # a finding carries ids, no names


async def test_nothing_is_left_of_the_corruptions(town):
    assert (await town.report()).findings == []


async def test_there_are_enough_corruptions():
    assert len(CORRUPTIONS) >= 15
    assert len({wrong.finding for wrong in CORRUPTIONS}) >= 15


async def test_an_audit_that_fell_behind_is_found(town):
    await town.pay("0.01")
    assert (await town.report()).ok
    town.world.clock.move(minutes=6)
    try:
        found = {f.check for f in (await town.report()).findings}
    finally:
        town.world.clock.move(minutes=-6)
    assert found == {"audit-behind"}
    await town.world.settle()
    assert (await town.report()).ok


async def test_payments_made_meanwhile_do_not_disturb(town):
    async def pay_on():
        for _ in range(30):
            await town.pay("0.01")

    paying = asyncio.create_task(pay_on())
    while not paying.done():
        report = await town.report()
        assert report.findings == [], report.human()
    await paying
    await town.world.settle()


async def test_what_cannot_be_checked_is_a_finding(town, monkeypatch):
    store = town.world.process.stores["vault"]
    pool, store._pool = store._pool, None
    monkeypatch.setattr(store, "tx", _gone)
    try:
        report = await town.report()
    finally:
        store._pool = pool
    assert ("vault", "not-checked") in {(f.service, f.check) for f in report.findings}


@asynccontextmanager
async def _gone(*tenants):
    raise ConnectionRefusedError
    yield


def test_the_report_says_how_many_findings_there_were():
    notes = Notes()
    for n in range(MAX_FINDINGS + 5):
        notes.wrong("check", str(n), 1)
    report = notes.report(at=datetime(2026, 3, 2, tzinfo=UTC), took_ms=1)
    assert (len(report.findings), report.findings_total) == (MAX_FINDINGS, MAX_FINDINGS + 5)
    assert "5 more" in report.human()
