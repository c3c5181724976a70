"""A running platform as the operator's tools see it: typed clients over its private socket."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click

from guilder.chassis.call import TOOLS, Remote, callees, make_client
from guilder.chassis.contract import convert, plain
from guilder.chassis.wire import Address
from guilder.contracts.context import PLATFORM, Context, Principal
from guilder.contracts.declare import Contract
from guilder.contracts.errors import Problem, Unavailable
from guilder.contracts.registry.v1 import Registry, Tenant, WhichTenant
from guilder.contracts.values import uuid7
from guilder.embedded import Home

C = TypeVar("C", bound=Contract)
A = TypeVar("A")

OPERATOR = Principal(id=UUID(int=1), kind="client")
"""The principal that every platform's first operator has."""


class Platform:
    """Clients of the services of the platform in a data directory."""

    def __init__(self, home: Home) -> None:
        """Nothing is sent yet."""
        self.home = home
        self.facts: dict[str, Any] = json.loads(home.ready.read_text())
        """Where everything is, as `guilder up` wrote it down."""
        self._remotes: list[Remote] = []
        self._clients: dict[str, Any] = {}

    def client(self, contract: type[C]) -> C:
        """A client of a contract that calls.toml allows to tools."""
        if contract.contract_name not in callees(TOOLS):
            raise LookupError(f"tools may not call {contract.contract_name}: calls.toml")
        name = contract.contract_name
        if name not in self._clients:
            address = Address(path=self.facts["sockets"][name])
            remote = Remote(address, TOOLS, self.home.call_keys())
            self._remotes.append(remote)
            self._clients[name] = make_client(contract, remote.send)
        client: C = self._clients[name]
        return client

    def ctx(self, tenant: int = PLATFORM, key: str | None = None) -> Context:
        """The operator, acting in a tenant; `key` None = a fresh one."""
        key = key or str(uuid7(self.now()))
        return Context(
            tenant=tenant, principal=OPERATOR, key=key, request=key[:60], channel="tools"
        )

    @staticmethod
    def now() -> datetime:
        """The present moment."""
        return datetime.now(UTC)

    async def tenant(self, slug: str) -> Tenant:
        """A tenant by its slug."""
        which = convert({"slug": slug}, WhichTenant)
        return await self.client(Registry).tenant(self.ctx(), which)

    def close(self) -> None:
        """Close the connections."""
        for remote in self._remotes:
            remote.close()


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--data DIR`: which platform."""
    return click.option(
        "--data",
        default=".guilder",
        show_default=True,
        envvar="GUILDER_DATA",
        type=click.Path(file_okay=False, path_type=Path),
        help="Data directory of the platform.",
    )(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`: for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def show(value: Any, as_json: bool, text: str) -> None:
    """Print the value as one JSON line, or the text for people."""
    click.echo(json.dumps(plain(value)) if as_json else text)


def fail(problem: Problem, as_json: bool) -> None:
    """Print a problem and leave with status 1."""
    if as_json:
        click.echo(json.dumps(problem.document()))
    more = "" if problem.detail == problem.title else f": {problem.detail}"
    where = f", at {problem.at}" if problem.at else ""
    click.echo(f"{problem.title}{more}{where}\n{problem.fix}", err=True)
    sys.exit(1)


class NotRunning(Unavailable):
    """The command needs a running platform."""

    fix = "Start it with `guilder up`, or name another one with `--data`."


def with_platform(data: Path, as_json: bool, work: Callable[[Platform], Awaitable[A]]) -> A:
    """Run `work` against the running platform; says what to do when there is none."""

    async def run() -> A:
        home = Home(data.absolute())
        if not home.ready.exists():
            raise NotRunning(f"no platform is running in {data}")
        platform = Platform(home)
        try:
            return await work(platform)
        finally:
            platform.close()

    try:
        return asyncio.run(run())
    except Problem as problem:
        fail(problem, as_json)
        raise
