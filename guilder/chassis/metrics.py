"""What a process tells Prometheus: read from the meters of its parts at the moment it is asked.

Labels are names of ours (services, operations, codes of problems), never a tenant, a person or
anything that a caller chose, so their number is bounded. Ids are those of bindings alone, and of
the first 200 of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

import guilder
from guilder.chassis.events import Follower
from guilder.chassis.meter import Measure, Meter, Spread
from guilder.chassis.process import Process, Sweep
from guilder.chassis.store import Store

Rows = Iterable[tuple[tuple[str, ...], float]]


class Source(Protocol):
    """Whoever has metrics of its own, beside the services of a process."""

    def collect(self) -> Iterable[Metric]:
        """The families as they are now."""
        ...


def gauge(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    """A number that goes up and down."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def counter(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    """A number that only rises; `name` without `_total`, which the format adds."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def histogram(
    name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], Spread]]
) -> Metric:
    """How often which values came."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, spread in rows:
        buckets, so_far = [], 0
        for bound, count in zip((*spread.bounds, float("inf")), spread.counts, strict=True):
            so_far += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(so_far)))
        family.add_metric(values, buckets, spread.total)
    return family


class ProcessMetrics:
    """The metrics of a process and all its services."""

    def __init__(self, process: Process) -> None:
        """Reads nothing until it is asked."""
        self._process = process

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        process = self._process
        build = ((guilder.__version__, process.name), 1.0)
        yield gauge("guilder_build_info", "What runs here.", ("version", "process"), [build])
        started = [((), process.started_at.timestamp())]
        yield gauge("guilder_process_start_time_seconds", "Unix time of the start.", (), started)
        yield gauge(
            "guilder_process_draining",
            "1 while the process ends and takes nothing new.",
            (),
            [((), float(process.draining))],
        )
        lag = [((), process.lag.seconds)]
        yield histogram("guilder_event_loop_lag_seconds", "How late the event loop is.", (), lag)
        meters = [((name,), end.meter) for name, end in process.endpoints.items()]
        yield from _calls("guilder_served", ("service",), meters, "answered by a service")
        edges = [((name,), calls.meter) for name, calls in process.callers.items()]
        yield from _calls("guilder_edge", ("caller", "service"), edges, "sent to a service")
        built = process.built.items()
        yield from _feeds([f for _, b in built for f in b.followers])
        yield from _sweeps([(name, sweep) for name, b in built for sweep in b.sweeps])
        yield from _databases(process.stores)
        yield from _directory(process)
        yield from _bindings(process)
        for name, parts in built:
            for own in parts.measures:
                rising = own.name.endswith("_total")
                kind, bare = (counter if rising else gauge), own.name.removesuffix("_total")
                yield kind(bare, own.text, *_measured(name, own))


def _measured(name: str, own: Measure) -> tuple[tuple[str, ...], Rows]:
    """Labels and rows of a service's own number."""
    found = own.read()
    if isinstance(found, Mapping):
        return ("service", own.label), [((name, value), n) for value, n in found.items()]
    return ("service",), [((name,), found)]


def _calls(
    prefix: str, labels: tuple[str, ...], meters: list[tuple[tuple[str], Meter]], what: str
) -> Iterator[Metric]:
    """The families of the calls of one side; an operation's name is told apart from its service."""
    labels = (*labels, "operation")
    lines = []
    for (owner,), meter in meters:
        for name, line in meter.lines.items():
            contract, _, operation = name.partition(".")
            key = (owner, contract, operation) if "caller" in labels else (contract, operation)
            lines.append((key, line))
    yield counter(
        f"{prefix}_calls",
        f"Calls {what}, by outcome: ok, cancelled, or the code of a problem.",
        (*labels, "outcome"),
        [((*key, word), n) for key, line in lines for word, n in line.outcomes.items()],
    )
    yield histogram(
        f"{prefix}_seconds",
        f"How long calls {what} took.",
        labels,
        [(key, line.seconds) for key, line in lines],
    )
    yield histogram(
        f"{prefix}_batch_size",
        f"How many calls {what} went together.",
        labels,
        [(key, line.sizes) for key, line in lines],
    )
    yield gauge(
        f"{prefix}_running",
        f"Calls {what} that are under way.",
        labels,
        [(key, line.running) for key, line in lines],
    )


def _feeds(followers: list[Follower]) -> Iterator[Metric]:
    labels = ("follower", "feed")
    named = [((f.store.service, f.feed), f) for f in followers]
    yield counter(
        "guilder_feed_events", "Events taken.", labels, [(k, float(f.taken)) for k, f in named]
    )
    yield counter(
        "guilder_feed_errors",
        "Steps that failed and are tried again.",
        labels,
        [(k, float(f.failures)) for k, f in named],
    )
    yield gauge(
        "guilder_feed_behind_seconds",
        "How far behind its feed a follower is.",
        labels,
        [(k, f.behind()) for k, f in named],
    )


def _sweeps(sweeps: list[tuple[str, Sweep]]) -> Iterator[Metric]:
    labels = ("service", "sweep")
    named = [((service, sweep.name), sweep) for service, sweep in sweeps]
    yield counter(
        "guilder_sweep_runs", "Rounds of a sweep.", labels, [(k, float(s.runs)) for k, s in named]
    )
    yield counter(
        "guilder_sweep_errors",
        "Rounds that failed.",
        labels,
        [(k, float(s.failures)) for k, s in named],
    )
    yield counter(
        "guilder_sweep_seconds",
        "Seconds spent in rounds.",
        labels,
        [(k, s.seconds) for k, s in named],
    )


def _databases(stores: dict[str, Store]) -> Iterator[Metric]:
    label, named = ("service",), [((name,), store) for name, store in stores.items()]
    pools = [(key, store.connections()) for key, store in named]
    states = [((*key, "used"), pool[0]) for key, pool in pools]
    states += [((*key, "idle"), pool[1]) for key, pool in pools]
    yield gauge(
        "guilder_database_connections", "Connections of the pool.", ("service", "state"), states
    )
    most = [(key, pool[2]) for key, pool in pools]
    yield gauge("guilder_database_connections_max", "How many there may be.", label, most)
    waiting = [(key, store.waiting) for key, store in named]
    yield gauge("guilder_database_waiting", "Who waits for a connection now.", label, waiting)
    waited = [(key, store.wait_seconds) for key, store in named]
    yield counter("guilder_database_wait_seconds", "Time spent in waiting.", label, waited)
    ends = [((*key, "committed"), store.committed) for key, store in named]
    ends += [((*key, "rolled_back"), store.rolled_back) for key, store in named]
    yield counter("guilder_database_transactions", "Transactions.", ("service", "end"), ends)
    up = [(key, float(store.answered)) for key, store in named]
    yield gauge("guilder_database_up", "1 when the database answered the probe.", label, up)


def _directory(process: Process) -> Iterator[Metric]:
    """What this process heard of bindings and windows."""
    follower = process.directory
    known, silent = float(follower.latest.generation), follower.silent_s
    for name, text, number in (
        ("generation", "Generation of the bindings and windows known here; -1 = none.", known),
        ("stale", "1 when the registry has not been heard for too long.", float(follower.stale)),
        ("heard_seconds", "Seconds since the registry was heard.", silent),
    ):
        if number is not None:
            yield gauge(f"guilder_directory_{name}", text, (), [((), number)])


def _bindings(process: Process) -> Iterator[Metric]:
    """What this process saw of calls to what is bound instead of stock."""
    labels = ("binding", "contract", "release", "mode")
    totals = process.editions.observations.totals.items()
    yield counter(
        "guilder_binding_calls",
        "Calls to what is bound, by outcome: ok, or why there was no answer of use.",
        (*labels, "outcome"),
        [((*key, word), float(n)) for key, total in totals for word, n in total.outcomes.items()],
    )
    yield histogram(
        "guilder_binding_seconds",
        "How long calls to what is bound took.",
        labels,
        [(key, total.seconds) for key, total in totals],
    )
    yield counter(
        "guilder_binding_fallbacks",
        "Calls that stock answered because what is bound did not.",
        labels,
        [(key, float(total.fallbacks)) for key, total in totals],
    )
    yield counter(
        "guilder_shadow_compared",
        "Answers of a shadow, by result: equal, different, or dropped before it was asked.",
        (*labels, "result"),
        [((*key, word), float(n)) for key, total in totals for word, n in total.compared.items()],
    )
    yield gauge(
        "guilder_binding_circuits_open",
        "Editions to which nothing is sent because they failed again and again.",
        (),
        [((), float(process.editions.open_circuits))],
    )
