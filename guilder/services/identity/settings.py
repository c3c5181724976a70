"""Settings of identity."""

from dataclasses import dataclass
from typing import ClassVar

from guilder.chassis.settings import Settings, setting


@dataclass(frozen=True)
class IdentitySettings(Settings):
    """What tokens say and how long they live."""

    PREFIX: ClassVar[str] = "GUILDER_IDENTITY_"

    issuer: str = setting("guilder", "`iss` of every token; exactly this is accepted")
    audience: str = setting("guilder-api", "`aud` of every token; exactly this is accepted")
    token_s: int = setting(600, "life of a token, 60 to 3600 seconds")

    def __post_init__(self) -> None:
        """Refuse a life that is no use or no protection."""
        if not 60 <= self.token_s <= 3600:
            raise ValueError("GUILDER_IDENTITY_TOKEN_S must be 60 to 3600 seconds")
