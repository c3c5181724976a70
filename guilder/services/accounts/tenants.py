"""What accounts must know of a tenant, remembered for a minute."""

from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from guilder.chassis.clock import Clock
from guilder.contracts.context import Context
from guilder.contracts.errors import Problem
from guilder.contracts.registry.v1 import Registry, Tenant, TenantNumber

CACHE_SECONDS: Final = 60.0
CACHE_TENANTS: Final = 10_000


class Tenants:
    """The tenants as the registry tells them."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        """`registry` is asked at most once a minute per tenant."""
        self._registry, self._clock = registry, clock
        self._known: dict[int, tuple[float, Tenant]] = {}

    async def of(self, ctx: Context) -> Tenant:
        """The tenant of the call."""
        now = self._clock.monotonic()
        found = self._known.get(ctx.tenant)
        if found is None or found[0] < now:
            try:
                which = TenantNumber(number=ctx.tenant)
                tenant = await self._registry.tenant_by_number(ctx, which)
            except Problem as problem:
                if problem.final or found is None:
                    raise
                tenant = found[1]  # an outage: what was known holds on
            if len(self._known) >= CACHE_TENANTS:
                self._known.clear()
            found = self._known[ctx.tenant] = (now + CACHE_SECONDS, tenant)
        return found[1]

    def today(self, tenant: Tenant) -> date:
        """The date in the tenant's zone."""
        return self._clock.now().astimezone(ZoneInfo(tenant.zone)).date()
