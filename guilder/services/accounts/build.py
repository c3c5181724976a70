"""Wires accounts."""

from guilder.chassis.process import Built, Parts, Sweep
from guilder.contracts.access.v1 import Access
from guilder.contracts.ledger.v1 import Ledger
from guilder.contracts.parties.v1 import Parties
from guilder.contracts.registry.v1 import Registry
from guilder.services.accounts.changes import SWEEP_SECONDS
from guilder.services.accounts.service import AccountsService
from guilder.services.accounts.tenants import Tenants


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    service = AccountsService(
        parts.store,
        parts.once,
        parts.client(Ledger),
        parts.client(Parties),
        parts.client(Access),
        Tenants(parts.client(Registry), parts.clock),
    )
    return Built(service, sweeps=[Sweep(SWEEP_SECONDS, service.changes.sweep)])
