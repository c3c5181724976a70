"""Settings of a run."""

from dataclasses import dataclass
from typing import ClassVar

from guilder.chassis.settings import Settings, setting


@dataclass(frozen=True)
class RecipientSettings(Settings):
    """Where a suite receives what an edition of `notifications` delivers."""

    PREFIX: ClassVar[str] = "GUILDER_CONFORMANCE_"

    smtp: str = setting(
        "127.0.0.1:0",
        "host:port where the suite takes mail; the edition's relay for the time of the run",
    )
    webhook: str = setting("127.0.0.1:0", "host:port where the suite takes webhooks")
    webhook_url: str = setting(
        "", "how the edition reaches that receiver, if not by http://HOST:PORT"
    )
