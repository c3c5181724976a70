"""Access: who may do what, and four eyes once for all."""

from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from guilder.chassis.contract import convert, read_json
from guilder.chassis.events import feed
from guilder.chassis.idempotency import Once, local
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store, Tx
from guilder.contracts.access import v1
from guilder.contracts.context import Context, Principal
from guilder.contracts.declare import (
    Answers,
    Batch,
    EventPage,
    EventQuery,
    Nothing,
    SelfCheck,
)
from guilder.contracts.errors import Forbidden, Internal, InvalidRequest, NotFound
from guilder.services.access import checks, proposal_store, store
from guilder.services.access.proposal import (
    digest,
    is_proposer,
    proposed_digest,
    show,
    state_at,
)
from guilder.services.access.roles import (
    ROLES,
    check_scope,
    decide,
    is_self,
    subjects,
    with_right,
)
from guilder.services.access.settings import AccessSettings

GRANT = "access.grant"
SWEEP = 500
"""Most proposals of a tenant that one sweep closes."""


class AccessService(v1.Access):
    """Roles, decisions on them, and proposals."""

    def __init__(self, database: Store, once: Once, sealer: Sealer, set_: AccessSettings) -> None:
        """`sealer` seals inputs and reasons with the key of who wrote them."""
        self.store, self.once, self._sealer = database, once, sealer
        self._open_for = timedelta(days=set_.proposal_days)

    # ── decisions ────────────────────────────────────────────────────────────────────────────

    async def evaluate(self, calls: Batch[v1.Evaluation]) -> Answers[v1.Decision]:
        """Decide each call from the roles of its principal and his party; one query a batch."""
        questions = [
            (n, call.ctx.tenant, subject, call.request.account)
            for n, call in enumerate(calls)
            for subject in subjects(call.ctx.principal)
        ]
        async with self.store.tx(*{call.ctx.tenant for call in calls}) as tx:
            found = await store.held(tx, questions)
        held: list[list[v1.RoleName]] = [[] for _ in calls]
        for n, role in found:
            held[n].append(role)
        return [
            decide(call.request.right, call.request.account, roles)
            for call, roles in zip(calls, held, strict=True)
        ]

    async def accounts(self, ctx: Context, request: v1.AccountQuestion) -> v1.AccountsAllowed:
        """List the accounts on which the principal has a right."""
        async with self.store.tx(ctx.tenant) as tx:
            found = await store.accounts(
                tx,
                ctx.tenant,
                subjects(ctx.principal),
                with_right(request.right),
                request.after,
                request.limit,
            )
        if None in found:
            return v1.AccountsAllowed(all=True, accounts=[])
        return v1.AccountsAllowed(all=False, accounts=[a for a in found if a is not None])

    # ── roles ────────────────────────────────────────────────────────────────────────────────

    @local
    async def assign(self, tx: Tx, ctx: Context, request: v1.GrantRole) -> v1.Grant:
        """Give a role that a service has decided on."""
        return await self._give(tx, ctx, request, None)

    @local
    async def grant(self, tx: Tx, ctx: Context, request: v1.GrantRole) -> v1.Grant:
        """Give a role that somebody else approved; never to oneself."""
        approved = ctx.approval and await proposal_store.find_proposal(tx, ctx.tenant, ctx.approval)
        if not approved or approved["state"] != "approved" or approved["operation"] != GRANT:
            raise Forbidden("a role is given when somebody else has approved it")
        self._refuse_self(ctx, request)
        return await self._give(tx, ctx, request, ctx.approval)

    async def _give(
        self, tx: Tx, ctx: Context, request: v1.GrantRole, proposal: UUID | None
    ) -> v1.Grant:
        check_scope(ctx.tenant, request.role, request.account)
        row = await store.add_grant(tx, ctx, request, proposal)
        if row["id"] == tx.resource:  # else he holds it already
            tx.emit(
                ctx,
                "role.granted",
                grant=row["id"],
                subject=request.subject,
                account=request.account,
                proposal=proposal,
            )
        return _grant(row)

    @local
    async def revoke(self, tx: Tx, ctx: Context, request: v1.RevokeRole) -> v1.Grant:
        """Take a role back; one that was taken back before stays as it is."""
        by = ctx.principal.id
        sealed = await self._seal(ctx, "role_grant.revoke_reason", request.reason)
        row = await store.revoke_grant(tx, ctx.tenant, request.grant_id, by, tx.at, sealed)
        if row is not None:
            tx.emit(
                ctx,
                "role.revoked",
                grant=row["id"],
                subject=row["subject"],
                account=row["account"],
            )
            return _grant(row)
        row = await store.find_grant(tx, ctx.tenant, request.grant_id)
        if row is None:
            raise NotFound(f"no role was given as {request.grant_id}")
        return _grant(row)

    async def grants(self, ctx: Context, request: v1.GrantQuery) -> v1.Grants:
        """List who holds which role now."""
        async with self.store.tx(ctx.tenant) as tx:
            rows = await store.list_grants(tx, ctx.tenant, request)
        items = [_grant(row) for row in rows[: request.limit]]
        return v1.Grants(items=items, next=items[-1].id if len(rows) > len(items) else None)

    async def roles(self, ctx: Context, request: Nothing) -> v1.Roles:
        """List the roles and what each means."""
        return v1.Roles(items=list(ROLES.values()))

    # ── four eyes ────────────────────────────────────────────────────────────────────────────

    @local
    async def propose(self, tx: Tx, ctx: Context, request: v1.Propose) -> v1.Proposal:
        """Record a proposal; what could never be granted is refused before anybody reads it."""
        hashed = proposed_digest(request)
        if request.operation == GRANT:
            role = _read_grant(request.input)
            check_scope(ctx.tenant, role.role, role.account)
            self._refuse_self(ctx, role)
            if role.account and not await store.knows_account(tx, ctx.tenant, role.account):
                raise NotFound(f"no account {role.account}", at="$.account")
        sealed = await self._seal(ctx, "proposal.input", request.input)
        row = await proposal_store.add_proposal(
            tx, ctx, request.operation, sealed, hashed, tx.at + self._open_for
        )
        tx.emit(ctx, "proposal.proposed", proposal=row["id"], operation=row["operation"])
        return show(row, tx.at)

    async def proposals(self, ctx: Context, request: v1.ProposalQuery) -> v1.Proposals:
        """List proposals, newest first; neither input nor reason is opened for a list."""
        async with self.store.tx(ctx.tenant) as tx:
            rows = await proposal_store.list_proposals(tx, ctx.tenant, request)
        items = [show(row, tx.at) for row in rows[: request.limit]]
        return v1.Proposals(items=items, next=items[-1].id if len(rows) > len(items) else None)

    async def proposal(self, ctx: Context, request: v1.ProposalId) -> v1.Proposal:
        """Read one proposal, for its proposer and for those who may approve."""
        async with self.store.tx(ctx.tenant) as tx:
            row = await proposal_store.find_proposal(tx, ctx.tenant, request.proposal_id)
            mine = row is not None and is_proposer(row, ctx.principal)
            questions = [(0, ctx.tenant, s, None) for s in subjects(ctx.principal)]
            held = [role for _, role in await store.held(tx, questions)]
        if row is None or not (mine or decide("approve", None, held).allowed):
            raise _absent(request.proposal_id)
        text = await self._input(ctx.tenant, row)
        return show(row, tx.at, text=text, reason=await self._reason(ctx.tenant, row))

    @local
    async def approve(self, tx: Tx, ctx: Context, request: v1.Verdict) -> v1.Proposal:
        """Approve; the log then tells the service whose operation it is to execute it."""
        row = await proposal_store.find_proposal(tx, ctx.tenant, request.proposal_id)
        if row is not None and row["operation"] == GRANT and not is_proposer(row, ctx.principal):
            self._refuse_self(ctx, _read_grant(await self._input(ctx.tenant, row)))
        return await self._decide(tx, ctx, request, "approved")

    @local
    async def reject(self, tx: Tx, ctx: Context, request: v1.Verdict) -> v1.Proposal:
        """Reject, saying why."""
        if request.reason is None:
            raise InvalidRequest("say why you reject it", at="$.reason")
        return await self._decide(tx, ctx, request, "rejected")

    async def _decide(
        self, tx: Tx, ctx: Context, request: v1.Verdict, state: Literal["approved", "rejected"]
    ) -> v1.Proposal:
        text = request.reason
        sealed = await self._seal(ctx, "proposal.reason", text) if text is not None else None
        row = await proposal_store.decide_proposal(tx, ctx, request.proposal_id, state, sealed)
        if row is None:
            row = await proposal_store.find_proposal(tx, ctx.tenant, request.proposal_id)
            if row is None:
                raise _absent(request.proposal_id)
            if is_proposer(row, ctx.principal):
                raise v1.OwnProposal()
            raise v1.ProposalClosed(f"the proposal is {state_at(row, tx.at)}")
        tx.emit(ctx, f"proposal.{state}", proposal=row["id"], operation=row["operation"])
        return show(row, tx.at, reason=text)

    async def approved_input(self, ctx: Context, request: v1.ProposalId) -> v1.ApprovedInput:
        """Hand out what was approved, if it is still what was proposed."""
        async with self.store.tx(ctx.tenant) as tx:
            row = await proposal_store.find_proposal(tx, ctx.tenant, request.proposal_id)
        if row is None:
            raise _absent(request.proposal_id)
        if row["state"] not in ("approved", "executed", "failed"):
            raise v1.ProposalClosed(f"the proposal is {state_at(row, tx.at)}, not approved")
        text = await self._input(ctx.tenant, row)
        return v1.ApprovedInput(
            id=row["id"],
            operation=row["operation"],
            input=text,
            hash=bytes(row["hash"]).hex(),
            state=row["state"],
            proposer=Principal(
                id=row["proposed_by"], kind=row["proposed_kind"], party=row["proposed_party"]
            ),
            approver=row["decided_by"],
            approver_party=row["decided_party"],
        )

    @local
    async def executed(self, tx: Tx, ctx: Context, request: v1.Executed) -> v1.Proposal:
        """Record how the approved command ended."""
        row = await proposal_store.end_proposal(
            tx, ctx.tenant, request.proposal_id, request.resource, request.problem
        )
        if row is None:
            row = await proposal_store.find_proposal(tx, ctx.tenant, request.proposal_id)
            if row is None:
                raise _absent(request.proposal_id)
            raise v1.ProposalClosed(f"the proposal is {state_at(row, tx.at)}, not approved")
        tx.emit(ctx, f"proposal.{row['state']}", proposal=row["id"], operation=row["operation"])
        return show(row, tx.at)

    async def expire(self) -> int:
        """Close proposals whose time is over (a sweep); how many."""
        closed = 0
        for tenant in await self.store.seen_tenants():
            async with self.store.tx(tenant) as tx:
                ids = await proposal_store.expire_proposals(tx, tenant, SWEEP)
                for proposal in ids:
                    tx.emit(checks.as_platform(tenant), "proposal.expired", proposal=proposal)
                closed += len(ids)
        return closed

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Check roles and proposals of every tenant."""
        return await checks.self_check(self.store, self._input)

    # ── sealed texts ─────────────────────────────────────────────────────────────────────────

    @staticmethod
    def _refuse_self(ctx: Context, request: v1.GrantRole) -> None:
        if is_self(ctx, request.subject):
            raise Forbidden("nobody proposes or approves a role for himself or his own party")

    async def _seal(self, ctx: Context, place: str, text: str) -> bytes:
        return await self._sealer.seal(ctx.tenant, ctx.principal.id, place, text.encode())

    async def _input(self, tenant: int, row: Any) -> str:
        """Open a proposal's input; InputChanged when it is not what was proposed."""
        try:
            plain = await self._sealer.open(
                tenant, row["proposed_by"], "proposal.input", bytes(row["input"])
            )
            text = plain.decode()
        except Internal:
            raise v1.InputChanged("the stored input does not open") from None
        if digest(row["operation"], text) != bytes(row["hash"]):
            raise v1.InputChanged("the stored input does not match its hash")
        return text

    async def _reason(self, tenant: int, row: Any) -> str | None:
        if row["reason"] is None:
            return None
        plain = await self._sealer.open(
            tenant, row["decided_by"], "proposal.reason", bytes(row["reason"])
        )
        return plain.decode()


def _read_grant(text: str) -> v1.GrantRole:
    request: v1.GrantRole = convert(read_json(text.encode()), v1.GrantRole)
    return request


def _absent(proposal: UUID) -> NotFound:
    return NotFound(f"no proposal {proposal}")


def _grant(row: Any) -> v1.Grant:
    return v1.Grant(
        id=row["id"],
        subject=row["subject"],
        role=row["role"],
        account=row["account"],
        granted_by=row["granted_by"],
        granted_at=row["granted_at"],
        revoked_at=row["revoked_at"],
    )
