"""All SQL of the inbox."""

from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.context import PLATFORM
from guilder.contracts.notifications.v1 import Post


async def add(tx: Tx, messages: list[tuple[int, Post]]) -> None:
    """Insert messages for their tenants; known ids are passed over."""
    asked = [message for _, message in messages]
    await tx.execute(
        "INSERT INTO message (tenant, id, at, topic, about, subject, text)"
        " SELECT t, i, $3, o, a, s, x FROM unnest($1::int[], $2::uuid[], $4::text[], $5::uuid[],"
        " $6::text[], $7::text[]) AS m(t, i, o, a, s, x) ON CONFLICT DO NOTHING",
        [tenant for tenant, _ in messages],
        [message.id for message in asked],
        tx.at,
        [message.topic for message in asked],
        [message.about for message in asked],
        [message.subject for message in asked],
        [message.text for message in asked],
    )


async def find(tx: Tx, wanted: list[tuple[int, UUID]]) -> dict[tuple[int, UUID], Any]:
    """Messages by tenant and id."""
    rows = await tx.fetch(
        "SELECT m.* FROM unnest($1::int[], $2::uuid[]) AS w(tenant, id)"
        " JOIN message m ON m.tenant=w.tenant AND m.id=w.id",
        [tenant for tenant, _ in wanted],
        [message for _, message in wanted],
    )
    return {(row["tenant"], row["id"]): row for row in rows}


async def page(tx: Tx, tenant: int, before: UUID | None, limit: int) -> list[Any]:
    """Messages to a tenant and to everyone, newest first."""
    return await tx.fetch(
        "SELECT * FROM message WHERE tenant = ANY($1) AND ($2::uuid IS NULL OR id < $2)"
        " ORDER BY id DESC LIMIT $3",
        sorted({PLATFORM, tenant}),
        before,
        limit,
    )


async def count(tx: Tx) -> int:
    """How many messages the transaction sees."""
    found: int = await tx.value("SELECT count(*) FROM message")
    return found
