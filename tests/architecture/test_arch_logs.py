"""A log line is a constant text and named fields: nothing that somebody wrote gets into it."""

import ast

import house
import pytest

LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
EXCEPTIONS = {"error", "problem", "refused", "exc", "e"}
"""What exceptions are called in our code."""

WHERE_LOGS_ARE_MADE = "guilder.chassis.logs"


def told(source: ast.AST) -> list[ast.Call]:
    """Calls of a logger."""
    return [
        call
        for level in LEVELS
        for call in house.calls_of(source, level)
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in ("log", "_log")
    ]


def faults(source: ast.AST) -> list[str]:
    """What a line must not hold: a text that is put together, and an exception's own words."""
    found = []
    for call in told(source):
        constant = len(call.args) == 1 and isinstance(call.args[0], ast.Constant)
        if not constant:
            found.append(f"{call.lineno}: the event is a constant; the rest stands in fields")
        for field in call.keywords:
            if isinstance(field.value, ast.JoinedStr):
                found.append(f"{call.lineno}: {field.arg} is put together")
            elif any(
                isinstance(n, ast.Call)
                and isinstance(n.func, ast.Name)
                and n.func.id in ("repr", "str", "format")
                and ast.unparse(n.args[0]) in EXCEPTIONS
                for n in ast.walk(field.value)
            ):
                found.append(f"{call.lineno}: {field.arg}: use `named(error)`")
    return found


def test_log_lines_are_constants_and_fields():
    found = {name: faults(house.tree(path)) for name, path in house.modules().items()}
    assert {name: faulty for name, faulty in found.items() if faulty} == {}
    assert sum(len(told(house.tree(path))) for path in house.modules().values()) > 8


def test_logging_is_set_up_in_one_place():
    found = [
        name
        for name, path in house.modules().items()
        if name != WHERE_LOGS_ARE_MADE
        and (
            "import logging" in house.text(path)
            or house.calls_of(house.tree(path), "basicConfig")
            or "structlog.configure" in house.text(path)
        )
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "faulty"),
    [
        ("log.info('x', n=1)", False),
        ("log.info('x', payment=str(row['id']), error=named(error))", False),
        ("log.info(f'x {n}')", True),
        ("log.info('x', text=f'{n}')", True),
        ("log.warning('x', error=repr(error))", True),
        ("log.warning('x', error=str(error))", True),
    ],
)
def test_a_fault_is_seen(line, faulty):
    assert bool(faults(ast.parse(line))) is faulty
