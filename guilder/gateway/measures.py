"""What the gateway counts of the requests that it answers, beside what every process counts."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from time import perf_counter

from prometheus_client.core import Metric

from guilder.chassis.meter import Line
from guilder.chassis.metrics import counter, gauge, histogram
from guilder.contracts.context import PLATFORM
from guilder.gateway.admission import Admission
from guilder.gateway.answers import refused
from guilder.gateway.refusals import Refusals
from guilder.gateway.strict import held_by_all

GIVEN_UP = 499
"""The status of a request whose client left before it was answered."""


@dataclass(slots=True)
class Visit:
    """One request on its way through."""

    request: str
    operation: str = "unknown-route"
    """An operation of a contract, `page`, or that no route was found."""
    status: int = GIVEN_UP
    began: float = 0.0
    tenant: int = PLATFORM
    """Of who is signed in; a stranger is nobody's, as the platform itself is."""


class Measures:
    """Counts of one gateway."""

    def __init__(self, refusals: Refusals, admission: Admission) -> None:
        """`refusals` counts what it could not record, `admission` what it let in."""
        self.lines: dict[str, Line] = {}
        self.problems: Counter[str] = Counter()
        self.early: Counter[str] = Counter()
        self.in_flight = 0
        self.connections: Collection[object] = ()
        """The server's open connections; set by whoever runs it."""
        self._refusals, self._admission = refusals, admission

    def begin(self, visit: Visit) -> None:
        """A request came."""
        self.in_flight += 1
        visit.began = perf_counter()

    def end(self, visit: Visit) -> None:
        """Its answer left, or nobody waits for it any more."""
        self.in_flight -= 1
        line = self.lines.get(visit.operation)
        if line is None:
            line = self.lines[visit.operation] = Line()
        line.seconds.take(perf_counter() - visit.began)
        line.end(str(visit.status))

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        lines = [((name,), line) for name, line in self.lines.items()]
        yield counter(
            "guilder_gateway_requests",
            "Public requests by operation and status.",
            ("operation", "status"),
            [((*key, status), n) for key, line in lines for status, n in line.outcomes.items()],
        )
        yield histogram(
            "guilder_gateway_seconds",
            "From the whole request to its whole answer.",
            ("operation",),
            [(key, line.seconds) for key, line in lines],
        )
        problems = [(("request", code), n) for code, n in self.problems.items()]
        problems += [(("early", code), n) for code, n in self.early.items()]
        problems += [(("http", code), n) for code, n in refused.items()]
        yield counter(
            "guilder_gateway_refusals",
            "Problems answered, by code; `early` by its headers alone, `http` as malformed.",
            ("layer", "code"),
            problems,
        )
        yield counter(
            "guilder_gateway_unrecorded",
            "Refusals without an entry in the audit, by code.",
            ("code",),
            [((code,), n) for code, n in self._refusals.unrecorded.items()],
        )
        limiters = [((name,), limiter) for name, limiter in self._admission.limiters.items()]
        yield gauge(
            "guilder_gateway_bound",
            "How many requests to a part may be in flight now.",
            ("part",),
            [(key, limiter.limit) for key, limiter in limiters],
        )
        yield gauge(
            "guilder_gateway_admitted",
            "How many requests to a part are in flight.",
            ("part",),
            [(key, limiter.in_flight) for key, limiter in limiters],
        )
        yield counter(
            "guilder_gateway_overloaded",
            "Requests to a part that found no room.",
            ("part",),
            [(key, limiter.refused) for key, limiter in limiters],
        )
        now = "guilder_gateway_in_flight", "Requests that are being answered."
        yield gauge(*now, (), [((), self.in_flight)])
        open_now = "guilder_gateway_connections", "Open connections of clients."
        yield gauge(*open_now, (), [((), len(self.connections))])
        held = "guilder_gateway_held_bytes", "Unfinished requests in memory."
        yield gauge(*held, (), [((), held_by_all.count)])
