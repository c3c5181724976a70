"""The public status page: what everyone may know of the platform's present state and its plans."""

from datetime import datetime
from importlib import resources
from typing import Any
from uuid import UUID

import msgspec
from jinja2 import Environment, select_autoescape
from starlette.responses import Response

from guilder.chassis.clock import Clock
from guilder.chassis.contract import encode
from guilder.contracts.registry.held import IN_FORCE
from guilder.contracts.registry.windows import WindowState, Writes
from guilder.gateway.maintenance import Maintenance
from guilder.gateway.pages import HEADERS

PAGE, JSON = "/status", "/status.json"

SENTENCES = {
    "open": ("Everything is open", "There is no maintenance at the moment."),
    "maintenance": ("Maintenance", "Everything can be read; what has to wait stands below."),
    "read-only": ("Read-only", "Everything can be read; nothing can be changed at the moment."),
}
"""What is said of each state."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A window of the whole platform."""

    id: UUID
    state: WindowState
    title: str
    service: str | None
    writes: Writes
    begins_at: datetime
    ends_at: datetime


class Status:
    """Made anew for each request: it is a matter of the moment."""

    def __init__(self, maintenance: Maintenance, clock: Clock) -> None:
        """`maintenance` knows what is planned and in force."""
        text = (resources.files("guilder.gateway") / "status.html").read_text("utf-8")
        environment = Environment(autoescape=select_autoescape(default=True))
        self._template = environment.from_string(text)
        self._maintenance, self._clock = maintenance, clock

    def find(self, path: str) -> Response | None:
        """The page at a path, if it is one of these."""
        if path not in (PAGE, JSON):
            return None
        facts = self._facts()
        headers = {**HEADERS, "Cache-Control": "no-store"}
        if path == JSON:
            return Response(encode(facts), media_type="application/json", headers=headers)
        headline, sentence = SENTENCES[facts["state"]]
        html = self._template.render(facts, headline=headline, sentence=sentence)
        return Response(html, media_type="text/html", headers=headers)

    def _facts(self) -> dict[str, Any]:
        now = self._clock.now()
        open_windows, switches = self._maintenance.everyone()
        windows = [
            Planned(
                id=window.id,
                state=window.state(now),
                title=window.title,
                service=window.service,
                writes=window.writes,
                begins_at=window.begins_at,
                ends_at=window.ends_at,
            )
            for window in open_windows
        ]
        in_force = any(window.state in IN_FORCE for window in windows)
        return {
            "now": now,
            "stale": self._maintenance.directory.stale,
            "state": "read-only" if switches else "maintenance" if in_force else "open",
            "read_only_since": min(s.since for s in switches) if switches else None,
            "windows": windows,
        }
