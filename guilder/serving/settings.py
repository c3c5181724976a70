"""Settings of a process that runs one part of the platform, wherever it is."""

from dataclasses import dataclass
from typing import ClassVar

from guilder.chassis.settings import Settings, setting


@dataclass(frozen=True)
class ServeSettings(Settings):
    """What `guilder serve NAME` needs to know when no data directory tells it."""

    PREFIX: ClassVar[str] = "GUILDER_SERVE_"

    listen: str = setting(
        "", "where its calls, health and metrics come in: `unix:/path` or `http://host:port`"
    )
    public: str = setting(
        "http://127.0.0.1:8321", "where the gateway opens the public API, as `http://host:port`"
    )
    database: str = setting(
        "", "address (DSN) of the service's own database, with its own login role"
    )
    peers: str = setting(
        "",
        "where the others are: `*=unix:/run/{name}.sock,ledger=http://host:port`; `*` is for all"
        " that are not named",
    )
    keys: str = setting(
        "call-keys.json",
        "file with the call keys of this process's pairs, as `guilder keys NAME` prints them",
    )
    secrets: str = setting(
        "secrets", "folder of key files; identity and vault alone keep something there"
    )
    linger_s: float = setting(
        5.0, "seconds for which a replaced gateway still answers on connections that it has"
    )
