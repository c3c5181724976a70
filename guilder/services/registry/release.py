"""What may be bound, and whether a release is what it is said to be."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec

from guilder.chassis.contract import convert, read_json
from guilder.chassis.wire import Address, Wire
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.declare import Contract
from guilder.contracts.errors import InvalidRequest, Unavailable
from guilder.contracts.registry import v1

ONE_FOR_ALL: Final = {
    "registry": "it says which release serves whom, so nothing could say which registry does",
    "identity": "a token is verified before its tenant is known",
    "access": "rights and four eyes are decided in one place, and it says who may bind",
    "vault": "the keys of all data subjects are in one place",
    "ledger": "its books have one writer",
}
"""Contracts that no tenant is moved with, and why."""

FARTHEST: Final = timedelta(days=366)
"""How far ahead a binding may begin."""

LONGEST_PATH: Final = 100
"""The longest path of a socket; operating systems take 103 to 107 bytes."""

ASK_S: Final = 2.0
"""How long a release may take to say what it is."""

LARGEST_HEALTH: Final = 64 * 1024
"""The largest health report that is read, in bytes."""

Served = Mapping[str, tuple[str, str]]
"""Edition and version by contract, as a process says of itself."""

AskRelease = Callable[[Address], Awaitable[Served]]
"""Asks the process at an address; ReleaseUnreachable when it does not say."""


def check(request: v1.Bind) -> None:
    """Whether this may be bound at all, wherever it is; the problem says why not."""
    contract = all_contracts().get(request.contract)
    if contract is None:
        raise v1.UnknownContract(f"no contract {request.contract}", at="$.contract")
    if reason := ONE_FOR_ALL.get(request.contract):
        raise v1.NotBindable(f"{request.contract}: {reason}", at="$.contract")
    if request.edition != "A" and not contract.replaceable():
        raise v1.NotReplaceable(f"{request.contract} has nothing to replace", at="$.contract")
    _check_mode(request, contract)


def _check_mode(request: v1.Bind, contract: type[Contract]) -> None:
    name, kind = request.contract, contract.contract_kind
    if request.mode != "live" and kind != "decision":
        raise v1.LiveOnly(f"{name} is a {kind}", at="$.mode")
    if (request.mode == "canary") != (request.share is not None):
        raise InvalidRequest("a canary has a share, and nothing else has", at="$.share")
    if request.on_failure == "closed":
        return
    if kind != "decision":
        raise v1.FallbackImpossible(f"{name} is a {kind}", at="$.on_failure")
    if any(operation.closed for operation in contract.operations().values()):
        reason = "an edition that fails must not be a way around it"
        raise v1.FallbackImpossible(f"{name}: {reason}", at="$.on_failure")
    if request.mode == "shadow":
        raise InvalidRequest("nobody waits for a shadow: it has no fallback", at="$.on_failure")


def check_beginning(begins: datetime | None, now: datetime) -> None:
    """BindingTimes unless a binding may begin then."""
    if begins is not None and not now < begins <= now + FARTHEST:
        raise v1.BindingTimes(f"{begins.isoformat()} is past, or over a year ahead", at="$.begins")


def read_address(text: str) -> Address:
    """An address that can be connected to; InvalidRequest says what is wrong with it."""
    try:
        address = Address.read(text)
    except ValueError as error:
        raise InvalidRequest(str(error), at="$.address") from None
    if address.path is not None:
        if {".", ".."} & set(address.path.split("/")):
            raise InvalidRequest("the path must be plain, without . and ..", at="$.address")
        if len(address.path) > LONGEST_PATH:
            fault = f"a socket's path has at most {LONGEST_PATH} characters"
            raise InvalidRequest(fault, at="$.address")
    return address


async def check_release(request: v1.Bind, ask: AskRelease) -> None:
    """Ask what listens at the address of a release of ours (edition A) whether it is that."""
    _compare(request, await ask(read_address(request.address)))


def _compare(request: v1.Bind, served: Served) -> None:
    """WrongRelease unless the process says that it is what is to be bound."""
    found = served.get(request.contract)
    if found is None:
        runs = ", ".join(sorted(served)) or "nothing"
        raise v1.WrongRelease(f"it does not serve {request.contract} but {runs}", at="$.contract")
    if found != (request.edition, request.version):
        said, wanted = ".".join(found), f"{request.edition}.{request.version}"
        raise v1.WrongRelease(f"it is {request.contract} {said}, not {wanted}", at="$.version")


async def ask_release(address: Address) -> Served:
    """Read what the process at an address says of itself (`GET /health`)."""
    wire = Wire(address)
    try:
        async with asyncio.timeout(ASK_S):
            reply = await wire.request("GET", "/health", {}, b"", repeatable=True)
        return read_health(reply.body if reply.status == 200 else b"")
    except TimeoutError:
        raise v1.ReleaseUnreachable(f"no answer within {ASK_S:g} s", at="$.address") from None
    except (OSError, Unavailable) as error:
        raise v1.ReleaseUnreachable(f"it cannot be asked: {error}", at="$.address") from None
    finally:
        wire.close()


def read_health(body: bytes) -> Served:
    """Edition and version of each service in a health report; a stranger's may be anything."""
    try:
        if len(body) > LARGEST_HEALTH:
            raise InvalidRequest("it is no health report of ours")
        found: _Health = convert(read_json(body), _Health)
    except InvalidRequest:
        detail = "what answers there is no process of this platform"
        raise v1.ReleaseUnreachable(detail, at="$.address") from None
    return {name: (line.edition, line.version) for name, line in found.services.items()}


class _Line(msgspec.Struct):
    edition: v1.Edition
    version: v1.Version


class _Health(msgspec.Struct):
    services: Annotated[dict[v1.ContractName, _Line], msgspec.Meta(max_length=32)]
