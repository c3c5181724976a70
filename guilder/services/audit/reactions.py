"""What the audit does with the logs it follows: every event becomes an entry."""

from collections.abc import Sequence

from guilder.chassis.events import PageReaction
from guilder.chassis.store import Tx
from guilder.contracts.declare import Event
from guilder.services.audit import store
from guilder.services.audit.chain import extend, from_event


def take_down(source: str) -> PageReaction:
    """The reaction to a page of the log of `source`: its events, in order, as entries."""

    async def react(tx: Tx, events: Sequence[Event]) -> None:
        lines = [from_event(source, event) for event in events]
        heads = await store.lock_heads(tx, [line.tenant for line in lines])
        await store.append(tx, extend(heads, lines), heads)

    return react
