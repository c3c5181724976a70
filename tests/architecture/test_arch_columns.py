"""Every column is declared with what it holds; text that is not personal says why."""

import re
import tomllib
from pathlib import Path

import house
import pytest
from sql_columns import columns

from guilder.chassis.selfcheck import compare

SHORT = {
    "int": "int4",
    "integer": "int4",
    "bigint": "int8",
    "smallint": "int2",
    "boolean": "bool",
    "uuid[]": "_uuid",
}
"""Names of types in migrations that the catalogue calls otherwise."""

UNPROTECTED: dict[str, str] = {}
"""Tables with a tenant but without row security, and why."""


def faults(sql: str, declared: dict[str, dict[str, str]]) -> list[str]:
    """What the service's own self check would say of the columns of these migrations."""
    live = []
    for table, found in columns(sql).items():
        for column, definition in found.items():
            kind = re.split(r"[ (]", definition.lower())[0]
            live.append((table, column, SHORT.get(kind, kind)))
    return sorted(compare(declared, live))


def folder_of(name: str) -> Path:
    return house.SOURCE / "chassis" if name == "chassis" else house.SERVICES / name


def sql_of(name: str) -> str:
    texts = [house.text(p) for p in sorted((folder_of(name) / "migrations").glob("*.sql"))]
    if name == "chassis":  # the runner makes its own table
        runner = house.strings(house.tree(house.SOURCE / "chassis" / "store.py"))
        texts += [f"{sql};" for sql in runner if sql.startswith("CREATE TABLE")]
    return "\n".join(texts)


everywhere = pytest.mark.parametrize("name", ["chassis", *house.services()])


@everywhere
def test_every_column_is_declared(name):
    declared = tomllib.loads(house.text(folder_of(name) / "columns.toml"))
    assert faults(sql_of(name), declared) == []


@everywhere
def test_tables_of_tenants_are_protected(name):
    """`tenant` comes first in the primary key, and row security is on."""
    sql = sql_of(name)
    protected = set(re.findall(r"SELECT protect\('(\w+)'\)", sql))
    with_tenant = {t for t, c in columns(sql).items() if "tenant" in c} - set(UNPROTECTED)
    assert with_tenant == protected


@everywhere
def test_no_json_in_tables(name):
    assert not re.search(r"\bjsonb?\b", re.sub(r"--.*", "", sql_of(name)), re.IGNORECASE)


SQL = """
CREATE TABLE a (
  tenant int NOT NULL, -- x, y
  note text CHECK (note IN ('a', 'b')),
  paid bigint,
  PRIMARY KEY (tenant, note)
);
ALTER TABLE a ADD COLUMN late bytea;
"""


def test_faults_are_seen():
    assert columns(SQL)["a"] == {
        "tenant": "int NOT NULL",
        "note": "text CHECK (note IN ('a', 'b'))",
        "paid": "bigint",
        "late": "bytea",
    }
    said = {"tenant": "id", "note": "not personal: x", "late": "time", "gone": "id"}
    assert faults(SQL, {"a": said}) == [
        "a.gone is declared but does not exist",
        "a.late is declared 'time' but is of type bytea",
        "a.note is declared not personal without a reason",
        "a.paid is not declared in columns.toml",
    ]
