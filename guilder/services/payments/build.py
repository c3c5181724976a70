"""Wires payments."""

from uuid import UUID

from guilder.chassis.events import Follower
from guilder.chassis.process import Built, Parts, Sweep
from guilder.contracts.registry.held import held
from guilder.contracts.screening.v1 import Screening
from guilder.contracts.vault.v1 import Vault
from guilder.services.payments.others import Others
from guilder.services.payments.screen import Screen, case_decided
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

    screen = Screen(parts.calls, parts.clock, others)
    service = PaymentsService(parts.store, parts.once, parts.sealer, others, screen, hold)
    decided = {"case.released": case_decided, "case.confirmed": case_decided}
    destroyed = {"subject.erased": screen.names.keys_destroyed}
    return Built(
        service,
        followers=[
            Follower(parts.store, parts.client(Screening), decided, parts.clock),
            Follower(parts.store, parts.client(Vault), destroyed, parts.clock),
        ],
        sweeps=[
            Sweep(2.0, service.orders.resume),
            Sweep(3600.0, service.forget),
            Sweep(60.0, screen.names.forget),
        ],
    )
