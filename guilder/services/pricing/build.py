"""Wires pricing."""

from guilder.chassis.process import Built, Parts
from guilder.services.pricing.service import PricingService


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    return Built(PricingService(parts.store, parts.once, parts.calls.bindings))
