"""What accounts knows of a tenant while the registry answers, and while it does not."""

from datetime import UTC, datetime

import pytest

from guilder.chassis.clock import SetClock
from guilder.chassis.testing import somebody
from guilder.contracts.errors import Unavailable
from guilder.contracts.registry.v1 import Registry, Tenant, UnknownTenant
from guilder.services.accounts.tenants import CACHE_SECONDS, Tenants


class Clock(SetClock):
    seconds = 0.0

    def monotonic(self):
        return self.seconds


class Says(Registry):
    def __init__(self):
        self.answer, self.asked = tenant("Europe/Berlin"), 0

    async def tenant_by_number(self, ctx, request):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def tenant(zone):
    return Tenant(
        number=7,
        slug="bank",
        name="Bank",
        country="DE",
        bank_code="99990001",
        bic="BANKDEFF",
        currency="EUR",
        zone=zone,
        holiday_calendar="DE",
        state="open",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def test_what_is_known_is_asked_for_again_and_holds_while_nobody_answers():
    clock, registry = Clock(datetime(2026, 3, 2, tzinfo=UTC)), Says()
    tenants, ctx = Tenants(registry, clock), somebody(7).ctx()
    for zone in ("Europe/Berlin", "Europe/London"):
        registry.answer = tenant(zone)
        assert (await tenants.of(ctx)).zone == zone
        clock.seconds += CACHE_SECONDS + 1
    registry.answer = Unavailable("gone")
    assert (await tenants.of(ctx)).zone == "Europe/London"
    with pytest.raises(Unavailable):
        await tenants.of(somebody(8).ctx())
    clock.seconds += CACHE_SECONDS + 1
    registry.answer = UnknownTenant()
    with pytest.raises(UnknownTenant):
        await tenants.of(ctx)
