"""Wires access."""

from guilder.chassis.process import Built, Parts, Sweep
from guilder.services.access.service import AccessService
from guilder.services.access.settings import AccessSettings


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    if parts.sealer is None:
        raise RuntimeError("access seals what is proposed: calls.toml must let it call the vault")
    settings = AccessSettings.load(parts.env)
    service = AccessService(parts.store, parts.once, parts.sealer, settings)
    return Built(service, sweeps=[Sweep(600.0, service.expire)])
