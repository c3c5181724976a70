"""What the architecture tests look at: the source tree, read and parsed once."""

import ast
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from guilder.contracts.catalogue import all_contracts
from guilder.contracts.declare import Contract, Operation

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "guilder"
SERVICES = SOURCE / "services"
TEMPLATES = SOURCE / "scaffold" / "templates"

Edges = Mapping[str, set[str]]


@cache
def text(path: Path) -> str:
    return path.read_text("utf-8")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text(path), str(path))


def name_of(path: Path) -> str:
    """The dotted name of a module of ours."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Those that we run; the templates of a scaffold are modules of somebody else's program."""
    found = [path for path in sorted(SOURCE.rglob("*.py")) if TEMPLATES not in path.parents]
    return {name_of(path): path for path in found}


def python_files(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


def imported(source: ast.Module, home: str, known: set[str]) -> set[str]:
    """Modules that a module imports, anywhere in it; ours by their full name, others by theirs."""
    found: set[str] = set()
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = home.split(".")[: -node.level]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add(full if full in known else base)
    return found - {home}


@cache
def imports() -> dict[str, set[str]]:
    """Every module of ours and what it imports."""
    known = set(modules())
    return {name: imported(tree(path), name, known) for name, path in modules().items()}


def cycle(edges: Edges) -> list[str]:
    """A cycle in a graph, or []."""
    done: set[str] = set()
    path: list[str] = []

    def visit(node: str) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        path.append(node)
        for target in sorted(edges.get(node, ())):
            if found := visit(target):
                return found
        path.pop()
        done.add(node)
        return []

    for start in sorted(edges):
        if found := visit(start):
            return found
    return []


@cache
def calls_toml() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads(text(SOURCE / "contracts" / "calls.toml"))


@cache
def contracts() -> dict[str, type[Contract]]:
    return all_contracts()


def operations() -> Iterator[Operation]:
    """Every operation of every contract, without the two that all inherit."""
    for contract in contracts().values():
        yield from own_operations(contract).values()


def own_operations(contract: type[Contract]) -> dict[str, Operation]:
    inherited = set(Contract.operations())
    return {n: o for n, o in contract.operations().items() if n not in inherited}


def services() -> list[str]:
    """The services whose building has come as far as being wired."""
    return sorted(path.parent.name for path in SERVICES.glob("*/build.py"))


def tests() -> list[Path]:
    return python_files(ROOT / "tests")


def strings(node: ast.AST) -> list[str]:
    return [
        n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    ]


def calls_of(source: ast.AST, attribute: str) -> list[ast.Call]:
    """Calls of a method by its name, on whatever object."""
    return [
        node
        for node in ast.walk(source)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == attribute
    ]
