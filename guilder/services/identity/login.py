"""Rows of people and machine clients as the contract shows them."""

from typing import Any
from uuid import UUID

from guilder.contracts.identity import v1

PLATFORM_SLUG = "platform"
"""Names the platform itself where a tenant's slug is asked for; no tenant can have it."""


def person(row: Any) -> v1.Person:
    """A person."""
    return v1.Person(
        id=row["id"],
        login=row["login"],
        party=row["party"],
        state="disabled" if row["disabled_at"] else "active",
        created_at=row["created_at"],
    )


def client(row: Any) -> v1.Client:
    """A machine client."""
    return v1.Client(
        id=row["id"],
        name=row["name"],
        party=row["party"],
        state="revoked" if row["revoked_at"] else "active",
        created_at=row["created_at"],
    )


def with_secret(row: Any, word: str) -> v1.ClientSecret:
    """A machine client with its secret, shown to whoever made it."""
    return v1.ClientSecret(id=row["id"], name=row["name"], party=row["party"], client_secret=word)


def page(rows: list[Any], limit: int) -> tuple[list[Any], UUID | None]:
    """The rows of a page and where to go on, from one row more than the page holds."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], rows[limit - 1]["id"]
