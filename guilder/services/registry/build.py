"""Wires the registry."""

from datetime import timedelta

from guilder.chassis.process import Built, Parts, Sweep
from guilder.contracts.access.v1 import Access
from guilder.services.registry.maintenance import SWEEP_SECONDS
from guilder.services.registry.release import ask_release
from guilder.services.registry.service import RegistryService
from guilder.services.registry.settings import RegistrySettings
from guilder.services.registry.window import Rules


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    settings = RegistrySettings.load(parts.env)
    rules = Rules(
        notice=timedelta(hours=settings.notice_hours),
        longest=timedelta(hours=settings.window_hours),
    )
    access = parts.client(Access)
    service = RegistryService(parts.store, parts.once, access, ask_release, rules)
    return Built(service, sweeps=[Sweep(SWEEP_SECONDS, service.sweep)])
