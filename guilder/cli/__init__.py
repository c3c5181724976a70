"""The command line: `guilder`. Every command has `--help` with an example, and `--json`."""

import subprocess
from typing import Any

import click

from guilder.cli.backup import backup_command, restore_command
from guilder.cli.bench import bench
from guilder.cli.bindings import binding
from guilder.cli.books import export_command, import_command, verify_command
from guilder.cli.conform import conform_command
from guilder.cli.contracts import contract
from guilder.cli.explain import explain_command
from guilder.cli.operators import operator
from guilder.cli.processes import keys, migrate, restart, serve, status
from guilder.cli.proposals import proposal
from guilder.cli.running import down, up
from guilder.cli.service import service
from guilder.cli.tenants import tenant, token


class Guilder(click.Group):
    """Commands that end with a sentence, whatever the machine refuses them."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what the operating system refuses becomes status 1 and its reason."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader has what it wanted; click ends quietly
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from error
        except subprocess.CalledProcessError as error:
            said = error.stderr or b""
            text = said if isinstance(said, str) else said.decode("utf-8", "replace")
            raise click.ClickException(f"{error.cmd[0]} failed: {text.strip()[-500:]}") from error


@click.group(
    cls=Guilder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="guilder")
def main() -> None:
    """Guilder: a fintech platform whose services each tenant can replace.

    Start with `guilder up --demo`, then open the address it prints.
    """


for command in (
    up,
    down,
    status,
    restart,
    migrate,
    serve,
    keys,
    operator,
    tenant,
    token,
    contract,
    conform_command,
    service,
    binding,
    proposal,
    import_command,
    export_command,
    verify_command,
    backup_command,
    restore_command,
    explain_command,
    bench,
):
    main.add_command(command)
