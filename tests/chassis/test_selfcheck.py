"""Declarations held against the live catalogue (the rest is proven by tests/books/test_verify)."""

import pytest

from guilder.chassis.selfcheck import common_findings, compare, declarations

DECLARED = {"party": {"tenant": "id", "name": "sealed personal", "kind": "state"}}
LIVE = [("party", "tenant", "int4"), ("party", "name", "bytea"), ("party", "kind", "text")]


def test_what_is_declared_and_live_alike_is_fine():
    assert compare(DECLARED, LIVE) == []


@pytest.mark.parametrize(
    ("declared", "live", "wrong"),
    [
        (DECLARED, [*LIVE, ("party", "nick", "text")], "party.nick is not declared"),
        (DECLARED, [*LIVE, ("note", "text", "text")], "note.text is not declared"),
        (DECLARED, LIVE[:2], "party.kind is declared but does not exist"),
        ({"t": {"c": "sealed personal"}}, [("t", "c", "text")], "of type text"),
        ({"t": {"c": "id"}}, [("t", "c", "text")], "of type text"),
        ({"t": {"c": "number"}}, [("t", "c", "jsonb")], "of type jsonb"),
        ({"t": {"c": "money"}}, [("t", "c", "float8")], "of type float8"),
        ({"t": {"c": "not personal: so"}}, [("t", "c", "text")], "without a reason"),
        ({"t": {"c": "harmless"}}, [("t", "c", "text")], "means nothing"),
    ],
)
def test_each_difference_is_named(declared, live, wrong):
    assert [wrong in line for line in compare(declared, live)] == [True]


async def test_every_service_satisfies_what_all_share(direct):
    for name, store in direct.process.stores.items():
        found = await common_findings(store, f"guilder.services.{name}")
        assert (name, found) == (name, [])
        assert "command" in declarations(f"guilder.services.{name}")
