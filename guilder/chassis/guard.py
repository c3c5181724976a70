"""Rights and four eyes for every public operation, asked of `access`; and the executor of what
was approved.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog

from guilder.chassis.batch import one
from guilder.chassis.contract import convert, encode, read_json
from guilder.chassis.directory import DirectoryFollower
from guilder.chassis.events import SYSTEM, Doer
from guilder.chassis.idempotency import fingerprint
from guilder.chassis.serve import Endpoint
from guilder.chassis.store import Store
from guilder.contracts.access import v1 as access
from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Event, Operation
from guilder.contracts.errors import Conflict, Forbidden, KeyReused, NotFound, Problem
from guilder.contracts.registry.held import held

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


async def approved(
    client: access.Access, operation: Operation, ctx: Context, request: Any
) -> access.ApprovedInput | None:
    """The proposal by which exactly this is done for who proposed it; None where nobody approved.

    It is asked of `access`, because a call of our own may claim any.
    """
    if ctx.approval is None:
        return None
    system = Context(tenant=ctx.tenant, principal=SYSTEM, request=ctx.request)
    wanted = operation.id, fingerprint(operation, request).hex(), ctx.principal.id
    try:
        found = await client.approved_input(system, access.ProposalId(proposal_id=ctx.approval))
    except (NotFound, Conflict):
        return None
    return found if (found.operation, found.hash, found.proposer.id) == wanted else None


RESUME_SECONDS = 2.0
"""How soon after a window what was approved meanwhile is executed."""

MOST_RESUMED = 100
"""Most proposals of a tenant that one sweep resumes."""


class Executor:
    """Executes approved proposals of one service, exactly as hashed.

    What cannot end now is put aside, in writing, so that nothing that was approved later waits
    behind it; a sweep takes it up again: what a window or read-only mode holds back, what met an
    outage, and what was accepted and waits.
    """

    def __init__(
        self, endpoint: Endpoint, client: access.Access, store: Store, directory: DirectoryFollower
    ) -> None:
        """`endpoint` is the service's own, and `store`; `directory` knows what is in force."""
        self._endpoint, self._access = endpoint, client
        self._store, self._directory = store, directory

    def follower(self) -> Doer:
        """The follower of access' log that executes what concerns this service."""
        deeds: Mapping[str, Any] = {"proposal.approved": self.take}
        return Doer(self._store, self._access, deeds, self._store.clock, name="executor")

    async def take(self, event: Event) -> None:
        """Execute what concerns this service, or put it aside while it must not be."""
        contract, _, name = event.ids["operation"].partition(".")
        if contract != self._endpoint.name:
            return
        proposal = UUID(event.ids["proposal"])
        if not self._is_held(name, event.tenant) and await self._ends(
            event.tenant, proposal, name, event.request
        ):
            return
        async with self._store.tx(event.tenant) as tx:
            await tx.execute(
                "INSERT INTO put_aside (tenant, proposal, operation, request)"
                " VALUES ($1,$2,$3,$4) ON CONFLICT DO NOTHING",
                event.tenant,
                proposal,
                name,
                event.request,
            )

    async def resume(self) -> int:
        """Execute what was put aside and is held no more (a sweep); how much."""
        resumed = 0
        async with self._store.tx() as tx:
            tenants = await tx.fetch("SELECT put_aside_tenants() AS tenant")
        for tenant in [row["tenant"] for row in tenants]:
            async with self._store.tx(tenant) as tx:
                rows = await tx.fetch(
                    "SELECT * FROM put_aside ORDER BY proposal LIMIT $1", MOST_RESUMED
                )
            for row in rows:
                if not self._is_held(row["operation"], tenant):
                    resumed += await self._resume(tenant, row)
        return resumed

    async def _resume(self, tenant: int, row: Any) -> bool:
        """Execute one; what does not end now stays, and keeps nobody else waiting."""
        proposal = row["proposal"]
        if not await self._ends(tenant, proposal, row["operation"], row["request"]):
            return False
        async with self._store.tx(tenant) as tx:
            await tx.execute("DELETE FROM put_aside WHERE proposal=$1", proposal)
        return True

    def _is_held(self, name: str, tenant: int) -> bool:
        operation = self._endpoint.operations.get(name)
        if operation is None:  # to be refused, whatever is in force
            return False
        now = self._store.clock.now()
        return held(operation, tenant, self._directory.latest, now) is not None

    async def _ends(self, tenant: int, proposal: UUID, name: str, request: str) -> bool:
        """Execute one; False where it met an outage, or was accepted and is not decided yet."""
        try:
            return await self._execute(tenant, proposal, name, request)
        except Problem as problem:
            log.warning("approved input waits", proposal=str(proposal), code=problem.code)
            return False

    async def _execute(self, tenant: int, proposal: UUID, name: str, request: str) -> bool:
        """Run the approved command under a key derived from the proposal, then report.

        False where it was accepted and waits: how it ends is not known yet.
        """
        system = Context(tenant=tenant, principal=SYSTEM, request=request)
        try:
            approved = await self._access.approved_input(
                system, access.ProposalId(proposal_id=proposal)
            )
            operation, call = self._command(name, system, approved)
        except Problem as problem:
            if not problem.final:
                raise  # an outage
            log.error("approved input is not executed", proposal=str(proposal), code=problem.code)
            await self._report(system, proposal, None, problem)
            return True
        if approved.state != "approved":
            return True  # executed and reported before
        (outcome,) = await self._endpoint.dispatch(operation, self._endpoint.name, [call])
        ended = outcome.problem
        if operation.waits and outcome.status == 202:
            return False
        if ended is None:
            await self._report(system, proposal, getattr(outcome.value(operation), "id", None))
        elif ended.final or isinstance(ended, KeyReused):  # no repeat would end otherwise
            await self._report(system, proposal, None, ended)
        else:
            raise ended
        return True

    def _command(
        self, name: str, system: Context, approved: access.ApprovedInput
    ) -> tuple[Operation, Call[Any]]:
        """The operation and its call exactly as hashed, in the proposer's name."""
        operation = self._endpoint.operations.get(name)
        if operation is None or not operation.four_eyes:
            raise access.InputChanged(f"{self._endpoint.name}.{name} is not under four eyes")
        raw = approved.input.encode()
        if hashlib.sha256(operation.id.encode() + b"\n" + raw).hexdigest() != approved.hash:
            raise access.InputChanged("the input does not match its hash")
        ctx = Context(
            tenant=system.tenant,
            principal=approved.proposer,
            key=f"proposal:{approved.id}",
            request=system.request,
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
