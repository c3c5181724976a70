"""One process and the services it runs: opens their stores, hands each its parts, keeps followers
and sweeps going. Which services those are, and where the others are, is told by the caller.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import structlog

from guilder.chassis.batch import one
from guilder.chassis.bindings import Bindings
from guilder.chassis.call import PROCESS, Calls, Direct, callees, make_client
from guilder.chassis.clock import Clock
from guilder.chassis.directory import DirectoryFollower
from guilder.chassis.events import SYSTEM, Follower
from guilder.chassis.guard import RESUME_SECONDS, AccessGuard, Executor
from guilder.chassis.hop import present
from guilder.chassis.idempotency import Once
from guilder.chassis.logs import named
from guilder.chassis.meter import Lag, Measure
from guilder.chassis.outbound import Rules
from guilder.chassis.releases import Editions, Road
from guilder.chassis.seal import Sealer
from guilder.chassis.selfcheck import complete
from guilder.chassis.serve import Endpoint
from guilder.chassis.store import OUTAGES, ConnectArgs, Store
from guilder.chassis.token import CallKeys, PairKeys
from guilder.contracts.access.v1 import Access
from guilder.contracts.context import Context
from guilder.contracts.declare import Contract
from guilder.contracts.errors import Problem
from guilder.contracts.registry.v1 import Registry
from guilder.contracts.vault.v1 import KeyQuestion, Vault

log = structlog.get_logger()
C = TypeVar("C", bound=Contract)


@dataclass
class Sweep:
    """Something a service does again and again, `every` seconds."""

    every: float
    work: Callable[[], Awaitable[object]]
    runs: int = 0
    failures: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """What it does: `Once.expire`."""
        return str(getattr(self.work, "__qualname__", "sweep")).rpartition("<locals>.")[2]

    async def once(self) -> None:
        """Do it, and count it; a failure is logged, the next round tries again."""
        began = time.monotonic()
        try:
            await self.work()
        except Exception as error:
            self.failures += 1
            known = isinstance(error, (Problem, *OUTAGES))
            log.warning(
                "sweep",
                sweep=self.name,
                error=named(error),
                exc_info=None if known else error,
            )
        finally:
            self.runs += 1
            self.seconds += time.monotonic() - began


@dataclass
class Parts:
    """What a service is handed to be built from."""

    name: str
    store: Store
    once: Once
    calls: Calls
    clock: Clock
    sealer: Sealer | None
    secrets: Path
    """A private folder (0700) for key files."""
    env: Mapping[str, str]
    directory: DirectoryFollower
    """What is bound and what is down for maintenance, as far as this process has heard."""
    keys: CallKeys = field(default_factory=lambda: PairKeys({}))
    """The call keys that this process holds."""

    def client(self, contract: type[C]) -> C:
        """A client of another service, if calls.toml allows it."""
        return self.calls.client(contract)


@dataclass
class Built:
    """What a service's `build` returns."""

    service: Contract
    followers: list[Follower] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)


Build = Callable[[Parts], Built]


class VaultKeys:
    """Data keys from the vault service."""

    def __init__(self, vault: Vault) -> None:
        """`vault` is the service's client."""
        self._vault = vault

    async def key(self, tenant: int, subject: UUID, epoch: int | None) -> tuple[int, bytes]:
        """Epoch and key of a subject."""
        ctx = Context(tenant=tenant, principal=SYSTEM, request=present())
        found = await one(self._vault.keys, ctx, KeyQuestion(subject=subject, epoch=epoch))
        return found.epoch, found.key


class Roads(Mapping[str, Road]):
    """The roads of one caller: services of this process directly, others as told."""

    def __init__(self, process: "Process", caller: str) -> None:
        """Resolved when a call is made, so the order of building does not matter."""
        self._process, self._caller = process, caller

    def __getitem__(self, contract: str) -> Road:
        """The road to a contract."""
        return self._process.road(contract, self._caller)

    def __iter__(self) -> Iterator[str]:
        """Every contract the caller may call."""
        return iter(callees(self._caller))

    def __len__(self) -> int:
        """How many."""
        return len(callees(self._caller))


class Process:
    """The services of one process."""

    def __init__(
        self,
        builds: Mapping[str, Build],
        connect: Mapping[str, ConnectArgs],
        secrets: Path,
        clock: Clock,
        env: Mapping[str, str],
        far: Callable[[str, str], Road] | None = None,
        name: str = "host",
        keys: CallKeys | None = None,
    ) -> None:
        """`far(contract, caller)` gives the road to a service that does not run here.

        `keys` sign the calls to other releases.
        """
        self.name, self.started_at = name, clock.now()
        self.draining = False
        """Whether it is about to end and should be sent nothing new."""
        self.callers: dict[str, Calls] = {}
        self.lag = Lag()
        self.endpoints: dict[str, Endpoint] = {}
        self.built: dict[str, Built] = {}
        self.stores: dict[str, Store] = {}
        self.bindings = Bindings(clock)
        self.editions = Editions(keys, clock, name)
        self._builds, self._connect, self._secrets = builds, connect, secrets
        self._clock, self._env, self._far, self._keys = clock, env, far, keys
        self._tasks: list[asyncio.Task[None]] = []
        self._registry = self.calls(PROCESS).client(Registry)
        self.directory = DirectoryFollower(self._registry, self.bindings, clock)

    def road(self, contract: str, caller: str) -> Road:
        """The road from a caller to a contract."""
        if self._far is not None:
            return self._far(contract, caller)
        return Direct(self.endpoints[contract], caller)

    def calls(self, caller: str) -> Calls:
        """The clients of a caller in this process."""
        if caller not in self.callers:
            roads = Roads(self, caller)
            self.callers[caller] = Calls(caller, roads, self.bindings, self._keys, self.editions)
        return self.callers[caller]

    async def start(self, *, background: bool = True) -> None:
        """Open stores and build services; `background` starts followers and sweeps."""
        self.editions.allow(Rules.load(self._env))
        await asyncio.gather(*(self._open(name) for name in self._builds))
        for name, build in self._builds.items():
            self._build(name, build)
        if background:
            await self.directory.begin()
            self._begin()

    async def _open(self, name: str) -> None:
        store = Store(name, self._connect[name], self._clock)
        await store.open()
        self.stores[name] = store

    def _build(self, name: str, build: Build) -> None:
        store, calls = self.stores[name], self.calls(name)
        sealer = None
        if "vault" in callees(name):
            sealer = Sealer(VaultKeys(calls.client(Vault)), self._clock)
        once = Once(store, sealer)
        keys = self._keys or PairKeys({})
        around = (self._clock, sealer, self._secrets, self._env, self.directory, keys)
        built = build(Parts(name, store, once, calls, *around))
        complete(built.service, store, f"guilder.services.{name}")
        access: Access | None = None
        if name == "access":  # its own guard asks itself
            access = make_client(Access, Direct(Endpoint(built.service, None), name).send)
        elif "access" in callees(name):
            access = calls.client(Access)
        endpoint = Endpoint(built.service, AccessGuard(access) if access else None)
        if access and any(o.four_eyes for o in endpoint.operations.values()):
            executor = Executor(endpoint, access, store, self.directory)
            built.followers.append(executor.follower())
            built.sweeps.append(Sweep(RESUME_SECONDS, executor.resume))
        built.sweeps.append(Sweep(3600.0, once.expire))
        self.endpoints[name], self.built[name] = endpoint, built

    def _begin(self) -> None:
        self._tasks.append(asyncio.create_task(self.lag.run()))
        self._tasks.append(asyncio.create_task(self.directory.run()))
        told = self.editions.observations.run(self._registry)
        self._tasks.append(asyncio.create_task(told))
        for built in self.built.values():
            for follower in built.followers:
                self._tasks.append(asyncio.create_task(follower.run()))
            for sweep in built.sweeps:
                self._tasks.append(asyncio.create_task(self._sweep(sweep)))

    async def _sweep(self, sweep: Sweep) -> None:
        """Sweep until this process leaves; what ends a sweep at work may be lost in its errors."""
        while not self.draining:
            await sweep.once()
            if not self.draining:
                await self._clock.sleep(sweep.every)

    async def settle(self) -> None:
        """Let every follower catch up, then hear the directory; for tests without background."""
        moved = True
        while moved:
            moved = False
            for built in self.built.values():
                for follower in built.followers:
                    while await follower.step():
                        moved = True
        await self.directory.refresh()
        await self.editions.shadows.settle()
        await self.editions.observations.tell(self._registry)

    def leave(self) -> None:
        """Answer what waits for news at once; to be called when the process is told to end."""
        self.draining = True
        for store in self.stores.values():
            store.leave()

    async def stop(self) -> None:
        """Stop followers and sweeps, close the stores."""
        self.draining = True
        for task in self._tasks:
            task.cancel()
        # whatever one of them ends with keeps no store open
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.editions.shadows.close()
        await self.editions.observations.last(self._registry)
        self.bindings.replace([])
        await self.editions.close()
        await asyncio.gather(*(store.close() for store in self.stores.values()))
