"""`guilder operator`: the people and programs that run the platform itself."""

from pathlib import Path

import click

from guilder.chassis.contract import convert
from guilder.cli.platform import Platform, data_option, json_option, show, with_platform
from guilder.contracts.access.v1 import Access, GrantRole
from guilder.contracts.identity.v1 import ClientSecret, CreateClient, Identity


@click.command()
@click.argument("name")
@data_option
@json_option
def operator(name: str, data: Path, as_json: bool) -> None:
    """Add an operator: a machine client of the platform, who may approve what another proposes.

    Prints its id and, once, its secret. Example: guilder operator ines
    """

    async def work(platform: Platform) -> ClientSecret:
        request = convert({"name": name}, CreateClient)
        made = await platform.client(Identity).create_client(platform.ctx(), request)
        role = GrantRole(subject=made.id, role="operator")
        await platform.client(Access).assign(platform.ctx(key=f"operator:{made.id}"), role)
        return made

    made = with_platform(data, as_json, work)
    show(made, as_json, f"client {made.id}\nsecret {made.client_secret}")
