"""The key of a command: the client's own, or the request's, so that we may send it again."""

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio

from guilder.chassis.call import Remote
from guilder.chassis.testing import somebody
from guilder.chassis.token import CallKeys
from guilder.chassis.wire import Address
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.context import Call
from guilder.contracts.errors import InvalidRequest
from guilder.contracts.parties.v1 import Parties
from guilder.gateway.app import _key
from guilder.gateway.settings import GatewaySettings
from tests.gateway.door import Door

OPERATIONS = [o for contract in all_contracts().values() for o in contract.operations().values()]
PUBLIC = [o for o in OPERATIONS if o.public]


@pytest_asyncio.fixture(loop_scope="session")
async def door(direct):
    made = Door(direct, GatewaySettings(stranger_rate=1e6))
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("operation", PUBLIC, ids=lambda o: o.id)
def test_every_public_command_can_be_sent_again_or_is_refused_without_a_key(operation):
    key = _key({}, operation, "the request's")
    if operation.command and not operation.moves_money:
        assert key == "the request's"
    else:
        assert key is None
    assert _key({"idempotency-key": "mine"}, operation, "the request's") == "mine"


@pytest.mark.parametrize("key", ["", " \n", "x" * 256, "ü", "a\tb", "\x7f"])
def test_a_bad_key_is_refused_and_not_replaced_by_ours(key):
    for operation in PUBLIC:
        with pytest.raises(InvalidRequest, match="Idempotency-Key"):
            _key({"idempotency-key": key}, operation, "the request's")


async def test_every_request_has_a_key_of_its_own(door):
    _, token = await door.bank()
    body = {"kind": "person", "name": "Ann Example"}
    replies = [await door.send("POST", "/v1/parties", body, token) for _ in range(2)]
    assert [reply.status for reply in replies] == [201, 201]
    assert replies[0].body != replies[1].body
    chosen = {"X_Request_Id": "the same", "Traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    again = [await door.send("POST", "/v1/parties", body, token, **chosen) for _ in range(2)]
    assert again[0].body != again[1].body  # what the client says of tracing is no key


async def test_a_command_with_a_key_is_sent_again_when_its_process_is_replaced(tmp_path: Path):
    """Without one it is not: it may have been done before the process went."""
    seen = []

    async def replaced(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    path = str(tmp_path / "p.sock")
    server = await asyncio.start_unix_server(replaced, path)
    operation = Parties.operations()["create"]
    remote = Remote(Address(path=path), "gateway", CallKeys(b"x"))
    request = operation.request(kind="person", name="Ann")
    for key, times in (("", 1), ("mine", 2)):
        seen.clear()
        (outcome,) = await remote.send(operation, [Call(somebody(1).ctx(key), request)])
        assert (outcome.status, len(seen)) == (503, times)
    server.close()
