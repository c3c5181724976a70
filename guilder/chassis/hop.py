"""Where the work of this process is: which service works on which calls. For logs and spans.

Spans are made by hand through the OpenTelemetry API and cost next to nothing until somebody
configures an SDK. The trace id is the request id, so logs, audit, events and traces agree.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from guilder.contracts.context import Call
from guilder.contracts.declare import Operation

HERE: ContextVar[tuple[str, Sequence[Call[Any]]]] = ContextVar("here", default=("", ()))
"""The service at work in this task, and the calls it works on."""

MAX_NAMED = 16
"""How many requests of a batch are named in a log line or linked to a span."""

_SPAN_ID = 2**64 - 1
_wire = TraceContextTextMapPropagator()


def requests(calls: Sequence[Call[Any]]) -> list[str]:
    """The request ids of calls, each once, the first few of many."""
    return list(dict.fromkeys(call.ctx.request for call in calls if call.ctx.request))[:MAX_NAMED]


def present() -> str:
    """The request that this task works on, the first one of a batch."""
    return next((call.ctx.request for call in HERE.get()[1]), "")


def tracing() -> bool:
    """Whether anybody collects spans."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def span(
    operation: Operation, calls: Sequence[Call[Any]], kind: SpanKind
) -> AbstractContextManager[Span | None]:
    """A span of one hop, current inside; the other requests of a batch are linked."""
    if not tracing():
        return _NO_SPAN
    traces = [_context(name) for name in requests(calls)]
    known = [found for found in traces if found is not None]
    here = trace.get_current_span().get_span_context()
    above = None
    if known and known[0].trace_id != here.trace_id:  # gathered in the task of another request
        above = trace.set_span_in_context(NonRecordingSpan(known[0]))
    return trace.get_tracer("guilder").start_as_current_span(
        operation.id, above, kind, {"guilder.calls": len(calls)}, [Link(c) for c in known[1:]]
    )


def public_span(
    request: str, headers: Iterable[tuple[bytes, bytes]]
) -> AbstractContextManager[Span | None]:
    """The first span of a public request; its trace is ours, a client's own one is linked."""
    ours = _context(request) if tracing() else None
    if ours is None:
        return _NO_SPAN
    theirs = next((v.decode("latin-1") for k, v in headers if k == b"traceparent"), "")
    client = trace.get_current_span(_wire.extract({"traceparent": theirs})).get_span_context()
    links = [Link(client)] if client.is_valid else []
    above = trace.set_span_in_context(NonRecordingSpan(ours), context.Context())
    return trace.get_tracer("guilder").start_as_current_span(
        "request", above, SpanKind.SERVER, None, links
    )


def _context(request: str) -> SpanContext | None:
    """The trace of a request; None for what is no request of the outside."""
    try:
        number = int(request, 16) if len(request) == 32 else 0
    except ValueError:
        return None
    span_id = number & _SPAN_ID
    if not number or not span_id:
        return None
    return SpanContext(number, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def sent() -> dict[str, str]:
    """The headers that carry the present span to another process of ours."""
    headers: dict[str, str] = {}
    if tracing():
        _wire.inject(headers)
    return headers


def received(traceparent: str | None) -> AbstractContextManager[None]:
    """What follows belongs to the span that a caller's headers name."""
    return _attached(traceparent) if traceparent and tracing() else nullcontext()


@contextmanager
def _attached(traceparent: str) -> Iterator[None]:
    token = context.attach(_wire.extract({"traceparent": traceparent}))
    try:
        yield
    finally:
        context.detach(token)


_NO_SPAN: AbstractContextManager[None] = nullcontext()
