"""All SQL of pricing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.pricing.v1 import PutTariff, Tariff, Tier
from guilder.contracts.values import Money
from guilder.services.pricing.tariff import percent_e4, percent_text

Asked = tuple[int, str, str, str, datetime]
"""Tenant, operation, product, currency and the moment (UTC) of a question."""


async def in_force(tx: Tx, asked: Sequence[Asked]) -> dict[int, tuple[UUID, list[Tier]]]:
    """Id and tiers of the tariff in force for each question, by its index; absent = none."""
    rows = await tx.fetch(
        "SELECT q.i, q.currency, t.id AS tariff, r.* FROM unnest($1::int[], $2::text[], $3::text[],"
        " $4::text[], $5::timestamptz[]) WITH ORDINALITY"
        " AS q(asker, operation, product, currency, at, i)"
        " JOIN LATERAL (SELECT id FROM tariff WHERE tenant=q.asker AND operation=q.operation"
        " AND product=q.product AND currency=q.currency AND valid_from<=q.at AND created_at<=q.at"
        " ORDER BY valid_from DESC, seq DESC LIMIT 1) t ON true"
        " JOIN tier r ON r.tenant=q.asker AND r.tariff=t.id ORDER BY q.i, r.n",
        *(list(column) for column in zip(*asked, strict=True)),
    )
    found: dict[int, tuple[UUID, list[Tier]]] = {}
    for row in rows:
        tiers = found.setdefault(row["i"] - 1, (row["tariff"], []))[1]
        tiers.append(_tier(row, row["currency"]))
    return found


async def add(tx: Tx, tenant: int, tariff: UUID, wanted: PutTariff, valid_from: datetime) -> None:
    """Add a tariff with its tiers."""
    await tx.execute(
        "INSERT INTO tariff (tenant, id, operation, product, currency, valid_from, created_at)"
        " VALUES ($1,$2,$3,$4,$5,$6,$7)",
        tenant,
        tariff,
        wanted.operation,
        wanted.product,
        wanted.currency,
        valid_from,
        tx.at,
    )
    await tx.many(
        "INSERT INTO tier (tenant, tariff, n, up_to, flat, percent_e4, minimum, maximum)"
        " VALUES ($1,$2,$3,$4,$5,$6,$7,$8)",
        [
            (
                tenant,
                tariff,
                n,
                _minor(tier.up_to),
                _minor(tier.flat),
                None if tier.percent is None else percent_e4(tier.percent),
                _minor(tier.minimum),
                _minor(tier.maximum),
            )
            for n, tier in enumerate(wanted.tiers)
        ],
    )


async def page(
    tx: Tx, tenant: int, product: str | None, currency: str | None, after: UUID | None, limit: int
) -> list[Tariff]:
    """At most `limit` tariffs with an id above `after`, in the order of their ids."""
    rows = await tx.fetch(
        "SELECT * FROM tariff WHERE tenant=$1 AND ($2::text IS NULL OR product=$2)"
        " AND ($3::text IS NULL OR currency=$3) AND ($4::uuid IS NULL OR id>$4)"
        " ORDER BY id LIMIT $5",
        tenant,
        product,
        currency,
        after,
        limit,
    )
    parts = await tx.fetch(
        "SELECT * FROM tier WHERE tenant=$1 AND tariff=ANY($2) ORDER BY tariff, n",
        tenant,
        [row["id"] for row in rows],
    )
    tiers: dict[UUID, list[Any]] = {}
    for part in parts:
        tiers.setdefault(part["tariff"], []).append(part)
    return [
        Tariff(
            id=row["id"],
            operation=row["operation"],
            product=row["product"],
            currency=row["currency"],
            valid_from=row["valid_from"],
            tiers=[_tier(part, row["currency"]) for part in tiers.get(row["id"], [])],
            created_at=row["created_at"],
        )
        for row in rows
    ]


def _minor(money: Money | None) -> int | None:
    return None if money is None else money.minor


def _tier(row: Any, currency: str) -> Tier:
    def money(name: str) -> Money | None:
        return None if row[name] is None else Money(row[name], currency)

    percent = row["percent_e4"]
    return Tier(
        up_to=money("up_to"),
        flat=money("flat"),
        percent=None if percent is None else percent_text(percent),
        minimum=money("minimum"),
        maximum=money("maximum"),
    )
