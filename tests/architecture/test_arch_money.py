"""Money is never a float: no `float(`, no true division where amounts are computed."""

import ast
from pathlib import Path

import house

MONEY = ["ledger", "payments", "pricing", "accounts"]
IMPORTED = ["fields.py", "chain.py", "plan.py", "reconcile.py"]


def inexact(source: ast.AST) -> list[int]:
    """Lines that make a float: a call of float, `/`, `/=`, or round."""
    found = []
    for node in ast.walk(source):
        match node:
            case ast.Call(func=ast.Name(id="float" | "round")):
                found.append(node.lineno)
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                found.append(node.lineno)
    return sorted(found)


def money_files() -> list[Path]:
    """Paths are joined with `/` too, so files that only read others are not among these."""
    files = house.python_files(*(house.SERVICES / name for name in MONEY))
    files += [p for n in IMPORTED if (p := house.SOURCE / "importing" / n).exists()]
    return [house.SOURCE / "contracts" / "values.py", *files]


def test_no_float_where_money_is_computed():
    found = [
        f"{path.relative_to(house.ROOT)}:{line}"
        for path in money_files()
        for line in inexact(house.tree(path))
    ]
    assert found == []


def test_inexact_arithmetic_is_seen():
    assert inexact(ast.parse("a = b / c\nd //= e\nf = float(g)\nh /= 2\ni = round(j)")) == [
        1,
        3,
        4,
        5,
    ]
