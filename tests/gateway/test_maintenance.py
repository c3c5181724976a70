"""Windows and read-only mode at the real door: what is refused, what goes on, what is announced."""

import json
from datetime import timedelta

import msgspec
import pytest_asyncio

from guilder.chassis.directory import DirectoryFollower
from guilder.contracts.registry.windows import SetReadOnly, WindowId
from guilder.gateway.settings import GatewaySettings
from tests.gateway.door import Door, key, read
from tests.services.registry.maintenance_desk import open_desk

PARTY = {"kind": "person", "name": "Ann"}
PAYMENT = {
    "debtor_account": "DE00",
    "creditor_account": "DE01",
    "amount": {"amount": "1.00", "currency": "EUR"},
}


@pytest_asyncio.fixture(loop_scope="session")
async def door(direct):
    made = Door(direct, GatewaySettings(stranger_rate=1e6))
    await made.open()
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="session")
async def desk(direct):
    async with open_desk(direct) as made:
        yield made


class Passed:
    """Looks at the calls that the gateway passes on."""

    def __init__(self, door) -> None:
        self.calls, self._send = [], door.gateway._calls.send
        door.gateway._calls.send = self.send

    async def send(self, operation, calls):
        self.calls += [(operation.id, call.ctx.hold) for call in calls]
        return await self._send(operation, calls)


async def in_force(desk, **changes):
    """A window that has begun a minute ago; tokens of before are not used any more."""
    window = await desk.window(**changes)
    await desk.pass_by(days=4, minutes=1)
    return window


async def test_writes_are_refused_with_the_window_and_reads_go_on(door, desk):
    bank, _ = await door.bank()
    other, _ = await door.bank()
    window = await in_force(desk, tenant=bank.slug)
    token, elsewhere = await door.client(bank, "manager"), await door.client(other, "manager")
    reply = await door.send("POST", "/v1/parties", PARTY, token, key())
    assert (reply.status, read(reply)["code"]) == (503, "maintenance")
    assert read(reply)["window"] == str(window.id)
    assert reply.headers["retry-after"] == "3600"  # an hour at most, of the 119 minutes left
    assert f"{window.ends_at:%Y-%m-%dT%H:%M:%SZ}" in read(reply)["detail"]
    assert (await door.send("GET", "/v1/parties", token=token)).status == 200
    assert read(await door.send("GET", "/v1/parties", token=token))["items"] == []
    assert (await door.send("POST", "/v1/parties", PARTY, elsewhere, key())).status == 201
    await desk.pass_by(minutes=118)
    token, once = await door.client(bank, "manager"), key()
    reply = await door.send("POST", "/v1/parties", PARTY, token, once)
    assert reply.headers["retry-after"] == "60"
    await desk.pass_by(minutes=1)
    reply = await door.send("POST", "/v1/parties", PARTY, token, once)
    assert "checked" in read(reply)["detail"]
    await desk.registry.complete_window(desk.who.ctx(), WindowId(window_id=window.id))
    await desk.world.settle()
    assert (await door.send("POST", "/v1/parties", PARTY, token, once)).status == 201


async def test_before_the_beginning_and_without_anybody_after_the_end_writes_go_on(door, desk):
    bank, _ = await door.bank()
    await desk.window(tenant=bank.slug, completes_after_minutes=0)
    desk.clock.move(days=4, seconds=-1)  # and no sweep comes by any more
    token = await door.client(bank, "manager")
    assert (await door.send("POST", "/v1/parties", PARTY, token, key())).status == 201
    desk.clock.move(seconds=1)
    assert (await door.send("POST", "/v1/parties", PARTY, token, key())).status == 503
    desk.clock.move(hours=2, microseconds=-1)
    token = await door.client(bank, "manager")
    assert (await door.send("POST", "/v1/parties", PARTY, token, key())).status == 503
    desk.clock.move(microseconds=1)
    assert (await door.send("POST", "/v1/parties", PARTY, token, key())).status == 201


async def test_where_writes_are_queued_a_payment_is_passed_on_with_the_window(door, desk):
    bank, _ = await door.bank()
    window = await in_force(desk, tenant=bank.slug, writes="queue")
    token, passed = await door.client(bank, "manager"), Passed(door)
    await door.send("POST", "/v1/payments", PAYMENT, token, key())
    assert passed.calls == [("payments.create", window.id)]
    for method, path, body in (
        ("POST", "/v1/parties", PARTY),
        ("POST", f"/v1/payments/{window.id}/reversal", {"reason": "wrong"}),
    ):
        reply = await door.send(method, path, body, token, key())
        assert (reply.status, read(reply)["code"]) == (503, "maintenance")
    await door.send("POST", "/v1/payments/quote", PAYMENT, token)
    assert passed.calls[1:] == [("payments.quote", None)]


async def test_a_window_of_a_service_holds_what_writes_to_it_and_nothing_else(door, desk):
    bank, _ = await door.bank()
    await in_force(desk, tenant=bank.slug, service="ledger")
    token = await door.client(bank, "manager")
    assert (await door.send("POST", "/v1/parties", PARTY, token, key())).status == 201
    for path, body in (
        ("/v1/payments", PAYMENT),
        ("/v1/accounts", {"product": "current", "currency": "EUR", "holders": []}),
    ):
        reply = await door.send("POST", path, body, token, key())
        assert (reply.status, read(reply)["code"]) == (503, "maintenance"), path


async def test_a_refusing_window_wins_over_one_that_queues(door, desk):
    bank, _ = await door.bank()
    await desk.window(tenant=bank.slug, writes="queue")
    refusing = await in_force(desk, tenant=bank.slug, service="ledger")
    token = await door.client(bank, "manager")
    reply = await door.send("POST", "/v1/payments", PAYMENT, token, key())
    assert read(reply)["window"] == str(refusing.id)


async def operators(door):
    """The token of a machine client of the platform with the role of an operator."""
    from guilder.chassis.testing import Bank, operator

    platform = Bank(0, "platform", operator(), operator(), operator())
    return await door.client(platform, "operator")


async def test_operators_end_what_they_began_whatever_is_in_force(door, desk):
    window = await in_force(desk)
    token = await operators(door)
    on = {"on": True, "reason": "The books look wrong"}
    assert (await door.send("POST", "/v1/read-only", on, token, key())).status == 200
    await desk.world.settle()
    ends_at = window.ends_at + timedelta(hours=1)
    later = {"ends_at": ends_at.isoformat(), "reason": "The copy takes longer"}
    path = f"/v1/maintenance-windows/{window.id}"
    assert (await door.send("POST", f"{path}/extension", later, token, key())).status == 200
    reply = await door.send("POST", "/v1/parties", PARTY, token, key())
    assert (reply.status, read(reply)["code"]) == (503, "read-only")
    proposed = json.loads(
        msgspec.json.encode(
            desk.asked(begins_at=desk.ahead(days=9), ends_at=desk.ahead(days=9, hours=1))
        )
    )
    reply = await door.send("POST", "/v1/maintenance-windows", proposed, token, key())
    assert (reply.status, read(reply)["state"]) == (202, "proposed")
    second = await operators(door)
    path_of_it = f"/v1/proposals/{read(reply)['id']}/approval"
    assert (await door.send("POST", path_of_it, {}, second, key())).status == 200
    assert (await door.send("POST", f"{path}/completion", {}, token, key())).status == 200
    off = {"on": False, "reason": "They were right"}
    assert (await door.send("POST", "/v1/read-only", off, token, key())).status == 200
    await desk.world.settle()


async def test_read_only_mode_stops_writing_where_it_is_on_and_nowhere_else(door, desk):
    (bank, token), (_, elsewhere) = await door.bank(), await door.bank()
    on = SetReadOnly(on=True, reason="a leak", tenant=bank.slug)
    await desk.registry.set_read_only(desk.who.ctx(), on)
    await desk.world.settle()
    reply = await door.send("POST", "/v1/parties", PARTY, token, key())
    assert (reply.status, read(reply)["code"]) == (503, "read-only")
    assert reply.headers["retry-after"] == "60"
    assert reply.headers["guilder-maintenance"].startswith("read-only;since=@")
    assert (await door.send("GET", "/v1/parties", token=token)).status == 200
    reply = await door.send("POST", "/v1/parties", PARTY, elsewhere, key())
    assert reply.status == 201
    assert "guilder-maintenance" not in reply.headers
    assert "guilder-maintenance" not in (await door.send("GET", "/docs")).headers


async def test_what_is_planned_stands_in_every_answer_from_72_hours_before(door, desk):
    bank, token = await door.bank()
    window = await desk.window(service="pricing", writes="queue")
    mine = await desk.window(tenant=bank.slug)
    await desk.pass_by(days=1, seconds=-1)
    token = await door.client(bank, "manager")
    assert "guilder-maintenance" not in (await door.send("GET", "/v1/parties", token=token)).headers
    await desk.pass_by(seconds=1)
    begins, ends = int(window.begins_at.timestamp()), int(window.ends_at.timestamp())
    times = f"begins=@{begins};ends=@{ends}"
    public = f'"{window.id}";state=scheduled;service=pricing;writes=queue;{times}'
    own = f'"{mine.id}";state=scheduled;writes=refuse;{times}'
    shown = (await door.send("GET", "/v1/parties", token=token)).headers["guilder-maintenance"]
    assert sorted(shown.split(", ")) == sorted([public, own])
    strangers = [
        await door.send("GET", "/docs"),
        await door.send("GET", "/v1/nothing"),
        await door.send("GET", "/v1/parties"),
        await door.send("POST", "/v1/parties", PARTY, "nonsense", key()),
        await door.send("GET", "/.well-known/jwks.json"),
        await door.send("GET", "/status"),
    ]
    assert {reply.headers["guilder-maintenance"] for reply in strangers} == {public}


async def test_the_status_page_says_what_everyone_may_know(door, desk):
    bank, _ = await door.bank()
    reply = await door.send("GET", "/status")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert b"Everything is open" in reply.body
    assert b"<script" not in reply.body
    mine = await desk.window(tenant=bank.slug, title="Only theirs")
    window = await desk.window(title="Disks <b>&", service="vault")
    facts = read(await door.send("GET", "/status.json"))
    assert (facts["state"], facts["read_only_since"]) == ("open", None)
    assert [(w["id"], w["state"]) for w in facts["windows"]] == [(str(window.id), "scheduled")]
    page = (await door.send("GET", "/status")).body.decode()
    assert "Disks &lt;b&gt;&amp;" in page
    for secret in (str(mine.id), "Only theirs", bank.slug):
        assert secret not in page
        assert secret not in json.dumps(facts)
    await desk.pass_by(days=4)
    assert read(await door.send("GET", "/status.json"))["state"] == "maintenance"
    on = SetReadOnly(on=True, reason="a leak")
    await desk.registry.set_read_only(desk.who.ctx(), on)
    await desk.world.settle()
    facts = read(await door.send("GET", "/status.json"))
    assert (facts["state"], facts["read_only_since"] is None) == ("read-only", False)
    assert b"Read-only" in (await door.send("GET", "/status")).body
    reply = await door.send("POST", "/status")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


async def test_a_door_that_has_heard_nothing_yet_changes_nothing(door, desk, monkeypatch):
    """It started while the registry was gone: read-only mode may be on."""
    bank, _ = await door.bank()
    token, follower = await door.client(bank, "manager"), desk.world.process.directory
    with monkeypatch.context() as patch:
        patch.setattr(follower, "latest", DirectoryFollower(None, None, desk.world.clock).latest)
        reply = await door.send("POST", "/v1/parties", PARTY, token, key())
        assert (reply.status, read(reply)["code"]) == (503, "unavailable")
        assert (await door.send("GET", "/v1/parties", token=token)).status == 200
    assert (await door.send("POST", "/v1/parties", PARTY, token, key())).status == 201
