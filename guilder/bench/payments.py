"""Complete payments over HTTP beside pgbench's TPC-B on the same PostgreSQL, round by round."""

import asyncio
import os
import random
import re
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec

from guilder.bench.bank import UNLIMITED, Bank, platform, post
from guilder.chassis.postgres import cluster_binaries
from guilder.chassis.wire import Reply, Wire
from guilder.embedded import Home

TENANT = "nordbank"


class Plan(msgspec.Struct, frozen=True):
    """The settings of a run; all of them are printed with the result."""

    rounds: int = 3
    seconds: float = 8.0
    clients: int = 64
    accounts: int = 200
    hot_share: float = 0.0
    """Share of payments that are debited from one and the same account."""
    replay_share: float = 0.045
    refused_share: float = 0.035
    pgbench_scale: int = 50
    pgbench_threads: int = 2


class Round(msgspec.Struct, frozen=True):
    """One round: TPC-B transactions and payments a second, latencies in milliseconds."""

    tpcb: float
    payments: float
    booked: int
    refused: int
    replayed: int
    failed: int
    p50_ms: float
    p99_ms: float


class Result(msgspec.Struct, frozen=True):
    """Medians over the rounds and their ratio."""

    benchmark: str
    ratio: float
    median_payments: float
    median_tpcb: float
    rounds: list[Round]
    settings: Plan
    on: list[str]
    postgresql: str
    cores: int


ON = [
    "HTTP/1.1 keep-alive through the gateway, bearer token, rate limits (raised)",
    "rights, tariff (none in force), idempotency row, payment and attempt rows, activity, events",
    "ledger: single writer, hash chain, durable before the answer (fsync on, "
    "synchronous_commit on)",
    "audit following every event; sealed answers (AES-256-GCM)",
]


def run(plan: Plan, tell: Callable[[str], None]) -> Result:
    """Start a throw-away platform, measure, and remove it."""
    tell("starting a platform")
    with platform(UNLIMITED) as (folder, facts):
        tpcb = _Pgbench(Home(folder), plan)
        tell(f"filling pgbench at scale {plan.pgbench_scale}")
        tpcb.fill()
        rounds = []
        bank = _Payer(Bank(facts, TENANT), plan)
        for n in range(plan.rounds):
            yard = tpcb.measure()
            rounds.append(asyncio.run(bank.measure(yard)))
            tell(f"round {n + 1}: TPC-B {yard:.0f}/s, payments {rounds[-1].payments:.0f}/s")
    payments = statistics.median(r.payments for r in rounds)
    yardstick = statistics.median(r.tpcb for r in rounds)
    return Result(
        benchmark="payments",
        ratio=round(payments / yardstick, 3),
        median_payments=payments,
        median_tpcb=yardstick,
        rounds=rounds,
        settings=plan,
        on=ON,
        postgresql=tpcb.version(),
        cores=os.cpu_count() or 0,
    )


class _Pgbench:
    """The yardstick: TPC-B in a database of its own on the same cluster."""

    def __init__(self, home: Home, plan: Plan) -> None:
        self._plan = plan
        admin = home.cluster().superuser_dsn()
        self._env = {
            "PGHOST": admin["host"],
            "PGPORT": str(admin["port"]),
            "PGUSER": admin["user"],
            "PGPASSWORD": admin["password"],
            "PGDATABASE": "yardstick",
            "PATH": "/usr/bin:/bin",
        }

    def _run(self, program: str, *argv: str) -> str:
        command = [str(cluster_binaries() / "bin" / program), *argv]
        done = subprocess.run(command, env=self._env, check=True, capture_output=True, text=True)
        return done.stdout

    def fill(self) -> None:
        """Make the tables."""
        self._run("createdb", "yardstick")
        self._run("pgbench", "-i", "-q", "-s", str(self._plan.pgbench_scale))

    def measure(self) -> float:
        """Transactions a second of one round."""
        plan = self._plan
        argv = ["-n", "-M", "prepared", "-c", str(plan.clients), "-j", str(plan.pgbench_threads)]
        text = self._run("pgbench", *argv, "-T", str(max(1, int(plan.seconds))))
        found = re.search(r"tps = ([0-9.]+)", text)
        if found is None:
            raise RuntimeError(f"pgbench said nothing of tps:\n{text}")
        return round(float(found[1]), 1)

    def version(self) -> str:
        """What `postgres --version` says."""
        return self._run("postgres", "--version").strip()


class _Payer:
    """The payments' side."""

    def __init__(self, bank: Bank, plan: Plan) -> None:
        self._bank, self._plan = bank, plan
        self._random = random.Random(1)

    async def measure(self, tpcb: float) -> Round:
        """One round of payments from `clients` connections."""
        wire = Wire(self._bank.address)
        try:
            token = await self._bank.token(wire)
            if not self._bank.accounts:
                await self._bank.open_accounts(wire, token, self._plan.accounts)
            await self._load(token, 1.0)  # connections and caches are warm
            return await self._load(token, self._plan.seconds, tpcb)
        finally:
            wire.close()

    async def _load(self, token: str, seconds: float, tpcb: float = 0.0) -> Round:
        until = time.perf_counter() + seconds
        spent: list[float] = []
        count = {"booked": 0, "refused": 0, "replayed": 0, "failed": 0}

        async def client() -> None:
            wire = Wire(self._bank.address)
            last: tuple[dict[str, Any], str] | None = None
            while time.perf_counter() < until:
                replay = last is not None and self._random.random() < self._plan.replay_share
                body, key = last if replay and last else (self._payment(), str(uuid4()))
                begun = time.perf_counter()
                reply = await post(wire, "/v1/payments", token, body, key)
                spent.append(time.perf_counter() - begun)
                count[_kind(reply)] += 1
                last = (body, key)
            wire.close()

        begun = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(self._plan.clients)))
        took = time.perf_counter() - begun
        spent.sort()
        done = count["booked"] + count["refused"] + count["replayed"]
        return Round(
            tpcb=tpcb,
            payments=round(done / took, 1),
            p50_ms=round(spent[len(spent) // 2] * 1000, 1),
            p99_ms=round(spent[int(len(spent) * 0.99)] * 1000, 1),
            **count,
        )

    def _payment(self) -> dict[str, Any]:
        accounts = self._bank.accounts
        hot = self._random.random() < self._plan.hot_share
        debtor, creditor = self._random.sample(accounts, 2)
        refused = self._random.random() < self._plan.refused_share
        amount = "99999999.00" if refused else f"{self._random.randint(1, 500)}.25"
        return {
            "debtor_account": accounts[0] if hot and creditor != accounts[0] else debtor,
            "creditor_account": creditor,
            "amount": {"amount": amount, "currency": "EUR"},
            "remittance": "bench",
        }


def _kind(reply: Reply) -> str:
    if reply.headers.get("idempotent-replayed") == "true":
        return "replayed"
    return {201: "booked", 422: "refused"}.get(reply.status, "failed")
