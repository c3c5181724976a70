"""Two releases on one database: what a later one adds does not disturb, what it takes away does."""

import asyncio
import secrets
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from guilder.chassis import store
from guilder.chassis.clock import Clock
from guilder.chassis.schema import SchemaMismatch, needs, newer
from guilder.chassis.store import Store, migrations, provision

ROOT = Path(__file__).resolve().parents[2]
ADDS = "ALTER TABLE tariff ADD COLUMN note text;"
TAKES = "-- contracts: needs {}\nALTER TABLE tariff DROP COLUMN created_at;"


class Release:
    """A release of pricing by its migrations: ours, and some that are made up."""

    def __init__(self, monkeypatch, admin):
        self.admin, self.name = admin, f"s{secrets.token_hex(3)}_pricing"
        self._patch, self._ours = monkeypatch, migrations("pricing")

    def is_(self, *more, without=0):
        """What the code that runs from now on knows."""
        known = self._ours[: len(self._ours) - without] + list(more)
        self._patch.setattr(store, "migrations", lambda service: known)
        return self

    async def migrate(self):
        await provision(self.admin, "pricing", self.name, "secret")

    async def start(self):
        login = {"database": self.name, "user": self.name, "password": "secret"}
        made = Store("pricing", {**self.admin, **login}, Clock())
        try:
            await made.open()
        finally:
            await made.close()

    async def ran(self):
        connection = await asyncpg.connect(**{**self.admin, "database": self.name})
        try:
            return dict(await connection.fetch("SELECT name, needs FROM schema_migration"))
        finally:
            await connection.close()


@pytest.fixture
def release(monkeypatch, admin):
    return Release(monkeypatch, admin)


async def test_new_code_on_an_old_schema_says_what_to_do_and_goes_on_afterwards(release):
    await release.is_().migrate()
    release.is_(("0009_next.sql", ADDS))
    with pytest.raises(SchemaMismatch, match=r"0009_next\.sql did not run.*guilder migrate"):
        await release.start()
    await release.migrate()
    await release.start()


async def test_old_code_works_on_a_schema_that_was_expanded(release):
    await release.is_(("0009_next.sql", ADDS)).migrate()
    await release.is_().start()
    await release.migrate()  # the old release's own migrate has nothing to do and undoes nothing
    assert "0009_next.sql" in await release.ran()


async def test_old_code_refuses_a_schema_that_was_contracted(release):
    takes = ("0010_less.sql", TAKES.format("0009_next.sql"))
    await release.is_(("0009_next.sql", ADDS), takes).migrate()
    release.is_()
    for attempt in (release.start, release.migrate):
        with pytest.raises(SchemaMismatch, match=r"0010_less\.sql.*does not know 0009_next\.sql"):
            await attempt()


async def test_code_that_knows_why_works_on_a_schema_that_was_contracted(release):
    first, takes = ("0009_next.sql", ADDS), ("0010_less.sql", TAKES.format("0009_next.sql"))
    await release.is_(first, takes).migrate()
    assert (await release.ran())["0010_less.sql"] == "0009_next.sql"
    await release.is_(first).start()
    await release.migrate()


async def test_a_migration_that_was_edited_after_it_ran_is_refused(release):
    await release.is_(("0009_next.sql", ADDS)).migrate()
    with pytest.raises(SchemaMismatch, match="was changed after it ran"):
        await release.is_(("0009_next.sql", ADDS + " -- and more")).migrate()


async def test_a_database_from_before_the_needs_were_kept_is_taken_over(release):
    await release.is_().migrate()
    connection = await asyncpg.connect(**{**release.admin, "database": release.name})
    await connection.execute("ALTER TABLE schema_migration DROP COLUMN needs")
    await connection.close()
    await release.start()
    await release.migrate()
    assert set((await release.ran()).values()) == {None}


async def test_two_who_migrate_at_once_run_each_step_once(release):
    release.is_(("0009_next.sql", ADDS))
    await asyncio.gather(*(release.migrate() for _ in range(3)))
    await release.start()


def test_what_a_migration_needs_stands_in_a_line_of_its_own():
    assert needs(TAKES.format("0009_next.sql")) == "0009_next.sql"
    assert needs(ADDS) is None
    assert needs("SELECT 1; -- contracts: needs 0009_next.sql") is None
    assert newer(["a", "b"], {"a": None, "c": None}) == ["c"]


PRESENT = [
    "tests/chassis/test_selfcheck.py",
    "tests/services/pricing/test_pricing.py",
    "tests/services/registry/test_registry.py",
    "tests/services/payments/test_payments_reversal.py",
]


@pytest.mark.slow
def test_the_present_code_passes_its_tests_on_a_later_schema():
    """Every table has one more column, every database one more table."""
    chosen = ["-k", "not encoded and not http", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PRESENT, "--later-schema", *chosen],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
