"""A world for tests: real services on a real PostgreSQL, reached by one of three roads.

`direct` calls methods, `encoded` goes through the codec and repeats every command, `http` goes
through sockets. A service must not be able to tell.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID

import uvicorn
from starlette.applications import Starlette

from guilder.chassis.call import Direct, Encoded, Remote, callers, make_client
from guilder.chassis.clock import SetClock
from guilder.chassis.process import Process
from guilder.chassis.releases import Road
from guilder.chassis.serve import GATEWAY, service_routes
from guilder.chassis.store import ConnectArgs, provision
from guilder.chassis.token import CallKeys
from guilder.chassis.wire import Address
from guilder.contracts.access.v1 import Access, GrantRole, RoleName
from guilder.contracts.context import PLATFORM, Context, Principal
from guilder.contracts.declare import Contract
from guilder.contracts.registry.v1 import CreateTenant, Registry
from guilder.contracts.values import uuid7

Mode = Literal["direct", "encoded", "http"]
MODES: tuple[Mode, ...] = ("direct", "encoded", "http")
C = TypeVar("C", bound=Contract)
T = TypeVar("T")

CALL_KEYS = CallKeys(b"test")
"""The call keys of every world, for whoever serves another release beside it."""

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


class World:
    """All services of one platform in this process."""

    def __init__(self, process: Process, clock: SetClock, folder: Path) -> None:
        """Use `World.make`."""
        self.process, self.clock, self._folder = process, clock, folder
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._remotes: dict[tuple[str, str], Remote] = {}
        self._socket = str(folder / "w.sock")
        self.mode: Mode = "direct"

    @classmethod
    async def make(
        cls, admin: ConnectArgs, services: Iterable[str], folder: Path, env: Mapping[str, str]
    ) -> "World":
        """Provision databases under a new prefix, build the services, serve them on a socket."""
        prefix = f"t{secrets.token_hex(3)}_"
        names = list(services)
        for name in names:
            await provision(admin, name, prefix + name, "secret")
        connect = {
            n: {**admin, "database": prefix + n, "user": prefix + n, "password": "secret"}
            for n in names
        }
        builds = {n: import_module(f"guilder.services.{n}.build").build for n in names}
        clock = SetClock(START)
        world: World
        process = Process(
            builds,
            connect,
            folder,
            clock,
            env,
            far=lambda c, caller: world.road(c, caller),
            keys=CALL_KEYS,
        )
        world = cls(process, clock, folder)
        await process.start(background=False)
        if "registry" in names:
            await process.directory.refresh()
        await world._serve()
        return world

    async def _serve(self) -> None:
        routes = []
        for endpoint in self.process.endpoints.values():
            admitted = callers(endpoint.name) | {GATEWAY, "tests"}
            routes += service_routes(endpoint, CALL_KEYS, admitted)
        config = uvicorn.Config(
            Starlette(routes=routes),
            uds=self._socket,
            log_config=None,
            access_log=False,
            lifespan="off",
        )
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server._serve())
        while not self._server.started:  # noqa: ASYNC110  uvicorn offers no event
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        """Stop serving, close everything."""
        for remote in self._remotes.values():
            remote.close()
        if self._server and self._serving:
            self._server.should_exit = True
            await self._serving
        await self.process.stop()

    def road(self, contract: str, caller: str) -> Road:
        """The road of the present mode."""
        if self.mode == "http":
            key = (contract, caller)
            if key not in self._remotes:
                self._remotes[key] = Remote(Address(path=self._socket), caller, CALL_KEYS)
            return self._remotes[key]
        endpoint = self.process.endpoints[contract]
        return (Encoded if self.mode == "encoded" else Direct)(endpoint, caller)

    def client(self, contract: type[C], caller: str = "tests") -> C:
        """A client as another service has it: no rights are checked."""
        name = contract.contract_name
        return make_client(contract, lambda op, calls: self.road(name, caller).send(op, calls))

    def public(self, contract: type[C]) -> C:
        """A client as the gateway has it: rights and four eyes are checked."""
        return self.client(contract, GATEWAY)

    async def settle(self) -> None:
        """Let every follower catch up (events, approved commands, audit)."""
        await self.process.settle()


@dataclass(frozen=True)
class Who:
    """Somebody who calls, within a tenant."""

    tenant: int
    principal: Principal

    def ctx(self, key: str | None = None, **more: Any) -> Context:
        """A context with a fresh key unless one is given; `key=""` = none."""
        key = str(new_id()) if key is None else key or None
        return Context(self.tenant, self.principal, key=key, request="test", **more)


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuid7(datetime.now(UTC))


def somebody(tenant: int, party: UUID | None = None) -> Who:
    """A person without any role."""
    return Who(tenant, Principal(id=new_id(), kind="person", party=party))


def operator() -> Who:
    """The platform's first operator, as every platform is bootstrapped with."""
    return Who(PLATFORM, Principal(id=UUID(int=1), kind="client"))


@dataclass(frozen=True)
class Bank:
    """A tenant with its staff."""

    number: int
    slug: str
    manager: Who
    second_manager: Who
    auditor: Who


_CODES = count(1)


def bank_code() -> str:
    """A German bank code that no bank has, real (none begins with 9) or made before here."""
    return f"9{next(_CODES):07}"


async def make_bank(world: World, slug: str | None = None) -> Bank:
    """Create a German tenant (EUR, Europe/Berlin) with a code of its own, and its staff."""
    slug = slug or f"bank-{secrets.token_hex(6)}"
    asked = CreateTenant(
        slug=slug,
        name=f"Bank {slug}",
        country="DE",
        bank_code=bank_code(),
        bic="GULDDE99",
        currency="EUR",
        zone="Europe/Berlin",
        holiday_calendar="DE-BE",
    )
    number = (await world.client(Registry).create_tenant(operator().ctx(), asked)).number
    roles: tuple[RoleName, ...] = ("manager", "manager", "auditor")
    staff = [somebody(number) for _ in roles]
    for who, role in zip(staff, roles, strict=True):
        grant = GrantRole(subject=who.principal.id, role=role)
        await world.client(Access).assign(who.ctx(), grant)
    return Bank(number, slug, *staff)


def soon(look: Callable[[], T], good: Callable[[T], bool], seconds: float = 20.0) -> T:
    """Look at another process until it shows what is wanted; AssertionError when it does not."""
    until = time.monotonic() + seconds
    while True:
        try:
            seen = look()
            if good(seen):
                return seen
            wrong: object = seen
        except OSError as error:
            wrong = error
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:g} s: {wrong!r}")
        time.sleep(0.05)
