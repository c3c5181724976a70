"""One id follows a request through every hop, into the logs, the audit, the events, the answer."""

import asyncio
import secrets
from contextlib import contextmanager

import pytest
import pytest_asyncio
import structlog
from opentelemetry import trace

from guilder.chassis import hop, serve
from guilder.chassis.testing import operator
from guilder.contracts.access.v1 import Access, GrantRole
from guilder.contracts.audit.v1 import Audit, AuditQuery
from guilder.contracts.declare import EventQuery
from guilder.contracts.identity.v1 import CreateClient, Identity
from guilder.contracts.ledger.v1 import Ledger
from guilder.contracts.payments.v1 import Payments
from guilder.gateway.settings import GatewaySettings
from tests.gateway.door import Door, key, read
from tests.services.payments.payments_desk import open_desk

HOPS = {"access", "accounts", "ledger", "parties", "payments", "pricing", "screening", "vault"}
"""The services that a payment passes through."""


@pytest_asyncio.fixture(loop_scope="session")
async def door(direct):
    """A gateway whose every call, and every call of the services, goes over HTTP."""
    direct.mode = "http"
    made = Door(direct, GatewaySettings(stranger_rate=1e6))
    await made.open()
    yield made
    await made.close()
    direct.mode = "direct"


@pytest_asyncio.fixture(loop_scope="session")
async def ready(door):
    """A desk, and the token of a machine client that may pay from it."""
    desk = await open_desk(door.world)
    identity = door.world.client(Identity)
    made = await identity.create_client(desk.bank.manager.ctx(), CreateClient(name="machine"))
    grant = GrantRole(subject=made.id, role="owner", account=desk.mine.id)
    await door.world.client(Access).assign(desk.bank.manager.ctx(), grant)
    token = await door.token(str(made.id), made.client_secret)
    await door.send("GET", "/v1/accounts", token=token)  # identity has been asked from here on
    await door.world.process.built["screening"].service.lists.current()  # read, and said so
    await door.world.settle()
    return desk, token


async def pay(door, desk, token, **headers):
    body = {
        "debtor_account": str(desk.mine.id),
        "creditor_account": desk.hers.iban,
        "amount": {"amount": "12.50", "currency": "EUR"},
        "remittance": "thanks",
    }
    reply = await door.send("POST", "/v1/payments", body, token, key(), **headers)
    assert reply.status == 201, reply.body
    return reply, reply.headers["x-request-id"]


async def events_of(world, contract, request):
    """Types of the events that a request left in a log."""
    found, after, ctx = [], "", operator().ctx("")
    while True:
        page = await world.client(contract).events(ctx, EventQuery(after=after, limit=500))
        found += [event.type for event in page.events if event.request == request]
        if not page.events:
            return found
        after = page.next


async def test_one_id_from_the_answer_to_the_books(door, ready, lines, monkeypatch):
    desk, token = ready
    guarded = serve._guarded

    async def talking(operation, ctx, run):
        structlog.get_logger().info("at work", operation=operation.id)
        return await guarded(operation, ctx, run)

    monkeypatch.setattr(serve, "_guarded", talking)
    reply, request = await pay(door, desk, token)
    monkeypatch.undo()

    payment = read(reply)["id"]
    said = lines.read_all()
    assert {line["service"] for line in said} >= HOPS
    assert {line["request"] for line in said} == {request}

    assert await events_of(door.world, Ledger, request) == ["entry.booked"]
    assert await events_of(door.world, Payments, request) == ["payment.booked"]
    await door.world.settle()
    page = await door.world.client(Audit).entries(desk.bank.auditor.ctx(), AuditQuery(limit=200))
    entries = [entry for entry in page.items if entry.request == request]
    assert {entry.operation for entry in entries} >= {"payment.booked", "entry.booked"}
    assert {e.ids["payment"] for e in entries if "payment" in e.ids} == {payment}


async def test_a_clients_id_does_not_become_ours(door, ready):
    desk, token = ready
    theirs = "0af7651916cd43dd8448eb211c80319c"
    traceparent = f"00-{theirs}-b7ad6b7169203331-01"
    _, request = await pay(door, desk, token, traceparent=traceparent, X_Request_Id=theirs)
    assert request != theirs


# ── spans ────────────────────────────────────────────────────────────────────────────────────


class FakeSpan(trace.NonRecordingSpan):
    """Remembers what it was started with."""

    def __init__(self, name, parent, kind, links):
        above = trace.get_current_span(parent).get_span_context()
        number = above.trace_id if above.is_valid else secrets.randbits(128)
        super().__init__(trace.SpanContext(number, secrets.randbits(64), False))
        self.name, self.kind, self.above, self.attributes = name, kind, above, {}
        self.linked = [link.context.trace_id for link in links or []]

    @property
    def trace_id(self):
        return f"{self.get_span_context().trace_id:032x}"

    def set_attribute(self, name, value):
        self.attributes[name] = value

    def update_name(self, name):
        self.name = name


class Collector(trace.TracerProvider, trace.Tracer):
    """Stands for an SDK."""

    def __init__(self):
        self.spans = []

    def get_tracer(self, *_, **__):
        return self

    def start_span(self, name, context=None, kind=None, attributes=None, links=None, *_, **__):
        self.spans.append(FakeSpan(name, context, kind, links))
        return self.spans[-1]

    @contextmanager
    def start_as_current_span(self, *given, **more):
        with trace.use_span(self.start_span(*given, **more)) as span:
            yield span


@pytest.fixture
def collector(monkeypatch):
    made = Collector()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made)
    return made


async def test_spans_make_one_tree_through_all_processes(door, ready, collector):
    desk, token = ready
    theirs = "0af7651916cd43dd8448eb211c80319c"
    _, request = await pay(door, desk, token, traceparent=f"00-{theirs}-b7ad6b7169203331-01")

    spans = [span for span in collector.spans if span.trace_id == request]
    root, *rest = spans
    assert (root.name, root.kind) == ("payments.create", trace.SpanKind.SERVER)
    assert root.linked == [int(theirs, 16)]
    assert root.attributes["http.response.status_code"] == 201
    assert {span.name.partition(".")[0] for span in rest} >= HOPS
    known = {span.get_span_context().span_id for span in spans}
    assert [span.name for span in rest if span.above.span_id not in known] == []
    for span in rest:
        if span.kind is trace.SpanKind.SERVER and span is not root:  # its caller's, over HTTP
            (above,) = [s for s in spans if s.get_span_context().span_id == span.above.span_id]
            assert (above.name, above.kind) == (span.name, trace.SpanKind.CLIENT)
    assert {word for span in rest for word in span.attributes["guilder.outcome"]} == {"ok"}


async def test_a_batch_is_linked_to_every_request_in_it(door, ready, collector):
    desk, token = ready
    found = await asyncio.gather(*(pay(door, desk, token) for _ in range(4)))
    requests = {request for _, request in found}
    booked = [span for span in collector.spans if span.name == "ledger.submit"]
    seen = {span.trace_id for span in booked}
    seen |= {f"{linked:032x}" for span in booked for linked in span.linked}
    assert seen == requests


@pytest.mark.parametrize("request_id", ["", "test", "resumed:1", "0" * 32, "g" * 32])
def test_what_is_no_request_of_the_outside_names_no_trace(request_id):
    assert hop._context(request_id) is None


def test_nothing_is_sent_while_nobody_collects():
    assert hop.sent() == {}
    assert not hop.tracing()
