"""`guilder proposal …`: what one operator proposed and another decides on.

These commands, and those of bindings, go through the public API with a token of the operator whom
`--as` names: rights, four eyes and the audit are those of everybody else.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from guilder.chassis.contract import convert, decode, write_request
from guilder.chassis.wire import Address, Wire
from guilder.cli.platform import (
    OPERATOR,
    Platform,
    data_option,
    fail,
    json_option,
    show,
    with_platform,
)
from guilder.contracts.access.v1 import Access, Proposal, ProposalQuery, Verdict
from guilder.contracts.declare import Operation
from guilder.contracts.errors import Internal, Problem, Unavailable
from guilder.contracts.identity.v1 import Identity, Mint, TokenRequest
from guilder.contracts.values import uuid7

SECRET = "operator.secret"


def as_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--as LOGIN`: which operator."""
    return click.option(
        "--as",
        "login",
        help="Login of the operator who does this (a person); left out: the first operator.",
    )(command)


async def ask(platform: Platform, login: str | None, operation: Operation, request: Any) -> Any:
    """Call an operation of the public API as an operator; raises the problem it answers with."""
    path, body = write_request(operation, request)
    headers = {
        "Authorization": f"Bearer {await _token(platform, login)}",
        "Content-Type": "application/json",
    }
    if operation.command:
        headers["Idempotency-Key"] = str(uuid7(platform.now()))
    wire = Wire(Address.read(platform.facts["api"]))
    try:
        reply = await wire.request(operation.method, f"/v1{path}", headers, body, repeatable=True)
    except OSError as error:
        raise Unavailable(f"the API does not answer: {error}") from None
    finally:
        wire.close()
    if reply.status >= 400:
        try:
            raise Problem.restore(json.loads(reply.body))
        except ValueError:
            raise Internal(f"status {reply.status}") from None
    return decode(reply.body, Proposal if reply.status == 202 else operation.answer)


def call(data: Path, as_json: bool, login: str | None, operation: Operation, request: Any) -> Any:
    """The same as a command of its own: a problem ends it with a sentence."""
    return with_platform(data, as_json, lambda p: ask(p, login, operation, request))


async def _token(platform: Platform, login: str | None) -> str:
    identity = platform.client(Identity)
    if login is not None:
        minted = await identity.mint(platform.ctx(), Mint(tenant="platform", login=login))
        return minted.access_token
    secret = (platform.home.secrets / SECRET).read_text("ascii").strip()
    shown = TokenRequest(client_id=str(OPERATOR.id), client_secret=secret)
    return (await identity.client_token(platform.ctx(), shown)).access_token


def read(fields: dict[str, Any], kind: Any, as_json: bool) -> Any:
    """The request that a command's arguments make, or its end with a sentence."""
    try:
        return convert({name: value for name, value in fields.items() if value is not None}, kind)
    except Problem as problem:
        fail(problem, as_json)


def next_step(proposal: Proposal, command: str = "proposal") -> str:
    """What to do with a proposal, for people; `command` is the one that approves it."""
    return (
        f"proposed as {proposal.id}; another operator approves it until"
        f" {proposal.expires_at:%Y-%m-%d %H:%M} UTC:\n"
        f"  guilder {command} approve {proposal.id} --as LOGIN"
    )


@click.group()
def proposal() -> None:
    """What one operator proposed and another decides on."""


@proposal.command("list")
@as_option
@data_option
@json_option
def list_command(login: str | None, data: Path, as_json: bool) -> None:
    """List what waits for a second operator.

    Example: guilder proposal list
    """
    operation = Access.operations()["proposals"]
    query = ProposalQuery(state="proposed")
    found = call(data, as_json, login, operation, query)
    lines = [
        f"{item.id}  {item.operation:<18} by {item.proposed_by} until"
        f" {item.expires_at:%Y-%m-%d %H:%M} UTC"
        for item in found.items
    ]
    show(found.items, as_json, "\n".join(lines) or "nothing is waiting")


@proposal.command("approve")
@click.argument("proposal_id", metavar="PROPOSAL", type=click.UUID)
@as_option
@data_option
@json_option
def approve_command(proposal_id: UUID, login: str | None, data: Path, as_json: bool) -> None:
    """Approve what another operator proposed; it takes effect right after.

    Example: guilder proposal approve 0198c2f6-7a51-7000-8000-000000000000 --as olga
    """
    operation, request = Access.operations()["approve"], Verdict(proposal_id=proposal_id)
    done = call(data, as_json, login, operation, request)
    show(done, as_json, f"{done.operation} is approved")


@proposal.command("reject")
@click.argument("proposal_id", metavar="PROPOSAL", type=click.UUID)
@click.option("--reason", required=True, help="Why, in a few words.")
@as_option
@data_option
@json_option
def reject_command(
    proposal_id: UUID, reason: str, login: str | None, data: Path, as_json: bool
) -> None:
    """Reject what another operator proposed.

    Example: guilder proposal reject 0198c2f6-7a51-7000-8000-000000000000 --reason "not today"
    """
    request = read({"proposal_id": str(proposal_id), "reason": reason}, Verdict, as_json)
    done = call(data, as_json, login, Access.operations()["reject"], request)
    show(done, as_json, f"{done.operation} is rejected")
