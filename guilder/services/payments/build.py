"""Wires payments."""

from uuid import UUID

from guilder.chassis.process import Built, Parts, Sweep
from guilder.contracts.registry.held import held
from guilder.services.payments.others import Others
from guilder.services.payments.service import PaymentsService


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    if parts.sealer is None:
        raise LookupError("payments needs the vault: calls.toml")
    others = Others(parts.calls, parts.clock)
    create = PaymentsService.operations()["create"]

    def hold(tenant: int) -> UUID | None:
        """The window or the switch that holds payments of a tenant back now."""
        found = held(create, tenant, parts.directory.latest, parts.clock.now())
        return found.id if found else None

    service = PaymentsService(parts.store, parts.once, parts.sealer, others, hold)
    sweeps = [Sweep(2.0, service.orders.resume), Sweep(3600.0, service.forget)]
    return Built(service, sweeps=sweeps)
