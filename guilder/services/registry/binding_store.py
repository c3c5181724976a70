"""All SQL of bindings. Whoever changes one holds the generation's row until his commit."""

from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.registry.v1 import Bind, BindingQuery

MAX_BOUND = 10_000
"""How many bindings are in force at most: every process keeps them all."""

_RECORD = (
    "b.id, d.slug AS tenant, b.contract, b.contract_version, b.edition, b.version, b.address,"
    " b.on_failure, lower(b.during) AS bound_at, b.generation, b.proposed_by, b.approved_by,"
    " upper(b.during) AS ended_at, b.ended_generation, b.ended_by"
)
_FROM = "FROM binding b JOIN directory d USING (tenant, number)"


async def generation(tx: Tx) -> int:
    """How often what every process must know was changed."""
    found: int = await tx.value("SELECT value FROM generation")
    return found


async def next_generation(tx: Tx) -> int:
    """Count one more change; others who change something wait until this one is committed."""
    found: int = await tx.value("UPDATE generation SET value = value + 1 RETURNING value")
    return found


async def in_force(tx: Tx) -> list[Any]:
    """Every binding that has not ended."""
    return await tx.fetch(
        "SELECT id, number AS tenant, contract, edition, version, address, on_failure, generation"
        " FROM binding WHERE upper_inf(during) LIMIT $1",
        MAX_BOUND,
    )


async def count_in_force(tx: Tx) -> int:
    """How many bindings have not ended."""
    found: int = await tx.value("SELECT count(*) FROM binding WHERE upper_inf(during)")
    return found


async def of_tenant(tx: Tx, number: int) -> list[Any]:
    """The bindings in force of a tenant."""
    return await tx.fetch(
        f"SELECT {_RECORD} {_FROM} WHERE b.number=$1 AND upper_inf(b.during)", number
    )


async def find(tx: Tx, binding: UUID) -> Any:
    """One binding, or None."""
    return await tx.row(f"SELECT {_RECORD} {_FROM} WHERE b.id=$1", binding)


async def page(tx: Tx, query: BindingQuery, number: int | None) -> list[Any]:
    """Bindings, newest first, one more than the page holds."""
    return await tx.fetch(
        f"SELECT {_RECORD} {_FROM} WHERE ($1::int IS NULL OR b.number = $1)"
        " AND ($2::text IS NULL OR b.contract = $2) AND (NOT $3 OR upper_inf(b.during))"
        " AND ($4::bigint IS NULL OR b.generation < $4) ORDER BY b.generation DESC LIMIT $5",
        number,
        query.contract,
        query.in_force,
        query.after,
        query.limit + 1,
    )


async def live(tx: Tx, number: int, contract: str) -> UUID | None:
    """The binding in force for a tenant and contract."""
    found: UUID | None = await tx.value(
        "SELECT id FROM binding WHERE number=$1 AND contract=$2 AND upper_inf(during)",
        number,
        contract,
    )
    return found


async def end(tx: Tx, binding: UUID, generation: int, by: UUID) -> bool:
    """End a binding in force; False where it had ended. A clock set back ends none too early."""
    return bool(
        await tx.execute(
            "UPDATE binding SET during = tstzrange(lower(during),"
            " greatest($2, lower(during) + interval '1 microsecond')),"
            " ended_generation=$3, ended_by=$4 WHERE id=$1 AND upper_inf(during)",
            binding,
            tx.at,
            generation,
            by,
        )
    )


async def add(
    tx: Tx,
    number: int,
    asked: Bind,
    contract_version: str,
    generation: int,
    people: tuple[UUID, UUID],
) -> None:
    """Put a binding in force, from the end of the one before it at the earliest."""
    begins: datetime = await tx.value(
        "SELECT greatest($3, max(upper(during))) FROM binding WHERE number=$1 AND contract=$2",
        number,
        asked.contract,
        tx.at,
    )
    await tx.execute(
        "INSERT INTO binding (id, number, contract, contract_version, edition, version, address,"
        " on_failure, during, generation, proposed_by, approved_by)"
        " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,tstzrange($9,NULL),$10,$11,$12)",
        tx.resource,
        number,
        asked.contract,
        contract_version,
        asked.edition,
        asked.version,
        asked.address,
        asked.on_failure,
        begins,
        generation,
        *people,
    )
