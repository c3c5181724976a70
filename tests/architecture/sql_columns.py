"""The columns that migrations create, read from their text."""

import re

NOT_COLUMNS = {"PRIMARY", "FOREIGN", "UNIQUE", "CHECK", "CONSTRAINT", "EXCLUDE", "LIKE"}


def columns(sql: str) -> dict[str, dict[str, str]]:
    """Table → column → definition (`text NOT NULL`), partitions left out."""
    sql = re.sub(r"--.*", "", sql)
    sql = re.sub(r"\$(\w*)\$.*?\$\1\$", "''", sql, flags=re.DOTALL)  # bodies of functions
    found: dict[str, dict[str, str]] = {}
    for match in re.finditer(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)\s*\(", sql):
        table = found.setdefault(match[1], {})
        for part in _parts(sql, match.end()):
            name, _, definition = part.strip().partition(" ")
            if name and name.upper() not in NOT_COLUMNS:
                table[name.strip('"')] = definition.strip()
    for table, name, definition in re.findall(
        r"ALTER TABLE (\w+)\s+ADD COLUMN (\w+) ([^;,]+)", sql
    ):
        found[table][name] = definition.strip()
    for table, name in re.findall(r"ALTER TABLE (\w+)\s+DROP COLUMN (\w+)", sql):
        del found[table][name]
    for table in re.findall(r"DROP TABLE (?:IF EXISTS )?(\w+)", sql):
        found.pop(table, None)
    return found


def _parts(sql: str, start: int) -> list[str]:
    """Split what stands in the parentheses open at `start` at its own commas."""
    depth, begin, parts = 1, start, []
    for at in range(start, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[at], 0)
        if depth == 0 or (depth == 1 and sql[at] == ","):
            parts.append(" ".join(sql[begin:at].split()))
            begin = at + 1
        if depth == 0:
            break
    return parts
