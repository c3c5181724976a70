"""The embedded platform: PostgreSQL and all services on one machine, in one process or in many.

Below the data directory: `postgres/` the cluster of all services but the vault, `vault/` the
vault's own, `secrets/` key files (0700), `run/` what is running now. Together: one process, the
host, runs the gateway and every service. Split: the gateway and every service run as processes of
their own. Either way the public API is on loopback, and each process has a private unix socket for
whoever holds a call key.
"""

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from guilder.chassis import short_path
from guilder.chassis.keyfile import private_file
from guilder.chassis.postgres import Cluster
from guilder.chassis.store import ConnectArgs, provision
from guilder.chassis.supervise import SOCKETS_LINK, Child, SuperviseError
from guilder.chassis.token import CallKeys
from guilder.chassis.wire import Address
from guilder.contracts.catalogue import all_contracts
from guilder.serving.plan import GATEWAY, SUCCEEDED, Plan, ServeError, listen_unix, names
from guilder.serving.settings import ServeSettings

READY = "ready.json"
CALL_KEY = "call.key"
HOST = "host"
"""The process that runs everything."""

TOGETHER_LINGER_S = 0.5
"""Seconds for which a replaced host stays: its ledger holds the lock that its successor waits for.
"""

DATABASE, VAULT_DATABASE = "GUILDER_DATABASE", "GUILDER_VAULT_DATABASE"
"""Addresses of external servers: of every service but the vault, and of the vault."""

VAULT_SETTINGS = {
    "cluster_name": "guilder-vault",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
}
"""The vault holds little: one key per person."""


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
        """What is running and where; there while the platform serves."""
        return self.run / READY

    def socket_of(self, process: str) -> str:
        """The private socket of a process; its path fits into an address."""
        longest = max((*names(), HOST), key=len)
        folder = short_path.to(self.run.resolve(), f"{longest}.sock", self.run / SOCKETS_LINK)
        return f"{folder}/{process}.sock"

    def cluster(self, settings: Mapping[str, str] | None = None) -> Cluster:
        """The embedded PostgreSQL of every service but the vault."""
        return Cluster(self.data / "postgres", settings=dict(settings or {}))

    def vault_cluster(self) -> Cluster:
        """The vault's own: a log, backups and a moment of restoring of its own (decision 0007)."""
        return Cluster(self.data / "vault", settings=VAULT_SETTINGS)

    def clusters(self, env: Mapping[str, str]) -> tuple[Cluster, ...]:
        """Both, or none where PostgreSQL is external; SuperviseError when only one of them is."""
        given = [name for name in (DATABASE, VAULT_DATABASE) if env.get(name)]
        if len(given) == 1:
            raise SuperviseError(
                f"{given[0]} is set without {(DATABASE, VAULT_DATABASE)[given[0] == DATABASE]}: "
                "the vault's database has an address of its own, best of another server, so that "
                "no backup holds personal data and its keys. Set both, or neither."
            )
        return () if given else (self.cluster(), self.vault_cluster())

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


def admin_of(home: Home, env: Mapping[str, str], service: str = "") -> ConnectArgs:
    """How to reach the PostgreSQL of a service as its administrator."""
    vault = service == "vault"
    if dsn := env.get(VAULT_DATABASE if vault else DATABASE):
        return {"dsn": dsn}
    return (home.vault_cluster() if vault else home.cluster()).superuser_dsn()


def connect_of(
    home: Home, env: Mapping[str, str], services: Sequence[str]
) -> dict[str, ConnectArgs]:
    """How services log in to their own databases."""
    return {
        name: {
            **admin_of(home, env, name),
            "database": name,
            "user": name,
            "password": home.secret(f"{name}.password"),
        }
        for name in services
    }


async def provision_all(home: Home, env: Mapping[str, str]) -> None:
    """Create or migrate every service's database, the vault's first."""
    await _vault_is_not_lost(home, env)
    await _provision(home, env, "vault")
    others = all_contracts().keys() - {"vault"}
    await asyncio.gather(*(_provision(home, env, name) for name in others))


async def _provision(home: Home, env: Mapping[str, str], name: str) -> None:
    admin = admin_of(home, env, name)
    await provision(admin, name, name, home.secret(f"{name}.password"))


async def _vault_is_not_lost(home: Home, env: Mapping[str, str]) -> None:
    """SuperviseError where data was sealed and no vault is: a new one would open none of it."""
    others = await _databases(admin_of(home, env)) & all_contracts().keys()
    if others and "vault" not in await _databases(admin_of(home, env, "vault")):
        raise SuperviseError(
            "the vault's database is not in its own cluster, and what the other services sealed "
            "does not open without it. Restore it from its backup. (A data directory from before "
            "the vault had a cluster of its own cannot be used any more: start a new one.)"
        )


async def _databases(admin: ConnectArgs) -> set[str]:
    connection = await asyncpg.connect(**admin)
    try:
        return {row["datname"] for row in await connection.fetch("SELECT * FROM pg_database")}
    finally:
        await connection.close()


def start_databases(clusters: Sequence[Cluster]) -> None:
    """Start them side by side and wait for all; ClusterError of the first that does not."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(Cluster.start, clusters))


def stop_databases(clusters: Sequence[Cluster]) -> None:
    """Stop them side by side and wait for all."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(Cluster.stop, clusters))


def keep_databases(clusters: Sequence[Cluster]) -> None:
    """Start again what has died."""
    for cluster in clusters:
        if not cluster.running():
            cluster.start()


def processes(split: bool) -> list[str]:
    """The names of the processes of a topology."""
    return names() if split else [HOST]


def where(home: Home, split: bool) -> dict[str, str]:
    """The private socket of each contract's stock edition, and of the gateway."""
    return {name: home.socket_of(name if split else HOST) for name in names()}


def plan(home: Home, name: str, private: socket.socket, public: socket.socket | None) -> Plan:
    """What a process of this platform runs."""
    together = name == HOST
    services = tuple(all_contracts()) if together else tuple({name} - {GATEWAY})
    return Plan(
        name=name,
        services=services,
        private=private,
        keys=home.call_keys(),
        secrets=home.secrets,
        peers=lambda contract: Address(path=home.socket_of(contract)),
        connect=connect_of(home, os.environ, services),
        public=public if together or name == GATEWAY else None,
        linger_s=TOGETHER_LINGER_S if together else ServeSettings.load().linger_s,
    )


def children(home: Home, split: bool, public: socket.socket) -> list[Child]:
    """The processes of a topology, each with the sockets that it inherits and we keep."""
    made = []
    for name in processes(split):
        private = listen_unix(Path(home.socket_of(name)))
        held = [private, public] if name in (HOST, GATEWAY) else [private]
        for sock in held:
            os.set_inheritable(sock.fileno(), True)
        descriptors = [str(sock.fileno()) for sock in held]
        argv = [sys.executable, "-m", "guilder.embedded", str(home.data), name, *descriptors]
        made.append(
            Child(
                name,
                argv,
                ready_file=home.run / f"{name}.ready",
                sockets=held,
                make_way=SUCCEEDED,
            )
        )
    return made


def _say_ready() -> None:
    """Write the file that the supervisor waits for."""
    if told := os.environ.get(Child.READY):
        Path(told).touch()


def main() -> None:
    """Run one process: `python -m guilder.embedded DATA NAME PRIVATE [PUBLIC]` (descriptors)."""
    import uvloop

    from guilder.serving.host import Host  # takes long to import, and no command needs it

    data, name, *descriptors = sys.argv[1:]
    private, *public = [socket.socket(fileno=int(descriptor)) for descriptor in descriptors]
    made = plan(Home(Path(data)), name, private, public[0] if public else None)
    try:
        uvloop.run(Host(made, _say_ready).run())
    except ServeError as error:
        sys.exit(f"{name}: {error}")


if __name__ == "__main__":
    main()
