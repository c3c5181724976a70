"""Wires the audit."""

from guilder.chassis.events import Follower
from guilder.chassis.process import Built, Parts
from guilder.contracts.access.v1 import Access
from guilder.contracts.accounts.v1 import Accounts
from guilder.contracts.declare import Contract
from guilder.contracts.identity.v1 import Identity
from guilder.contracts.ledger.v1 import Ledger
from guilder.contracts.notifications.v1 import Notifications
from guilder.contracts.parties.v1 import Parties
from guilder.contracts.payments.v1 import Payments
from guilder.contracts.pricing.v1 import Pricing
from guilder.contracts.registry.v1 import Registry
from guilder.contracts.screening.v1 import Screening
from guilder.contracts.vault.v1 import Vault
from guilder.services.audit.reactions import take_down
from guilder.services.audit.service import AuditService

SOURCES: list[type[Contract]] = [
    Registry,
    Identity,
    Access,
    Vault,
    Parties,
    Accounts,
    Ledger,
    Payments,
    Pricing,
    Notifications,
    Screening,
]
"""Whose logs are taken down: every line of `[events.audit]`."""


def build(parts: Parts) -> Built:
    """Build the service and a follower per source."""
    followers = [
        Follower(
            parts.store,
            parts.client(source),
            {},
            parts.clock,
            page=take_down(source.contract_name),
        )
        for source in SOURCES
    ]
    return Built(AuditService(parts.store), followers)
