"""All SQL of bindings. Whoever changes one holds the generation's row until his commit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.registry.v1 import BindingQuery, EndReason

MAX_BOUND = 120_000
"""How many bindings are in force or planned at most: every process keeps them all."""

PAGE = 2_000
"""How many lines one page of a whole directory holds: a registry goes on with others in between."""

MOST_CHANGES = 2_000
"""Whoever missed more changes gets the whole directory."""

_OPEN = "(upper_inf(b.during) OR b.ended_reason = 'planned')"
"""In force, planned, or ended a short while ago: what the partial indexes hold."""

_LEFT = f"{_OPEN} AND (upper_inf(b.during) OR upper(b.during) > $1)"
"""In force or planned at the moment that is the first parameter."""

_PLANNED = "(b.planned AND lower(b.during) > $1)"

_RECORD = (
    "b.id, d.slug AS tenant, b.contract, b.contract_version, b.edition, b.version, b.address,"
    " b.on_failure, lower(b.during) AS bound_at, b.generation, b.proposed_by, b.approved_by,"
    " b.mode, b.share, b.digest, b.attestation, b.replaces, b.restores,"
    " coalesce(b.withdrawn_at, upper(b.during)) AS ended_at, b.ended_generation, b.ended_by,"
    " CASE b.ended_reason WHEN 'planned' THEN 'replaced' ELSE b.ended_reason END AS ended_reason,"
    " b.ended_detail"
)
_FROM = "FROM binding b JOIN directory d USING (tenant, number)"

_BOUND = (
    "b.id, b.number AS tenant, b.contract, b.contract_version, b.edition, b.version, b.address,"
    " b.digest, b.mode, b.share, b.on_failure, b.generation,"
    f" CASE WHEN {_PLANNED} THEN lower(b.during) END AS begins, upper(b.during) AS ends"
)


@dataclass(frozen=True)
class NewBinding:
    """A row to be written; `begins` None = at once, `approved_by` None = nobody had to."""

    number: int
    contract: str
    contract_version: str
    edition: str
    version: str
    address: str
    on_failure: str
    proposed_by: UUID
    approved_by: UUID | None
    mode: str = "live"
    share: int = 100
    begins: datetime | None = None
    digest: str | None = None
    attestation: UUID | None = None
    replaces: UUID | None = None
    restores: UUID | None = None


async def generation(tx: Tx) -> int:
    """How often what every process must know was changed."""
    found: int = await tx.value("SELECT value FROM generation")
    return found


async def hold(tx: Tx) -> None:
    """From here to the commit nobody else changes anything of the directory."""
    await tx.execute("SELECT value FROM generation FOR UPDATE")


async def next_generation(tx: Tx) -> int:
    """Count one more change; others who change something wait until this one is committed."""
    found: int = await tx.value("UPDATE generation SET value = value + 1 RETURNING value")
    return found


# ── what every process must know ──────────────────────────────────────────────────────────────


async def whole(tx: Tx, after: UUID | None, limit: int) -> list[Any]:
    """Lines of the directory, in force or planned, in the order of their ids."""
    return await tx.fetch(
        f"SELECT {_BOUND} FROM binding b WHERE {_LEFT}"
        " AND ($2::uuid IS NULL OR b.id > $2) ORDER BY b.id LIMIT $3",
        tx.at,
        after,
        limit,
    )


async def changed(tx: Tx, known: int, limit: int) -> list[Any]:
    """Lines changed since a generation; `left` says whether one is in force or planned still."""
    return await tx.fetch(
        f"SELECT {_BOUND}, ({_LEFT}) AS left FROM binding b"
        " WHERE greatest(b.generation, b.ended_generation, b.changed) > $2"
        " ORDER BY greatest(b.generation, b.ended_generation, b.changed) LIMIT $3",
        tx.at,
        known,
        limit,
    )


# ── what operators see ────────────────────────────────────────────────────────────────────────


async def count_open(tx: Tx) -> int:
    """How many bindings are in force or planned."""
    found: int = await tx.value(f"SELECT count(*) FROM binding b WHERE {_LEFT}", tx.at)
    return found


async def of_tenant(tx: Tx, number: int) -> list[Any]:
    """The bindings of a tenant that are in force or planned; `ahead` = planned."""
    return await tx.fetch(
        f"SELECT {_RECORD}, {_PLANNED} AS ahead {_FROM} WHERE {_LEFT} AND b.number=$2"
        " ORDER BY b.contract, b.generation",
        tx.at,
        number,
    )


async def find(tx: Tx, binding: UUID) -> Any:
    """One binding, or None."""
    return await tx.row(f"SELECT {_RECORD} {_FROM} WHERE b.id=$1", binding)


async def page(tx: Tx, query: BindingQuery, number: int | None) -> list[Any]:
    """Bindings, newest first, one more than the page holds. Each filter has its index."""
    where: list[str] = ["true"]
    values: list[Any] = [tx.at]
    if query.in_force:
        where.append(_LEFT)
    for column, value in (("number =", number), ("contract =", query.contract)):
        if value is not None:
            values.append(value)
            where.append(f"b.{column} ${len(values)}")
    if query.after is not None:
        values.append(query.after)
        where.append(f"b.generation < ${len(values)}")
    return await tx.fetch(
        f"SELECT {_RECORD} {_FROM} WHERE $1::timestamptz IS NOT NULL AND {' AND '.join(where)}"
        f" ORDER BY b.generation DESC LIMIT {query.limit + 1}",
        *values,
    )


async def unattested(tx: Tx) -> list[Any]:
    """Bindings of other editions whose attestation says something else (self check)."""
    return await tx.fetch(
        "SELECT b.number, b.generation FROM binding b LEFT JOIN attestation a"
        " ON a.tenant = b.tenant AND a.id = b.attestation"
        f" WHERE {_LEFT} AND b.edition <> 'A' AND (a.contract, a.contract_version, a.edition,"
        " a.version, a.url, a.digest) IS DISTINCT FROM (b.contract, b.contract_version, b.edition,"
        " b.version, b.address, b.digest) LIMIT 100",
        tx.at,
    )


# ── changes ───────────────────────────────────────────────────────────────────────────────────


async def state(tx: Tx, binding: UUID) -> Any:
    """What is needed to end one or to put it back; `left` and `ahead` as elsewhere."""
    return await tx.row(
        f"SELECT b.*, {_LEFT} AS left, {_PLANNED} AS ahead FROM binding b WHERE b.id=$2",
        tx.at,
        binding,
    )


async def known(tx: Tx, bindings: list[UUID]) -> dict[UUID, Any]:
    """Those that exist, by id; `canary` = one that may have to be ended."""
    rows = await tx.fetch(
        f"SELECT b.id, b.mode = 'canary' AND {_LEFT} AS canary FROM binding b"
        " WHERE b.id = ANY($2::uuid[])",
        tx.at,
        bindings,
    )
    return {row["id"]: row for row in rows}


async def ahead_of(tx: Tx, number: int, contract: str, mode: str) -> UUID | None:
    """What is planned for a tenant, contract and mode."""
    return await _one(tx, _PLANNED, number, contract, mode)


async def present(tx: Tx, number: int, contract: str, mode: str) -> UUID | None:
    """What is in force for a tenant, contract and mode."""
    return await _one(tx, f"NOT {_PLANNED}", number, contract, mode)


async def _one(tx: Tx, which: str, number: int, contract: str, mode: str) -> UUID | None:
    found: UUID | None = await tx.value(
        f"SELECT b.id FROM binding b WHERE {_LEFT} AND {which}"
        " AND b.number=$2 AND b.contract=$3 AND b.mode=$4",
        tx.at,
        number,
        contract,
        mode,
    )
    return found


async def end(
    tx: Tx,
    binding: UUID,
    generation: int,
    by: UUID,
    reason: EndReason | Literal["planned"],
    detail: str | None = None,
    at: datetime | None = None,
) -> None:
    """End one that is in force, now or `at` the moment when one that is planned begins.

    A clock set back ends none too early.
    """
    await tx.execute(
        "UPDATE binding SET during = tstzrange(lower(during),"
        " greatest($2, lower(during) + interval '1 microsecond')),"
        " ended_generation=$3, ended_by=$4, ended_reason=$5, ended_detail=$6 WHERE id=$1",
        binding,
        at or tx.at,
        generation,
        by,
        reason,
        detail,
    )


async def withdraw(tx: Tx, binding: UUID, generation: int, by: UUID) -> None:
    """Take one back that has not begun; what would have ended for it does not."""
    row = await tx.row(
        "UPDATE binding SET withdrawn_at=$2, during = tstzrange(lower(during),"
        " lower(during) + interval '1 microsecond'),"
        " ended_generation=$3, ended_by=$4, ended_reason='withdrawn' WHERE id=$1"
        " RETURNING replaces, lower(during) AS begins",
        binding,
        tx.at,
        generation,
        by,
    )
    await tx.execute(
        "UPDATE binding SET during = tstzrange(lower(during), NULL), ended_generation=NULL,"
        " ended_by=NULL, ended_reason=NULL, changed=$3"
        " WHERE id=$1 AND ended_reason='planned' AND upper(during)=$2",
        row["replaces"],
        row["begins"],
        generation,
    )


async def add(tx: Tx, made: NewBinding, generation: int) -> None:
    """Write a binding, from the end of the one before it at the earliest."""
    begins: datetime = await tx.value(
        "SELECT greatest($4::timestamptz, max(upper(during))) FROM binding"
        " WHERE number=$1 AND contract=$2 AND mode=$3 AND withdrawn_at IS NULL",
        made.number,
        made.contract,
        made.mode,
        made.begins or tx.at,
    )
    await tx.execute(
        "INSERT INTO binding (id, number, contract, contract_version, edition, version, address,"
        " on_failure, during, generation, proposed_by, approved_by, mode, share, digest,"
        " attestation, planned, replaces, restores) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,"
        " tstzrange($9,NULL),$10,$11,$12,$13,$14,$15,$16,$17,$18,$19)",
        tx.resource,
        made.number,
        made.contract,
        made.contract_version,
        made.edition,
        made.version,
        made.address,
        made.on_failure,
        begins,
        generation,
        made.proposed_by,
        made.approved_by,
        made.mode,
        made.share,
        made.digest,
        made.attestation,
        made.begins is not None,
        made.replaces,
        made.restores,
    )
