"""Wires the ledger."""

from guilder.chassis.process import Built, Parts, Sweep
from guilder.services.ledger.service import LedgerService
from guilder.services.ledger.writer import Writer

EXPIRE_SECONDS = 1.0


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    service = LedgerService(parts.store, Writer(parts.store))
    return Built(service, sweeps=[Sweep(EXPIRE_SECONDS, service.sweep)], measures=service.measures)
