"""What the gateway counts."""

import pytest_asyncio

from guilder.gateway.settings import GatewaySettings
from tests.gateway.door import Door, key


@pytest_asyncio.fixture(loop_scope="session")
async def door(direct):
    made = Door(direct, GatewaySettings(stranger_rate=1e6))
    await made.open()
    yield made
    await made.close()


def samples(door):
    """Every sample by its name and its labels' values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in door.gateway.measures.collect()
        for sample in family.samples
    }


async def test_requests_are_counted_by_operation_and_status(door):
    _, token = await door.bank(role="auditor")
    for _ in range(2):
        await door.send("GET", "/v1/parties", token=token)
    await door.send("POST", "/v1/parties", {"kind": "person", "name": "Ann"}, token, key())
    await door.send("GET", "/v1/nothing-here/7", token=token)
    await door.send("GET", "/docs")
    found, requests = samples(door), "guilder_gateway_requests_total"
    assert found[requests, "parties.parties", "200"] == 2
    assert found[requests, "parties.create", "403"] == 1
    assert found[requests, "unknown-route", "404"] == 1
    assert found[requests, "page", "200"] == 1
    assert found["guilder_gateway_seconds_count", "parties.parties"] == 2
    assert found["guilder_gateway_refusals_total", "request", "forbidden"] == 1
    assert found["guilder_gateway_admitted", "parties"] == 0
    assert found["guilder_gateway_bound", "parties"] > 0
    assert found["guilder_gateway_in_flight",] == 0


async def test_what_never_reached_the_app_is_counted_too(door):
    def malformed():
        return samples(door).get(("guilder_gateway_refusals_total", "http", "target-illegal"), 0)

    before = malformed()
    reply = await door.send("GET", "/a/../b")
    assert (reply.status, malformed()) == (400, before + 1)


async def test_what_is_no_operation_of_ours_makes_no_line_of_its_own(door):
    for n in range(20):
        await door.send("GET", f"/v1/nothing-{n}")
        await door.send("GET", f"/v1/parties/{n}", token=f"nobody-{n}")
    operations = {key[1] for key in samples(door) if key[0] == "guilder_gateway_requests_total"}
    assert operations <= {"unknown-route", "parties.party"}
