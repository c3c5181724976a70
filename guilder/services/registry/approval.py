"""Who may change the directory, and who approved it."""

from typing import Any
from uuid import UUID

from guilder.chassis.guard import approved
from guilder.contracts.access.v1 import Access
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.declare import Operation
from guilder.contracts.errors import Forbidden


def operators_only(ctx: Context) -> None:
    """Forbidden for whoever is no operator of the platform."""
    if ctx.tenant != PLATFORM:
        raise Forbidden("only an operator of the platform may do this")


async def approver(client: Access, operation: Operation, ctx: Context, request: Any) -> UUID:
    """Who approved exactly this; Forbidden where nobody has."""
    found = await approved(client, operation, ctx, request)
    if found is not None:
        return found.approver
    raise Forbidden("this is done when another operator has approved it")
