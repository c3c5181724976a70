"""The command line: `guilder`. Every command has `--help` with an example, and `--json`."""

import subprocess
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any, Final

import click

COMMANDS: Final = {
    "up": "running:up",
    "down": "running:down",
    "status": "processes:status",
    "restart": "processes:restart",
    "migrate": "processes:migrate",
    "serve": "processes:serve",
    "keys": "processes:keys",
    "operator": "operators:operator",
    "tenant": "tenants:tenant",
    "token": "tenants:token",
    "contract": "contracts:contract",
    "conform": "conform:conform_command",
    "service": "service:service",
    "binding": "bindings:binding",
    "proposal": "proposals:proposal",
    "import": "books:import_command",
    "export": "books:export_command",
    "verify": "books:verify_command",
    "backup": "backup:backup_command",
    "restore": "backup:restore_command",
    "explain": "explain:explain_command",
    "bench": "bench:bench",
}
"""Every command by the file that has it, and its name there."""


class Commands(MutableMapping[str, click.Command]):
    """Each imported when it is asked for: nobody waits for what another command needs."""

    def __init__(self) -> None:
        """Nothing is imported yet."""
        self._places: dict[str, str | click.Command] = dict(COMMANDS)

    def __getitem__(self, name: str) -> click.Command:
        """The command of this name; KeyError where there is none."""
        found = self._places[name]
        if isinstance(found, str):
            file, _, attribute = found.partition(":")
            found = getattr(import_module(f"guilder.cli.{file}"), attribute)
            assert isinstance(found, click.Command)
            self._places[name] = found
        return found

    def __setitem__(self, name: str, command: click.Command) -> None:
        """Add a command."""
        self._places[name] = command

    def __delitem__(self, name: str) -> None:
        """Drop a command."""
        del self._places[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._places)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)


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
    cls=Guilder,
    commands=Commands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="guilder")
def main() -> None:
    """Guilder: a fintech platform whose services each tenant can replace.

    Start with `guilder up --demo`, then open the address it prints.
    """
