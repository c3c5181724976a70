"""Bindings: which edition and version serves a contract for a tenant, from when to when."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.declare import Answer, Request
from guilder.contracts.errors import Conflict, NotFound, Refused
from guilder.contracts.registry.windows import Slug

ContractName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z-]{1,30}(?!\n)$")]
Edition = Annotated[str, msgspec.Meta(pattern=r"^[A-Z](?!\n)$")]
Version = Annotated[
    str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,3})(\.(0|[1-9][0-9]{0,3})){2}(?!\n)$")
]
ReleaseAddress = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(unix:(/[A-Za-z0-9._-]{1,90}){1,16}"
        r"|http://([A-Za-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\]):[1-9][0-9]{0,4})(?!\n)$"
    ),
]
"""`unix:/path` of a socket, or `http://host:port`; no path, query, user or other scheme."""

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


class ForeignEdition(Refused):
    """An edition other than A was to be bound."""

    code = "foreign-edition"
    title = "So far only releases of the stock edition A can be bound"
    fix = (
        "Bind a release of edition A. Another edition will need an attestation: the contract's"
        " conformance suite, run and signed by this platform."
    )


class FallbackImpossible(Refused):
    """Stock was to answer in place of a service that owns state."""

    code = "fallback-impossible"
    title = "Only decisions can fall back to stock"
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
    """Let this release serve a contract for a tenant; a binding in force before it ends.

    on_failure `fallback` lets stock answer where the release does not: decisions only.
    """

    tenant: Slug
    contract: ContractName
    version: Version
    address: ReleaseAddress
    edition: Edition = "A"
    on_failure: OnFailure = "closed"


class BindingId(Request, frozen=True, kw_only=True):
    """Which binding."""

    binding_id: UUID


class BindingRecord(Answer, frozen=True, kw_only=True):
    """A binding as operators see it; `ended_at` None = in force.

    `generation` is that of the directory when it took effect, `ended_generation` when it ended.
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
    approved_by: UUID
    ended_at: datetime | None = None
    ended_generation: int | None = None
    ended_by: UUID | None = None


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
    the principals, a `shadow` is only compared. In force from `begins` to before `ends`;
    `generation` is that of the directory when it was made or last changed.
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
