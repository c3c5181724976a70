"""All SQL of conformance runs and attestations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.context import Context
from guilder.contracts.registry.attestations import AttestationQuery, Conform


async def add_run(tx: Tx, ctx: Context, asked: Conform, url: str) -> None:
    """Insert a run that nobody works on yet."""
    await tx.execute(
        "INSERT INTO conformance_run (id, contract, url, wanted, state, asked_by, asked_at,"
        " lease_until) VALUES ($1,$2,$3,$4,'running',$5,$6,$6)",
        tx.resource,
        asked.contract,
        url,
        asked.edition,
        ctx.principal.id,
        tx.at,
    )


async def find_run(tx: Tx, run: UUID) -> Any:
    """A run with the id of its attestation, or None."""
    return await tx.row(
        "SELECT r.*, a.id AS attestation FROM conformance_run r"
        " LEFT JOIN attestation a ON a.tenant = r.tenant AND a.run_id = r.id WHERE r.id=$1",
        run,
    )


async def count_running(tx: Tx) -> int:
    """How many runs have not ended."""
    found: int = await tx.value("SELECT count(*) FROM conformance_run WHERE state='running'")
    return found


async def lease(tx: Tx, until: datetime) -> Any:
    """Take over the oldest run that nobody works on, or None."""
    return await tx.row(
        "UPDATE conformance_run SET lease_until=$2, attempts=attempts+1 WHERE tenant=0 AND id = ("
        " SELECT id FROM conformance_run WHERE state='running' AND lease_until<=$1"
        " ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING *",
        tx.at,
        until,
    )


async def keep(tx: Tx, run: Any, until: datetime, progress: str) -> bool:
    """Go on with a run and write how far it is; False where another has taken it over."""
    return await _mine(tx, run, "lease_until=$3, progress=$4", until, progress)


async def note_manifest(tx: Tx, run: Any, manifest: str) -> bool:
    """Write what the edition says of itself; False where another has taken the run over."""
    return await _mine(tx, run, "manifest=$3", manifest)


async def end_run(
    tx: Tx, run: Any, state: str, suite: str | None, checks: str, reason: str | None
) -> bool:
    """End a run; False where another has taken it over."""
    change = "state=$3, finished_at=$4, suite=$5, checks=$6, reason=$7"
    return await _mine(tx, run, change, state, tx.at, suite, checks, reason)


async def _mine(tx: Tx, run: Any, change: str, *values: Any) -> bool:
    return bool(
        await tx.execute(
            f"UPDATE conformance_run SET {change} WHERE id=$1 AND attempts=$2 AND state='running'",
            run["id"],
            run["attempts"],
            *values,
        )
    )


MOST_SPEAKING = 1_000
"""How many attestations of the same are looked at, the longest first."""


async def speaking(tx: Tx, contract: str, edition: str, version: str, url: str) -> list[Any]:
    """The rows that say something of exactly this and are not over; what they say is unproven."""
    return await tx.fetch(
        "SELECT * FROM attestation WHERE contract=$1 AND edition=$2 AND version=$3 AND url=$4"
        " AND expires_at>$5 ORDER BY expires_at DESC, id DESC LIMIT $6",
        contract,
        edition,
        version,
        url,
        tx.at,
        MOST_SPEAKING,
    )


async def add_attestation(tx: Tx, said: Any, signed: str) -> None:
    """Insert what a notary's statement says, and the statement as it was signed."""
    await tx.execute(
        "INSERT INTO attestation (id, run_id, contract, contract_version, edition, version, url,"
        " digest, suite_hash, finished_at, expires_at, signed)"
        " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12)",
        said.id,
        said.run,
        said.contract,
        said.contract_version,
        said.edition,
        said.version,
        said.url,
        said.digest,
        said.suite,
        said.finished_at,
        said.expires_at,
        signed,
    )


async def in_time(tx: Tx, limit: int) -> list[Any]:
    """Attestations whose time is not over, the newest first."""
    return await tx.fetch(
        "SELECT * FROM attestation WHERE expires_at>$1 ORDER BY id DESC LIMIT $2", tx.at, limit
    )


async def latest(tx: Tx, contract: str, edition: str, version: str, url: str) -> Any:
    """The row that speaks, or spoke, longest for exactly this, also where it is over; or None."""
    return await tx.row(
        "SELECT * FROM attestation WHERE contract=$1 AND edition=$2 AND version=$3 AND url=$4"
        " ORDER BY expires_at DESC, id DESC LIMIT 1",
        contract,
        edition,
        version,
        url,
    )


async def page(tx: Tx, query: AttestationQuery) -> list[Any]:
    """Attestations, newest first, one more than the page holds."""
    return await tx.fetch(
        "SELECT * FROM attestation WHERE ($1::text IS NULL OR contract = $1)"
        " AND ($2::text IS NULL OR edition = $2) AND ($3::uuid IS NULL OR id < $3)"
        " ORDER BY id DESC LIMIT $4",
        query.contract,
        query.edition,
        query.after,
        query.limit + 1,
    )
