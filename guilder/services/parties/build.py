"""Wires parties."""

from guilder.chassis.events import Follower
from guilder.chassis.process import Built, Parts
from guilder.contracts.access.v1 import Access
from guilder.contracts.vault.v1 import Vault
from guilder.services.parties.lookup import LookUp
from guilder.services.parties.reactions import keys_destroyed
from guilder.services.parties.service import PartiesService


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    assert parts.sealer is not None  # calls.toml lets parties call the vault
    vault = parts.client(Vault)
    lookup = LookUp(vault, parts.clock)
    access = parts.client(Access)
    service = PartiesService(parts.store, parts.once, parts.sealer, vault, access, lookup)
    reactions = {"subject.erased": keys_destroyed}
    return Built(service, [Follower(parts.store, vault, reactions, parts.clock)])
