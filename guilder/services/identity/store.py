"""All SQL of identity."""

from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.identity.v1 import CreateClient, CreatePerson

MAX_PAGE = 200


async def add_person(tx: Tx, tenant: int, asked: CreatePerson) -> Any:
    """Insert a person under the command's resource; None when the login is taken."""
    return await tx.row(
        "INSERT INTO person (tenant, id, login, party, created_at) VALUES ($1,$2,$3,$4,$5)"
        " ON CONFLICT DO NOTHING RETURNING *",
        tenant,
        tx.resource,
        asked.login,
        asked.party,
        tx.at,
    )


async def person(tx: Tx, tenant: int, id_: UUID) -> Any:
    """A person, or None."""
    return await tx.row("SELECT * FROM person WHERE tenant=$1 AND id=$2", tenant, id_)


async def person_by_login(tx: Tx, tenant: int, login: str) -> Any:
    """The person of a login, or None."""
    return await tx.row("SELECT * FROM person WHERE tenant=$1 AND login=$2", tenant, login)


async def disable_person(tx: Tx, tenant: int, id_: UUID) -> Any:
    """Disable an active person; None when there is none."""
    return await tx.row(
        "UPDATE person SET disabled_at=$3 WHERE tenant=$1 AND id=$2 AND disabled_at IS NULL"
        " RETURNING *",
        tenant,
        id_,
        tx.at,
    )


async def people_page(tx: Tx, tenant: int, after: UUID | None, limit: int) -> list[Any]:
    """People after an id, by id, at most MAX_PAGE + 1."""
    return await tx.fetch(
        "SELECT * FROM person WHERE tenant=$1 AND id>$2 ORDER BY id LIMIT $3",
        tenant,
        after or UUID(int=0),
        min(limit, MAX_PAGE) + 1,
    )


async def add_client(tx: Tx, tenant: int, asked: CreateClient, digest: bytes) -> Any:
    """Insert a machine client under the command's resource."""
    return await tx.row(
        "INSERT INTO client (tenant, id, name, party, secret_digest, created_at)"
        " VALUES ($1,$2,$3,$4,$5,$6) RETURNING *",
        tenant,
        tx.resource,
        asked.name,
        asked.party,
        digest,
        tx.at,
    )


async def client(tx: Tx, tenant: int, id_: UUID) -> Any:
    """A machine client of the tenant, or None."""
    return await tx.row("SELECT * FROM client WHERE tenant=$1 AND id=$2", tenant, id_)


async def client_anywhere(tx: Tx, id_: UUID) -> Any:
    """A machine client of whatever tenant, or None."""
    return await tx.row("SELECT * FROM client_by_id($1)", id_)


async def set_secret(tx: Tx, tenant: int, id_: UUID, digest: bytes) -> Any:
    """Replace an active client's secret; None when there is no such client."""
    return await tx.row(
        "UPDATE client SET secret_digest=$3 WHERE tenant=$1 AND id=$2 AND revoked_at IS NULL"
        " RETURNING *",
        tenant,
        id_,
        digest,
    )


async def revoke_client(tx: Tx, tenant: int, id_: UUID) -> Any:
    """Revoke an active client; None when there is none."""
    return await tx.row(
        "UPDATE client SET revoked_at=$3 WHERE tenant=$1 AND id=$2 AND revoked_at IS NULL"
        " RETURNING *",
        tenant,
        id_,
        tx.at,
    )


async def clients_page(tx: Tx, tenant: int, after: UUID | None, limit: int) -> list[Any]:
    """Machine clients after an id, by id, at most MAX_PAGE + 1."""
    return await tx.fetch(
        "SELECT * FROM client WHERE tenant=$1 AND id>$2 ORDER BY id LIMIT $3",
        tenant,
        after or UUID(int=0),
        min(limit, MAX_PAGE) + 1,
    )


async def lock_keys(tx: Tx) -> None:
    """Let one transaction at a time change the signing keys."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtext('signing keys'))")


async def present_key(tx: Tx) -> Any:
    """The key that signs now, or None."""
    return await tx.row("SELECT * FROM signing_key WHERE tenant=0 AND verifies_until IS NULL")


async def verifying_key(tx: Tx, id_: UUID) -> Any:
    """A key with which tokens may still be verified, or None."""
    return await tx.row(
        "SELECT * FROM signing_key WHERE tenant=0 AND id=$1"
        " AND (verifies_until IS NULL OR verifies_until > $2)",
        id_,
        tx.at,
    )


async def verifying_keys(tx: Tx) -> list[Any]:
    """Every key with which tokens may still be verified, oldest first."""
    return await tx.fetch(
        "SELECT * FROM signing_key WHERE verifies_until IS NULL OR verifies_until > $1"
        " ORDER BY made_at, id",
        tx.at,
    )


async def add_key(tx: Tx, id_: UUID, public: tuple[str, str], sealed: bytes) -> Any:
    """Insert the key that signs from now on."""
    return await tx.row(
        "INSERT INTO signing_key (id, x, y, sealed, made_at) VALUES ($1,$2,$3,$4,$5) RETURNING *",
        id_,
        *public,
        sealed,
        tx.at,
    )


async def retire_keys(tx: Tx, until: datetime) -> None:
    """Sign no more with the present key, and forget those whose last token has expired."""
    await tx.execute("DELETE FROM signing_key WHERE verifies_until <= $1", tx.at)
    await tx.execute(
        "UPDATE signing_key SET verifies_until=$1 WHERE tenant=0 AND verifies_until IS NULL", until
    )


async def everyone(tx: Tx) -> tuple[list[Any], list[Any]]:
    """All people and all machine clients of the transaction's tenants."""
    return await tx.fetch("SELECT * FROM person"), await tx.fetch("SELECT * FROM client")


async def all_keys(tx: Tx) -> list[Any]:
    """All signing keys."""
    return await tx.fetch("SELECT * FROM signing_key")
