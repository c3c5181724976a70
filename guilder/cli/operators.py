"""`guilder operator`: the people and programs that run the platform itself."""

from pathlib import Path

import click

from guilder.chassis.contract import convert
from guilder.cli.platform import Platform, data_option, json_option, show, with_platform
from guilder.contracts.access.v1 import Access, GrantRole
from guilder.contracts.identity.v1 import ClientSecret, CreateClient, CreatePerson, Identity, Person


@click.command()
@click.argument("name")
@click.option("--person", "login", is_flag=True, help="A person with this login, no program.")
@data_option
@json_option
def operator(name: str, login: bool, data: Path, as_json: bool) -> None:
    """Add an operator of the platform, who may approve what another proposes.

    A machine client, unless --person: prints its id and, once, its secret.

    Example: guilder operator ines --person
    """
    if login:
        made = with_platform(data, as_json, lambda platform: add_person(platform, name))
        show(made, as_json, f"{name} is an operator: approve with --as {name}")
    else:
        _add_client(name, data, as_json)


async def add_person(platform: Platform, login: str) -> Person:
    """Make a person an operator; repeating it changes nothing."""
    key, request = f"operator:{login}", convert({"login": login}, CreatePerson)
    made = await platform.client(Identity).create_person(platform.ctx(key=key), request)
    role = GrantRole(subject=made.id, role="operator")
    await platform.client(Access).assign(platform.ctx(key=f"{key}:role"), role)
    return made


def _add_client(name: str, data: Path, as_json: bool) -> None:
    async def work(platform: Platform) -> ClientSecret:
        request = convert({"name": name}, CreateClient)
        made = await platform.client(Identity).create_client(platform.ctx(), request)
        role = GrantRole(subject=made.id, role="operator")
        await platform.client(Access).assign(platform.ctx(key=f"operator:{made.id}"), role)
        return made

    made = with_platform(data, as_json, work)
    show(made, as_json, f"client {made.id}\nsecret {made.client_secret}")
