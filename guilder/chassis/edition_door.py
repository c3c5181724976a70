"""A stock service as an edition like anybody else's: a suite can judge it, a platform can bind it.

Its base URL is `/editions/NAME` on the private door. Requests are as `contracts/edition.py` has
them, signed by the platform whose public key is given; a process opens the door only with a key.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

import guilder
from guilder.chassis.contract import convert, encode, read_json
from guilder.chassis.events import SYSTEM
from guilder.chassis.hop import received
from guilder.chassis.serve import Endpoint, Outcome, respond
from guilder.chassis.settings import BadSetting, EditionSettings
from guilder.chassis.signature import Jwk, verify
from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Operation
from guilder.contracts.edition import (
    DEADLINE,
    EDITION,
    MANIFEST,
    MOST_ITEMS,
    REQUEST,
    Manifest,
    banner,
    path,
)
from guilder.contracts.errors import InvalidRequest, Problem

PLATFORM: Final = "platform"
"""Who calls, as the service's measures name it."""

STOCK: Final = "A"
MOST_TENANTS: Final = 2**31 - 1


class _PublicKey(msgspec.Struct, frozen=True, tag_field="kty", tag="EC"):
    x: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}(?!\n)$")]
    y: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}(?!\n)$")]
    crv: str

    def members(self) -> dict[str, str]:
        return {"kty": "EC", "crv": self.crv, "x": self.x, "y": self.y}


def public_key(settings: EditionSettings) -> Jwk | None:
    """The key whose platform is answered, if one is given; BadSetting for what is none."""
    if not settings.key:
        return None
    try:
        return msgspec.json.decode(settings.key, type=_PublicKey).members()
    except msgspec.MsgspecError as error:
        raise BadSetting(f"GUILDER_EDITION_KEY is no public key: {error}") from None


@cache
def package_digest() -> str:
    """SHA-256 over every file of the installed package: another build, another digest."""
    found, root = hashlib.sha256(), Path(guilder.__file__ or "").parent
    for file in sorted(root.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            name = file.relative_to(root).as_posix()
            found.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return f"sha256:{found.hexdigest()}"


def edition_routes(endpoint: Endpoint, key: Jwk | None) -> list[Route]:
    """The routes of one service as an edition; none where nothing of it can be replaced.

    `key` is the public key that requests are signed with; None: whoever reaches the door is
    answered, and the manifest disclaims signatures.
    """
    chosen = endpoint.contract.replaceable()
    if not chosen:
        return []
    base = f"/editions/{endpoint.name}"
    manifest = _manifest(endpoint, key)
    routes = [Route(base + MANIFEST, _saying(manifest), methods=["GET"])]
    for operation in chosen:
        handle = _handler(endpoint, operation, key, banner(manifest))
        routes.append(Route(base + path(operation), handle, methods=[operation.method]))
    return routes


def _manifest(endpoint: Endpoint, key: Jwk | None) -> Manifest:
    return Manifest(
        contract=endpoint.name,
        contract_version=endpoint.contract.contract_version,
        edition=STOCK,
        version=endpoint.contract.release,
        digest=package_digest(),
        disclaims=[*endpoint.service.disclaims, *([] if key else ["signatures"])],
    )


def _saying(manifest: Manifest) -> Callable[[HttpRequest], Awaitable[Response]]:
    body, headers = encode(manifest), {EDITION: banner(manifest)}

    async def say(http: HttpRequest) -> Response:
        return Response(body, headers=headers, media_type="application/json")

    return say


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    tenant: Annotated[int, msgspec.Meta(ge=1, le=MOST_TENANTS)]
    items: Annotated[list[Any], msgspec.Meta(min_length=1, max_length=MOST_ITEMS)]


def _handler(
    endpoint: Endpoint, operation: Operation, key: Jwk | None, shown: str
) -> Callable[[HttpRequest], Awaitable[Response]]:
    async def handle(http: HttpRequest) -> Response:
        body = await http.body()
        try:
            if key is not None:
                _check(key, http, body)
            calls = _calls(operation, http.headers, body)
        except Problem as problem:
            response = respond(Outcome(problem=problem, status=problem.status))
        else:
            with received(http.headers.get("traceparent")):
                outcomes = await endpoint.dispatch(operation, PLATFORM, calls)
            response = _answer(operation, outcomes)
        response.headers[EDITION] = shown
        return response

    return handle


def _check(key: Jwk, http: HttpRequest, body: bytes) -> None:
    verify(
        key,
        method=http.method,
        authority=http.headers.get("host", ""),
        path=http.scope["raw_path"].partition(b"?")[0].decode("latin-1"),
        headers=http.headers,
        body=body,
        now=time.time(),
    )


def _calls(operation: Operation, headers: Mapping[str, str], body: bytes) -> list[Call[Any]]:
    batch: _Batch = convert(read_json(body), _Batch)
    left = headers.get(DEADLINE.lower(), str(operation.deadline_ms))
    if not left.isascii() or not left.isdigit() or len(left) > 9:
        raise InvalidRequest(f"{DEADLINE} is a number of milliseconds", at=DEADLINE)
    ctx = Context(
        tenant=batch.tenant,
        principal=SYSTEM,
        deadline=time.monotonic() + min(int(left), operation.deadline_ms) / 1000,
        request=headers.get(REQUEST.lower(), "")[:100],
    )
    return [Call(ctx, _item(operation, n, item)) for n, item in enumerate(batch.items)]


def _item(operation: Operation, n: int, item: Any) -> Any:
    try:
        return convert(item, operation.request)
    except InvalidRequest as error:
        place = (error.at or "$").removeprefix("$")
        raise InvalidRequest(error.detail, at=f"$.items[{n}]{place}") from None


def _answer(operation: Operation, outcomes: list[Outcome]) -> Response:
    """One answer or problem per item; what is no verdict on an item is one on the batch."""
    items: list[dict[str, Any]] = []
    for outcome in outcomes:
        if outcome.problem is not None and outcome.problem.status >= 500:
            return respond(outcome)
        if outcome.problem is not None:
            items.append({"problem": outcome.problem.document()})
        else:
            items.append({"answer": outcome.value(operation)})
    return Response(encode({"items": items}), media_type="application/json")
