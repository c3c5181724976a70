"""Two releases live on one schema: a migration adds, or says since when nobody misses what goes."""

import re

import house
import pytest

from guilder.chassis.schema import NEEDS, needs

TAKES = re.compile(
    r"\b(DROP\s+(TABLE|COLUMN|VIEW|FUNCTION|SCHEMA|TYPE)|RENAME\s+(TO|COLUMN)"
    r"|ALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE|SET\s+NOT\s+NULL)\b",
    re.IGNORECASE,
)
"""What code that does not know of it would trip over."""


def faults(name: str, sql: str, earlier: list[str]) -> list[str]:
    """What is wrong with a migration, given the names of those before it."""
    bare = re.sub(r"--.*", "", sql)
    created = set(re.findall(r"CREATE (?:TABLE|VIEW|FUNCTION) (\w+)", bare))
    takes = [
        match[0]
        for statement in bare.split(";")
        if (match := TAKES.search(statement)) and not created & set(re.findall(r"\w+", statement))
    ]
    wanted = needs(sql)
    if takes and wanted is None:
        return [f"{name}: {takes[0]} needs a line `-- contracts: needs <migration>`"]
    if wanted is not None and wanted not in earlier:
        return [f"{name} needs {wanted}, which is not before it"]
    return []


@pytest.mark.parametrize("name", ["chassis", *house.services()])
def test_migrations_expand_or_say_what_they_need(name):
    folder = house.SOURCE / "chassis" if name == "chassis" else house.SERVICES / name
    earlier: list[str] = []
    for path in sorted((folder / "migrations").glob("*.sql")):
        assert faults(path.name, house.text(path), earlier) == []
        earlier.append(path.name)


def test_names_of_migrations_can_be_needed():
    for path in house.SOURCE.rglob("migrations/*.sql"):
        assert NEEDS.search(f"-- contracts: needs {path.name}"), path


@pytest.mark.parametrize(
    ("sql", "clean"),
    [
        ("ALTER TABLE a ADD COLUMN b text;", True),
        ("CREATE TABLE a (b int); ALTER TABLE a ALTER COLUMN b SET NOT NULL;", True),
        ("-- DROP TABLE a is not done here\nSELECT 1;", True),
        ("ALTER TABLE a DROP CONSTRAINT c;", True),
        ("ALTER TABLE a DROP COLUMN b;", False),
        ("DROP TABLE a;", False),
        ("ALTER TABLE a RENAME COLUMN b TO c;", False),
        ("ALTER TABLE a ALTER COLUMN b TYPE bigint;", False),
        ("ALTER TABLE a ALTER COLUMN b SET NOT NULL;", False),
    ],
)
def test_what_takes_away_is_seen(sql, clean):
    assert (faults("0002_x.sql", sql, ["0001_a.sql"]) == []) == clean
    excused = f"-- contracts: needs 0001_a.sql\n{sql}"
    assert faults("0002_x.sql", excused, ["0001_a.sql"]) == []
    assert faults("0002_x.sql", excused, []) != []
