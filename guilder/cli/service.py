"""`guilder service …`: begin a service of one's own."""

import json
import re
from pathlib import Path

import click

from guilder.contracts.catalogue import all_contracts
from guilder.scaffold.render import LANGUAGES, NotEmpty, Wanted, contracts, render, steps

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


@click.group()
def service() -> None:
    """Begin a service of your own."""


@service.command("new")
@click.argument("contract", type=click.Choice(contracts()))
@click.option("--lang", required=True, type=click.Choice(LANGUAGES), help="Its language.")
@click.option("--edition", default="B", show_default=True, help="Its letter; A is stock.")
@click.option("--name", help="Its name; left out: that of the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def new_command(
    contract: str, lang: str, edition: str, name: str | None, as_json: bool, folder: Path
) -> None:
    """Write an edition of CONTRACT into DIR, which runs and passes the suite as it is.

    DIR must be new or empty. The edition needs nothing of Guilder; what it decides stands in one
    file, which you change.

    Example: guilder service new pricing --lang typescript company-x-pricing
    """
    if not re.fullmatch("[B-Z]", edition):
        raise click.BadParameter("a letter from B to Z", param_hint="--edition")
    name = name or folder.resolve().name.lower()
    if not NAME.fullmatch(name):
        what = f"{name!r}: small letters, digits and hyphens, a letter first"
        raise click.BadParameter(what, param_hint="--name")
    wanted = Wanted(contract, all_contracts()[contract].contract_version, lang, edition, name)
    try:
        files = render(wanted, folder)
    except NotEmpty as error:
        raise click.ClickException(f"{error}: name a new folder, or an empty one") from error
    todo = [f"cd {folder}", *steps(wanted)]
    conform = f"guilder conform {contract} --url http://127.0.0.1:8401 --here"
    if as_json:
        made = {"contract": contract, "edition": edition, "name": name, "language": lang}
        click.echo(json.dumps({**made, "dir": str(folder), "files": files, "next": todo}))
        return
    lines = [f"{contract} {edition}.1.0.0 in {folder}: {len(files)} files. Next:"]
    click.echo(
        "\n".join([*lines, *(f"  {step}" for step in todo), f"and while it runs: {conform}"])
    )
