"""Settings of the registry."""

from dataclasses import dataclass
from typing import ClassVar

from guilder.chassis.settings import Settings, setting


@dataclass(frozen=True)
class RegistrySettings(Settings):
    """How downtime may be planned."""

    PREFIX: ClassVar[str] = "GUILDER_REGISTRY_"

    notice_hours: int = setting(72, "hours of notice that a maintenance window needs")
    window_hours: int = setting(12, "hours that a maintenance window may last")
