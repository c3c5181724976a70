"""What screening does when the vault has destroyed a person's keys: the cases forget him."""

from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.declare import Event
from guilder.services.screening import store


async def keys_destroyed(tx: Tx, event: Event) -> None:
    """Empty what cases hold about the party; that there was a hit on a payment stays."""
    await store.forget(tx, event.tenant, UUID(event.ids["subject"]))
