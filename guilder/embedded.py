"""The embedded default: PostgreSQL and all services on one machine; alone imports them all.

Below the data directory: `postgres/` the cluster, `secrets/` key files (0700), `run/` what is
running now. One host process serves the public API over HTTP on loopback and every contract, to
holders of the call key, on a private unix socket.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from guilder.chassis.call import TOOLS, callers
from guilder.chassis.clock import Clock
from guilder.chassis.keyfile import private_file
from guilder.chassis.postgres import Cluster
from guilder.chassis.process import Build, Process
from guilder.chassis.serve import service_routes
from guilder.chassis.store import ConnectArgs, provision
from guilder.chassis.supervise import SuperviseError
from guilder.chassis.token import CallKeys
from guilder.contracts.catalogue import all_contracts
from guilder.gateway.app import Gateway
from guilder.gateway.settings import GatewaySettings
from guilder.gateway.strict import server_settings

READY = "ready.json"
SOCKET = "host.sock"
CALL_KEY = "call.key"


@dataclass(frozen=True)
class Home:
    """The data directory and what stands where in it."""

    data: Path

    @property
    def secrets(self) -> Path:
        """Private key files."""
        return self.data / "secrets"

    @property
    def run(self) -> Path:
        """What is running now."""
        return self.data / "run"

    @property
    def ready(self) -> Path:
        """Written by the host when it serves."""
        return self.run / READY

    def cluster(self, settings: Mapping[str, str] | None = None) -> Cluster:
        """The embedded PostgreSQL."""
        return Cluster(self.data / "postgres", settings=dict(settings or {}))

    def prepare(self) -> None:
        """Make the folders; SuperviseError when the secrets of an existing cluster are gone."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.secrets.mkdir(mode=0o700, exist_ok=True)
        if (self.data / "postgres").exists() and not (self.secrets / CALL_KEY).exists():
            raise SuperviseError(
                f"{self.secrets} was lost, and what is in the databases does not open without it. "
                "Restore that folder from its backup and try again."
            )
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.secret(CALL_KEY)

    def secret(self, name: str) -> str:
        """A random secret of this platform, made on first use."""
        made = private_file(self.secrets / name, lambda: secrets.token_urlsafe(32).encode())
        return made.decode("ascii")

    def call_keys(self) -> CallKeys:
        """The keys between our own processes."""
        return CallKeys(self.secret(CALL_KEY).encode())


def builds() -> dict[str, Build]:
    """The `build` function of every stock service."""
    return {n: import_module(f"guilder.services.{n}.build").build for n in all_contracts()}


def admin_of(home: Home, env: Mapping[str, str]) -> ConnectArgs:
    """How to reach PostgreSQL as its administrator: GUILDER_DATABASE, or the embedded one."""
    dsn = env.get("GUILDER_DATABASE")
    return {"dsn": dsn} if dsn else home.cluster().superuser_dsn()


def connect_of(home: Home, admin: ConnectArgs) -> dict[str, ConnectArgs]:
    """How each service logs in to its own database."""
    return {
        name: {**admin, "database": name, "user": name, "password": home.secret(f"{name}.password")}
        for name in all_contracts()
    }


async def provision_all(home: Home, admin: ConnectArgs) -> None:
    """Create or migrate every service's database."""
    for name in all_contracts():
        await provision(admin, name, name, home.secret(f"{name}.password"))


class _Server(uvicorn.Server):
    """A server that leaves signals to its host."""

    @contextmanager
    def capture_signals(self) -> Any:
        """Do nothing."""
        yield


@dataclass
class Host:
    """Gateway and all services in one process."""

    home: Home
    listening: socket.socket
    """Held by the supervisor too, so that a restart of the host drops no connection."""
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM; `ready.json` appears when the first answer is possible."""
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        clock = Clock()
        admin = admin_of(self.home, self.env)
        process = Process(
            builds(), connect_of(self.home, admin), self.home.secrets, clock, self.env
        )
        await process.start()
        servers = [self._public(process, clock), self._private(process)]
        tasks = [
            asyncio.create_task(servers[0].serve(sockets=[self.listening])),
            asyncio.create_task(servers[1].serve()),
        ]
        while not all(server.started for server in servers):
            if any(task.done() for task in tasks):
                stop.set()
                break
            await asyncio.sleep(0.01)
        self._tell(*self.listening.getsockname()[:2])
        await stop.wait()
        self.home.ready.unlink(missing_ok=True)
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
        await process.stop()

    def _public(self, process: Process, clock: Clock) -> _Server:
        contracts = [type(e.service) for e in process.endpoints.values()]
        settings = GatewaySettings.load(self.env)
        gateway = Gateway(process.calls("gateway"), contracts, clock, settings)
        config = uvicorn.Config(gateway, lifespan="off", loop="none", **server_settings())
        return _Server(config)

    def _private(self, process: Process) -> _Server:
        keys = self.home.call_keys()
        routes = []
        for endpoint in process.endpoints.values():
            routes += service_routes(endpoint, keys, callers(endpoint.name) & {TOOLS})
        path = self.home.run / SOCKET
        path.unlink(missing_ok=True)
        config = uvicorn.Config(
            Starlette(routes=routes),
            uds=str(path),
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
        )
        return _Server(config)

    def _tell(self, address: str, port: int) -> None:
        facts = {"api": f"http://{address}:{port}", "pid": os.getpid()}
        draft = self.home.ready.with_suffix(".new")
        draft.write_text(json.dumps(facts))
        draft.replace(self.home.ready)


def main() -> None:
    """Run the host: `python -m guilder.embedded DATA DESCRIPTOR` of a listening socket."""
    import sys

    import uvloop

    data, descriptor = sys.argv[1:3]
    uvloop.run(Host(Home(Path(data)), socket.socket(fileno=int(descriptor))).run())


if __name__ == "__main__":
    main()
