"""`guilder contract …`."""

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from guilder.chassis.changes import changes, enough, raised, step
from guilder.chassis.openapi import contract_document
from guilder.chassis.versions import document, versions
from guilder.cli.platform import data_option, json_option, show
from guilder.cli.proposals import as_option, call, read
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.registry.attestations import Attestation, AttestationQuery
from guilder.contracts.registry.v1 import Registry


@click.group()
def contract() -> None:
    """Read the contracts."""


@contract.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(as_json: bool) -> None:
    """List the contracts with version, kind, what is replaceable and which versions are frozen.

    Example: guilder contract list
    """
    found = [_line(name) for name in all_contracts()]
    if as_json:
        click.echo(json.dumps(found))
        return
    for line in found:
        what = ", ".join(line["replaceable"]) or "-"
        frozen = ", ".join(_lived(life) for life in line["versions"]) or "-"
        click.echo(
            f"{line['name']:<14}{line['version']:<14}{line['kind']:<10}"
            f"replaceable: {what:<9} frozen: {frozen}"
        )


def _line(name: str) -> dict[str, Any]:
    kind = all_contracts()[name]
    return {
        "name": name,
        "version": kind.contract_version,
        "kind": kind.contract_kind,
        "replaceable": [operation.name for operation in kind.replaceable()],
        "versions": [
            {
                "version": version,
                "released": _day(life.released),
                "deprecated": _day(life.deprecated),
                "sunset": _day(life.sunset),
            }
            for version, life in versions().released(name).items()
        ],
    }


def _day(day: Any) -> str | None:
    return None if day is None else str(day)


def _lived(life: dict[str, Any]) -> str:
    old = f" (deprecated {life['deprecated']}" if life["deprecated"] else ""
    until = f", sunset {life['sunset']}" if life["sunset"] else ""
    return f"{life['version']}{old}{until}{')' * bool(old)}"


@contract.command("openapi")
@click.argument("name", type=click.Choice(sorted(all_contracts())))
@click.option("--json", "as_json", is_flag=True, help="Print on one line.")
def openapi_command(name: str, as_json: bool) -> None:
    """Print a contract as an OpenAPI 3.1 document.

    Example: guilder contract openapi pricing
    """
    found = contract_document(all_contracts()[name], house=True)
    click.echo(json.dumps(found, indent=None if as_json else 2))


@contract.command("diff")
@click.argument("old")
@click.argument("new", default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def diff_command(old: str, new: str, as_json: bool) -> None:
    """Say what changed between two documents of a contract, and which version that needs.

    OLD and NEW are files, or NAME@VERSION as it was frozen, or NAME as the code says it; without
    NEW it is the code. Ends with status 1 where something breaks clients or editions and the
    version was not raised as that needs.

    Example: guilder contract diff pricing@1.0.0
    """
    before = _document(old)
    after = _document(new or _name(old, before))
    found = changes(before, after)
    versions_ = before["info"]["version"], after["info"]["version"]
    needed, given = step(found), raised(*versions_)
    breaking = [change for change in found if change.breaks]
    refused = bool(breaking) and not enough(needed, given)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "old": versions_[0],
                    "new": versions_[1],
                    "breaking": len(breaking),
                    "needed": needed,
                    "raised": given,
                    "enough": not refused,
                    "changes": msgspec.to_builtins(found),
                }
            )
        )
    else:
        for change in found:
            click.echo(
                f"{'BREAKS' if change.breaks else 'adds  '} {change.operation}: {change.text}"
            )
        click.echo(_verdict(len(found), len(breaking), versions_, needed, refused))
    if refused:
        raise click.exceptions.Exit(1)


def _verdict(
    found: int, breaking: int, between: tuple[str, str], needed: str, refused: bool
) -> str:
    """The last line."""
    before, after = between
    if not found:
        return f"{before} and {after} promise the same."
    said = f"{found} change{'s' * (found != 1)}, {breaking} breaking: a {needed} version is needed"
    return f"{said}, and {before} → {after} {'is none' if refused else 'will do'}."


def _name(old: str, before: dict[str, Any]) -> str:
    """Which contract a document is of: its tag, its title or the name that was given."""
    named = old.partition("@")[0]
    if named in all_contracts():
        return named
    title = str(before["info"].get("title", "")).rpartition(" ")[2]
    if title not in all_contracts():
        raise click.UsageError(f"{old} is of no contract of ours: name a second document.")
    return title


def _document(what: str) -> dict[str, Any]:
    """Read a file, or take a contract's document."""
    name, at, version = what.partition("@")
    if name in all_contracts():
        try:
            return document(all_contracts()[name], version if at else "")
        except LookupError as error:
            known = ", ".join(versions().released(name)) or "none"
            raise click.UsageError(f"{error}; frozen are: {known}.") from None
    path = Path(what)
    if not path.is_file():
        raise click.UsageError(f"{what} is no file, and no NAME or NAME@VERSION of a contract.")
    try:
        found = json.loads(path.read_text("utf-8"))
        found["paths"], found["components"]["schemas"], found["info"]["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise click.UsageError(f"{what} is no OpenAPI document: {error!r}.") from None
    return found  # type: ignore[no-any-return]


@contract.command("attestations")
@click.option("--contract", "name", help="Name of the contract; left out: all.")
@click.option("--edition", help="Letter of the edition; left out: all.")
@click.option("--after", type=click.UUID, help="Go on behind this attestation.")
@as_option
@data_option
@json_option
def attestations_command(
    name: str | None,
    edition: str | None,
    after: Any,
    login: str | None,
    data: Path,
    as_json: bool,
) -> None:
    """List what this platform attests of editions, newest first, and whether it still counts.

    Example: guilder contract attestations --contract pricing --edition B
    """
    fields = {"contract": name, "edition": edition, "after": after and str(after)}
    request, operation = (
        read(fields, AttestationQuery, as_json),
        Registry.operations()["attestations"],
    )
    found = call(data, as_json, login, operation, request)
    lines = [_attested(item) for item in found.items]
    lines += [f"more: --after {found.next}"] if found.next else []
    show(found, as_json, "\n".join(lines) or "nothing is attested; see `guilder conform --help`")


def _attested(item: Attestation) -> str:
    release = f"{item.contract} {item.edition}.{item.version}"
    until = f"until {item.expires_at:%Y-%m-%d %H:%M} UTC" if item.standing == "fresh" else ""
    return f"{item.id}  {release:<24} {item.url}  {item.standing} {until}".rstrip()
