"""One platform for the journeys in each topology, started and stopped by its own commands."""

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.bare_hands import TOPOLOGIES, Client, guilder, person, signed_in, up


@dataclass
class Running:
    """A running platform with the demo's banks."""

    data: Path
    api: str
    demo: dict[str, Any]

    def machine(self, tenant: str) -> Client:
        """The bank's own system."""
        bank = self.demo[tenant]
        return signed_in(self.api, bank["client_id"], bank["client_secret"])

    def person(self, tenant: str, login: str) -> Client:
        """A person of a tenant."""
        return person(self.api, self.data, tenant, login)


@contextmanager
def demo(*options):
    """A platform of its own with the demo's banks; it ends whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="guilder-journey-"))
    data = folder / "data"
    facts = up(data, "--demo", *options)
    try:
        yield Running(data, facts["api"], {bank["tenant"]: bank for bank in facts["demo"]})
    finally:
        guilder("down", data=data)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", params=TOPOLOGIES)
def platform(request):
    with demo(*TOPOLOGIES[request.param]) as running:
        yield running
