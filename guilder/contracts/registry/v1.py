"""`registry`: the tenants, the contracts, and which edition serves whom."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Contract, Nothing, Request, operation
from guilder.contracts.errors import Conflict, NotFound, Refused
from guilder.contracts.registry import windows
from guilder.contracts.registry.windows import OpenWindow, Switch
from guilder.contracts.registry.windows import Slug as Slug

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


class TenantExists(Conflict):
    """The slug or the bank code is taken by another tenant."""

    code = "tenant-exists"
    title = "A tenant with this name or bank code exists"
    fix = "Choose another slug or bank code, or read the existing tenant."


class RealBankCode(Refused):
    """The bank code belongs to a real bank."""

    code = "real-bank-code"
    title = "This bank code belongs to a real bank"
    fix = "Choose a code that the national registry has not assigned."


class CountryWithoutIban(Refused):
    """The country's accounts have no IBAN, or none that names a bank."""

    code = "country-without-iban"
    title = "Accounts of this country have no IBAN with a bank code"
    fix = "Choose a country of the IBAN registry."


class UnknownTenant(NotFound):
    """No such tenant."""

    code = "unknown-tenant"
    title = "There is no such tenant"
    fix = "List the tenants with `guilder tenant list`."


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


class CreateTenant(Request, frozen=True, kw_only=True):
    """A new tenant.

    country ISO 3166-1 alpha-2; bank_code as the country's IBAN uses it, with the branch where
    it has one; bic 8 or 11 characters; currency ISO 4217; zone IANA; holiday_calendar a country
    code, or country-subdivision, known to the public-holiday library.
    """

    slug: Slug
    name: Annotated[str, msgspec.Meta(min_length=2, max_length=100)]
    country: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}(?!\n)$")]
    bank_code: Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{2,20}(?!\n)$")]
    bic: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?(?!\n)$")]
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}(?!\n)$")]
    zone: Annotated[str, msgspec.Meta(min_length=3, max_length=64)]
    holiday_calendar: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?(?!\n)$")]


class Tenant(Answer, frozen=True, kw_only=True):
    """A bank or fintech on the platform; `number` is what rows carry."""

    number: int
    slug: str
    name: str
    country: str
    bank_code: str
    bic: str
    currency: str
    zone: str
    holiday_calendar: str
    state: Literal["open", "closed"]
    created_at: datetime


class WhichTenant(Request, frozen=True, kw_only=True):
    """A tenant by its slug."""

    slug: Slug


class TenantNumber(Request, frozen=True, kw_only=True):
    """A tenant by its number."""

    number: int


class Tenants(Answer, frozen=True, kw_only=True):
    """All tenants, by slug."""

    items: list[Tenant]


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


class DirectoryQuery(Request, frozen=True, kw_only=True):
    """What the caller knows (-1 = nothing) and how long it waits for something else."""

    known: int = -1
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=30_000)] = 0


class Bound(Answer, frozen=True, kw_only=True):
    """A binding in force: where the release that serves a contract for a tenant is reached.

    `address` is `unix:/path` or `http://host:port`; `generation` that of the directory when the
    binding took effect.
    """

    tenant: int
    contract: str
    edition: str
    version: str
    address: str
    on_failure: OnFailure
    generation: int


class Directory(Answer, frozen=True, kw_only=True):
    """What every process must know at once; `generation` rises with every change of it.

    Whoever knows this generation already gets empty lists.
    """

    generation: int
    bindings: list[Bound]
    windows: list[OpenWindow] = msgspec.field(default_factory=list)
    read_only: list[Switch] = msgspec.field(default_factory=list)


class Registry(Contract, name="registry", version="1.0.0-draft"):
    """Tenants and bindings."""

    @operation(
        "POST /tenants",
        public=True,
        may="operate",
        status=201,
        problems=(TenantExists, RealBankCode, CountryWithoutIban),
    )
    async def create_tenant(self, ctx: Context, request: CreateTenant) -> Tenant:
        """Create a tenant; the platform's operators only."""
        raise NotImplementedError

    @operation("GET /tenants", public=True, may="operate")
    async def tenants(self, ctx: Context, request: Nothing) -> Tenants:
        """List the tenants; the platform's operators only."""
        raise NotImplementedError

    @operation("GET /tenants/{slug}", public=True, may="operate", problems=(UnknownTenant,))
    async def tenant(self, ctx: Context, request: WhichTenant) -> Tenant:
        """Read a tenant; the platform's operators only."""
        raise NotImplementedError

    @operation("GET /tenant-numbers/{number}", deadline_ms=1_000, problems=(UnknownTenant,))
    async def tenant_by_number(self, ctx: Context, request: TenantNumber) -> Tenant:
        """Read a tenant for another service."""
        raise NotImplementedError

    @operation("GET /bindings", public=True, may="view")
    async def bindings(self, ctx: Context, request: Nothing) -> BindingLines:
        """List which edition and version serves each contract for this tenant."""
        raise NotImplementedError

    @operation(
        "POST /bindings",
        public=True,
        may="operate",
        four_eyes=True,
        status=201,
        problems=(
            UnknownTenant,
            UnknownContract,
            NotBindable,
            ForeignEdition,
            FallbackImpossible,
            ReleaseUnreachable,
            WrongRelease,
            TooManyBindings,
        ),
    )
    async def bind(self, ctx: Context, request: Bind) -> BindingRecord:
        """Bind a tenant to a release when another operator has approved it."""
        raise NotImplementedError

    @operation(
        "POST /bindings/{binding_id}/end", public=True, may="operate", problems=(UnknownBinding,)
    )
    async def end_binding(self, ctx: Context, request: BindingId) -> BindingRecord:
        """Go back to stock at once; going back needs no second pair of eyes."""
        raise NotImplementedError

    @operation("GET /bindings/history", public=True, may="operate", problems=(UnknownTenant,))
    async def binding_history(self, ctx: Context, request: BindingQuery) -> BindingRecords:
        """List the bindings of all tenants, ended ones too; the platform's operators only."""
        raise NotImplementedError

    @operation("GET /directory", deadline_ms=35_000)
    async def directory(self, ctx: Context, request: DirectoryQuery) -> Directory:
        """Tell a process what it must know; waits up to `wait_ms` for another generation."""
        raise NotImplementedError

    @operation(
        "POST /maintenance-windows",
        public=True,
        may="operate",
        four_eyes=True,
        status=201,
        problems=(
            UnknownTenant,
            windows.NoticeTooShort,
            windows.WindowTimes,
            windows.WindowOverlaps,
            windows.TooManyWindows,
        ),
    )
    async def schedule_window(
        self, ctx: Context, request: windows.ScheduleWindow
    ) -> windows.Window:
        """Plan downtime, and have everyone concerned told in time; operators only."""
        raise NotImplementedError

    @operation("GET /maintenance-windows", public=True, may="view")
    async def maintenance_windows(
        self, ctx: Context, request: windows.WindowQuery
    ) -> windows.Windows:
        """List maintenance windows: operators see all, a tenant those that concern it."""
        raise NotImplementedError

    @operation(
        "POST /maintenance-windows/{window_id}/cancellation",
        public=True,
        may="operate",
        problems=(windows.UnknownWindow, windows.WindowStateForbids),
    )
    async def cancel_window(self, ctx: Context, request: windows.CancelWindow) -> windows.Window:
        """Cancel a window that has not begun; operators only."""
        raise NotImplementedError

    @operation(
        "POST /maintenance-windows/{window_id}/extension",
        public=True,
        may="operate",
        problems=(
            windows.UnknownWindow,
            windows.WindowStateForbids,
            windows.WindowTimes,
            windows.WindowOverlaps,
        ),
    )
    async def extend_window(self, ctx: Context, request: windows.ExtendWindow) -> windows.Window:
        """Let a window end later, and say so to everyone concerned; operators only."""
        raise NotImplementedError

    @operation(
        "POST /maintenance-windows/{window_id}/completion",
        public=True,
        may="operate",
        problems=(windows.UnknownWindow, windows.WindowStateForbids),
    )
    async def complete_window(self, ctx: Context, request: windows.WindowId) -> windows.Window:
        """End a window that has begun: writes go on; operators only."""
        raise NotImplementedError

    @operation("GET /maintenance-notices/{notice_id}")
    async def notice(self, ctx: Context, request: windows.NoticeId) -> windows.Notice:
        """Say what a notice says, to who delivers it."""
        raise NotImplementedError

    @operation(
        "POST /read-only",
        public=True,
        may="operate",
        problems=(UnknownTenant, windows.NotReadOnly),
    )
    async def set_read_only(self, ctx: Context, request: windows.SetReadOnly) -> windows.ReadOnly:
        """Switch read-only mode on or off, at once; operators only."""
        raise NotImplementedError

    @operation("GET /read-only", public=True, may="operate")
    async def read_only(self, ctx: Context, request: Nothing) -> windows.ReadOnlyList:
        """List where read-only mode is on; operators only."""
        raise NotImplementedError
