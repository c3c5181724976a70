"""Settings of screening."""

from dataclasses import dataclass
from typing import ClassVar

from guilder.chassis.settings import BadSetting, Settings, setting

LEAST, MOST = 70, 100


@dataclass(frozen=True)
class ScreeningSettings(Settings):
    """Where the lists are, and how alike a name must be."""

    PREFIX: ClassVar[str] = "GUILDER_SCREENING_"

    lists: str = setting("", "folder of the list files; empty = the made-up sample that ships")
    threshold: int = setting(85, "score from 70 to 100 from which a name is a hit")
    look_seconds: float = setting(10.0, "seconds between looks for changed list files")

    def __post_init__(self) -> None:
        """Refuse what would hit everybody or nobody."""
        if not LEAST <= self.threshold <= MOST:
            raise BadSetting(
                f"{self.PREFIX}THRESHOLD={self.threshold} is not between {LEAST} and {MOST}"
            )
        if not self.look_seconds >= 1:
            raise BadSetting(f"{self.PREFIX}LOOK_SECONDS={self.look_seconds} is less than 1")
