"""Bindings: which edition and version serves a contract for a tenant, from when to when."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.declare import Answer, Request
from guilder.contracts.errors import Conflict, NotFound, Refused
from guilder.contracts.registry.windows import Moment, Slug

ContractName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z-]{1,30}(?!\n)$")]
Edition = Annotated[str, msgspec.Meta(pattern=r"^[A-Z](?!\n)$")]
Version = Annotated[
    str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,3})(\.(0|[1-9][0-9]{0,3})){2}(?!\n)$")
]
ReleaseAddress = Annotated[
    str,
    msgspec.Meta(
        max_length=500,
        pattern=r"^(unix:(/[A-Za-z0-9._-]{1,90}){1,16}"
        r"|https?://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[1-9][0-9]{0,4})?"
        r"(/[A-Za-z0-9._~-]{1,90}){0,8}/?)(?!\n)$",
    ),
]
"""Where what is bound answers; no query, no user, no other scheme.

A release of ours (edition A): `unix:/path` of a socket, or `http://host:port`. Another edition:
its base URL, `https://host/path`, or `http://` where the operator allows that network.
"""

Share = Annotated[int, msgspec.Meta(ge=1, le=99)]
"""Percent of a tenant's principals that a canary serves."""

OnFailure = Literal["closed", "fallback"]
"""What happens when a bound release does not answer: the call fails, or stock answers instead."""


Mode = Literal["live", "canary", "shadow"]
"""Serves the tenant; serves a stable share of its principals; is only compared with who serves."""


class UnknownContract(NotFound):
    """No such contract."""

    code = "unknown-contract"
    title = "There is no such contract"
    fix = "List the contracts with `guilder contract list`."


class NotBindable(Refused):
    """Every tenant shares the one service of this contract."""

    code = "contract-not-bindable"
    title = "This contract is served by one release for all tenants"
    fix = "Read `detail` for the reason; upgrade the service for everybody instead."


class NotReplaceable(Refused):
    """An edition of somebody else was to be tested or bound where there is nothing to replace."""

    code = "contract-not-replaceable"
    title = "No other edition can serve this contract"
    fix = "Choose a contract that `guilder contract list` calls replaceable, or a release of A."


class NoAttestation(Conflict):
    """This platform never saw exactly this edition pass at this address."""

    code = "no-attestation"
    title = "There is no attestation for exactly this edition, version and address"
    fix = "Have it tested with `guilder conform CONTRACT --url URL`, then propose it again."


class AttestationExpired(Conflict):
    """It passed, but too long ago."""

    code = "attestation-expired"
    title = "The attestation has expired"
    fix = "Have it tested again with `guilder conform CONTRACT --url URL`, then propose it again."


class DigestChanged(Conflict):
    """What answers now is not what was tested."""

    code = "digest-changed"
    title = "The edition was changed after it was tested"
    fix = "Have what runs there now tested with `guilder conform CONTRACT --url URL`."


class ContractVersionEnded(Refused):
    """The edition was built against a version of the contract that is over, or never was."""

    code = "contract-version-ended"
    title = "Nothing new is bound to this version of the contract"
    fix = "Build the edition against a version that `guilder contract list` shows without an end."


class LiveOnly(Refused):
    """Something with effects was to be tried beside who serves."""

    code = "live-only"
    title = "Only decisions can run as a canary or a shadow"
    fix = "Bind it live, for a tenant made to try it."


class ApprovalNeeded(Refused):
    """One operator alone would show personal data, or have an untested address called."""

    code = "approval-needed"
    title = "This shadow needs the approval of another operator"
    fix = "Propose it instead: POST /v1/bindings with `mode` shadow."


class BindingTimes(Refused):
    """The binding would begin in the past, or too far ahead."""

    code = "binding-times"
    title = "A binding cannot begin at this moment"
    fix = "Name a moment in the future, at most a year ahead; leave it out for at once."


class AlreadyPlanned(Conflict):
    """Another binding of this tenant, contract and mode is to begin later."""

    code = "binding-planned"
    title = "Another binding is planned for this tenant, contract and mode"
    fix = "Wait for it, or take it back with `guilder binding rollback`; `binding` is its id."


class FallbackImpossible(Refused):
    """Stock was to answer where it must not: for what has effects, or for screening."""

    code = "fallback-impossible"
    title = "This contract cannot fall back to stock"
    fix = "Bind with on_failure `closed`."


class ReleaseUnreachable(Conflict):
    """Nothing answers at the address."""

    code = "release-unreachable"
    title = "No release answers at this address"
    fix = "Start it with `guilder serve`, look at its /health, and propose the binding again."


class WrongRelease(Conflict):
    """Something else answers at the address."""

    code = "wrong-release"
    title = "Another release answers at this address"
    fix = "Read `detail`; correct contract, version or address and propose the binding again."


class TooManyBindings(Conflict):
    """As many bindings are in force as every process can keep."""

    code = "too-many-bindings"
    title = "Too many bindings are in force"
    fix = "End some, or upgrade the stock service for everybody."


class UnknownBinding(NotFound):
    """No such binding."""

    code = "unknown-binding"
    title = "There is no such binding"
    fix = "List them with `guilder binding list`."


class BindingLine(Answer, frozen=True, kw_only=True):
    """Which edition serves a contract for the tenant of the call; `binding` None = stock."""

    contract: str
    contract_version: str
    edition: str
    version: str
    generation: int
    binding: UUID | None = None
    since: datetime | None = None
    on_failure: OnFailure | None = None


class BindingLines(Answer, frozen=True, kw_only=True):
    """One line per contract."""

    items: list[BindingLine]


class Bind(Request, frozen=True, kw_only=True):
    """Let this release or edition serve a contract for a tenant, now or from `begins` on.

    A binding of the same mode that is in force then ends at that moment. `share` belongs to a
    canary. on_failure `fallback` lets stock answer where what is bound does not: decisions other
    than screening.
    """

    tenant: Slug
    contract: ContractName
    version: Version
    address: ReleaseAddress
    edition: Edition = "A"
    mode: Mode = "live"
    share: Share | None = None
    begins: Moment | None = None
    on_failure: OnFailure = "closed"


class Shadow(Request, frozen=True, kw_only=True):
    """Compare this edition with who serves a contract for a tenant, from now on."""

    tenant: Slug
    contract: ContractName
    version: Version
    address: ReleaseAddress
    edition: Edition = "A"


class BindingId(Request, frozen=True, kw_only=True):
    """Which binding."""

    binding_id: UUID


EndReason = Literal["replaced", "ended", "rolled-back", "withdrawn", "burnt"]
"""Another took its place; an operator ended it, or put back what was before; it was taken back
before it began; the platform itself ended a canary that failed too often."""


class BindingRecord(Answer, frozen=True, kw_only=True):
    """A binding as operators see it; `ended_at` None = in force, or planned if `bound_at` is ahead.

    `generation` is that of the directory when it was made, `ended_generation` when its end was.
    `digest` and `attestation` say what was tested (other editions). `replaces` was in force before
    it; one made by a rollback `restores` that again. `approved_by` None = a shadow that sees no
    personal data.
    """

    id: UUID
    tenant: str
    contract: str
    contract_version: str
    edition: str
    version: str
    address: str
    on_failure: OnFailure
    bound_at: datetime
    generation: int
    proposed_by: UUID
    approved_by: UUID | None = None
    mode: Mode = "live"
    share: int = 100
    digest: str | None = None
    attestation: UUID | None = None
    replaces: UUID | None = None
    restores: UUID | None = None
    ended_at: datetime | None = None
    ended_generation: int | None = None
    ended_by: UUID | None = None
    ended_reason: EndReason | None = None
    ended_detail: str | None = None


class RolledBack(Answer, frozen=True, kw_only=True):
    """What a rollback did. `restored` None = stock, or what was in force all the while."""

    ended: BindingRecord
    restored: BindingRecord | None
    withdrawn: UUID | None = None
    """What was planned to take its place, and is no more."""


class BindingQuery(Request, frozen=True, kw_only=True):
    """Filter of the list of bindings; `in_force` leaves out those that have ended."""

    tenant: Slug | None = None
    contract: ContractName | None = None
    in_force: bool = False
    after: Annotated[int, msgspec.Meta(ge=1, le=2**62)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class BindingRecords(Answer, frozen=True, kw_only=True):
    """A page, newest first; pass `next` (a generation) as `after`."""

    items: list[BindingRecord]
    next: int | None


class Bound(Answer, frozen=True, kw_only=True):
    """A line of the directory: where what serves a contract for a tenant is reached.

    `address` is `unix:/path` or `http://host:port` of a release of ours (edition A), or the base
    URL of another edition, which then answers with `digest`. A `canary` serves `share` percent of
    the principals, a `shadow` is only compared. In force from `begins` to before `ends`, each
    None where it is not in the future; `generation` is that of the directory when it was made.
    """

    id: UUID = UUID(int=0)
    tenant: int
    contract: str
    contract_version: str = "1.0.0"
    edition: str
    version: str
    address: str
    digest: str | None = None
    mode: Mode = "live"
    share: int = 100
    on_failure: OnFailure
    begins: datetime | None = None
    ends: datetime | None = None
    generation: int
