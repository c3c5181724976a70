"""Settings of the vault."""

from dataclasses import dataclass
from typing import ClassVar

from guilder.chassis.settings import Settings, setting


@dataclass(frozen=True)
class VaultSettings(Settings):
    """Where master keys are."""

    PREFIX: ClassVar[str] = "GUILDER_VAULT_"

    folder: str = setting("vault", "folder of the master keys, below the secrets folder")
