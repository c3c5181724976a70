"""The one API through its real door."""

import json
import re

import pytest
import pytest_asyncio

from guilder.contracts.audit.v1 import Audit, AuditQuery
from guilder.contracts.context import PLATFORM
from guilder.gateway.settings import GatewaySettings
from tests.gateway.door import Door, key, read

PARTY = {"kind": "person", "name": "Ann"}


@pytest_asyncio.fixture(loop_scope="session")
async def door(direct):
    made = Door(direct, GatewaySettings(stranger_rate=1e6))
    await made.open()
    yield made
    await made.close()


async def refusals(door, tenant, outcome):
    """Audit entries of refusals, read as the tools do."""
    from guilder.chassis.testing import somebody

    page = await door.world.client(Audit).entries(somebody(tenant).ctx(), AuditQuery(limit=200))
    return [entry for entry in page.items if entry.outcome == outcome]


async def test_a_client_creates_and_reads_and_repeats(door):
    _, token = await door.bank()
    once = key()
    made = await door.send("POST", "/v1/parties", PARTY, token, once)
    assert made.status == 201
    assert "idempotent-replayed" not in made.headers
    again = await door.send("POST", "/v1/parties", PARTY, token, once)
    assert (again.status, again.body) == (201, made.body)
    assert again.headers["idempotent-replayed"] == "true"
    found = await door.send("GET", f"/v1/parties/{read(made)['id']}", token=token)
    assert found.body == made.body
    assert re.fullmatch("[0-9a-f]{32}", found.headers["x-request-id"])
    assert found.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic x", "Bearer \x7f"])
async def test_without_a_token_that_holds_nothing_is_answered(door, header):
    reply = await door.send("GET", "/v1/parties", Authorization=header)
    assert reply.status in (400, 401)
    if reply.status == 401:
        assert reply.headers["www-authenticate"] == "Bearer"
        assert read(reply)["code"] in ("unauthenticated", "invalid-token")


async def test_refusals_leave_an_audit_entry(door):
    bank, token = await door.bank(role="auditor")
    reply = await door.send("POST", "/v1/parties", PARTY, token, key())
    assert (reply.status, read(reply)["code"]) == (403, "forbidden")
    (entry,) = await refusals(door, bank.number, "forbidden")
    assert entry.operation == "parties.create"
    assert entry.request == reply.headers["x-request-id"]
    before = len(await refusals(door, PLATFORM, "invalid-token"))
    await door.send("GET", "/v1/parties", Authorization="Bearer nonsense")
    after = await refusals(door, PLATFORM, "invalid-token")
    assert len(after) == min(200, before + 1)


async def test_unknown_paths_and_methods(door):
    _, token = await door.bank()
    reply = await door.send("GET", "/v1/nothing", token=token)
    assert (reply.status, read(reply)["code"]) == (404, "not-found")
    reply = await door.send("DELETE", "/v1/parties", token=token)
    assert (reply.status, read(reply)["code"]) == (405, "method-not-allowed")
    assert reply.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/docs", "GET, HEAD"),
        ("DELETE", "/openapi.json", "GET, HEAD"),
        ("POST", "/.well-known/jwks.json", "GET, HEAD"),
        ("POST", "/.well-known/oauth-authorization-server", "GET, HEAD"),
        ("GET", "/oauth/token", "POST"),
    ],
)
async def test_pages_and_oauth_take_their_methods_alone(door, method, path, allow):
    reply = await door.send(method, path)
    assert (reply.status, read(reply)["code"]) == (405, "method-not-allowed")
    assert reply.headers["allow"] == allow


@pytest.mark.parametrize("bad", ["a" * 256, "a\tb"])
async def test_a_refused_key_is_in_the_audit_of_who_sent_it(door, bad):
    bank, token = await door.bank()
    reply = await door.send("POST", "/v1/parties", PARTY, token, bad)
    assert (reply.status, read(reply)["code"]) == (400, "invalid-request")
    (entry,) = await refusals(door, bank.number, "invalid-request")
    assert entry.operation == "parties.create"
    assert entry.request == reply.headers["x-request-id"]


@pytest.mark.abuse(35)
@pytest.mark.parametrize("extra", ["role", "tenant", "approved_by", "id", "created_at"])
async def test_extra_members_are_refused(door, extra):
    _, token = await door.bank()
    reply = await door.send("POST", "/v1/parties", {**PARTY, extra: 1}, token, key())
    assert (reply.status, read(reply)["code"]) == (400, "invalid-request")
    listed = await door.send("GET", "/v1/parties", token=token)
    assert read(listed)["items"] == []


@pytest.mark.abuse(54)
@pytest.mark.parametrize(
    "body",
    [
        b'{"kind":"person","name":"A","name":"B"}',
        b'{"kind":"person","name":"A","na\\u006de":"B"}',
        b'{"kind":"person","name":"A","address":{"lines":["x"],"country":"DE","country":"GB"}}',
    ],
)
async def test_duplicate_members_are_refused(door, body):
    _, token = await door.bank()
    reply = await door.send("POST", "/v1/parties", body, token, key())
    assert (reply.status, read(reply)["code"]) == (400, "invalid-request")
    assert "twice" in read(reply)["detail"]


@pytest.mark.abuse(55)
@pytest.mark.parametrize(
    "body",
    [b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"[" * 100_000],
)
async def test_deep_bodies_are_refused(door, body):
    _, token = await door.bank()
    reply = await door.send("POST", "/v1/parties", body, token, key())
    assert (reply.status, read(reply)["code"]) == (400, "invalid-request")


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"nonsense",
        b"[]",
        b'"text"',
        b"null",
        b'{"kind":"person","name":"a\\u0000b"}',
        b'{"kind":"person","name":"\\ud800"}',
        b'{"kind":"person","name":NaN}',
        b'{"kind":"person","name":Infinity}',
        b'{"kind":"person","name":1e400}',
        b'{"kind":"person","name":"' + b"x" * 30_000 + b'"}',
        b'{"kind":"person","name":"A","birth_date":"0000-00-00"}',
        b'{"kind":"person","name":' + b"9" * 5_000 + b"}",
    ],
)
async def test_odd_bodies_are_refused_without_a_trace(door, body):
    _, token = await door.bank()
    reply = await door.send("POST", "/v1/parties", body, token, key())
    assert reply.status in (400, 422), reply.body
    assert read(reply)["fix"]
    assert read(await door.send("GET", "/v1/parties", token=token))["items"] == []


async def test_only_json_is_understood(door):
    _, token = await door.bank()
    reply = await door.send(
        "POST", "/v1/parties", b"<party/>", token, key(), Content_Type="application/xml"
    )
    assert (reply.status, read(reply)["code"]) == (415, "unsupported-media-type")


@pytest.mark.abuse(58)
async def test_spoofed_headers_change_nothing(door):
    _, token = await door.bank()
    other, _ = await door.bank()
    made = await door.send(
        "POST",
        "/v1/parties",
        PARTY,
        token,
        key(),
        X_Tenant=str(other.number),
        X_Forwarded_For="127.0.0.1",
        X_Forwarded_Host="evil",
        Guilder_Call="x",
        Guilder_Tenant=str(other.number),
    )
    assert made.status == 201
    stranger = await door.client(other, "manager")
    found = await door.send("GET", f"/v1/parties/{read(made)['id']}", token=stranger)
    assert found.status == 404


@pytest.mark.abuse(59)
@pytest.mark.parametrize(
    "name",
    [
        "'; DROP TABLE party; --",
        "*)(uid=*))(|(uid=*",
        "a\r\nSet-Cookie: x=1",
        "a\u2028b",
        "a\u0085b",
    ],
)
async def test_injected_text_is_data_or_is_refused(door, name):
    _, token = await door.bank()
    made = await door.send("POST", "/v1/parties", {"kind": "person", "name": name}, token, key())
    assert "set-cookie" not in made.headers
    if made.status == 201:
        found = await door.send("GET", f"/v1/parties/{read(made)['id']}", token=token)
        assert read(found)["name"] == name
    else:
        assert made.status in (400, 422)
    listed = await door.send("GET", "/v1/parties?limit=5", token=token)
    assert listed.status == 200
    assert len(read(listed)["items"]) == (made.status == 201)


@pytest.mark.abuse(62)
@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=100000",
        "limit=1e3",
        "limit=1&limit=2",
        "limit=",
        "offset=5",
        "after=zzz",
        "after=" + "a" * 3000,
        "&".join(f"a{n}=1" for n in range(50)),
        "name=" + "(a+)+" * 500,
        "limit",
        "%ff=1",
    ],
)
async def test_absurd_pages_are_refused(door, query):
    _, token = await door.bank()
    reply = await door.send("GET", f"/v1/parties?{query}", token=token)
    assert reply.status == 400, (reply.status, reply.body)


@pytest.mark.abuse(33)
async def test_another_tenants_ids_are_not_found(door):
    _, mine = await door.bank()
    _, theirs = await door.bank()
    made = read(await door.send("POST", "/v1/parties", PARTY, theirs, key()))
    reply = await door.send("GET", f"/v1/parties/{made['id']}", token=mine)
    missing = await door.send("GET", "/v1/parties/01890000-0000-7000-8000-000000000000", token=mine)
    assert (reply.status, missing.status) == (404, 404)
    ours, none = read(reply), read(missing)
    assert ours["code"] == none["code"]
    opened = await door.send("POST", "/v1/accounts", {"holders": [made["id"]]}, mine, key())
    assert 400 <= opened.status < 500
    cursor = await door.send("GET", f"/v1/parties?after={made['id']}", token=mine)
    assert read(cursor)["items"] == []


async def test_commands_that_move_money_need_a_key(door):
    _, token = await door.bank()
    body = {
        "debtor_account": "01890000-0000-7000-8000-000000000001",
        "creditor_account": "01890000-0000-7000-8000-000000000002",
        "amount": {"amount": "1.00", "currency": "EUR"},
    }
    reply = await door.send("POST", "/v1/payments", body, token)
    assert (reply.status, read(reply)["code"]) == (400, "idempotency-key-missing")
    for odd in ("x" * 256, "\x80"):
        reply = await door.send("POST", "/v1/payments", body, token, odd)
        assert reply.status == 400


async def test_rates_are_limited_per_principal(direct):
    door = Door(direct, GatewaySettings(principal_rate=2.0, stranger_rate=1e6))
    await door.open()
    try:
        bank, token = await door.bank()
        other = await door.client(bank, "manager")
        seen = [(await door.send("GET", "/v1/roles", token=token)) for _ in range(12)]
        assert [r.status for r in seen[:4]] == [200] * 4
        limited = [r for r in seen if r.status == 429]
        assert limited
        assert int(limited[0].headers["retry-after"]) >= 1
        assert (await door.send("GET", "/v1/roles", token=other)).status == 200
    finally:
        await door.close()


async def test_oauth_refuses_what_is_not_a_client_credentials_form(door):
    form = "application/x-www-form-urlencoded"
    for body, kind in (
        (b"grant_type=password&client_id=a&client_secret=b", form),
        (b"grant_type=client_credentials&client_id=a&client_id=b&client_secret=c", form),
        (b"grant_type=client_credentials&client_id=%00&client_secret=c", form),
        (b"grant_type=client_credentials", form),
        (b'{"grant_type":"client_credentials"}', "application/json"),
        (b"\xff", form),
    ):
        reply = await door.send("POST", "/oauth/token", body, Content_Type=kind)
        assert reply.status == 400, (body, reply.body)
    body = b"grant_type=client_credentials&client_id=a&client_secret=b"
    reply = await door.send("POST", "/oauth/token", body, Content_Type=form)
    assert (reply.status, read(reply)["code"]) == (401, "invalid-client")
    reply = await door.send(
        "POST", "/oauth/token", body, Content_Type=form, Authorization="Basic !"
    )
    assert reply.status in (400, 401)


async def test_the_gateway_tells_of_itself(door):
    document = read(await door.send("GET", "/openapi.json"))
    assert document["openapi"].startswith("3.1")
    assert "/v1/payments" in document["paths"]
    html = (await door.send("GET", "/docs")).body.decode()
    for path in document["paths"]:
        assert path in html
    assert "$ref" not in html  # types are written for readers
    assert set(re.findall('href="#([^"]+)"', html)) <= set(re.findall(' id="([^"]+)"', html))
    problem = read(await door.send("GET", "/problems/insufficient-funds"))
    assert problem["fix"]
    keys = read(await door.send("GET", "/.well-known/jwks.json"))["keys"]
    assert keys
    assert all("d" not in key for key in keys)
    metadata = read(await door.send("GET", "/.well-known/oauth-authorization-server"))
    assert metadata["token_endpoint"].endswith("/oauth/token")


async def test_problem_documents_name_the_place(door):
    _, token = await door.bank()
    body = {"kind": "robot", "name": "R2"}
    problem = read(await door.send("POST", "/v1/parties", body, token, key()))
    assert problem["at"] == "$.kind"
    assert problem["type"] == "/problems/invalid-request"
    assert json.dumps(problem).count("robot") <= 1
