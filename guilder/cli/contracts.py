"""`guilder contract …`."""

import json

import click

from guilder.chassis.openapi import contract_document
from guilder.contracts.catalogue import all_contracts


@click.group()
def contract() -> None:
    """Read the contracts."""


@contract.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(as_json: bool) -> None:
    """List the contracts with version and kind.

    Example: guilder contract list
    """
    found = [
        {"name": name, "version": kind.contract_version, "kind": kind.contract_kind}
        for name, kind in all_contracts().items()
    ]
    lines = [f"{line['name']:<12} {line['version']:<14} {line['kind']}" for line in found]
    click.echo(json.dumps(found) if as_json else "\n".join(lines))


@contract.command("openapi")
@click.argument("name", type=click.Choice(sorted(all_contracts())))
@click.option("--json", "as_json", is_flag=True, help="Print on one line.")
def openapi_command(name: str, as_json: bool) -> None:
    """Print a contract as an OpenAPI 3.1 document.

    Example: guilder contract openapi pricing
    """
    document = contract_document(all_contracts()[name], house=True)
    click.echo(json.dumps(document, indent=None if as_json else 2))
