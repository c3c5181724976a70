"""The command line: `guilder`. Every command has `--help` with an example, and `--json`."""

import click

from guilder.cli.bench import bench
from guilder.cli.books import export_command, import_command, verify_command
from guilder.cli.contracts import contract
from guilder.cli.running import down, up
from guilder.cli.tenants import tenant, token


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="guilder")
def main() -> None:
    """Guilder: a fintech platform whose services each tenant can replace.

    Start with `guilder up --demo`, then open the address it prints.
    """


for command in (
    up,
    down,
    tenant,
    token,
    contract,
    import_command,
    export_command,
    verify_command,
    bench,
):
    main.add_command(command)
