"""Wires payments."""

from guilder.chassis.process import Built, Parts, Sweep
from guilder.services.payments.others import Others
from guilder.services.payments.service import PaymentsService


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    if parts.sealer is None:
        raise LookupError("payments needs the vault: calls.toml")
    others = Others(parts.calls, parts.clock)
    service = PaymentsService(parts.store, parts.once, parts.sealer, others)
    sweeps = [Sweep(2.0, service.orders.resume), Sweep(3600.0, service.forget)]
    return Built(service, sweeps=sweeps)
