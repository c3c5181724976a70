"""Patterns of contracts mean the whole text: `$` alone also matches before a last line break."""

import ast
import re

import house
import pytest

END = r"(?!\n)$"


def loose(source: ast.AST) -> list[str]:
    """Patterns that do not begin with `^` and end in the end of the text."""
    return [
        keyword.value.value
        for node in ast.walk(source)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "pattern"
        and isinstance(keyword.value, ast.Constant)
        and not (keyword.value.value.startswith("^") and keyword.value.value.endswith(END))
    ]


def test_every_pattern_means_the_whole_text():
    assert {n: p for n, path in house.modules().items() if (p := loose(house.tree(path)))} == {}


@pytest.mark.parametrize("pattern", ["^[A-Z]{3}$", "[A-Z]{3}(?!\\n)$", "^[A-Z]{3}"])
def test_the_rule_sees_a_loose_pattern(pattern):
    assert loose(ast.parse(f"Meta(pattern={pattern!r})")) == [pattern]
    assert loose(ast.parse(f"Meta(pattern={'^[A-Z]{3}' + END!r})")) == []


def test_the_ending_refuses_a_line_break_and_nothing_else():
    assert re.search("^[A-Z]{3}$", "EUR\n")
    assert not re.search(f"^[A-Z]{{3}}{END}", "EUR\n")
    assert re.search(f"^[A-Z]{{3}}{END}", "EUR")
