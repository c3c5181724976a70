"""Health and metrics of a process, as its private server tells them."""

import asyncio
import json
import os
import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette

import guilder
from guilder.chassis import store as store_module
from guilder.chassis.clock import SetClock
from guilder.chassis.events import PAGE, SYSTEM, Follower
from guilder.chassis.meter import SECONDS, Spread
from guilder.chassis.observe import routes
from guilder.chassis.process import Process, Sweep
from guilder.chassis.store import Store
from guilder.chassis.testing import START, make_bank, somebody
from guilder.contracts.declare import Event, EventPage
from guilder.contracts.errors import NotFound, Unavailable
from guilder.contracts.pricing.v1 import Pricing, TariffQuery
from guilder.contracts.registry.v1 import Registry, TenantNumber
from guilder.gateway.app import Gateway
from guilder.gateway.settings import GatewaySettings

ROOT = Path(__file__).resolve().parents[2]
NOBODY = TenantNumber(number=999_999)


class Asked:
    """The private server of a process, asked without a socket."""

    def __init__(self, process, *sources):
        self._app = Starlette(routes=routes(process, *sources))

    async def get(self, path):
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode()}
        await self._app({**scope, "query_string": b"", "headers": []}, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], body.decode()

    async def json(self, path):
        status, body = await self.get(path)
        return status, json.loads(body)

    async def metrics(self):
        """Every sample: name with labels → number."""
        status, text = await self.get("/metrics")
        assert status == 200
        lines = [line.rpartition(" ") for line in text.splitlines() if line[0] != "#"]
        return {name: float(number) for name, _, number in lines}


def sample(name, **labels):
    """As it stands in the text: labels by name."""
    return name + "{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels.items())) + "}"


def pool(acquire):
    return SimpleNamespace(acquire=acquire, get_size=lambda: 1, get_idle_size=lambda: 0)


@pytest.fixture
def asked(direct):
    return Asked(direct.process)


# ── health ───────────────────────────────────────────────────────────────────────────────────


async def test_health_says_what_runs_here(direct, asked):
    status, found = await asked.json("/health")
    assert status == 200
    assert (found["process"], found["version"]) == ("host", guilder.__version__)
    assert (found["pid"], found["started_at"]) == (os.getpid(), START.isoformat())
    assert (found["ready"], found["draining"]) == (True, False)
    assert set(found["services"]) == set(direct.process.endpoints)
    ok = {"edition": "A", "version": "1.0.0", "database": "ok"}
    assert found["services"]["pricing"] == ok
    followed = {(feed["follower"], feed["feed"]) for feed in found["feeds"]}
    assert {("audit", "payments"), ("payments", "access:executor")} <= followed


async def test_what_is_known_of_the_directory_is_told(direct, asked):
    follower = direct.process.directory
    await follower.refresh()
    generation = follower.latest.generation
    told = (await asked.json("/health"))[1]["directory"]
    assert (told["generation"], told["stale"]) == (generation, False)
    assert (await asked.metrics())["guilder_directory_stale"] == 0
    heard, follower.heard = follower.heard, None
    try:
        told = (await asked.json("/health"))[1]["directory"]
        assert told == {"generation": generation, "stale": True, "heard_s": None}
        assert (await asked.metrics())["guilder_directory_stale"] == 1
    finally:
        follower.heard = heard


async def test_a_process_that_drains_lives_and_is_not_ready(direct, asked):
    direct.process.draining = True
    try:
        status, found = await asked.json("/health/ready")
        assert (status, found) == (503, {"ready": False, "reasons": ["draining"]})
        assert await asked.json("/health/live") == (200, {"live": True})
        assert (await asked.json("/health"))[1]["draining"] is True
    finally:
        direct.process.draining = False
    assert (await asked.json("/health/ready"))[0] == 200


async def test_a_database_that_is_gone_is_named(direct, asked, monkeypatch):
    async def refuse():
        raise ConnectionRefusedError

    store = direct.process.stores["pricing"]
    monkeypatch.setattr(store, "_answered_at", 0.0)
    monkeypatch.setattr(store, "_pool", pool(refuse))
    status, found = await asked.json("/health/ready")
    assert (status, found["reasons"]) == (503, ["the database of pricing does not answer"])
    _, whole = await asked.json("/health")
    assert (whole["ready"], whole["services"]["pricing"]["database"]) == (False, "down")
    assert whole["services"]["ledger"]["database"] == "ok"
    assert (await asked.metrics())[sample("guilder_database_up", service="pricing")] == 0
    monkeypatch.undo()
    assert (await asked.json("/health/ready"))[0] == 200


async def test_a_database_that_hangs_costs_one_connection_and_a_bounded_time(direct, monkeypatch):
    asked, hanging = [], asyncio.Event()

    async def hang():
        asked.append(1)
        await hanging.wait()
        raise ConnectionResetError

    store = Store("pricing", {}, direct.clock)
    monkeypatch.setattr(store_module, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr(store, "_pool", pool(hang))
    assert await asyncio.gather(*(store.answers() for _ in range(20))) == [False] * 20
    assert await store.answers() is False
    assert asked == [1]
    hanging.set()


class AllTaken:
    """Every connection of a pool is in use; one transaction ended a moment ago."""

    def __init__(self, store):
        self._store = store

    async def __aenter__(self):
        async with self._store.tx():
            pass
        self._open = [self._store.tx() for _ in range(self._store.connections()[2])]
        for tx in self._open:
            await tx.__aenter__()

    async def __aexit__(self, *_):
        for tx in self._open:
            await tx.__aexit__(None, None, None)


async def test_a_busy_pool_is_not_a_database_that_is_gone(direct):
    store = direct.process.stores["vault"]
    async with AllTaken(store):
        assert await store.answers() is True


# ── metrics ──────────────────────────────────────────────────────────────────────────────────


async def test_who_waits_for_a_connection_is_counted(direct, asked):
    store = direct.process.stores["vault"]

    async def one_more():
        async with store.tx():
            pass

    before = store.wait_seconds
    async with AllTaken(store):
        waiting = [asyncio.create_task(one_more()) for _ in range(3)]
        await asyncio.sleep(0)
        metrics = await asked.metrics()
        assert metrics[sample("guilder_database_waiting", service="vault")] == 3
        used = sample("guilder_database_connections", service="vault", state="used")
        assert metrics[used] == metrics[sample("guilder_database_connections_max", service="vault")]
    await asyncio.gather(*waiting)
    assert (store.waiting, store.wait_seconds > before) == (0, True)


async def test_every_call_is_counted_by_how_it_ended(direct, asked):
    this = {"service": "registry", "operation": "tenant_by_number"}
    served = "guilder_served_calls_total"
    counted = [
        sample(served, **this, outcome="ok"),
        sample(served, **this, outcome="unknown-tenant"),
        sample("guilder_served_seconds_count", **this),
    ]
    bank = await make_bank(direct)
    before = await asked.metrics()
    registry = direct.client(Registry)
    await registry.tenant_by_number(bank.manager.ctx(), TenantNumber(number=bank.number))
    for _ in range(2):
        with pytest.raises(NotFound):
            await registry.tenant_by_number(bank.manager.ctx(), NOBODY)
    after = await asked.metrics()
    assert [after[name] - before.get(name, 0) for name in counted] == [1, 2, 3]
    assert after[sample("guilder_served_running", **this)] == 0


async def test_an_edge_is_counted_where_the_call_is_made(direct, asked):
    edge = {"caller": "pricing", "service": "access", "operation": "evaluate"}
    counted = [
        sample("guilder_edge_calls_total", **edge, outcome="ok"),
        sample("guilder_edge_batch_size_bucket", **edge, le="1.0"),
    ]
    bank = await make_bank(direct)
    before = await asked.metrics()
    await direct.public(Pricing).tariffs(bank.manager.ctx(), TariffQuery())
    after = await asked.metrics()
    assert [after[name] - before.get(name, 0) for name in counted] == [1, 1]


async def test_a_caller_who_gives_up_is_counted(direct, asked):
    edge = {"caller": "gateway", "service": "registry", "operation": "tenant_by_number"}
    line = sample("guilder_edge_calls_total", **edge, outcome="cancelled")
    before = (await asked.metrics()).get(line, 0)
    registry = direct.process.calls("gateway").client(Registry)
    task = asyncio.create_task(registry.tenant_by_number(somebody(0).ctx(), NOBODY))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    after = await asked.metrics()
    assert after[line] == before + 1
    assert after[sample("guilder_edge_running", **edge)] == 0


async def test_two_processes_count_apart(direct, tmp_path):
    other = Process({}, {}, tmp_path, direct.clock, {}, name="gateway")
    found = await Asked(other).metrics()
    build = sample("guilder_build_info", process="gateway", version=guilder.__version__)
    assert found[build] == 1
    assert not [name for name in found if name.startswith("guilder_served")]


async def test_a_sweep_is_counted_also_where_it_fails(direct):
    async def tidy():
        if sweep.runs:
            raise KeyError("x")

    sweep = Sweep(1.0, tidy)
    await sweep.once()
    await sweep.once()
    assert (sweep.name, sweep.runs, sweep.failures) == ("tidy", 2, 1)


async def test_names_and_labels_follow_the_conventions(asked):
    _, text = await asked.get("/metrics")
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, flags=re.MULTILINE)
    assert len(families) > 20
    for name, kind in families:
        assert re.fullmatch(r"guilder_[a-z_]+", name)
        assert (kind == "counter") == name.endswith("_total")
    names = [line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#"]
    assert len(names) == len(set(names))
    labels = set(re.findall(r"(\w+)=\"", text))
    calls = {"service", "operation", "outcome", "caller", "le"}
    others = {"follower", "feed", "sweep", "state", "end", "version", "process"}
    bound = {"binding", "contract", "release", "mode", "result"}
    assert labels <= calls | others | bound


async def test_the_catalogue_says_every_metric_and_its_labels(direct):
    """docs/operate/observe.md lists what a process and a gateway tell, no more and no less."""
    page = (ROOT / "docs" / "operate" / "observe.md").read_text("utf-8")
    row = re.compile(r"^\| `(guilder_\w+)` \| ([\w, ]*)\|", flags=re.MULTILINE)
    said = {name: set(labels.replace(",", " ").split()) for name, labels in row.findall(page)}
    gateway = Gateway(
        direct.process.calls("gateway"),
        [e.contract for e in direct.process.endpoints.values()],
        direct.clock,
        GatewaySettings(),
        direct.process.directory,
    )
    _, text = await Asked(direct.process, gateway.measures).get("/metrics")
    assert set(said) == set(re.findall(r"^# TYPE (\S+) ", text, flags=re.MULTILINE))
    for name, inside in re.findall(r"^(\w+){(.*)} ", text, flags=re.MULTILINE):
        family = name if name in said else re.sub("_(bucket|count|sum)$", "", name)
        assert set(re.findall(r'(\w+)="', inside)) - {"le"} == said[family]


def test_a_value_on_a_bound_lies_below_it():
    spread = Spread((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        spread.take(value)
    assert (spread.counts, spread.total) == ([2, 2, 1], 7.5)
    assert list(SECONDS) == sorted(SECONDS)


# ── followers ────────────────────────────────────────────────────────────────────────────────


def event(n):
    at = START - timedelta(seconds=90)
    return Event(
        position=f"1.{n}", type="x.y", at=at, tenant=1, principal=SYSTEM.id, request="", ids={}
    )


class Scripted:
    """A feed that answers as told."""

    contract_name = "script"

    def __init__(self, *answers):
        self._answers = list(answers)

    async def events(self, ctx, query):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return EventPage(events=answer, next=answer[-1].position if answer else query.after)


async def test_a_follower_is_behind_until_it_has_taken_all(direct):
    source = Scripted([event(n) for n in range(PAGE)], [event(PAGE)], [])
    follower = Follower(direct.process.stores["audit"], source, {}, SetClock(START))
    try:
        await follower.step()
        assert (follower.behind(), follower.taken) == (90.0, PAGE)  # there may be more behind it
        await follower.step()
        assert (follower.behind(), follower.position) == (0.0, f"1.{PAGE}")
        await follower.step()
        assert (follower.behind(), follower.position) == (0.0, f"1.{PAGE}")
    finally:
        async with direct.process.stores["audit"].tx() as tx:
            await tx.execute("DELETE FROM feed_position WHERE feed='script'")


class Ticking(SetClock):
    """A clock whose sleeps pass; ends the test's patience after five seconds."""

    ticks = 0.0

    def monotonic(self):
        return self.ticks

    async def sleep(self, seconds):
        self.ticks += seconds
        if self.ticks > 5:
            raise asyncio.CancelledError


async def test_a_follower_that_fails_says_so_and_since_when(direct):
    clock = Ticking(START)
    source = Scripted(*[Unavailable("gone")] * 50)
    follower = Follower(direct.process.stores["audit"], source, {}, clock)
    with pytest.raises(asyncio.CancelledError):
        await follower.run()
    assert (follower.error, follower.failures) == ("unavailable", 5)
    assert follower.behind() == clock.ticks > 5
