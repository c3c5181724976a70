"""`guilder binding …`: which release serves a contract for which tenant."""

from pathlib import Path
from uuid import UUID

import click

from guilder.cli.platform import data_option, json_option, show, with_platform
from guilder.cli.proposals import as_option, ask, next_step, read
from guilder.contracts.registry.v1 import Bind, BindingId, BindingQuery, BindingRecord, Registry


@click.group()
def binding() -> None:
    """Bind tenants to releases, and back to stock."""


@binding.command("bind")
@click.argument("tenant")
@click.argument("contract")
@click.argument("version")
@click.argument("address")
@click.option(
    "--fallback", is_flag=True, help="Let stock answer where the release does not (decisions)."
)
@as_option
@data_option
@json_option
def bind_command(
    tenant: str,
    contract: str,
    version: str,
    address: str,
    fallback: bool,
    login: str | None,
    data: Path,
    as_json: bool,
) -> None:
    """Propose that a release of a stock service serves a tenant; another operator approves.

    ADDRESS is where the release listens: `unix:/path` or `http://host:port`. It must answer
    already, and is asked what it is.

    Example: guilder binding bind nordbank pricing 1.1.0 unix:/run/next/pricing.sock
    """
    fields = {
        "tenant": tenant,
        "contract": contract,
        "version": version,
        "address": address,
        "on_failure": "fallback" if fallback else "closed",
    }
    request, operation = read(fields, Bind, as_json), Registry.operations()["bind"]
    proposed = with_platform(data, as_json, lambda p: ask(p, login, operation, request))
    show(proposed, as_json, next_step(proposed))


@binding.command("end")
@click.argument("binding_id", metavar="BINDING", type=click.UUID)
@as_option
@data_option
@json_option
def end_command(binding_id: UUID, login: str | None, data: Path, as_json: bool) -> None:
    """Go back to stock at once; one operator is enough. `guilder binding list` shows the ids.

    Example: guilder binding end 0198c2f6-7a51-7000-8000-000000000000
    """
    operation, request = Registry.operations()["end_binding"], BindingId(binding_id=binding_id)
    ended = with_platform(data, as_json, lambda p: ask(p, login, operation, request))
    show(ended, as_json, f"{ended.tenant} is served by stock {ended.contract} again")


@binding.command("list")
@click.option("--tenant", help="Slug of the tenant; left out: all.")
@click.option("--contract", help="Name of the contract; left out: all.")
@click.option("--history", is_flag=True, help="Those that have ended too.")
@click.option("--after", type=int, help="Go on behind this generation.")
@as_option
@data_option
@json_option
def list_command(
    tenant: str | None,
    contract: str | None,
    history: bool,
    after: int | None,
    login: str | None,
    data: Path,
    as_json: bool,
) -> None:
    """List the bindings in force, newest first; everybody else is served by stock.

    Example: guilder binding list --tenant nordbank --history
    """
    fields = {"tenant": tenant, "contract": contract, "in_force": not history, "after": after}
    request, operation = (
        read(fields, BindingQuery, as_json),
        Registry.operations()["binding_history"],
    )
    found = with_platform(data, as_json, lambda p: ask(p, login, operation, request))
    lines = [_line(record) for record in found.items]
    lines += [f"more: --after {found.next}"] if found.next else []
    show(found, as_json, "\n".join(lines) or "everybody is served by stock")


def _line(record: BindingRecord) -> str:
    ended = f" to {record.ended_at:%Y-%m-%d %H:%M:%S}" if record.ended_at else ""
    release = f"{record.contract} {record.edition}.{record.version}"
    return (
        f"{record.id}  {record.tenant:<20} {release:<24} {record.address}"
        f"  since {record.bound_at:%Y-%m-%d %H:%M:%S}{ended}, generation {record.generation}"
    )
