"""`registry`: the tenants, the contracts, and which edition serves whom."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Contract, Nothing, Request, operation
from guilder.contracts.errors import Conflict, NotFound, Refused
from guilder.contracts.registry import observations, reports, windows
from guilder.contracts.registry.attestations import (
    AttestationQuery as AttestationQuery,
    Attestations as Attestations,
    Conform as Conform,
    ConformanceRun as ConformanceRun,
    EditionKeys as EditionKeys,
    RunId as RunId,
    TooManyRuns as TooManyRuns,
    UnknownRun as UnknownRun,
)
from guilder.contracts.registry.bindings import (
    AlreadyPlanned as AlreadyPlanned,
    ApprovalNeeded as ApprovalNeeded,
    AttestationExpired as AttestationExpired,
    Bind as Bind,
    BindingId as BindingId,
    BindingLine as BindingLine,
    BindingLines as BindingLines,
    BindingQuery as BindingQuery,
    BindingRecord as BindingRecord,
    BindingRecords as BindingRecords,
    BindingTimes as BindingTimes,
    Bound as Bound,
    ContractName as ContractName,
    DigestChanged as DigestChanged,
    Edition as Edition,
    EndReason as EndReason,
    FallbackImpossible as FallbackImpossible,
    LiveOnly as LiveOnly,
    Mode as Mode,
    NoAttestation as NoAttestation,
    NotBindable as NotBindable,
    NotReplaceable as NotReplaceable,
    OnFailure as OnFailure,
    ReleaseUnreachable as ReleaseUnreachable,
    RolledBack as RolledBack,
    Shadow as Shadow,
    TooManyBindings as TooManyBindings,
    UnknownBinding as UnknownBinding,
    UnknownContract as UnknownContract,
    Version as Version,
    WrongRelease as WrongRelease,
)
from guilder.contracts.registry.directory import (
    Directory as Directory,
    DirectoryQuery as DirectoryQuery,
)
from guilder.contracts.registry.windows import Slug as Slug


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


CANNOT_BE_BOUND = (
    UnknownTenant,
    UnknownContract,
    NotBindable,
    NotReplaceable,
    LiveOnly,
    FallbackImpossible,
    NoAttestation,
    AttestationExpired,
    DigestChanged,
    ReleaseUnreachable,
    WrongRelease,
    AlreadyPlanned,
    TooManyBindings,
)
"""Why somebody's binding is refused."""


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
        problems=(*CANNOT_BE_BOUND, BindingTimes),
    )
    async def bind(self, ctx: Context, request: Bind) -> BindingRecord:
        """Bind a tenant to a release or an edition when another operator has approved it."""
        raise NotImplementedError

    @operation(
        "POST /bindings/shadow",
        public=True,
        may="operate",
        status=201,
        problems=(*CANNOT_BE_BOUND, ApprovalNeeded),
    )
    async def shadow(self, ctx: Context, request: Shadow) -> BindingRecord:
        """Compare an edition with who serves; it needs no approval and sees no personal data."""
        raise NotImplementedError

    @operation(
        "POST /bindings/{binding_id}/end", public=True, may="operate", problems=(UnknownBinding,)
    )
    async def end_binding(self, ctx: Context, request: BindingId) -> BindingRecord:
        """Go back to stock at once; going back needs no second pair of eyes."""
        raise NotImplementedError

    @operation(
        "POST /bindings/{binding_id}/rollback",
        public=True,
        may="operate",
        problems=(UnknownBinding,),
    )
    async def rollback(self, ctx: Context, request: BindingId) -> RolledBack:
        """End a binding at once, or before it begins, and put back what it replaced."""
        raise NotImplementedError

    @operation(
        "GET /bindings/{binding_id}/report",
        public=True,
        may="operate",
        problems=(UnknownBinding,),
    )
    async def report(self, ctx: Context, request: BindingId) -> reports.BindingReport:
        """What every process saw of a binding, and what to do about it; operators only."""
        raise NotImplementedError

    @operation(
        "GET /tenants/{slug}/service-map",
        public=True,
        may="operate",
        problems=(UnknownTenant,),
    )
    async def service_map(self, ctx: Context, request: WhichTenant) -> reports.ServiceMap:
        """Show all that serves a tenant, how it does, and what is planned; operators only."""
        raise NotImplementedError

    @operation("POST /binding-observations")
    async def observe(self, ctx: Context, request: observations.Observe) -> observations.Observed:
        """Take what a process saw of bindings; a canary that fails too often is ended."""
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

    @operation(
        "POST /conformance-runs",
        public=True,
        may="operate",
        status=201,
        problems=(UnknownContract, NotReplaceable, TooManyRuns),
    )
    async def conform(self, ctx: Context, request: Conform) -> ConformanceRun:
        """Have the conformance suite run against an edition; operators only."""
        raise NotImplementedError

    @operation(
        "GET /conformance-runs/{run_id}",
        public=True,
        may="operate",
        problems=(UnknownRun,),
    )
    async def conformance_run(self, ctx: Context, request: RunId) -> ConformanceRun:
        """Read a conformance run, also while it goes on; operators only."""
        raise NotImplementedError

    @operation("GET /attestations", public=True, may="operate")
    async def attestations(self, ctx: Context, request: AttestationQuery) -> Attestations:
        """List attestations, newest first; operators only."""
        raise NotImplementedError

    @operation("GET /edition-keys", public=True, on="inside")
    async def edition_keys(self, ctx: Context, request: Nothing) -> EditionKeys:
        """List the public keys that sign requests to editions, and attestations."""
        raise NotImplementedError
