"""Rights and four eyes for every public operation, asked of `access`; and the executor of what
was approved.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog

from guilder.chassis.batch import one
from guilder.chassis.clock import Clock
from guilder.chassis.contract import convert, encode, read_json
from guilder.chassis.events import SYSTEM, Doer
from guilder.chassis.idempotency import fingerprint
from guilder.chassis.serve import Endpoint
from guilder.chassis.store import Store
from guilder.contracts.access import v1 as access
from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Event, Operation
from guilder.contracts.errors import Forbidden, KeyReused, NotFound, Problem

log = structlog.get_logger()


class AccessGuard:
    """Asks `access` before a public operation runs."""

    def __init__(self, client: access.Access) -> None:
        """`client` is the service's client of `access` (or the service itself, for access)."""
        self._access = client

    async def check(self, operation: Operation, call: Call[Any]) -> None:
        """Raise unless the principal holds the declared right on the declared resource."""
        if operation.may is None or operation.on == "inside":
            return
        account: UUID | None = getattr(call.request, operation.on) if operation.on else None
        question = access.Evaluation(right=operation.may, operation=operation.id, account=account)
        decision = await one(self._access.evaluate, call.ctx, question)
        if decision.allowed:
            return
        if account is not None:  # whether it exists is nobody's business
            raise NotFound(f"no account {account}")
        raise Forbidden(decision.reason)

    async def propose(self, operation: Operation, call: Call[Any]) -> access.Proposal:
        """Hand the request to `access`, where it waits for a second pair of eyes."""
        request = access.Propose(
            operation=operation.id,
            input=encode(call.request).decode(),
            hash=fingerprint(operation, call.request).hex(),
        )
        return await self._access.propose(call.ctx, request)


class Executor:
    """Executes approved proposals of one service, exactly as hashed."""

    def __init__(self, endpoint: Endpoint, client: access.Access) -> None:
        """`endpoint` is the service's own."""
        self._endpoint, self._access = endpoint, client

    def follower(self, store: Store, clock: Clock) -> Doer:
        """The follower of access' log that executes what concerns this service."""
        deeds: Mapping[str, Any] = {"proposal.approved": self.execute}
        return Doer(store, self._access, deeds, clock, name="executor")

    async def execute(self, event: Event) -> None:
        """Run the approved command under a key derived from the proposal, then report."""
        contract, _, name = event.ids["operation"].partition(".")
        if contract != self._endpoint.name:
            return
        proposal = UUID(event.ids["proposal"])
        system = Context(tenant=event.tenant, principal=SYSTEM, request=event.request)
        try:
            approved = await self._access.approved_input(
                system, access.ProposalId(proposal_id=proposal)
            )
            operation, call = self._command(name, event, approved)
        except Problem as problem:
            if not problem.final:
                raise  # an outage: the follower tries again
            log.error("approved input is not executed", proposal=str(proposal), code=problem.code)
            await self._report(system, proposal, None, problem)
            return
        if approved.state != "approved":
            return  # executed and reported before
        (outcome,) = await self._endpoint.dispatch(operation, self._endpoint.name, [call])
        ended = outcome.problem
        if ended is None:
            await self._report(system, proposal, getattr(outcome.value(operation), "id", None))
        elif ended.final or isinstance(ended, KeyReused):  # no repeat would end otherwise
            await self._report(system, proposal, None, ended)
        else:
            raise ended

    def _command(
        self, name: str, event: Event, approved: access.ApprovedInput
    ) -> tuple[Operation, Call[Any]]:
        """The operation and its call exactly as hashed, in the proposer's name."""
        operation = self._endpoint.operations.get(name)
        if operation is None or not operation.four_eyes:
            raise access.InputChanged(f"{event.ids['operation']} is not under four eyes")
        raw = approved.input.encode()
        if hashlib.sha256(operation.id.encode() + b"\n" + raw).hexdigest() != approved.hash:
            raise access.InputChanged("the input does not match its hash")
        ctx = Context(
            tenant=event.tenant,
            principal=approved.proposer,
            key=f"proposal:{approved.id}",
            request=event.request,
            approval=approved.id,
        )
        return operation, Call(ctx, convert(read_json(raw), operation.request))

    async def _report(
        self, ctx: Context, proposal: UUID, resource: object, problem: Problem | None = None
    ) -> None:
        ended = access.Executed(
            proposal_id=proposal,
            resource=str(resource) if resource else None,
            problem=problem.code if problem else None,
        )
        try:
            await self._access.executed(ctx.step(f"executed:{proposal}"), ended)
        except Problem as refused:
            if not refused.final:
                raise
            log.error("nothing to report on", proposal=str(proposal), code=refused.code)
