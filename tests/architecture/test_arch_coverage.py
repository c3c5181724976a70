"""What must have a test: refused access to every public operation, every number of the abuse list.

Both are read from the code: the operations from the contracts, the tests by their markers. So a
new public operation without a test of refused access fails here, by name.
"""

import ast
import re
from collections.abc import Iterable

import house

ABUSE = {*range(1, 13), *range(16, 21), 24, 29, 31, *range(33, 36), *range(45, 49), *range(53, 60)}
ABUSE |= {*range(61, 65)}
"""Numbers of the abuse list that have something to be tested on so far."""

NAMES = {
    1: "negative amount",
    2: "zero amount",
    3: "amount as a JSON number",
    4: "exponent",
    5: "underscore, padding or plus sign",
    6: "foreign digits",
    7: "too many decimals",
    8: "amount out of bounds",
    9: "NaN, Infinity, minus zero",
    10: "no such currency",
    11: "another currency than the account's",
    12: "debtor = creditor",
    16: "double spend in parallel",
    17: "same key, other body",
    18: "same key, other tenant or principal",
    19: "same key in flight",
    20: "repeat after the answer was lost",
    24: "event twice, late, out of order",
    29: "a client's clock ten minutes away",
    31: "token at its `exp`, before its `nbf`",
    33: "another tenant's id",
    34: "another party's account",
    35: "fields that are not there",
    45: "alg: none",
    46: "algorithm confusion",
    47: "kid, jku, x5u of an attacker",
    48: "wrong issuer, audience or type of token",
    53: "XML bomb, external entity, deep nesting",
    54: "JSON member twice",
    55: "deep, big or slow body",
    56: "compressed body",
    57: "malformed HTTP",
    58: "spoofed headers",
    59: "injection into SQL, logs, headers",
    61: "SSRF in webhook URLs",
    62: "unbounded page, regex blow-up",
    63: "look-alike characters, bad IBAN",
    64: "webhook signature missing, old, of another body",
}


def marked(sources: Iterable[ast.Module], marker: str) -> set[object]:
    """Arguments of `@pytest.mark.<marker>(...)` on test functions and their parameters."""
    found: set[object] = set()
    for source in sources:
        for node in ast.walk(source):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not node.name.startswith("test"):
                continue
            for decorator in node.decorator_list:
                for call in house.calls_of(decorator, marker):
                    found |= {a.value for a in call.args if isinstance(a, ast.Constant)}
    return found


def in_tables(sources: Iterable[ast.Module], marker: str) -> set[object]:
    """The same, wherever the mark stands in a module: tables of cases are named, then used."""
    return {
        argument.value
        for source in sources
        for call in house.calls_of(source, marker)
        if ast.unparse(call.func) == f"pytest.mark.{marker}"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }


def test_every_public_operation_has_a_test_of_refused_access():
    guarded = {o.id for o in house.operations() if o.public and (o.may or o.on == "inside")}
    refused = marked(map(house.tree, house.tests()), "refuses")
    assert sorted(guarded - refused) == [], "write a test with @pytest.mark.refuses(operation)"
    assert sorted(map(str, refused - guarded)) == [], "no such public operation"


def test_every_public_operation_asks_for_a_right():
    """A public operation without `may` looks the resource up itself (`on="inside"`)."""
    free = [o.id for o in house.operations() if o.public and not o.may and o.on != "inside"]
    assert free == []


def test_the_abuse_list_is_covered():
    found = in_tables(map(house.tree, house.tests()), "abuse")
    assert {n: NAMES[n] for n in sorted(ABUSE) if n not in found} == {}
    assert {n for n in found if not isinstance(n, int)} == set()
    assert set(NAMES) == ABUSE


def test_each_proof_of_editions_is_where_the_table_says():
    """By its number: `test_prove_2_…` for the second line of the table."""
    text = house.text(house.ROOT / "docs" / "concepts" / "tenants-editions-bindings.md")
    lines = re.findall(r"^\| (\d) \| .+ \| (`tests/.+`) \|$", text, re.MULTILINE)
    told = {(int(n), name) for n, names in lines for name in re.findall(r"`([^`]+)`", names)}
    found = {
        (int(n), path.relative_to(house.ROOT).as_posix())
        for path in house.tests()
        for n in re.findall(r"def test_prove_(\d)_", house.text(path))
    }
    assert found == told
    assert {n for n, _ in told} == set(range(1, 9))


def test_marks_are_read_where_they_count():
    source = ast.parse(
        "@pytest.mark.refuses('a.b')\nasync def test_x(): ...\n"
        "@pytest.mark.refuses('c.d')\ndef helper(): ...\n"
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.refuses('e.f'))])\n"
        "def test_y(): ...\nTABLE = [pytest.param(1, marks=pytest.mark.abuse(7))]\n"
    )
    assert marked([source], "refuses") == {"a.b", "e.f"}
    assert in_tables([source], "abuse") == {7}
