"""The calls of payments with a tenant's edition behind the guard, and what it is asked."""

import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from uuid import uuid4

from guilder.chassis.bindings import Bindings
from guilder.chassis.call import Calls
from guilder.chassis.clock import Clock
from guilder.chassis.edition import CHECKS
from guilder.chassis.outbound import Outbound, Rules
from guilder.chassis.releases import Editions
from guilder.chassis.serve import Outcome
from guilder.chassis.signature import SigningKey
from guilder.chassis.testing import CALL_KEYS, somebody
from guilder.contracts.context import Call
from guilder.contracts.pricing.v1 import Pricing, Question, Quoted
from guilder.contracts.registry.v1 import Bound
from guilder.contracts.screening.v1 import Check, Screening, Side
from guilder.contracts.values import Money
from tests.editions.faulty import Faulty, Running

QUOTE, TARIFFS = (Pricing.operations()[name] for name in ("quote", "tariffs"))
CHECK = Screening.operations()["check"]
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ASKED = Question(operation="book_transfer", product="current", amount=Money(10_000, "EUR"), at=NOW)
SCREENED = Check(
    payer=Side(kind="person", name="Erika Mustermann", country="DE"),
    payee=Side(kind="person", name="Max Mustermann", country="DE"),
    at=NOW,
)
PUBLIC = SigningKey.of(CALL_KEYS).public_jwk()
STOCK = Quoted(fee=Money(1, "EUR"), rule="stock")


class Watch(Clock):
    """A clock whose seconds pass when a test says so."""

    def __init__(self):
        self.seconds = 1000.0

    def monotonic(self):
        return self.seconds


class Stock:
    """The road to stock."""

    def __init__(self):
        self.asked = []

    async def send(self, operation, calls):
        self.asked += calls
        return [Outcome(STOCK) for _ in calls]


class Guarded(Calls):
    """The calls of payments, with a tenant's edition behind the guard."""

    def __init__(self, checks=CHECKS, clock=None):
        self.stock = Stock()
        out = Outbound(Rules((ip_network("127.0.0.0/8"),)))
        self.shared = Editions(CALL_KEYS, clock, out=out, checks=checks)
        roads = dict.fromkeys(("pricing", "screening"), self.stock)
        super().__init__("payments", roads, Bindings(), CALL_KEYS, self.shared)

    def bind(self, *lines):
        self.bindings.replace(lines)

    async def ask(self, *tenants, operation=QUOTE, request=None, within=None):
        deadline = time.monotonic() + within if within else 0.0
        request = request or (ASKED if operation is QUOTE else SCREENED)
        calls = [Call(somebody(t).ctx(deadline=deadline), request) for t in tenants]
        return await self.send(operation, calls)


def bound(running, tenant=7, *, id=None, contract="pricing", **more):
    line = {
        "edition": "B",
        "version": "1.0.0",
        "address": running.url,
        "digest": running.edition.digest,
        "on_failure": "closed",
        "generation": 3,
    }
    return Bound(id=id or uuid4(), tenant=tenant, contract=contract, **{**line, **more})


@contextmanager
def edition(fault=None, contract="pricing", kind=Faulty, **more):
    running = Running(kind(contract, fault, public_key=PUBLIC, **more))
    try:
        yield running
    finally:
        running.stop()


def failures(guarded):
    found = {}
    for total in guarded.shared.observations.totals.values():
        found |= {word: n for word, n in total.outcomes.items() if word != "ok"}
    return found


class Noting(Faulty):
    """Notes what it is sent."""

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.got = []

    def app(self):
        inner = super().app()

        async def noting(scope, receive, send):
            if scope["type"] == "http":
                parts = []

                async def tapped():
                    message = await receive()
                    parts.append(message.get("body", b""))
                    return message

                headers = {k.decode(): v.decode() for k, v in scope["headers"]}
                self.got.append((scope["path"], headers, parts))
                await inner(scope, tapped, send)

        return noting

    @property
    def bodies(self):
        return [json.loads(b"".join(parts)) for _, _, parts in self.got]
