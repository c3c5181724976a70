"""The card of a service (its README.md) says what the code does: no more, no less."""

import ast
import re
from importlib import import_module

import house
import pytest

from guilder.chassis.settings import Settings

HEADINGS = ["Owns", "Promises", "Calls", "Emits", "Settings", "Tables"]
"""Those of the reference card, guilder/services/vault/README.md."""

EVENT = re.compile(r"[a-z-]+\.[a-z-]+")

FILES = ["__init__.py", "README.md", "service.py", "store.py", "build.py", "columns.toml"]


def sections(card: str) -> dict[str, str]:
    """The text below each heading of the second level."""
    parts = re.split(r"^## (.+)$", card, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def listed(section: str) -> list[str]:
    """What stands in backquotes at the start of each bullet."""
    return re.findall(r"^- `([^`]+)`: \S", section, flags=re.MULTILINE)


def promised(section: str) -> list[str]:
    """The first column of the table of operations, each with a sentence beside it."""
    return re.findall(r"^\| `([^`]+)` \| \S[^|]*\|$", section, flags=re.MULTILINE)


def card(name: str) -> dict[str, str]:
    return sections(house.text(house.SERVICES / name / "README.md"))


def event_types(kind: ast.expr, module: ast.Module) -> set[str]:
    """Types of events that an expression can give, as patterns.

    A plain string is itself; a hole in an f-string matches any word; a name of the module (a table
    of types) gives every string of that shape in it.
    """
    if isinstance(kind, ast.JoinedStr):
        parts = [
            re.escape(str(part.value)) if isinstance(part, ast.Constant) else "[a-z-]+"
            for part in kind.values
        ]
        return {"".join(parts)}
    names = {node.id for node in ast.walk(kind) if isinstance(node, ast.Name)}
    tables = [
        node.value
        for node in module.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id in names
    ]
    found = [value for source in (kind, *tables) for value in house.strings(source)]
    return {re.escape(value) for value in found if EVENT.fullmatch(value)}


def emitted(name: str) -> set[str]:
    """Patterns of the types of the events that a service's code appends."""
    found: set[str] = set()
    for path in house.python_files(house.SERVICES / name):
        for call in house.calls_of(house.tree(path), "emit"):
            types = event_types(call.args[1], house.tree(path))
            assert types, f"{path.name}:{call.lineno}: write the event's type as a string"
            found |= types
    return found


def variables(name: str) -> set[str]:
    """Environment variables of the service's settings class."""
    if not (house.SERVICES / name / "settings.py").exists():
        return set()
    module = import_module(f"guilder.services.{name}.settings")
    return {
        variable
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Settings) and kind is not Settings
        for variable, _, _ in kind.describe()
    }


def tables(name: str) -> set[str]:
    """Tables that the migrations create, without partitions and dropped ones."""
    found: set[str] = set()
    for path in sorted((house.SERVICES / name / "migrations").glob("*.sql")):
        sql = re.sub(r"--.*", "", house.text(path))
        found |= set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)(?! PARTITION OF)\b", sql))
        found -= set(re.findall(r"CREATE TABLE (\w+) PARTITION OF", sql))
        found -= set(re.findall(r"DROP TABLE (?:IF EXISTS )?(\w+)", sql))
    return found


def test_every_contract_has_its_service():
    missing = [
        f"{name}/{file}"
        for name in house.contracts()
        for file in FILES
        if not (house.SERVICES / name / file).exists()
    ]
    assert missing == []
    assert set(house.services()) <= set(house.contracts())


every_service = pytest.mark.parametrize("name", house.services())


@every_service
def test_the_card_has_the_headings_of_the_reference(name):
    assert house.text(house.SERVICES / name / "README.md").startswith(f"# {name}\n\n")
    assert list(card(name)) == HEADINGS


@every_service
def test_the_card_lists_the_operations(name):
    assert promised(card(name)["Promises"]) == list(house.own_operations(house.contracts()[name]))


@every_service
def test_the_card_lists_the_calls(name):
    """And may add whose events it follows."""
    calls, events = (set(house.calls_toml()[part].get(name, {})) for part in ("calls", "events"))
    assert calls <= set(listed(card(name)["Calls"])) <= calls | events


@every_service
def test_the_card_lists_the_events(name):
    written, patterns = listed(card(name)["Emits"]), emitted(name)
    unknown = [w for w in written if not any(re.fullmatch(p, w) for p in patterns)]
    missing = [p for p in patterns if not any(re.fullmatch(p, w) for w in written)]
    assert (unknown, missing) == ([], [])


@every_service
def test_the_card_lists_the_settings(name):
    found = re.findall(r"^- `([A-Z0-9_]+)`", card(name)["Settings"], flags=re.MULTILINE)
    assert sorted(found) == sorted(variables(name))


@every_service
def test_the_card_lists_the_tables(name):
    assert sorted(listed(card(name)["Tables"])) == sorted(tables(name))


@every_service
def test_service_answers_every_operation_itself(name):
    """Every operation has its method in service.py or a module it is composed of."""
    module = import_module(f"guilder.services.{name}.service")
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, house.contracts()[name])
        and kind.__module__ == module.__name__
    ]
    assert len(kinds) == 1
    left = [
        o
        for o in house.contracts()[name].operations()
        if getattr(kinds[0], o) is getattr(house.contracts()[name], o)
    ]
    assert left == []


def test_a_card_that_lags_is_seen():
    text = "# x\n\n## Promises\n| `a` | does a |\n| `b` | |\n## Calls\n- `vault`: keys\n- `audit`\n"
    found = sections(text)
    assert promised(found["Promises"]) == ["a"]
    assert listed(found["Calls"]) == ["vault"]


def test_types_of_events_are_read_from_code():
    module = ast.parse(
        "T = {('a', 'b'): 'door.shut', 1: 'door.open'}\n"
        "tx.emit(ctx, 'a.b')\ntx.emit(ctx, f'a.{x}')\ntx.emit(ctx, T[x])\ntx.emit(ctx, x)\n"
    )
    found = [event_types(call.args[1], module) for call in house.calls_of(module, "emit")]
    assert found == [{r"a\.b"}, {r"a\.[a-z-]+"}, {r"door\.shut", r"door\.open"}, set()]
