"""Wires screening."""

from pathlib import Path

from guilder.chassis.events import Follower
from guilder.chassis.process import Built, Parts, Sweep
from guilder.contracts.access.v1 import Access
from guilder.contracts.vault.v1 import Vault
from guilder.services.screening.lists import Lists
from guilder.services.screening.reactions import keys_destroyed
from guilder.services.screening.service import REMEMBERED_SECONDS, ScreeningService
from guilder.services.screening.settings import ScreeningSettings


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    if parts.sealer is None:
        raise LookupError("screening needs the vault: calls.toml")
    settings = ScreeningSettings.load(parts.env)
    lists = Lists(Path(settings.lists) if settings.lists else None, parts.clock)
    access = parts.client(Access)
    inside = parts.store, parts.once, parts.sealer, access
    service = ScreeningService(*inside, lists, settings.threshold)
    forget = {"subject.erased": keys_destroyed}
    return Built(
        service,
        followers=[Follower(parts.store, parts.client(Vault), forget, parts.clock)],
        sweeps=[
            Sweep(settings.look_seconds, lists.refresh),
            Sweep(REMEMBERED_SECONDS, service.forget),
        ],
        measures=lists.measures,
    )
