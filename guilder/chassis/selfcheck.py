"""What every service's database must satisfy, whatever it holds: row security, a login role without
power, declared columns, unchanged migrations. Added to each service's own `self_check`.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

import msgspec

from guilder.chassis.store import Store, Tx, migrations
from guilder.contracts.context import Context
from guilder.contracts.declare import Contract, Finding, Nothing, SelfCheck

Declared = Mapping[str, Mapping[str, str]]
"""What each column holds, by table."""

TYPES: Mapping[str, set[str]] = {
    "id": {"int2", "int4", "int8", "uuid", "_uuid"},
    "number": {"int2", "int4", "int8", "numeric", "xid8"},
    "money": {"int8", "numeric"},
    "time": {"timestamptz", "date", "tstzrange"},
    "flag": {"bool"},
    "state": {"text", "int2"},
    "sealed personal": {"bytea"},
    "hashed personal": {"bytea"},
    "pseudonymous": {"text", "int8"},
}
"""Every declaration but `not personal: <reason>`, and the types a column of it may have."""

POLICY = (
    "(tenant = ANY ((string_to_array(current_setting('guilder.tenants'::text, true), ','::text))"
    "::integer[]))"
)
"""The one policy, as PostgreSQL prints it."""

REASON = 8
"""Fewest characters of a reason why a text is not personal."""


def declarations(package: str) -> Declared:
    """`columns.toml` of a service's package, with the chassis' own tables."""
    found: dict[str, Mapping[str, str]] = {}
    for place in ("guilder.chassis", package):
        text = (resources.files(place) / "columns.toml").read_text("utf-8")
        found |= tomllib.loads(text)
    return found


def compare(
    declared: Declared, live: Iterable[tuple[str, str, str]], *, later: bool = False
) -> list[str]:
    """Hold declarations against (table, column, type) of the live catalogue.

    `later`: columns that are not declared are a later release's.
    """
    wrong = []
    stale = {(table, column) for table, columns in declared.items() for column in columns}
    for table, column, kind in live:
        stale.discard((table, column))
        said = declared.get(table, {}).get(column)
        if said is None:
            wrong += [] if later else [f"{table}.{column} is not declared in columns.toml"]
        elif said.startswith("not personal:"):
            if len(said.partition(":")[2].strip()) < REASON:
                wrong.append(f"{table}.{column} is declared not personal without a reason")
        elif said not in TYPES:
            wrong.append(f"{table}.{column} is declared {said!r}, which means nothing")
        elif kind not in TYPES[said]:
            wrong.append(f"{table}.{column} is declared {said!r} but is of type {kind}")
    return wrong + [f"{t}.{c} is declared but does not exist" for t, c in sorted(stale)]


async def common_findings(store: Store, columns_package: str) -> list[Finding]:
    """Check what every service shares; `columns_package` holds its `columns.toml`.

    Where a later release has migrated already, that one knows what its columns hold.
    """
    async with store.tx() as tx:
        later, wrong = await _migrations(tx, store.service)
        found = {
            "row-security": [*await _row_security(tx), *await _visible_rows(tx)],
            "login-role": await _login_role(tx),
            "columns": compare(declarations(columns_package), await _columns(tx), later=later),
            "migrations": wrong,
        }
    return [Finding(check=check, detail=line) for check, lines in found.items() for line in lines]


def complete(service: Contract, store: Store, columns_package: str) -> None:
    """Let a service's `self_check` answer the shared checks and its feed positions as well."""
    own = service.self_check

    async def self_check(ctx: Context, request: Nothing) -> SelfCheck:
        answer = await own(ctx, request)
        shared = await common_findings(store, columns_package)
        async with store.tx() as tx:
            rows = await tx.fetch("SELECT feed, position FROM feed_position ORDER BY feed")
        followed = {f"feed:{row['feed']}": row["position"] for row in rows}
        return msgspec.structs.replace(
            answer, findings=[*shared, *answer.findings], facts={**followed, **answer.facts}
        )

    service.self_check = self_check  # type: ignore[method-assign]


async def _row_security(tx: Tx) -> list[str]:
    """Tables with a tenant that are not protected by exactly the one policy."""
    rows = await tx.fetch(
        "SELECT c.relname AS name, c.relrowsecurity AS on,"
        " (SELECT array_agg(pg_get_expr(p.polqual, p.polrelid) || '/' || p.polcmd::text ||"
        "   coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')) FROM pg_policy p"
        "  WHERE p.polrelid = c.oid) AS policies"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'"
        " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    wrong = [f"{row['name']}: row security is off" for row in rows if not row["on"]]
    for row in rows:
        if row["on"] and row["policies"] != [f"{POLICY}/*"]:
            wrong.append(f"{row['name']}: its policy is not the one that `protect` makes")
    return wrong


async def _visible_rows(tx: Tx) -> list[str]:
    """Tables with a tenant in which a transaction for nobody sees a row: it must see none."""
    tables = await tx.fetch(
        "SELECT format('%I', c.relname) AS name FROM pg_class c JOIN pg_attribute a"
        " ON a.attrelid = c.oid AND a.attname = 'tenant' WHERE c.relkind IN ('r', 'p', 'v', 'm')"
        " AND c.relnamespace = 'public'::regnamespace"
        " AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1"
    )
    names = [row["name"] for row in tables]
    return [
        f"{name}: rows are visible without a tenant"
        for name in names
        if await tx.value(f"SELECT EXISTS (SELECT FROM {name})")
    ]


async def _login_role(tx: Tx) -> list[str]:
    """Powers of the login role that it must not have."""
    role = await tx.row("SELECT * FROM pg_roles WHERE rolname = current_user")
    powers = ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication")
    wrong = [f"the login role has {power}" for power in powers if role[power]]
    rows = await tx.fetch(
        "SELECT pg_describe_object(classid, objid, objsubid) AS what FROM pg_shdepend"
        " WHERE deptype = 'o' AND refclassid = 'pg_authid'::regclass AND refobjid = $1"
        " AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))",
        role["oid"],
    )
    wrong += [f"the login role owns {row['what']}" for row in rows]
    rows = await tx.fetch(
        "SELECT r.rolname AS name FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid"
        " WHERE m.member = $1",
        role["oid"],
    )
    return wrong + [f"the login role is a member of {row['name']}" for row in rows]


async def _columns(tx: Tx) -> list[tuple[str, str, str]]:
    """Every column of every table: table, column, type."""
    rows: list[Any] = await tx.fetch(
        "SELECT c.relname AS t, a.attname AS c, y.typname AS y FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " JOIN pg_type y ON y.oid = a.atttypid WHERE c.relkind IN ('r', 'p')"
        " AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace"
        " ORDER BY c.relname, a.attnum"
    )
    return [(row["t"], row["c"], row["y"]) for row in rows]


async def _migrations(tx: Tx, service: str) -> tuple[bool, list[str]]:
    """Whether a later release has migrated; migrations that ran with another text, or are missing.

    Store.open has made sure that this release can work on what a later one made.
    """
    ran = {row["name"]: row["checksum"] for row in await tx.fetch("SELECT * FROM schema_migration")}
    ours = {n: hashlib.sha256(text.encode()).hexdigest() for n, text in migrations(service)}
    wrong = [f"{name} did not run here" for name in ours if name not in ran]
    changed = [name for name in ours if name in ran and ran[name] != ours[name]]
    wrong += [f"{name} ran here with another text" for name in changed]
    return any(name not in ours for name in ran), wrong
