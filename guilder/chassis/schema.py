"""Whether a release's code and a database's schema fit, where two releases live on one database.

A migration *expands*: it adds what older code does not see. One that *contracts* takes away what
code no longer reads, and says in a line of its own since which migration that is so:

    -- contracts: needs 0003_rates.sql

Code that knows 0003 does not miss what goes; older code must not run on what is left.
"""

import re
from collections.abc import Collection, Mapping

NEEDS = re.compile(r"^-- contracts: needs (\d{4}_\w+\.sql)$", re.MULTILINE)


class SchemaMismatch(RuntimeError):
    """Code and schema do not fit; the text says what to do."""


def needs(text: str) -> str | None:
    """Which migration code must know to run behind this one; None when it only expands."""
    found = NEEDS.search(text)
    return found[1] if found else None


def newer(ours: Collection[str], done: Mapping[str, str | None]) -> list[str]:
    """Migrations of a later release that ran here; `done` maps each that ran to what it needs."""
    return sorted(name for name in done if name not in ours)


def refuse_older_code(service: str, ours: Collection[str], done: Mapping[str, str | None]) -> None:
    """SchemaMismatch where a later release took away what this one reads."""
    for name in newer(ours, done):
        wanted = done[name]
        if wanted is not None and wanted not in ours:
            raise SchemaMismatch(
                f"the database of {service} was contracted by {name} of a later release, and this"
                f" release still reads what is gone (it does not know {wanted}): run a release"
                " that knows it, or restore a backup from before"
            )


def refuse_older_schema(
    service: str, ours: Collection[str], done: Mapping[str, str | None]
) -> None:
    """SchemaMismatch where this release needs a migration that did not run here."""
    missing = sorted(name for name in ours if name not in done)
    if missing:
        raise SchemaMismatch(
            f"the database of {service} is of an earlier release: {', '.join(missing)} did not run"
            " there. Run `guilder migrate` with this release, then start it again"
        )
