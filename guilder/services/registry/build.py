"""Wires the registry."""

from guilder.chassis.process import Built, Parts
from guilder.contracts.access.v1 import Access
from guilder.services.registry.release import ask_release
from guilder.services.registry.service import RegistryService


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    return Built(RegistryService(parts.store, parts.once, parts.client(Access), ask_release))
