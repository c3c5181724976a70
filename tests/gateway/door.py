"""The real gateway of a world on a socket, and a bare-hands client."""

import asyncio
import json
import socket
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import uvicorn

from guilder.chassis.testing import Bank, World, make_bank, somebody
from guilder.chassis.wire import Address, Reply, Wire
from guilder.contracts.access.v1 import Access, GrantRole
from guilder.contracts.identity.v1 import CreateClient, Identity
from guilder.gateway.app import Gateway
from guilder.gateway.settings import GatewaySettings
from guilder.gateway.strict import server_settings


class Door:
    """A gateway and clients of it."""

    def __init__(self, world: World, settings: GatewaySettings) -> None:
        self.world = world
        contracts = [type(e.service) for e in world.process.endpoints.values()]
        process = world.process
        self.gateway = Gateway(
            process.calls("gateway"),
            contracts,
            world.clock,
            settings,
            process.directory,
        )
        config = uvicorn.Config(self.gateway, lifespan="off", loop="none", **server_settings())
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    async def open(self) -> None:
        self._task = asyncio.create_task(self._server._serve([self._socket]))
        while not self._server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        self._server.should_exit = True
        await self._task

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        key: str | None = None,
        **headers: str,
    ) -> Reply:
        """One request on a connection of its own; `body` is JSON unless it is bytes."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            given["Authorization"] = f"Bearer {token}"
        if key:
            given["Idempotency-Key"] = key
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        wire = Wire(Address(port=self.port))
        try:
            return await wire.request(method, path, given, body or b"")
        finally:
            wire.close()

    async def token(self, client_id: str, secret: str) -> str:
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        reply = await self.send(
            "POST",
            "/oauth/token",
            urlencode(form).encode(),
            Content_Type="application/x-www-form-urlencoded",
        )
        assert reply.status == 200, reply.body
        return json.loads(reply.body)["access_token"]

    async def bank(self, role: str | None = "manager") -> tuple[Bank, str]:
        """A bank and the token of a machine client with a role in it."""
        bank = await make_bank(self.world)
        return bank, await self.client(bank, role)

    async def client(self, bank: Bank, role: str | None) -> str:
        """The token of a new machine client of a bank."""
        made = await self.world.client(Identity).create_client(
            bank.manager.ctx(), CreateClient(name="machine")
        )
        if role:
            grant = GrantRole(subject=made.id, role=role)
            await self.world.client(Access).assign(bank.manager.ctx(), grant)
        return await self.token(str(made.id), made.client_secret)


def read(reply: Reply) -> Any:
    return json.loads(reply.body)


def key() -> str:
    return str(uuid4())


__all__ = ["Door", "key", "read", "somebody"]
