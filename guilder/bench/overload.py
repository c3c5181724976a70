"""Five times more payments than the platform can make, and a neighbour at twenty times its limit.

Peak: a closed loop, of the size that was best when three were tried; half of it before and half
after the overload, so that a drift of the machine cancels out. Overload: an open loop (Poisson
arrivals, latency from the scheduled moment) at five times that peak, while a second bank pays at a
modest rate. Neighbour: on a platform with a rate limit per tenant, the second bank beside a bank at
twenty times that limit; half of its time alone before, half after.
"""

import asyncio
import os
import statistics
from collections.abc import Callable
from typing import Any

import msgspec

from guilder.bench.bank import UNLIMITED, Bank, platform
from guilder.bench.load import Order, Tally, percentile, send
from guilder.chassis.wire import Wire

LOUD, QUIET = "nordbank", "company-x"
ACCOUNTS = 40


class Plan(msgspec.Struct, frozen=True):
    """The settings of a run; all of them are printed with the result."""

    rounds: int = 3
    seconds: float = 8.0
    times: float = 5.0
    """Offered load, in peaks of the same round."""
    peak_clients: tuple[int, ...] = (16, 32, 64)
    connections: int = 256
    """Of the open loop, at most; what finds none free waits, and its latency counts on."""
    quiet_rate: float = 20.0
    """Payments a second of the second bank."""
    limit: float = 40.0
    """Requests a second that a tenant may send, in the part with the neighbour."""
    limit_times: float = 20.0


class Offered(msgspec.Struct, frozen=True):
    """What one sender offered, and what came of it; latencies in milliseconds."""

    offered: float
    goodput: float
    p50_ms: float
    p99_ms: float
    """Of accepted requests."""
    refused: dict[str, int]
    refused_share: float
    refused_p99_ms: float
    without_retry_after: int
    other: dict[str, int]
    sender_cpu_share: float
    sender_lag_p99_ms: float


class Round(msgspec.Struct, frozen=True):
    """One round on the platform without rate limits."""

    peak: float
    peak_p99_ms: float
    goodput_ratio: float
    loud: Offered
    quiet: Offered


class Beside(msgspec.Struct, frozen=True):
    """One round of the second bank: alone, and beside a bank at many times its limit."""

    ratio: float
    alone_p99_ms: float
    beside: Offered
    loud: Offered


class Result(msgspec.Struct, frozen=True):
    """Medians over the rounds."""

    benchmark: str
    goodput_ratio: float
    accepted_p99_ms: float
    refused_share: float
    quiet_refused_share: float
    """Of the second bank while the first one overloads the platform without any rate limit."""
    neighbour_p99_ratio: float
    neighbour_p99_ratio_pooled: float
    """Over the latencies of all rounds together: a round has few."""
    refused: dict[str, int]
    without_retry_after: int
    peak_clients: int
    by_clients: dict[int, float]
    rounds: list[Round]
    neighbour: list[Beside]
    settings: Plan
    on: list[str]
    cores: int


ON = [
    "HTTP/1.1 keep-alive, each request one payment with its own key; no batches are sent",
    "everything on one machine: platform, PostgreSQL and the senders share its cores",
    "durable before the answer (fsync on, synchronous_commit on), audit following",
    "every setting of the gateway at its default but the rate limits",
]


def run(plan: Plan, tell: Callable[[str], None]) -> Result:
    """Start two throw-away platforms, one after the other, measure, and remove them."""
    tell("starting a platform without rate limits")
    with platform(UNLIMITED) as (_, facts):
        banks = asyncio.run(_banks(facts))
        sizes = asyncio.run(_sizes(banks[0], plan))
        clients = max(sizes, key=lambda size: sizes[size])
        tell(f"payments a second by clients of a closed loop: {sizes}")
        rounds = []
        for n in range(plan.rounds):
            rounds.append(asyncio.run(_overload(banks, plan, clients)))
            tell(f"round {n + 1}: {_round_line(rounds[-1])}")
    tell(f"starting a platform with {plan.limit:g} requests a second for a tenant")
    with platform({**UNLIMITED, "GUILDER_GATEWAY_TENANT_RATE": str(plan.limit)}) as (_, facts):
        banks = asyncio.run(_banks(facts))
        besides: list[Beside] = []
        pools: tuple[list[float], list[float]] = ([], [])
        for n in range(plan.rounds):
            beside, alone_ms, beside_ms = asyncio.run(_neighbour(banks, plan))
            besides.append(beside)
            pools[0].extend(alone_ms)
            pools[1].extend(beside_ms)
            tell(f"round {n + 1}: the quiet bank's p99 {beside.ratio:.2f} times what it is alone")
    alone, loud = (percentile(sorted(pool), 0.99) for pool in pools)
    refused: dict[str, int] = {}
    loads = [r.loud for r in rounds] + [b.loud for b in besides]
    for offered in loads:
        for what, count in offered.refused.items():
            refused[what] = refused.get(what, 0) + count
    return Result(
        benchmark="overload",
        goodput_ratio=statistics.median(r.goodput_ratio for r in rounds),
        accepted_p99_ms=statistics.median(r.loud.p99_ms for r in rounds),
        refused_share=statistics.median(r.loud.refused_share for r in rounds),
        quiet_refused_share=statistics.median(r.quiet.refused_share for r in rounds),
        neighbour_p99_ratio=statistics.median(b.ratio for b in besides),
        neighbour_p99_ratio_pooled=round(loud / alone, 2),
        refused=refused,
        without_retry_after=sum(each.without_retry_after for each in loads),
        peak_clients=clients,
        by_clients=sizes,
        rounds=rounds,
        neighbour=besides,
        settings=plan,
        on=ON,
        cores=os.cpu_count() or 0,
    )


async def _banks(facts: dict[str, Any]) -> tuple[Bank, Bank]:
    """Both banks, with accounts."""
    banks = Bank(facts, LOUD), Bank(facts, QUIET, "GBP")
    for bank in banks:
        wire = Wire(bank.address)
        await bank.open_accounts(wire, await bank.token(wire), ACCOUNTS)
        wire.close()
    return banks


async def _order(
    bank: Bank, plan: Plan, *, rate: float = 0.0, connections: int = 0, seconds: float = 0.0
) -> Order:
    wire = Wire(bank.address)
    token = await bank.token(wire)
    wire.close()
    return Order(
        host=bank.address.host,
        port=bank.address.port,
        token=token,
        accounts=bank.accounts,
        currency=bank.currency,
        seconds=seconds or plan.seconds,
        rate=rate,
        connections=connections or plan.connections,
    )


async def _sizes(bank: Bank, plan: Plan) -> dict[int, float]:
    """Payments a second by the number of clients of a closed loop."""
    tallies = {c: await send(await _order(bank, plan, connections=c)) for c in plan.peak_clients}
    return {clients: round(tally.goodput, 1) for clients, tally in tallies.items()}


async def _overload(banks: tuple[Bank, Bank], plan: Plan, clients: int) -> Round:
    loud, quiet = banks

    async def peak() -> Tally:
        order = await _order(loud, plan, connections=clients, seconds=plan.seconds / 2)
        return await send(order)

    before = await peak()
    much, little = await asyncio.gather(
        send(await _order(loud, plan, rate=plan.times * before.goodput)),
        send(await _order(quiet, plan, rate=plan.quiet_rate)),
    )
    after = await peak()
    best = (before.goodput + after.goodput) / 2
    return Round(
        peak=round(best, 1),
        peak_p99_ms=percentile(sorted(before.accepted_ms + after.accepted_ms), 0.99),
        goodput_ratio=round((much.goodput + little.goodput) / best, 3),
        loud=_offered(much),
        quiet=_offered(little),
    )


async def _neighbour(
    banks: tuple[Bank, Bank], plan: Plan
) -> tuple[Beside, list[float], list[float]]:
    loud, quiet = banks

    async def by_itself() -> Tally:
        order = await _order(quiet, plan, rate=plan.quiet_rate, seconds=plan.seconds / 2)
        return await send(order)

    before = await by_itself()
    beside, much = await asyncio.gather(
        send(await _order(quiet, plan, rate=plan.quiet_rate)),
        send(await _order(loud, plan, rate=plan.limit * plan.limit_times)),
    )
    after = await by_itself()
    alone_ms = sorted(before.accepted_ms + after.accepted_ms)
    alone, with_loud = percentile(alone_ms, 0.99), percentile(beside.accepted_ms, 0.99)
    made = Beside(
        ratio=round(with_loud / alone, 2),
        alone_p99_ms=alone,
        beside=_offered(beside),
        loud=_offered(much),
    )
    return made, alone_ms, beside.accepted_ms


def _offered(tally: Tally) -> Offered:
    refused = sum(tally.refused.values())
    return Offered(
        offered=round(tally.sent / tally.seconds, 1),
        goodput=round(tally.goodput, 1),
        p50_ms=percentile(tally.accepted_ms, 0.5),
        p99_ms=percentile(tally.accepted_ms, 0.99),
        refused=tally.refused,
        refused_share=round(refused / max(1, tally.sent), 3),
        refused_p99_ms=round(tally.refused_p99_ms, 1),
        without_retry_after=tally.without_retry_after,
        other=tally.other,
        sender_cpu_share=tally.cpu_share,
        sender_lag_p99_ms=tally.send_lag_p99_ms,
    )


def _round_line(done: Round) -> str:
    return (
        f"peak {done.peak:.0f}/s, then {done.loud.offered:.0f}/s offered: goodput "
        f"{done.goodput_ratio:.2f} of the peak, p99 {done.loud.p99_ms:.0f} ms, "
        f"{done.loud.refused_share:.0%} refused"
    )
