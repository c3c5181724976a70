"""Wires the vault."""

from guilder.chassis.process import Built, Parts
from guilder.services.vault.master import MasterKeys
from guilder.services.vault.service import VaultService
from guilder.services.vault.settings import VaultSettings


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    settings = VaultSettings.load(parts.env)
    master = MasterKeys(parts.secrets / settings.folder)
    return Built(VaultService(parts.store, parts.once, master))
