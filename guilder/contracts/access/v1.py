"""`access`: who may do what, and four eyes once for all."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.context import Context, Principal
from guilder.contracts.declare import (
    Answer,
    Answers,
    Batch,
    Contract,
    May,
    Nothing,
    Request,
    operation,
)
from guilder.contracts.errors import Conflict, Forbidden, Refused

RoleName = Literal["owner", "signatory", "bookkeeper", "manager", "auditor", "operator"]
ProposalState = Literal["proposed", "approved", "rejected", "expired", "executed", "failed"]
Reason = Annotated[str, msgspec.Meta(min_length=3, max_length=200)]


class OwnProposal(Forbidden):
    """Somebody tried to decide on what he himself proposed."""

    code = "own-proposal"
    title = "You cannot decide on your own proposal"
    fix = "Ask another person with the right to approve."


class ProposalClosed(Conflict):
    """The proposal was decided, or has expired."""

    code = "proposal-closed"
    title = "The proposal is no longer open"
    fix = "Read the proposal; propose again if it is still wanted."


class RoleScope(Refused):
    """A role was to be given on something it is not made for."""

    code = "role-scope"
    title = "The role does not fit what it is given on"
    fix = "GET /v1/roles says which role is given on an account and which on the tenant."


class InputChanged(Refused):
    """The stored input of a proposal is no longer what was proposed; it is never executed."""

    code = "proposal-input-changed"
    title = "The input is not what was proposed"
    fix = "Propose again, and report it: somebody changed the stored proposal."


class Evaluation(Request, frozen=True, kw_only=True):
    """May the principal of the call do this? `account` None = on the tenant as a whole."""

    right: May
    operation: str
    account: UUID | None = None


class Decision(Answer, frozen=True, kw_only=True):
    """The answer and the reason in one sentence; `role` is the one that allowed it."""

    allowed: bool
    reason: str
    role: RoleName | None = None


class AccountQuestion(Request, frozen=True, kw_only=True):
    """On which accounts does the principal of the call have this right?"""

    right: May
    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1000


class AccountsAllowed(Answer, frozen=True, kw_only=True):
    """`all` = every account of the tenant; else the ids, in order, bounded by the limit."""

    all: bool
    accounts: list[UUID]


class GrantRole(Request, frozen=True, kw_only=True):
    """Give a role to a subject (a party or a principal), on one account or on the tenant.

    owner, signatory and bookkeeper are given on an account; manager, auditor and operator on the
    tenant.
    """

    subject: UUID
    role: RoleName
    account: UUID | None = None


class RevokeRole(Request, frozen=True, kw_only=True):
    """Take a role back."""

    grant_id: UUID
    reason: Reason


class Grant(Answer, frozen=True, kw_only=True):
    """One role that a subject holds."""

    id: UUID
    subject: UUID
    role: RoleName
    account: UUID | None
    granted_by: UUID
    granted_at: datetime
    revoked_at: datetime | None = None


class GrantQuery(Request, frozen=True, kw_only=True):
    """Filter of the list of roles in force."""

    subject: UUID | None = None
    account: UUID | None = None
    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class Grants(Answer, frozen=True, kw_only=True):
    """A page; pass `next` as `after`."""

    items: list[Grant]
    next: UUID | None


class Role(Answer, frozen=True, kw_only=True):
    """A role and what it means, in one sentence."""

    name: RoleName
    rights: list[May]
    scope: Literal["account", "tenant"]
    sentence: str


class Roles(Answer, frozen=True, kw_only=True):
    """All roles."""

    items: list[Role]


class Propose(Request, frozen=True, kw_only=True):
    """Ask for a second pair of eyes: this operation with exactly this input."""

    operation: str
    input: str
    """The request as canonical JSON; stored sealed."""
    hash: str
    """SHA-256 of operation and input, hex."""


class ProposalId(Request, frozen=True, kw_only=True):
    """Which proposal."""

    proposal_id: UUID


class Verdict(Request, frozen=True, kw_only=True):
    """Approve or reject a proposal."""

    proposal_id: UUID
    reason: Reason | None = None


class Proposal(Answer, frozen=True, kw_only=True):
    """A change that waits for, or got, a second pair of eyes."""

    id: UUID
    operation: str
    hash: str
    state: ProposalState
    proposed_by: UUID
    proposed_at: datetime
    expires_at: datetime
    decided_by: UUID | None = None
    decided_at: datetime | None = None
    reason: str | None = None
    """Why it was decided so; only in the answer to a single proposal."""
    resource: str | None = None
    """What the executed command made or changed."""
    problem: str | None = None
    """Code of the problem with which the approved command failed."""
    input: str | None = None
    """The request as JSON; only in the answer to a single proposal."""


class ProposalQuery(Request, frozen=True, kw_only=True):
    """Filter of the list of proposals."""

    state: ProposalState | None = None
    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class Proposals(Answer, frozen=True, kw_only=True):
    """A page, newest first; pass `next` as `after`."""

    items: list[Proposal]
    next: UUID | None


class ApprovedInput(Answer, frozen=True, kw_only=True):
    """What the executing service needs: the input exactly as hashed, who proposed and approved."""

    id: UUID
    operation: str
    input: str
    hash: str
    state: ProposalState
    proposer: Principal
    approver: UUID
    approver_party: UUID | None = None


class Executed(Request, frozen=True, kw_only=True):
    """How the approved command ended."""

    proposal_id: UUID
    resource: str | None = None
    problem: str | None = None


class Access(Contract, name="access", version="1.0.0-draft"):
    """Roles, decisions on them, and four eyes."""

    @operation("POST /evaluations", command=False, deadline_ms=1_000, sees=("right", "account"))
    async def evaluate(self, calls: Batch[Evaluation]) -> Answers[Decision]:
        """Decide whether the principal of each call has a right."""
        raise NotImplementedError

    @operation("POST /account-searches", command=False, deadline_ms=1_000)
    async def accounts(self, ctx: Context, request: AccountQuestion) -> AccountsAllowed:
        """List the accounts on which the principal has a right."""
        raise NotImplementedError

    @operation("POST /grants-by-service", problems=(RoleScope,))
    async def assign(self, ctx: Context, request: GrantRole) -> Grant:
        """Give a role on behalf of a service that has already decided (a holder of an account)."""
        raise NotImplementedError

    @operation(
        "POST /role-grants",
        public=True,
        may="administer",
        four_eyes=True,
        status=201,
        problems=(RoleScope,),
    )
    async def grant(self, ctx: Context, request: GrantRole) -> Grant:
        """Give a role; takes effect when somebody else has approved it."""
        raise NotImplementedError

    @operation("POST /role-grants/{grant_id}/revocation", public=True, may="administer")
    async def revoke(self, ctx: Context, request: RevokeRole) -> Grant:
        """Take a role back at once; taking away needs no second pair of eyes."""
        raise NotImplementedError

    @operation("GET /role-grants", public=True, may="administer")
    async def grants(self, ctx: Context, request: GrantQuery) -> Grants:
        """List who holds which role."""
        raise NotImplementedError

    @operation("GET /roles", public=True, may="view")
    async def roles(self, ctx: Context, request: Nothing) -> Roles:
        """List the roles and what each means."""
        raise NotImplementedError

    @operation("POST /proposals-by-service")
    async def propose(self, ctx: Context, request: Propose) -> Proposal:
        """Record a proposal for the operation that the caller was asked to do."""
        raise NotImplementedError

    @operation("GET /proposals", public=True, may="approve")
    async def proposals(self, ctx: Context, request: ProposalQuery) -> Proposals:
        """List proposals of the tenant."""
        raise NotImplementedError

    @operation("GET /proposals/{proposal_id}", public=True, may=None, on="inside")
    async def proposal(self, ctx: Context, request: ProposalId) -> Proposal:
        """Read one proposal with its input: its proposer and those who may approve."""
        raise NotImplementedError

    @operation(
        "POST /proposals/{proposal_id}/approval",
        public=True,
        may="approve",
        subject="decided_by",
        problems=(OwnProposal, ProposalClosed),
    )
    async def approve(self, ctx: Context, request: Verdict) -> Proposal:
        """Approve; the service then executes the input exactly as hashed."""
        raise NotImplementedError

    @operation(
        "POST /proposals/{proposal_id}/rejection",
        public=True,
        may="approve",
        subject="decided_by",
        problems=(OwnProposal, ProposalClosed),
    )
    async def reject(self, ctx: Context, request: Verdict) -> Proposal:
        """Reject, with a reason."""
        raise NotImplementedError

    @operation("GET /approved-inputs/{proposal_id}", problems=(ProposalClosed, InputChanged))
    async def approved_input(self, ctx: Context, request: ProposalId) -> ApprovedInput:
        """Hand the approved input to the service that executes it."""
        raise NotImplementedError

    @operation("POST /proposals/{proposal_id}/execution", problems=(ProposalClosed,))
    async def executed(self, ctx: Context, request: Executed) -> Proposal:
        """Record how the approved command ended."""
        raise NotImplementedError
