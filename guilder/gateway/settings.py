"""Settings of the gateway."""

from dataclasses import dataclass
from typing import ClassVar

from guilder.chassis.settings import Settings, setting


@dataclass(frozen=True)
class GatewaySettings(Settings):
    """Limits at the public door."""

    PREFIX: ClassVar[str] = "GUILDER_GATEWAY_"

    principal_rate: float = setting(200.0, "requests a second that one principal may send")
    tenant_rate: float = setting(2000.0, "requests a second that one tenant may send")
    stranger_rate: float = setting(50.0, "requests a second without a valid token, all together")
    latency_ms: float = setting(
        400.0, "work in flight is bounded so that nine of ten requests are answered within this"
    )
    in_flight_max: int = setting(
        256, "requests in flight to one service, at most; fewer while answers come late"
    )
    audit_rate: float = setting(200.0, "refusals a second that are recorded; more are counted")
    token_cache_s: float = setting(
        3.0, "seconds for which a verified token is believed; a revoked one lives on this long"
    )
    token_alone_s: float = setting(
        60.0, "seconds after its verification for which a token is believed without identity"
    )
