"""All SQL of the registry."""

from datetime import datetime
from typing import Any

from guilder.chassis.store import Tx
from guilder.contracts.registry.v1 import CreateTenant

MAX_TENANTS = 10_000
"""How many tenants one list holds at most."""

_COLUMNS = (
    "number, slug, name, country, bank_code, bic, currency, zone, holiday_calendar, state,"
    " created_at"
)


async def add_tenant(tx: Tx, asked: CreateTenant, at: datetime) -> Any:
    """Insert an open tenant under the next number; None when slug or bank code is taken."""
    return await tx.row(
        "INSERT INTO directory (slug, name, country, bank_code, bic, currency, zone,"
        " holiday_calendar, state, created_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,'open',$9)"
        f" ON CONFLICT DO NOTHING RETURNING {_COLUMNS}",
        asked.slug,
        asked.name,
        asked.country,
        asked.bank_code,
        asked.bic,
        asked.currency,
        asked.zone,
        asked.holiday_calendar,
        at,
    )


async def by_slug(tx: Tx, slug: str) -> Any:
    """The tenant of a slug, or None."""
    return await tx.row(f"SELECT {_COLUMNS} FROM directory WHERE slug=$1", slug)


async def by_number(tx: Tx, number: int) -> Any:
    """The tenant of a number, or None."""
    return await tx.row(f"SELECT {_COLUMNS} FROM directory WHERE tenant=0 AND number=$1", number)


async def all_tenants(tx: Tx) -> list[Any]:
    """Every tenant by slug, at most MAX_TENANTS."""
    return await tx.fetch(f"SELECT {_COLUMNS} FROM directory ORDER BY slug LIMIT $1", MAX_TENANTS)
