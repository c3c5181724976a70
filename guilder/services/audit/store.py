"""All SQL of the audit."""

import json
from typing import Any
from uuid import UUID

from guilder.chassis.contract import encode
from guilder.chassis.store import Tx
from guilder.contracts.audit import v1
from guilder.services.audit.chain import Head, Line, Link


async def lock_heads(tx: Tx, tenants: list[int]) -> dict[int, Head]:
    """Lock the ends of these tenants' chains until the commit; made where absent."""
    wanted = sorted(set(tenants))
    await tx.execute(
        "INSERT INTO head (tenant, n, hash) SELECT t, 0, $2 FROM unnest($1::int[]) AS t"
        " ORDER BY t ON CONFLICT DO NOTHING",
        wanted,
        v1.START,
    )
    rows = await tx.fetch(
        "SELECT tenant, n, hash FROM head WHERE tenant = ANY($1) ORDER BY tenant FOR UPDATE",
        wanted,
    )
    return {row["tenant"]: Head(row["n"], bytes(row["hash"])) for row in rows}


async def append(tx: Tx, links: list[Link], heads: dict[int, Head]) -> None:
    """Write links and move the heads: two statements, however many."""
    lines = [link.line for link in links]
    await tx.execute(
        "INSERT INTO entry (tenant, n, source, ref, at, operation, principal, outcome, request,"
        " ids, hash) SELECT * FROM unnest($1::int[], $2::bigint[], $3::text[], $4::text[],"
        " $5::timestamptz[], $6::text[], $7::uuid[], $8::text[], $9::text[], $10::text[],"
        " $11::bytea[])",
        [line.tenant for line in lines],
        [link.n for link in links],
        [line.source for line in lines],
        [line.ref for line in lines],
        [line.at for line in lines],
        [line.operation for line in lines],
        [line.principal for line in lines],
        [line.outcome for line in lines],
        [line.request for line in lines],
        [encode(line.ids).decode() for line in lines],
        [link.hash for link in links],
    )
    await tx.execute(
        "UPDATE head SET n=h.n, hash=h.hash FROM unnest($1::int[], $2::bigint[], $3::bytea[])"
        " AS h(tenant, n, hash) WHERE head.tenant=h.tenant",
        list(heads),
        [head.n for head in heads.values()],
        [head.hash for head in heads.values()],
    )


async def find(tx: Tx, source: str, wanted: list[tuple[int, str]]) -> dict[tuple[int, str], Link]:
    """Entries of a source by tenant and ref."""
    rows = await tx.fetch(
        "SELECT e.* FROM unnest($2::int[], $3::text[]) AS w(tenant, ref)"
        " JOIN entry e ON e.tenant=w.tenant AND e.source=$1 AND e.ref=w.ref",
        source,
        [tenant for tenant, _ in wanted],
        [ref for _, ref in wanted],
    )
    return {(row["tenant"], row["ref"]): _link(row) for row in rows}


async def page(
    tx: Tx, tenant: int, before: int, principal: UUID | None, operation: str | None, limit: int
) -> list[Link]:
    """Entries below a place, newest first."""
    chosen = "tenant=$1 AND n<$2"
    args: list[Any] = [tenant, before, limit]
    for column, value in (("principal", principal), ("operation", operation)):
        if value is not None:
            args.append(value)
            chosen += f" AND {column}=${len(args)}"
    rows = await tx.fetch(f"SELECT * FROM entry WHERE {chosen} ORDER BY n DESC LIMIT $3", *args)
    return [_link(row) for row in rows]


async def hold_still(tx: Tx) -> list[int]:
    """Make the whole transaction see one moment; the tenants with a trace at that moment.

    Must be the first thing in the transaction.
    """
    await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    rows = await tx.fetch("SELECT DISTINCT t FROM seen_tenants() AS t ORDER BY t")
    return [row["t"] for row in rows]


async def look_at(tx: Tx, tenant: int) -> Head:
    """Turn the transaction to a tenant; the stored head of its chain."""
    await tx.execute("SELECT set_config('guilder.tenants', $1, true)", str(tenant))
    row = await tx.row("SELECT n, hash FROM head WHERE tenant=$1", tenant)
    return Head(row["n"], bytes(row["hash"])) if row else Head()


async def following(tx: Tx, tenant: int, after: int, limit: int) -> list[Link]:
    """Entries above a place, oldest first."""
    rows = await tx.fetch(
        "SELECT * FROM entry WHERE tenant=$1 AND n>$2 ORDER BY n LIMIT $3", tenant, after, limit
    )
    return [_link(row) for row in rows]


async def followed(tx: Tx) -> list[tuple[str, str]]:
    """How far each feed was followed."""
    rows = await tx.fetch("SELECT feed, position FROM feed_position ORDER BY feed")
    return [(row["feed"], row["position"]) for row in rows]


async def too_much(tx: Tx) -> list[str]:
    """Privileges on `entry` that the login role must not have."""
    rows = await tx.fetch(
        "SELECT p FROM unnest(ARRAY['UPDATE','DELETE','TRUNCATE']) AS p"
        " WHERE has_table_privilege('entry', p)"
        " OR (p='UPDATE' AND has_any_column_privilege('entry', p))"
    )
    return [row["p"] for row in rows]


def _link(row: Any) -> Link:
    line = Line(
        tenant=row["tenant"],
        source=row["source"],
        ref=row["ref"],
        at=row["at"],
        operation=row["operation"],
        principal=row["principal"],
        outcome=row["outcome"],
        request=row["request"],
        ids=_ids(row["ids"]),
    )
    return Link(row["n"], line, bytes(row["hash"]))


def _ids(text: str) -> dict[str, str]:
    """The ids as written; text that was tampered with shows up as it is and breaks the chain."""
    try:
        found = json.loads(text)
    except ValueError:
        return {"": text}
    return found if isinstance(found, dict) else {"": text}
