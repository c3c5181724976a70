"""Writes docs/reference/, and the page on outages, so that documentation cannot lag.

    python -m tools.reference

A test compares what stands there with what this makes.
"""

import ast
import sys
from collections.abc import Iterator
from importlib import import_module, util
from pathlib import Path

from guilder.chassis.call import call_map
from guilder.chassis.settings import Settings
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.errors import CATALOGUE
from guilder.gateway.pages import catalogue
from tools import degradation
from tools.reference_commands import commands_page
from tools.reference_contracts import contract_page

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"

PLATFORM = {
    "GUILDER_DATABASE": (
        "the embedded one",
        "address (DSN) of a PostgreSQL to use instead, as its administrator; all but the vault",
    ),
    "GUILDER_VAULT_DATABASE": (
        "the embedded one",
        "address (DSN) of the PostgreSQL of the vault, best another server; set with the other",
    ),
    "GUILDER_DATA": ("`.guilder`", "data directory of the platform, where no `--data` is given"),
    "GUILDER_READY_FILE": (
        "",
        "set by the supervisor for what it starts: the file that says it serves; never set it",
    ),
    "GUILDER_SUPERVISED_IN": (
        "",
        "set by the supervisor for what it starts, so that leftovers are found; never set it",
    ),
}
"""Settings that belong to no service: variable → default, meaning."""

NOTE = "Made from the code by `make docs`; a test holds it against the code."


def pages() -> dict[str, str]:
    """Every page below docs/reference/ by its path there."""
    found = {
        "README.md": _index(),
        "calls.md": _calls(),
        "problems.md": _problems(),
        "settings.md": _settings(),
    }
    if util.find_spec("guilder.cli"):
        found["commands.md"] = commands_page(NOTE)
    for name, contract in all_contracts().items():
        found[f"contracts/{name}.md"] = contract_page(contract, NOTE)
    return found


def _index() -> str:
    lines = ["# Reference", "", NOTE, "", "| page | what it lists |", "|---|---|"]
    lines += [
        "| [commands](commands.md) | every command of `guilder` and its options |",
        "| [settings](settings.md) | every environment variable |",
        "| [problems](problems.md) | every refusal by its code, and what to do |",
        "| [calls](calls.md) | who calls whom, who follows whose events, and why |",
        "",
        "## Contracts",
        "| contract | version | kind | what it is for |",
        "|---|---|---|---|",
    ]
    for name, contract in all_contracts().items():
        meaning = (contract.__doc__ or "").split("\n")[0]
        version, kind = contract.contract_version, contract.contract_kind
        lines.append(f"| [{name}](contracts/{name}.md) | `{version}` | {kind} | {meaning} |")
    lines += [
        "",
        "Every contract also has `events` (`GET /events`: the service's log) and `self_check`",
        "(`GET /self-check`: the service checks its own books); both are for other services only.",
        "A running platform describes the API for the outside at `/openapi.json` and `/docs`.",
    ]
    return _text(lines)


def _calls() -> str:
    lines = ["# Who calls whom", "", NOTE, "It is `guilder/contracts/calls.toml` as a table.", ""]
    titles = {"calls": ("Calls", "calls"), "events": ("Events", "follows")}
    for part, (title, verb) in titles.items():
        lines += [f"## {title}", f"| who | {verb} | why |", "|---|---|---|"]
        for caller, callees in sorted(call_map()[part].items()):
            lines += [f"| {caller} | {callee} | {why} |" for callee, why in callees.items()]
        lines.append("")
    lines.append("`tools` are the operator's commands: import, export, verify.")
    return _text(lines)


def _problems() -> str:
    lines = [
        "# Problems",
        "",
        NOTE,
        "",
        "Every refusal is `application/problem+json` (RFC 9457) with `code`, `title`, `detail`",
        "and `fix`. Rely on `code`: it never changes its meaning. Texts may be improved.",
        "",
    ]
    for problem in problems():
        lines += [f"## `{problem['code']}`", f"{problem['status']} · **{problem['title']}**", ""]
        if problem["meaning"] != problem["title"]:
            lines += [problem["meaning"], ""]
        lines += [f"*What to do:* {problem['fix']}", ""]
    return _text(lines)


def problems() -> list[dict[str, str]]:
    """Every problem that our own modules define."""
    _load_everything()
    foreign = {c for c, kind in CATALOGUE.items() if not kind.__module__.startswith("guilder.")}
    return [problem for problem in catalogue() if problem["code"] not in foreign]


def _settings() -> str:
    lines = ["# Settings", "", NOTE, "", "All settings are environment variables.", ""]
    lines += ["| variable | default | meaning |", "|---|---|---|"]
    rows = [(n, d, m) for n, (d, m) in PLATFORM.items()]
    for kind in settings_classes():
        rows += [(n, f"`{d}`", m) for n, d, m in kind.describe()]
    lines += [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in sorted(rows)]
    return _text(lines)


def settings_classes() -> list[type[Settings]]:
    """Every settings class there is: in modules named `settings.py`."""
    found: list[type[Settings]] = []
    for path in sorted((ROOT / "guilder").rglob("settings.py")):
        module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        found += [
            kind
            for kind in vars(module).values()
            if isinstance(kind, type)
            and issubclass(kind, Settings)
            and kind is not Settings
            and kind.__module__ == module.__name__
        ]
    return found


def variables_in(source: str) -> Iterator[str]:
    """Whole names of environment variables of ours that a module's text mentions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            value = node.value
            if value.startswith("GUILDER_") and not value.endswith("_") and value.isupper():
                yield value


def _load_everything() -> None:
    """Problems enter the catalogue when their module is loaded."""
    for path in sorted((ROOT / "guilder").rglob("*.py")):
        ours = path.stem != "__main__" and "templates" not in path.parts
        if ours and "class" in path.read_text("utf-8"):
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def _text(lines: list[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Write every page and remove those that are no longer made."""
    made = pages()
    for path in FOLDER.rglob("*.md"):
        if str(path.relative_to(FOLDER)) not in made:
            path.unlink()
    for name, text in made.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (ROOT / degradation.PAGE).write_text(degradation.page(), "utf-8")
    sys.stdout.write(f"{len(made)} pages in {FOLDER.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
