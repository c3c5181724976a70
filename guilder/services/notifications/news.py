"""Who is told a piece of news outside, and what each gets. Queued in the caller's transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from guilder.chassis.store import Store, Tx
from guilder.contracts.notifications.deliveries import subscription
from guilder.services.notifications import address_store, delivery_store, webhook_store
from guilder.services.notifications.delivery import Outgoing, copy_id

PAGE: Final = 1_000
"""People who are written to in one commit."""


@dataclass(frozen=True)
class News:
    """Something that subscribers of a tenant are told.

    `to`: the principals whose business it is. Endpoints get `body`, a JSON document; people
    `subject` and `text`.
    """

    tenant: int
    id: UUID
    topic: str
    about: UUID
    order: str
    subject: str
    text: str
    body: str
    to: frozenset[UUID] = frozenset()


async def tell_outside(tx: Tx, news: Sequence[News], attempts: int) -> None:
    """Queue a delivery for each subscriber of each piece; what is queued already stays once."""
    if not news:
        return
    tenants = sorted({piece.tenant for piece in news})
    principals = sorted({principal for piece in news for principal in piece.to})
    endpoints = await webhook_store.in_use(tx, tenants)
    addresses = await address_store.confirmed(tx, tenants, principals)
    posts, mails = _by_tenant(endpoints), _by_tenant(addresses)
    queue: list[Outgoing] = []
    for piece in news:
        queue += _posts(piece, posts.get(piece.tenant, ()))
        named = [row for row in mails.get(piece.tenant, ()) if row["principal"] in piece.to]
        queue += _mails(piece, named)
    await delivery_store.add(tx, queue, attempts)


async def tell_everyone(database: Store, piece: News, attempts: int) -> None:
    """The same for everybody with an address in the tenant, in pages, each its own commit."""
    async with database.tx(piece.tenant) as tx:
        await tell_outside(tx, [piece], attempts)
    after: UUID | None = None
    while True:
        async with database.tx(piece.tenant) as tx:
            rows = await address_store.confirmed_after(tx, piece.tenant, after, PAGE)
            await delivery_store.add(tx, _mails(piece, rows), attempts)
        if len(rows) < PAGE:
            return
        after = rows[-1]["principal"]


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
        if subscription(piece.topic) not in row["unsubscribed"]
    ]
