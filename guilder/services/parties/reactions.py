"""What parties does when the vault has destroyed a person's keys: the row is emptied as well.

`erase` does so itself; this finishes what a crash cut short, and what a restore of the data to a
moment before the erasure brought back, where the vault is newer.
"""

from uuid import UUID

from guilder.chassis.store import Tx
from guilder.contracts.context import Context, Principal
from guilder.contracts.declare import Event
from guilder.services.parties import store


async def keys_destroyed(tx: Tx, event: Event) -> None:
    """Empty the party whose keys are gone, in the name of who destroyed them."""
    party = UUID(event.ids["subject"])
    if await store.erase(tx, event.tenant, party, tx.at):
        who = Principal(id=UUID(event.principal), kind="service")
        tx.emit(Context(event.tenant, who, request=event.request), "party.erased", party=party)
