"""Planned downtime with bare hands: two operators plan it, people are told, the brake works."""

import json
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from guilder.chassis.testing import soon
from tests.journeys.bare_hands import guilder, signed_in

FIRST = "00000000-0000-0000-0000-000000000001"
PARTY = {"kind": "person", "name": "Ann"}


@pytest.fixture
def operators(platform):
    secret = (platform.data / "secrets" / "operator.secret").read_text().strip()
    second = json.loads(guilder("operator", "ines", "--json", data=platform.data).stdout)
    return (
        signed_in(platform.api, FIRST, secret),
        signed_in(platform.api, second["id"], second["client_secret"]),
    )


def planned(operators, **more):
    """A window that two operators have planned, as the API shows it."""
    one, two = operators
    begins = datetime.now(UTC) + timedelta(hours=5)
    asked = {
        "begins_at": begins.isoformat(),
        "ends_at": (begins + timedelta(hours=1)).isoformat(),
        "title": f"Disks {uuid4().hex[:6]}",
        "reason": "The disks are exchanged",
        "urgent": "They are failing",
    }
    proposal = one.post("/v1/maintenance-windows", asked | more, status=202)
    path = f"/v1/proposals/{proposal['id']}"
    own = one.send("POST", f"{path}/approval", {})
    assert (own.status, own.json["code"]) == (403, "own-proposal")
    two.post(f"{path}/approval", {}, status=200)
    ended = soon(lambda: two.get(path), lambda p: p["state"] != "approved")
    assert ended["state"] == "executed", ended
    listed = one.get("/v1/maintenance-windows")["items"]
    return next(window for window in listed if window["id"] == ended["resource"])


def told(client, window):
    """What an inbox says of a window, oldest first."""
    items = client.get("/v1/inbox")["items"]
    return [m["topic"] for m in reversed(items) if m["about"] == window["id"]]


def announced(client):
    return client.send("GET", "/v1/inbox").headers.get("guilder-maintenance", "")


def test_a_bank_is_told_of_its_window_and_nobody_else_is(platform, operators):
    mia, xena = platform.person("nordbank", "mia"), platform.person("company-x", "xena")
    window = planned(operators, tenant="nordbank")
    soon(lambda: told(mia, window), lambda topics: topics == ["maintenance.announced"])
    soon(lambda: announced(mia), lambda header: window["id"] in header)
    assert told(xena, window) == []
    assert window["id"] not in announced(xena)
    assert window in mia.get("/v1/maintenance-windows")["items"]
    assert window not in xena.get("/v1/maintenance-windows")["items"]
    path = f"/v1/maintenance-windows/{window['id']}/cancellation"
    operators[0].post(path, {"reason": "The disks did not come"}, status=200)
    soon(lambda: told(mia, window)[-1], lambda topic: topic == "maintenance.cancelled")
    soon(lambda: announced(mia), lambda header: window["id"] not in header)


def test_the_status_page_announces_what_concerns_everyone(platform, operators):
    window = planned(operators, service="vault")
    status = soon(lambda: operators[0].get("/status.json"), lambda s: s["windows"])
    assert window["id"] in [w["id"] for w in status["windows"]]
    page = operators[0].send("GET", "/status")
    assert window["title"] in page.raw.decode()
    path = f"/v1/maintenance-windows/{window['id']}/cancellation"
    operators[1].post(path, {"reason": "not needed"}, status=200)


def test_read_only_mode_is_in_force_within_a_second_and_for_its_bank_alone(platform, operators):
    bank, other = platform.machine("nordbank"), platform.machine("company-x")
    switch = {"tenant": "nordbank", "reason": "a try"}
    key = str(uuid4())
    try:
        operators[0].post("/v1/read-only", {"on": True, **switch}, status=200)
        time.sleep(1)
        refused = bank.send("POST", "/v1/parties", PARTY, key)
        assert (refused.status, refused.json["code"]) == (503, "read-only")
        assert int(refused.headers["retry-after"]) > 0
        assert bank.send("GET", "/v1/parties").status == 200
        other.post("/v1/parties", PARTY)
    finally:
        operators[1].post("/v1/read-only", {"on": False, **switch}, status=200)
    time.sleep(1)
    bank.post("/v1/parties", PARTY, key)
