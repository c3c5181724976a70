"""Who approved a command of the registry: asked of `access`, because anybody can claim it."""

from typing import Any
from uuid import UUID

from guilder.chassis.events import SYSTEM
from guilder.chassis.idempotency import fingerprint
from guilder.contracts.access.v1 import Access, ProposalId
from guilder.contracts.context import Context
from guilder.contracts.declare import Operation
from guilder.contracts.errors import Conflict, Forbidden, NotFound


async def approver(access: Access, operation: Operation, ctx: Context, request: Any) -> UUID:
    """Who approved exactly this; Forbidden where nobody has."""
    if ctx.approval is not None:
        system = Context(tenant=ctx.tenant, principal=SYSTEM, request=ctx.request)
        wanted = operation.id, fingerprint(operation, request).hex(), ctx.principal.id
        try:
            found = await access.approved_input(system, ProposalId(proposal_id=ctx.approval))
        except (NotFound, Conflict):
            found = None
        if found and (found.operation, found.hash, found.proposer.id) == wanted:
            return found.approver
    raise Forbidden("this is done when another operator has approved it")
