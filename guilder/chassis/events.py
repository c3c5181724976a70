"""The log of a service, its feed, and those who follow it.

A follower stores its position in the transaction of its effect, so an event takes effect once; a
read model is rebuilt by clearing it and following from position 0.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from guilder.chassis.clock import Clock
from guilder.chassis.logs import named
from guilder.chassis.store import OUTAGES, Store, Tx
from guilder.contracts.context import PLATFORM, Context, Principal
from guilder.contracts.declare import Contract, Event, EventPage, EventQuery
from guilder.contracts.errors import InvalidRequest, Problem

log = structlog.get_logger()

PAGE = 500
POLL_SECONDS = 0.25
MAX_WAIT_MS = 30_000
SILENT_SECONDS = 60.0
"""A follower that has not been answered for so long is behind, whatever the last page said."""

SYSTEM = Principal(id=UUID(int=0), kind="service")
"""Who acts when the platform itself does."""

Reaction = Callable[[Tx, Event], Awaitable[None]]
PageReaction = Callable[[Tx, Sequence[Event]], Awaitable[None]]
Deed = Callable[[Event], Awaitable[None]]


async def feed(store: Store, query: EventQuery) -> EventPage:
    """Serve a page of the log in commit order; waits up to `wait_ms` for the first event."""
    xid, n = _read_position(query.after)
    limit = max(1, min(query.limit, PAGE))
    left = min(query.wait_ms, MAX_WAIT_MS) / 1000
    while True:
        async with store.tx() as tx:
            rows = await tx.fetch("SELECT * FROM feed_page($1::text::xid8,$2,$3)", xid, n, limit)
        if rows or left <= 0 or store.leaving:
            break
        await store.wait_news(min(left, POLL_SECONDS))
        left -= POLL_SECONDS
    events = [_event(row) for row in rows]
    return EventPage(events=events, next=events[-1].position if events else query.after)


def _read_position(text: str) -> tuple[str, int]:
    xid, _, n = (text or "0.0").partition(".")
    # isdecimal alone lets foreign digits pass; the lengths keep both within what the columns hold.
    plain = text.isascii() and xid.isdecimal() and n.isdecimal()
    if not (plain and len(xid) <= 19 and len(n) <= 18):
        raise InvalidRequest("`after` must be a position that the feed itself gave", at="$.after")
    return xid, int(n)


def _event(row: Any) -> Event:
    return Event(
        position=f"{row['xid']}.{row['n']}",
        type=row["type"],
        at=row["at"],
        tenant=row["tenant"],
        principal=str(row["principal"]),
        request=row["request"],
        ids=json.loads(row["ids"]),
    )


class Follower:
    """Follows one feed: a page of events, their effects and the new position in one commit."""

    def __init__(
        self,
        store: Store,
        source: Contract,
        reactions: Mapping[str, Reaction],
        clock: Clock,
        page: PageReaction | None = None,
    ) -> None:
        """`reactions` by event type; `"*"` gets every event; other types are passed over.

        `page` gets each page as a whole, before the reactions: one statement for many events.
        """
        self.store, self.source, self.reactions, self.clock = store, source, reactions, clock
        self.page = page
        self.feed = source.contract_name
        self.position = ""
        self.taken = self.failures = 0
        """Events taken and steps that failed since this process started."""
        self.error: str | None = None
        """What the last step failed with: the code of a problem, or an exception's name."""
        self._heard = clock.monotonic()
        self._behind_since: datetime | None = None

    async def step(self, wait_ms: int = 0) -> int:
        """Take one page; the number of events seen."""
        async with self.store.tx() as tx:
            after = await tx.value("SELECT position FROM feed_position WHERE feed=$1", self.feed)
        query = EventQuery(after=after or "", limit=PAGE, wait_ms=wait_ms)
        page = await self.source.events(_CTX, query)
        if page.events:
            await self._take(page, after)
        self._took(page)
        return len(page.events)

    def _took(self, page: EventPage) -> None:
        self.position, self.taken = page.next, self.taken + len(page.events)
        self.error, self._heard = None, self.clock.monotonic()
        self._behind_since = page.events[-1].at if len(page.events) >= PAGE else None

    def behind(self) -> float:
        """Seconds by which it lags: 0 when it has taken all there was."""
        silent = self.clock.monotonic() - self._heard
        if self.error is not None or silent > SILENT_SECONDS:
            return silent
        if self._behind_since is None:
            return 0.0
        return max(0.0, (self.clock.now() - self._behind_since).total_seconds())

    async def _take(self, page: EventPage, after: str | None) -> None:
        tenants = sorted({event.tenant for event in page.events})
        async with self.store.tx(*tenants) as tx:
            moved = await tx.execute(
                "INSERT INTO feed_position (feed, position) VALUES ($1,$2) ON CONFLICT (feed)"
                " DO UPDATE SET position=$2 WHERE feed_position.position=$3",
                self.feed,
                page.next,
                after or "",
            )
            if not moved:  # somebody else followed the same feed meanwhile
                return
            if self.page is not None:
                await self.page(tx, page.events)
            for event in page.events:
                reaction = self.reactions.get(event.type) or self.reactions.get("*")
                if reaction is not None:
                    await reaction(tx, event)

    async def rebuild(self, clear: Callable[[Tx], Awaitable[None]]) -> None:
        """Clear the read model and follow again from position 0."""
        tenants = await self.store.seen_tenants()
        async with self.store.tx(*tenants) as tx:
            await clear(tx)
            await tx.execute("DELETE FROM feed_position WHERE feed=$1", self.feed)
        while await self.step():
            pass

    async def run(self) -> None:
        """Follow until this process leaves; an error is tried again with a growing pause."""
        pause = 0.2
        while not self.store.leaving:  # the feeds of this process do not wait then
            try:
                await self.step(wait_ms=20_000)
                pause = 0.2
            except Exception as error:
                self.failures += 1
                self.error = named(error)
                known = isinstance(error, (Problem, *OUTAGES))
                log.warning(
                    "feed",
                    feed=self.feed,
                    service=self.store.service,
                    error=self.error,
                    exc_info=None if known else error,
                )
                await self.clock.sleep(pause)
                pause = min(pause * 2, 10.0)


class Doer(Follower):
    """Follows a feed with deeds that call other services: done first, then the position.

    A deed may therefore happen again after a crash and must be idempotent by a key derived from
    the event.
    """

    def __init__(
        self, store: Store, source: Contract, deeds: Mapping[str, Deed], clock: Clock, name: str
    ) -> None:
        """`name` tells this follower's position from others of the same feed."""
        super().__init__(store, source, {}, clock)
        self.deeds = deeds
        self.feed = f"{source.contract_name}:{name}"

    async def _take(self, page: EventPage, after: str | None) -> None:
        for event in page.events:
            deed = self.deeds.get(event.type)
            if deed is not None:
                await deed(event)
        await super()._take(page, after)


_CTX = Context(tenant=PLATFORM, principal=SYSTEM)
