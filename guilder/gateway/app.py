"""The public door: who are you → which tenant → is it open, also for changes → pass on.

One raw ASGI application. Each step has a file of its own; this one calls them in order.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.responses import Response

from guilder.chassis.call import Calls
from guilder.chassis.clock import Clock
from guilder.chassis.contract import encode, read_request
from guilder.chassis.directory import DirectoryFollower
from guilder.chassis.events import SYSTEM
from guilder.chassis.hop import public_span
from guilder.chassis.serve import Outcome, respond
from guilder.contracts.audit.v1 import Audit
from guilder.contracts.context import PLATFORM, Call, Context
from guilder.contracts.declare import Contract, Operation
from guilder.contracts.errors import Internal, InvalidRequest, Problem, Unauthenticated
from guilder.contracts.identity.v1 import Authenticated, Identity
from guilder.contracts.registry.v1 import Registry, TenantNumber
from guilder.contracts.values import uuid7
from guilder.gateway import oauth
from guilder.gateway.admission import STRANGERS, Admission
from guilder.gateway.authenticate import Authenticator
from guilder.gateway.early import Early
from guilder.gateway.maintenance import HEADER, Maintenance
from guilder.gateway.measures import Measures, Visit
from guilder.gateway.notices import Notices
from guilder.gateway.pages import Pages
from guilder.gateway.rates import Rates
from guilder.gateway.refusals import Refusals
from guilder.gateway.routes import MethodNotAllowed, Routes
from guilder.gateway.settings import GatewaySettings
from guilder.gateway.status import Status

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TENANT_CACHE_S = 5.0
KEEP = {"registry.edition_keys": "private, max-age=300"}
"""Answers that whoever asked may keep a while: the same for everybody, and seldom another."""

MAX_QUERY = 20


class UnsupportedMediaType(Problem):
    """A body that is not JSON."""

    code = "unsupported-media-type"
    status = 415
    title = "Only JSON is understood"
    fix = "Send the body as application/json in UTF-8."


class TenantClosed(Problem):
    """The tenant is closed."""

    code = "tenant-closed"
    status = 403
    title = "This tenant is closed"
    fix = "Ask the platform's operator."


class Gateway:
    """The ASGI application of the one API."""

    def __init__(
        self,
        calls: Calls,
        contracts: list[type[Contract]],
        clock: Clock,
        settings: GatewaySettings,
        directory: DirectoryFollower,
    ) -> None:
        """`calls` are the gateway's clients; `contracts` those whose operations it offers.

        `directory` is what this process has heard of the registry.
        """
        self._calls, self._clock = calls, clock
        self._routes = Routes(contracts)
        self._pages = Pages(contracts)
        self.notices = Notices(contracts, clock)
        self._maintenance = Maintenance(directory, clock)
        self._status = Status(self._maintenance, clock)
        self._identity = calls.client(Identity)
        self._registry = calls.client(Registry)
        self._refusals = Refusals(calls.client(Audit), clock, settings.audit_rate)
        self.admission = Admission(clock, settings.latency_ms, settings.in_flight_max)
        self._authenticator = Authenticator(
            self._identity,
            clock,
            settings,
            _stranger(""),
            self.admission.limiter("authentication"),
        )
        self._tenant_rates = Rates(settings.tenant_rate, clock)
        self._principal_rates = Rates(settings.principal_rate, clock)
        self._stranger_rates = Rates(settings.stranger_rate, clock)
        self._open_until: dict[int, float] = {}
        self.measures = Measures(self._refusals, self.admission)
        self.early_refusal = Early(
            self._authenticator,
            self._routes,
            self._tenant_rates,
            self._principal_rates,
            self.admission,
            self._maintenance,
            self.measures.early,
        ).refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        visit = Visit(uuid7(self._clock.now()).hex)
        self.measures.begin(visit)
        try:
            with public_span(visit.request, scope["headers"]) as span:
                response = await self._whole_answer(scope, receive, visit)
                if span is not None:
                    span.update_name(visit.operation)
                    span.set_attribute("http.response.status_code", response.status_code)
            await response(scope, receive, send)
            visit.status = response.status_code
        finally:
            self.measures.end(visit)

    async def _whole_answer(self, scope: Scope, receive: Receive, visit: Visit) -> Response:
        try:
            response = await self._answer(scope, receive, visit)
        except Exception:
            log.exception("defect", request=visit.request)
            response = respond(Outcome(problem=Internal(f"request {visit.request}"), status=500))
        if announced := self._maintenance.header(visit.tenant):
            response.headers[HEADER] = announced
        response.headers.update(self.notices.headers(visit.operation))
        response.headers["X-Request-Id"] = visit.request
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def _answer(self, scope: Scope, receive: Receive, visit: Visit) -> Response:
        method, path = scope["method"], scope["raw_path"].decode("ascii").partition("?")[0]
        ctx = _stranger(visit.request)
        try:
            body = await _read(receive)
            began = time.monotonic()
            page = self._pages.find(path) or self._status.find(path)
            if page is not None:
                visit.operation = "page"
                _only(method, "GET", "HEAD")
                return page
            headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            if path in (oauth.TOKEN_PATH, oauth.JWKS_PATH, oauth.METADATA_PATH):
                visit.operation = "identity.client_token"
                return await self._oauth(scope, path, headers, body, ctx)
            operation, names = self._routes.find(method, path)
            visit.operation = operation.id
            who = await self._who(headers)
            visit.tenant = who.tenant
            ctx = Context(tenant=who.tenant, principal=who.principal, request=visit.request)
            self._within_rates(who)
            limiter = self.admission.limiter(operation.contract)
            with limiter.slot(who.tenant, read=not operation.command):
                await self._tenant_is_open(who, ctx)
                hold = self._maintenance.admit(operation, who.tenant)
                timed = msgspec.structs.replace(
                    ctx,
                    key=_key(headers, operation, visit.request),
                    deadline=began + operation.deadline_ms / 1000,
                    hold=hold,
                )
                outcome = await self._pass_on(operation, names, scope, headers, body, timed)
        except Problem as problem:
            outcome = Outcome(problem=problem, status=problem.status)
        if outcome.problem is not None:
            self.measures.problems[outcome.problem.code] += 1
            await self._refusals.record(ctx, visit.operation, outcome.problem)
        response = respond(outcome)
        if outcome.problem is None and visit.operation in KEEP:
            response.headers["Cache-Control"] = KEEP[visit.operation]
        if outcome.problem is not None and "allow" in outcome.problem.more:
            response.headers["Allow"] = ", ".join(sorted(outcome.problem.more["allow"]))
        return response

    async def _who(self, headers: dict[str, str]) -> Authenticated:
        """Who are you, and which tenant are you of."""
        try:
            return await self._authenticator.who(headers.get("authorization", ""))
        except Unauthenticated:
            self._stranger_rates.take("strangers")
            raise

    def _within_rates(self, who: Authenticated) -> None:
        """Are you, and is your tenant, within the rates."""
        self._tenant_rates.take(who.tenant)
        self._principal_rates.take((who.tenant, who.principal.id))

    async def _tenant_is_open(self, who: Authenticated, ctx: Context) -> None:
        """Is your tenant open."""
        now = self._clock.monotonic()
        if who.tenant == PLATFORM or self._open_until.get(who.tenant, 0.0) > now:
            return
        asking = _stranger(ctx.request)
        try:
            tenant = await self._registry.tenant_by_number(asking, TenantNumber(number=who.tenant))
        except Problem as problem:
            if problem.final or who.tenant not in self._open_until:
                raise
        else:  # without an answer it is as it was: nobody can close it without the registry
            if tenant.state != "open":
                self._open_until.pop(who.tenant, None)
                raise TenantClosed()
        self._open_until[who.tenant] = self._clock.monotonic() + TENANT_CACHE_S

    async def _pass_on(
        self,
        operation: Operation,
        names: dict[str, str],
        scope: Scope,
        headers: dict[str, str],
        body: bytes,
        ctx: Context,
    ) -> Outcome:
        if body and headers.get("content-type", "").split(";")[0].strip() != "application/json":
            raise UnsupportedMediaType()
        query = _query(scope["query_string"])
        request = read_request(operation, names, query, body)
        (outcome,) = await self._calls.send(operation, [Call(ctx, request)])
        return outcome

    async def _oauth(
        self, scope: Scope, path: str, headers: dict[str, str], body: bytes, ctx: Context
    ) -> Response:
        self._stranger_rates.take("oauth")
        _only(scope["method"], *(("POST",) if path == oauth.TOKEN_PATH else ("GET", "HEAD")))
        if path == oauth.JWKS_PATH:
            return _json(await oauth.keys(self._identity, ctx), cache="max-age=60")
        host = headers.get("host", "")
        if path == oauth.METADATA_PATH:
            return _json(oauth.metadata(f"{scope['scheme']}://{host}"), cache="max-age=60")
        content_type, auth = headers.get("content-type", ""), headers.get("authorization", "")
        with self.admission.limiter("tokens").slot(STRANGERS, read=False):
            return _json(await oauth.token(self._identity, ctx, content_type, auth, body))


def _stranger(request_id: str) -> Context:
    """The context of somebody who has not shown a token."""
    return Context(tenant=PLATFORM, principal=SYSTEM, request=request_id)


def _only(method: str, *allowed: str) -> None:
    """Raise MethodNotAllowed unless the method is one of those that the path takes."""
    if method not in allowed:
        raise MethodNotAllowed(f"use {' or '.join(allowed)}", allow=list(allowed))


def _key(headers: dict[str, str], operation: Operation, request_id: str) -> str | None:
    """The Idempotency-Key, if it may be one.

    A command that came without gets the request's id: so it may be sent again between our own
    processes when one of them is replaced meanwhile. What moves money needs a key of the client's.
    """
    key = headers.get("idempotency-key")
    if key is None and operation.command and not operation.moves_money:
        return request_id
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            "Idempotency-Key must have 1 to 255 printable ASCII characters", at="header"
        )
    return key


def _query(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            errors="strict",
            max_num_fields=MAX_QUERY,
        )
    except ValueError:
        raise InvalidRequest("the query string cannot be read", at="query") from None


def _json(value: Any, cache: str = "no-store") -> Response:
    return Response(encode(value), media_type="application/json", headers={"Cache-Control": cache})


async def _read(receive: Receive) -> bytes:
    """The whole body; its size was bounded by the HTTP layer."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the request was cut off")
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
