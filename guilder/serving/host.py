"""Runs a plan: opens what it needs, serves until told to leave, leaves without dropping a call."""

import asyncio
import signal
import socket
from collections.abc import Callable
from importlib import import_module

import asyncpg
from starlette.applications import Starlette

from guilder.chassis import logs, observe
from guilder.chassis.call import Direct, Remote, callers
from guilder.chassis.clock import Clock
from guilder.chassis.edition_door import edition_routes, public_key
from guilder.chassis.listen import Server, private_server
from guilder.chassis.metrics import Source
from guilder.chassis.process import Build, Process
from guilder.chassis.releases import Road
from guilder.chassis.schema import SchemaMismatch
from guilder.chassis.serve import service_routes
from guilder.chassis.settings import BadSetting, EditionSettings
from guilder.chassis.store import OUTAGES
from guilder.contracts.catalogue import all_contracts
from guilder.gateway.app import Gateway
from guilder.gateway.measures import Measures
from guilder.gateway.settings import GatewaySettings
from guilder.gateway.strict import server_settings
from guilder.serving.plan import GATEWAY, SUCCEEDED, Plan, ServeError


def builds(names: tuple[str, ...]) -> dict[str, Build]:
    """The `build` function of stock services."""
    return {name: import_module(f"guilder.services.{name}.build").build for name in names}


class Host:
    """One process, from its start to its end."""

    def __init__(self, plan: Plan, ready: Callable[[], None]) -> None:
        """`ready` is called when the first answer is possible."""
        self.plan, self._ready = plan, ready
        clock = Clock()
        made = builds(plan.services)
        self._process = Process(
            made,
            plan.connect,
            plan.secrets,
            clock,
            plan.env,
            far=self._road,
            name=plan.name,
            keys=plan.keys,
        )
        self._clock = clock
        self._remotes: dict[tuple[str, str], Remote] = {}
        self._stop = asyncio.Event()
        self._linger = 0.0
        self._door: Server | None = None

    async def run(self) -> None:
        """Serve until SIGINT, SIGTERM, or until a successor does; ServeError if it cannot start."""
        logs.configure(self.plan.name, self.plan.env)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self._end)
        loop.add_signal_handler(SUCCEEDED, self._make_way)
        servers = await self._open()
        tasks = [loop.create_task(server.serve(sockets=[sock])) for server, sock in servers]
        while not all(server.started for server, _ in servers):  # uvicorn offers no event
            if any(task.done() for task in tasks):
                break
            await asyncio.sleep(0.01)
        else:
            self._ready()
        told = loop.create_task(self._stop.wait())
        await asyncio.wait([told, *tasks], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        for server, _ in servers:
            server.leave(self._linger if server is self._door else 0.0)
        self._process.leave()
        await asyncio.gather(*tasks)
        await self._process.stop()
        for remote in self._remotes.values():
            remote.close()

    async def _open(self) -> list[tuple[Server, socket.socket]]:
        """Open what the plan names; the servers, each with its socket."""
        try:
            await self._process.start()
            servers, sources = [], []
            if self.plan.public is not None:
                self._door, measures = self._public()
                servers.append((self._door, self.plan.public))
                sources.append(measures)
            servers.append((self._private(*sources), self.plan.private))
        except (*OUTAGES, asyncpg.PostgresError) as error:
            raise ServeError(f"the database of {self.plan.name} cannot be used: {error}") from error
        except (BadSetting, SchemaMismatch) as error:
            raise ServeError(str(error)) from error
        return servers

    def _end(self) -> None:
        """Leave now, also when a successor had given us time."""
        self._linger = 0.0
        if self._door is not None:
            self._door.linger = 0.0
        self._stop.set()

    def _make_way(self) -> None:
        self._linger = self.plan.linger_s
        self._stop.set()

    def _road(self, contract: str, caller: str) -> Road:
        endpoint = self._process.endpoints.get(contract)
        if endpoint is not None:
            return Direct(endpoint, caller)
        if (contract, caller) not in self._remotes:
            remote = Remote(self.plan.peers(contract), caller, self.plan.keys)
            self._remotes[contract, caller] = remote
        return self._remotes[contract, caller]

    def _public(self) -> tuple[Server, Measures]:
        settings = GatewaySettings.load(self.plan.env)
        contracts = list(all_contracts().values())
        gateway = Gateway(
            self._process.calls(GATEWAY),
            contracts,
            self._clock,
            settings,
            self._process.directory,
        )
        server = Server(gateway, **server_settings())
        gateway.measures.connections = server.server_state.connections
        return server, gateway.measures

    def _private(self, *sources: Source) -> Server:
        routes = observe.routes(self._process, *sources)
        key = public_key(EditionSettings.load(self.plan.env))
        for endpoint in self._process.endpoints.values():
            routes += service_routes(endpoint, self.plan.keys, callers(endpoint.name))
            routes += edition_routes(endpoint, key) if key else []
        return private_server(Starlette(routes=routes))
