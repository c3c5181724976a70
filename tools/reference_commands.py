"""The page on the commands of `guilder`, from what click knows of them."""

from collections.abc import Iterator
from importlib import import_module

import click


def commands(group: click.Command, name: str = "guilder") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its whole name."""
    if not isinstance(group, click.Group):
        yield name, group
        return
    for part in sorted(group.commands):
        yield from commands(group.commands[part], f"{name} {part}")


def commands_page(note: str) -> str:
    """Write the page."""
    main: click.Command = import_module("guilder.cli").main
    lines = ["# Commands", "", note, "", "Every command explains itself with `--help`.", ""]
    for name, command in commands(main):
        lines += _command(name, command)
    return "\n".join(lines).rstrip() + "\n"


def _command(name: str, command: click.Command) -> list[str]:
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    arguments = [p for p in shown if isinstance(p, click.Argument)]
    usage = " ".join([name, *(_argument(p) for p in arguments), "[OPTIONS]"])
    lines = [f"## {name}", f"`{usage}`", "", *_paragraphs(command.help or ""), ""]
    rows = [_option(p) for p in shown if isinstance(p, click.Option)]
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    return lines


def _argument(argument: click.Argument) -> str:
    name = argument.make_metavar(click.Context(click.Command("x")))
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _option(option: click.Option) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    if not option.is_flag and not option.count:
        names += f" {option.make_metavar(click.Context(click.Command('x')))}"
    meaning = (option.help or "").replace("|", r"\|")
    simple = isinstance(option.default, str | int) and not isinstance(option.default, bool)
    if simple and "default" not in meaning:
        meaning += f" (default `{option.default}`)"
    if option.required:
        meaning += " (required)"
    names = names.replace("|", r"\|")
    return f"| `{names}` | {meaning.strip()} |"


def _paragraphs(text: str) -> list[str]:
    """Help as prose; a block that click leaves as it is (`\\b`) becomes code."""
    found: list[str] = []
    for block in text.replace("\f", "").strip().split("\n\n"):
        if block.lstrip().startswith("\b"):
            found += ["```", *block.replace("\b", "").strip("\n").split("\n"), "```", ""]
        else:
            found += [" ".join(block.split()), ""]
    return found[:-1]
