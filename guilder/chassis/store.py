"""A service's door to its own database: pool, transactions bound to tenants, migrations.

Sessions carry no state (`reset` is a no-op and only `SET LOCAL` is used), which halves the cost of
borrowing a connection.
"""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from importlib import resources
from typing import Any
from uuid import UUID

import asyncpg

from guilder.chassis import schema
from guilder.chassis.clock import Clock
from guilder.chassis.settings import BadSetting
from guilder.contracts.context import Context
from guilder.contracts.values import uuid7

OUTAGES = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement on a connection that is just being torn down
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""What a database raises that is gone, starting, stopping or full: try again, nothing is wrong."""

STALE_PLAN = asyncpg.InvalidCachedStatementError
"""Raised once where a migration has changed what a prepared statement returns. The transaction is
lost; every connection of the pool has dropped its plans, so doing it again works."""

PROBE_SECONDS = 1.0
"""How long a database may take to answer a probe, and how long an answer counts."""


ConnectArgs = dict[str, Any]
"""Keyword arguments for asyncpg.connect: host, port, user, password, database."""


class Tx:
    """One open transaction; sees only the rows of the tenants it was opened for."""

    def __init__(self, connection: Any, at: datetime) -> None:
        """Wrap a connection with an open transaction; `at` is its business time."""
        self.connection = connection
        self.at = at
        self.resource: UUID = uuid7(at)
        """The id of what the command makes; known to whoever reuses its key."""
        self._events: list[tuple[Any, ...]] = []

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """All rows."""
        rows: list[Any] = await self.connection.fetch(sql, *args)
        return rows

    async def row(self, sql: str, *args: Any) -> Any:
        """The first row, or None."""
        return await self.connection.fetchrow(sql, *args)

    async def value(self, sql: str, *args: Any) -> Any:
        """The first column of the first row, or None."""
        return await self.connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> int:
        """Run a statement; the number of rows it touched."""
        done = (await self.connection.execute(sql, *args)).rsplit(" ", 1)[-1]
        return int(done) if done.isdigit() else 0

    async def many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Run a statement for each row, in one round trip."""
        await self.connection.executemany(sql, rows)

    def emit(self, ctx: Context, type_: str, **ids: object) -> None:
        """Append an event to the log; it is written with the commit of this transaction."""
        line = json.dumps({k: str(v) for k, v in ids.items() if v is not None}, sort_keys=True)
        self._events.append((self.at, ctx.tenant, type_, ctx.principal.id, ctx.request, line))

    async def flush(self) -> bool:
        """Write the gathered events; True if there were any."""
        if self._events:
            await self.many(
                "INSERT INTO event (at, tenant, type, principal, request, ids)"
                " VALUES ($1,$2,$3,$4,$5,$6)",
                self._events,
            )
        return bool(self._events)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo only what happened inside when it raises; its events go with it."""
        kept = len(self._events)
        await self.connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            del self._events[kept:]
            await self.connection.execute("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")
            raise
        await self.connection.execute("RELEASE SAVEPOINT part")


async def _keep(connection: Any) -> None:
    """Reset nothing when a connection returns to the pool."""


async def _undo(connection: Any) -> None:
    """Roll back; a session that cannot even do that is given up, never used half-way through."""
    if connection.is_closed():
        return
    try:
        await connection.execute("ROLLBACK")
    except asyncio.CancelledError:
        connection.terminate()  # which rolls back as well
        raise
    except Exception:
        connection.terminate()


class Store:
    """The pool of one service."""

    def __init__(self, service: str, connect: ConnectArgs, clock: Clock, size: int = 6) -> None:
        """`size` is the most connections this process opens for the service."""
        self.service = service
        self.clock = clock
        self._connect = connect
        self._size = size
        self._pool: Any = None
        self._sessions: list[Any] = []
        self._news = asyncio.Event()
        self.leaving = False
        """Whether this process is about to end: who waits for news is sent on his way."""
        self.farewells: list[Callable[[], None]] = []
        """What else is to be done then."""
        self.waiting, self.wait_seconds = 0, 0.0
        """Who waits for a connection now, and how long all have waited together."""
        self.committed = self.rolled_back = 0
        self.answered = True
        """What the last probe found."""
        self._answered_at = 0.0
        self._probe: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the pool; SchemaMismatch unless this release can work there.

        BadSetting for an address that cannot be read.
        """
        try:
            self._pool = await asyncpg.create_pool(
                **self._connect,
                min_size=1,
                max_size=self._size,
                reset=_keep,
                command_timeout=60,
                max_inactive_connection_lifetime=300,
            )
        except ValueError as error:
            raise BadSetting(f"the address of the database of {self.service}: {error}") from error
        try:
            async with self._pool.acquire() as connection:
                await self._check_schema(connection)
        except BaseException:
            await self._pool.close()
            raise

    async def _check_schema(self, connection: Any) -> None:
        if await connection.fetchval("SELECT to_regclass('schema_migration') IS NULL"):
            raise schema.SchemaMismatch(
                f"the database of {self.service} holds no schema of ours: "
                "`guilder up` or `guilder migrate` makes it"
            )
        done = {name: step["needs"] for name, step in (await _done(connection)).items()}
        ours = dict(migrations(self.service))
        schema.refuse_older_schema(self.service, ours, done)
        schema.refuse_older_code(self.service, ours, done)

    async def close(self) -> None:
        """Close the pool and every session."""
        if self._probe is not None:
            self._probe.cancel()
        for session in self._sessions:
            await session.close()
        if self._pool is not None:
            await self._pool.close()

    async def session(self) -> Any:
        """Open a connection outside the pool, for who needs one of its own (a lock's holder).

        It is closed with the store at the latest.
        """
        session = await asyncpg.connect(**self._connect, command_timeout=60)
        self._sessions = [s for s in self._sessions if not s.is_closed()] + [session]
        return session

    @asynccontextmanager
    async def tx(self, *tenants: int) -> AsyncIterator[Tx]:
        """Open a transaction for these tenants; commits at the end, rolls back on any error."""
        self.waiting += 1
        began = time.monotonic()
        try:
            connection = await self._pool.acquire()
        finally:
            self.waiting -= 1
            self.wait_seconds += time.monotonic() - began
        try:
            async with self.on(connection, *tenants) as tx:
                yield tx
        finally:
            await self._pool.release(connection)

    @asynccontextmanager
    async def on(self, connection: Any, *tenants: int) -> AsyncIterator[Tx]:
        """The same on a given connection."""
        names = ",".join(str(int(tenant)) for tenant in tenants)
        try:
            await connection.execute(f"BEGIN; SET LOCAL guilder.tenants = '{names}'")
            tx = Tx(connection, self.clock.now())
            yield tx
            emitted = await tx.flush()
            if await connection.execute("COMMIT") != "COMMIT":  # an error in it was passed over
                raise RuntimeError("the transaction had failed before its end; nothing was written")
        except BaseException:
            self.rolled_back += 1
            await _undo(connection)
            raise
        self.committed += 1
        self._answered_at = time.monotonic()
        if emitted:
            self.tell()

    def connections(self) -> tuple[int, int, int]:
        """Connections of the pool: in use, idle, and how many there may be."""
        if self._pool is None:
            return 0, 0, self._size
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        return size - idle, idle, self._size

    async def answers(self) -> bool:
        """Whether the database answers; known from the work that is done anyway, where there is.

        Whoever asks meanwhile shares one probe, so that asking takes one connection at most, also
        where a database that hangs lets the probe outlive those who wait for it.
        """
        if self._is_fresh():
            self.answered = True
            return True
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask())
        await asyncio.wait({self._probe}, timeout=PROBE_SECONDS)
        self.answered = self._is_fresh()  # by the probe, or by others: busy is not gone
        return self.answered

    async def _ask(self) -> None:
        with contextlib.suppress(TimeoutError, asyncpg.PostgresError, *OUTAGES):
            async with self.tx() as tx:
                await tx.value("SELECT 1")

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._answered_at < PROBE_SECONDS

    async def seen_tenants(self) -> list[int]:
        """Every tenant that ever left a trace in this database."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch("SELECT seen_tenants() AS tenant")
        return sorted({row["tenant"] for row in rows})

    def leave(self) -> None:
        """Let nobody wait here any more."""
        self.leaving = True
        self.tell()
        for farewell in self.farewells:
            farewell()

    def tell(self) -> None:
        """Wake whoever waits for news in the log."""
        self._news.set()
        self._news = asyncio.Event()

    async def wait_news(self, seconds: float) -> None:
        """Wait for the next commit with events in this process, at most `seconds`."""
        news = self._news
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return


async def provision(admin: ConnectArgs, service: str, name: str, password: str) -> None:
    """Create database and roles of a service (if absent) and bring its schema up to date.

    `<name>_owner` owns and migrates, `<name>` logs in and owns nothing. `name` is the database's
    and the roles' name; it differs from `service` only where several platforms share a cluster.
    """
    connection = await asyncpg.connect(**admin)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtext('guilder provision'))")
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname=$1", name):
            await connection.execute(f'CREATE ROLE "{name}_owner" NOLOGIN')
            await connection.execute(f'CREATE ROLE "{name}" LOGIN')
        secret = await connection.fetchval("SELECT quote_literal($1::text)", password)
        await connection.execute(f'ALTER ROLE "{name}" PASSWORD {secret}')
        await connection.execute(f'GRANT "{name}_owner" TO CURRENT_USER')
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname=$1", name):
            await connection.execute(f'CREATE DATABASE "{name}" OWNER "{name}_owner"')
            await connection.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
            await connection.execute(f'GRANT CONNECT ON DATABASE "{name}" TO "{name}"')
    finally:
        await connection.close()
    await _migrate({**admin, "database": name}, service, name)


def migrations(service: str) -> list[tuple[str, str]]:
    """Name and text of a service's migrations in order, the chassis' own first."""
    found: list[tuple[str, str]] = []
    for package in ("guilder.chassis", f"guilder.services.{service}"):
        folder = resources.files(package) / "migrations"
        names = sorted(p.name for p in folder.iterdir() if p.name.endswith(".sql"))
        found += [(n, (folder / n).read_text("utf-8").replace(":service", service)) for n in names]
    return found


async def _migrate(admin: ConnectArgs, service: str, name: str) -> None:
    connection = await asyncpg.connect(**admin)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtext('guilder migrate'))")
        await connection.execute(f'ALTER SCHEMA public OWNER TO "{name}_owner"')
        await connection.execute(f'SET ROLE "{name}_owner"')
        await connection.execute(f'GRANT USAGE ON SCHEMA public TO "{name}"')
        for privileges, kind in (
            ("SELECT, INSERT, UPDATE, DELETE", "TABLES"),
            ("USAGE", "SEQUENCES"),
            ("EXECUTE", "FUNCTIONS"),
        ):
            await connection.execute(
                "ALTER DEFAULT PRIVILEGES IN SCHEMA public"
                f' GRANT {privileges} ON {kind} TO "{name}"'
            )
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY,"
            " checksum text NOT NULL, at timestamptz DEFAULT now(), needs text)"
        )
        await connection.execute("ALTER TABLE schema_migration ADD COLUMN IF NOT EXISTS needs text")
        await _run_missing(connection, service, name)
    finally:
        await connection.close()


async def _run_missing(connection: Any, service: str, name: str) -> None:
    """Run what did not run yet; those of a later release may have run before."""
    done, ours = await _done(connection), migrations(service)
    needed = {step: row["needs"] for step, row in done.items()}
    schema.refuse_older_code(service, dict(ours), needed)
    for step, text in ours:
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if step not in done:
            async with connection.transaction():
                await connection.execute(text.replace(":login", f'"{name}"'))
                await connection.execute(
                    "INSERT INTO schema_migration (name, checksum, needs) VALUES ($1,$2,$3)",
                    step,
                    checksum,
                    schema.needs(text),
                )
        elif done[step]["checksum"] != checksum:
            raise schema.SchemaMismatch(
                f"migration {step} of {service} was changed after it ran here; "
                "restore its text and put the change into a new migration"
            )


async def _done(connection: Any) -> dict[str, dict[str, Any]]:
    """Checksum of each migration that ran here, and what it needs of the code."""
    rows = await connection.fetch("SELECT * FROM schema_migration")
    return {row["name"]: {"checksum": row["checksum"], "needs": row.get("needs")} for row in rows}
