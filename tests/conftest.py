"""One PostgreSQL per test session; one world of services per session, in three modes."""

import io
import json
import logging
import os
import shutil
import sys
import tempfile
import threading
from contextlib import contextmanager, nullcontext
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import structlog
from hypothesis import HealthCheck, settings

from guilder.chassis import store
from guilder.chassis.logs import configure
from guilder.chassis.postgres import Cluster
from guilder.chassis.testing import MODES, World

# Time says something about the machine that tests run on, not about what they test.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

SERVICES = [
    "registry",
    "identity",
    "access",
    "vault",
    "parties",
    "accounts",
    "ledger",
    "payments",
    "pricing",
    "screening",
    "audit",
    "notifications",
]
ROOT = Path(__file__).resolve().parent.parent

LATER = """
DO $$ DECLARE target regclass; BEGIN
  FOR target IN SELECT c.oid::regclass FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND r.rolname = current_user
      AND c.relnamespace = 'public'::regnamespace
  LOOP EXECUTE format('ALTER TABLE %s ADD COLUMN later_note text', target); END LOOP;
END $$;
CREATE TABLE later (tenant int NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant, id));
SELECT protect('later');
"""
"""The next release's migration of every service, made up: a column everywhere, and a table."""


def pytest_addoption(parser):
    parser.addoption(
        "--later-schema",
        action="store_true",
        help="run on the schema that a later release has migrated to",
    )


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items):
    """What one worker runs, of `--dist loadgroup`: a file, or all that share a platform.

    A platform takes many times longer to start than any journey on it.
    """
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        shared = "platform" in getattr(item, "fixturenames", ()) and hasattr(item, "callspec")
        which = item.callspec.params.get("platform") if shared else None
        group = f"platform-{which}" if which else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


@contextmanager
def later_schema(text=LATER, name="9999_later.sql"):
    """Whoever prepares a database meanwhile is of a later release, with one more migration."""
    ours = store.migrations
    store.migrations = lambda service: [*ours(service), (name, text)]
    try:
        yield
    finally:
        store.migrations = ours


def available() -> list[str]:
    return [s for s in SERVICES if (ROOT / "guilder" / "services" / s / "build.py").exists()]


@pytest.fixture(scope="session")
def cluster():
    """A throw-away PostgreSQL without fsync."""
    folder = Path(tempfile.mkdtemp(prefix="guilder-test-"))
    made = Cluster(
        folder / "postgres",
        settings={
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "64MB",
            "max_connections": "400",
            "autovacuum": "off",
        },
    )
    made.start()
    yield made
    made.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def admin(cluster):
    """Connection arguments of the cluster's superuser."""
    return cluster.superuser_dsn()


async def number_apart(admin, world: World) -> None:
    """Let the registry count from a million, above the numbers that tests choose themselves."""
    database = world.process.stores["registry"]._connect["database"]
    connection = await asyncpg.connect(**{**admin, "database": database})
    try:
        await connection.execute(
            "SELECT setval(pg_get_serial_sequence('directory', 'number'), 1000000)"
        )
    finally:
        await connection.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_world(admin, request):
    """All services that exist, on fresh databases; tests use tenants of their own."""
    folder = Path(tempfile.mkdtemp(prefix="gw-"))
    after = later_schema() if request.config.getoption("--later-schema") else nullcontext()
    with after:
        made = await World.make(admin, available(), folder, dict(os.environ))
    await number_apart(admin, made)
    yield made
    await made.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=MODES)
def world(request, shared_world):
    """The world in each of the three modes."""
    shared_world.mode = request.param
    yield shared_world
    shared_world.mode = "direct"


@pytest.fixture
def direct(shared_world):
    """The world in direct mode only, for tests where the road makes no difference."""
    shared_world.mode = "direct"
    return shared_world


class Lines(io.StringIO):
    """A stream of log lines."""

    def read_all(self):
        return [json.loads(line) for line in self.getvalue().splitlines()]

    @property
    def last(self):
        return self.read_all()[-1]


@pytest.fixture
def lines():
    """Logs as a process sets them up, in memory; everything is put back afterwards."""
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    root, made = logging.getLogger(), Lines()
    handlers, level = root.handlers[:], root.level
    configure("host", {}, made)
    yield made
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
