"""Settings of the registry."""

from dataclasses import dataclass
from typing import ClassVar

from guilder.chassis.settings import Settings, setting


@dataclass(frozen=True)
class RegistrySettings(Settings):
    """How downtime may be planned, and how editions are tested."""

    PREFIX: ClassVar[str] = "GUILDER_REGISTRY_"

    notice_hours: int = setting(72, "hours of notice that a maintenance window needs")
    window_hours: int = setting(12, "hours that a maintenance window may last")
    attestation_hours: int = setting(168, "hours that an attestation counts")
    conformance_minutes: int = setting(15, "minutes that a conformance run may last")

    def __post_init__(self) -> None:
        """Refuse an attestation that nobody could use, or that lasts for ever."""
        if not 1 <= self.attestation_hours <= 24 * 366:
            raise ValueError("GUILDER_REGISTRY_ATTESTATION_HOURS must be 1 to 8784")
        if not 1 <= self.conformance_minutes <= 24 * 60:
            raise ValueError("GUILDER_REGISTRY_CONFORMANCE_MINUTES must be 1 to 1440")
