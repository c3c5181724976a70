"""Reading whole lists through contracts, page by page."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import islice
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec

from guilder.chassis.batch import MAX_BATCH
from guilder.chassis.events import SYSTEM
from guilder.contracts.access.v1 import Access
from guilder.contracts.accounts.v1 import Account, Accounts, Which
from guilder.contracts.audit.v1 import Audit
from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Contract, Event, EventQuery
from guilder.contracts.errors import NotFound, Problem, Unavailable
from guilder.contracts.identity.v1 import Identity
from guilder.contracts.ledger.v1 import Ledger
from guilder.contracts.notifications.v1 import Notifications
from guilder.contracts.parties.v1 import Parties
from guilder.contracts.payments.v1 import Payments
from guilder.contracts.pricing.v1 import Pricing
from guilder.contracts.registry.v1 import Registry
from guilder.contracts.screening.v1 import Screening
from guilder.contracts.vault.v1 import Vault

C = TypeVar("C", bound=Contract)
ALL: dict[str, type[Contract]] = {
    contract.contract_name: contract
    for contract in (
        Registry,
        Identity,
        Access,
        Vault,
        Parties,
        Accounts,
        Ledger,
        Payments,
        Pricing,
        Screening,
        Audit,
        Notifications,
    )
}
"""Every contract, by name."""

MAX_PAGES = 1_000_000
"""The most pages one list is followed for: a feed that never ends is a defect."""


class Clients(Protocol):
    """Where clients come from: a running platform, or a test's world."""

    def __call__(self, contract: type[C]) -> C:
        """A client of the contract, in the name of the operator's tools."""
        ...


def acting(tenant: int) -> Context:
    """The platform itself, in a tenant."""
    return Context(tenant=tenant, principal=SYSTEM, channel="tools")


async def every(
    read: Callable[[Context, Any], Awaitable[Any]], ctx: Context, query: Any
) -> AsyncIterator[Any]:
    """All items of a list that is paged by `after` and `next`."""
    for _ in range(MAX_PAGES):
        page = await read(ctx, query)
        for item in page.items:
            yield item
        if page.next is None:
            return
        query = msgspec.structs.replace(query, after=page.next)
    raise Unavailable("a list does not end")


async def log_of(service: Contract, ctx: Context) -> AsyncIterator[Event]:
    """All events of a service's log up to now, in commit order."""
    after = ""
    for _ in range(MAX_PAGES):
        page = await service.events(ctx, EventQuery(after=after, limit=500))
        for event in page.events:
            yield event
        if not page.events:
            return
        after = page.next
    raise Unavailable("a log does not end")


async def resolved(client: Accounts, ctx: Context, ids: Iterable[UUID]) -> dict[UUID, Account]:
    """The accounts among these ids; what is no account is left out."""
    found: dict[UUID, Account] = {}
    rest = iter(ids)
    while some := list(islice(rest, MAX_BATCH)):
        answers = await client.resolve([Call(ctx, Which(account=str(id_))) for id_ in some])
        for id_, answer in zip(some, answers, strict=True):
            if not isinstance(answer, Problem):
                found[id_] = answer
            elif not isinstance(answer, NotFound):
                raise answer
    return found
