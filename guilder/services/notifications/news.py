"""Who is told a piece of news outside, and what each gets. Queued in the caller's transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.notifications.deliveries import subscription
from guilder.services.notifications import address_store, delivery_store, webhook_store
from guilder.services.notifications.delivery import Outgoing, copy_id


@dataclass(frozen=True)
class News:
    """Something that subscribers of a tenant are told.

    `to`: the principals whose mail it is; None = everybody's. Endpoints get `body`, a JSON
    document; people `subject` and `text`.
    """

    tenant: int
    id: UUID
    topic: str
    about: UUID
    order: str
    subject: str
    text: str
    body: str
    to: frozenset[UUID] | None = None


async def tell_outside(tx: Tx, news: Sequence[News], attempts: int) -> None:
    """Queue a delivery for each subscriber of each piece; what is queued already stays once."""
    if not news:
        return
    tenants = sorted({piece.tenant for piece in news})
    named = [piece.to for piece in news]
    principals = None if None in named else sorted({p for to in named if to for p in to})
    endpoints = await webhook_store.in_use(tx, tenants)
    addresses = await address_store.confirmed(tx, tenants, principals)
    posts, mails = _by_tenant(endpoints), _by_tenant(addresses)
    queue: list[Outgoing] = []
    for piece in news:
        queue += _posts(piece, posts.get(piece.tenant, ()))
        queue += _mails(piece, mails.get(piece.tenant, ()))
    await delivery_store.add(tx, queue, attempts)


def _by_tenant(rows: Iterable[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row["tenant"], []).append(row)
    return found


def _posts(piece: News, endpoints: Iterable[Any]) -> list[Outgoing]:
    return [
        Outgoing(
            tenant=piece.tenant,
            id=copy_id(piece.id, row["id"]),
            channel="webhook",
            recipient=row["id"],
            topic=piece.topic,
            order=piece.order,
            subject=piece.subject,
            text=piece.body,
            about=piece.about,
            url=row["url"],
        )
        for row in endpoints
        if subscription(piece.topic) in row["topics"]
    ]


def _mails(piece: News, addresses: Iterable[Any]) -> list[Outgoing]:
    return [
        Outgoing(
            tenant=piece.tenant,
            id=copy_id(piece.id, row["principal"]),
            channel="email",
            recipient=row["principal"],
            topic=piece.topic,
            order=piece.order,
            subject=piece.subject,
            text=piece.text,
            about=piece.about,
            person=row["person"],
            sealed=bytes(row["sealed"]),
        )
        for row in addresses
        if (piece.to is None or row["principal"] in piece.to)
        and subscription(piece.topic) not in row["unsubscribed"]
    ]
