"""`registry`: the tenants, the contracts, and which edition serves whom."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Contract, Nothing, Request, operation
from guilder.contracts.errors import Conflict, NotFound, Refused

Slug = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{1,30}(?!\n)$")]
"""Patterns end in `(?!\\n)$` because `$` alone also matches before a last line break."""


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
    """Which edition serves a contract for the tenant of the call."""

    contract: str
    contract_version: str
    edition: str
    version: str
    generation: int


class BindingLines(Answer, frozen=True, kw_only=True):
    """One line per contract."""

    items: list[BindingLine]


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

    @operation("GET /directory", deadline_ms=35_000)
    async def directory(self, ctx: Context, request: DirectoryQuery) -> Directory:
        """Tell a process what it must know; waits up to `wait_ms` for another generation."""
        raise NotImplementedError
