"""Settings of access."""

from dataclasses import dataclass
from typing import ClassVar

from guilder.chassis.settings import Settings, setting


@dataclass(frozen=True)
class AccessSettings(Settings):
    """How long proposals stay open."""

    PREFIX: ClassVar[str] = "GUILDER_ACCESS_"

    proposal_days: int = setting(7, "days a proposal waits for a second pair of eyes")
