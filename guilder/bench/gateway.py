"""`guilder bench gateway`: the gateway beside a bare service, round by round.

Every service is a process of its own. The same question (a page of tariffs, rights checked, read
from PostgreSQL) is asked through the gateway, and at the door of the service itself, as the gateway
asks it. What lies between them is the gateway: HTTP from a stranger, token, tenant, rates,
admission, maintenance, headers.
"""

import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec

from guilder.bench.bank import UNLIMITED, Bank, platform
from guilder.chassis.call import TOOLS, Remote
from guilder.chassis.events import SYSTEM
from guilder.chassis.serve import GATEWAY
from guilder.chassis.wire import Address, Wire
from guilder.contracts.context import PLATFORM, Call, Context, Principal
from guilder.contracts.pricing.v1 import Pricing, TariffQuery
from guilder.contracts.registry.v1 import Registry, WhichTenant
from guilder.embedded import Home

TENANT = "nordbank"
PATH = "/v1/tariffs"


class Plan(msgspec.Struct, frozen=True):
    """The settings of a run; all of them are printed with the result."""

    rounds: int = 3
    seconds: float = 8.0
    """Of each part of a round; there are four."""
    clients: int = 32
    """Connections of the parts that count requests a second; the others have one."""


class Part(msgspec.Struct, frozen=True):
    """One way of asking: milliseconds of one client alone, and requests a second of many."""

    p50_ms: float
    p99_ms: float
    rps: float
    busy_p50_ms: float
    """With many clients at once, each of which waits for the others."""
    failed: int


class Round(msgspec.Struct, frozen=True):
    """Both ways, one after the other."""

    bare: Part
    gateway: Part


class Result(msgspec.Struct, frozen=True):
    """Medians over the rounds: what the gateway adds, and what is left of the requests a second."""

    benchmark: str
    added_p50_ms: float
    latency_ratio: float
    rps_ratio: float
    bare_rps: float
    gateway_rps: float
    rounds: list[Round]
    settings: Plan
    on: list[str]
    cores: int


ON = [
    "every service a process of its own; senders, services and PostgreSQL share the cores",
    "bare: HTTP/1.1 keep-alive on the service's socket, call token, rights asked of access, SQL",
    "gateway: HTTP/1.1 keep-alive on TCP, bearer token, tenant, rates (raised), then the same",
]

Ask = tuple[Callable[[], Awaitable[bool]], Callable[[], None]]
"""A connection: asks once and says whether the answer was good; closes it."""


def run(plan: Plan, tell: Callable[[str], None]) -> Result:
    """Start a throw-away platform, measure, and remove it."""
    tell("starting a platform, every service a process of its own")
    with platform(UNLIMITED, "--split") as (folder, facts):
        rounds = asyncio.run(_rounds(plan, Home(folder), facts, tell))
    latency = [(r.bare.p50_ms, r.gateway.p50_ms) for r in rounds]
    rates = [(r.bare.rps, r.gateway.rps) for r in rounds]
    return Result(
        benchmark="gateway",
        added_p50_ms=round(statistics.median(g - b for b, g in latency), 3),
        latency_ratio=round(statistics.median(g / b for b, g in latency), 2),
        rps_ratio=round(statistics.median(g / b for b, g in rates), 2),
        bare_rps=statistics.median(b for b, _ in rates),
        gateway_rps=statistics.median(g for _, g in rates),
        rounds=rounds,
        settings=plan,
        on=ON,
        cores=os.cpu_count() or 0,
    )


async def _rounds(
    plan: Plan, home: Home, facts: dict[str, Any], tell: Callable[[str], None]
) -> list[Round]:
    sides = _Sides(home, facts)
    await sides.open()
    found = []
    for n in range(plan.rounds):
        order = (sides.bare, sides.gateway) if n % 2 == 0 else (sides.gateway, sides.bare)
        parts = {side: await _part(side, plan) for side in order}
        found.append(Round(bare=parts[sides.bare], gateway=parts[sides.gateway]))
        each = found[-1]
        tell(
            f"round {n + 1}: bare {each.bare.p50_ms} ms, {each.bare.rps:,.0f}/s;"
            f" gateway {each.gateway.p50_ms} ms, {each.gateway.rps:,.0f}/s"
        )
    return found


class _Sides:
    """The two ways of asking the same."""

    def __init__(self, home: Home, facts: dict[str, Any]) -> None:
        self._keys = home.call_keys()
        self._bank = Bank(facts, TENANT)
        self._sockets: dict[str, str] = json.loads(home.ready.read_text())["sockets"]
        self._token = ""
        self._ctx = Context(tenant=PLATFORM, principal=SYSTEM)

    async def open(self) -> None:
        """Sign in, and find out as whom the gateway would ask."""
        wire = Wire(self._bank.address)
        self._token = await self._bank.token(wire)
        wire.close()
        registry = Remote(Address(path=self._sockets["registry"]), TOOLS, self._keys)
        operation = Registry.operations()["tenant"]
        (found,) = await registry.send(operation, [Call(self._ctx, WhichTenant(slug=TENANT))])
        registry.close()
        who = Principal(id=UUID(self._bank.client_id), kind="client")
        self._ctx = Context(tenant=found.value(operation).number, principal=who)

    def bare(self) -> Ask:
        """At the service's own door."""
        remote = Remote(Address(path=self._sockets["pricing"]), GATEWAY, self._keys)
        operation, call = Pricing.operations()["tariffs"], Call(self._ctx, TariffQuery())

        async def ask() -> bool:
            (outcome,) = await remote.send(operation, [call])
            return outcome.problem is None

        return ask, remote.close

    def gateway(self) -> Ask:
        """Through the gateway."""
        wire = Wire(self._bank.address)
        headers = {"Authorization": f"Bearer {self._token}"}

        async def ask() -> bool:
            return (await wire.request("GET", PATH, headers, b"")).status == 200

        return ask, wire.close


async def _part(side: Callable[[], Ask], plan: Plan) -> Part:
    """One client alone, then many; what comes before both is not counted."""
    await _load(side, 1, 1.0)
    alone, _, failed = await _load(side, 1, plan.seconds)
    many, rate, more = await _load(side, plan.clients, plan.seconds)
    return Part(
        p50_ms=_ms(alone, 0.5),
        p99_ms=_ms(alone, 0.99),
        rps=round(rate, 1),
        busy_p50_ms=_ms(many, 0.5),
        failed=failed + more,
    )


async def _load(
    side: Callable[[], Ask], clients: int, seconds: float
) -> tuple[list[float], float, int]:
    """Closed loops: seconds of each good answer in order, good answers a second, how many bad."""
    spent: list[float] = []
    failed = 0
    begun = time.perf_counter()

    async def client() -> None:
        nonlocal failed
        ask, close = side()
        while time.perf_counter() < begun + seconds:
            at = time.perf_counter()
            if await ask():
                spent.append(time.perf_counter() - at)
            else:
                failed += 1
        close()

    await asyncio.gather(*(client() for _ in range(clients)))
    took = time.perf_counter() - begun
    return sorted(spent), len(spent) / took, failed


def _ms(spent: list[float], share: float) -> float:
    """A percentile in milliseconds; RuntimeError where nothing was answered."""
    if not spent:
        raise RuntimeError("nothing was answered: there is nothing to measure")
    return round(spent[int((len(spent) - 1) * share)] * 1000, 3)
