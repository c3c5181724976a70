"""Whether a list may mean the payer or the payee. This is the file to change."""

import re
from datetime import date
from functools import partial
from typing import Any

from names import BASIS, LIST, look_up
from problems import attempt, invalid
from reading import members, moment, one_of, text

CONTRACT = "screening"
CONTRACT_VERSION = "__CONTRACT_VERSION__"
EDITION = "__EDITION__"
VERSION = "1.0.0"
PATH = "/screening/v1/checks"
DISCLAIMS = ["fuzzy-names"]
"""What the suite may test and this edition does not offer."""

MOST_HITS = 50


def answer_batch(tenant: int, items: list[Any], deadline: float) -> list[dict[str, Any]]:
    """One answer or problem per item, in order."""
    return [attempt(partial(check, item)) for item in items]


def check(item: Any) -> dict[str, Any]:
    """Pure: the same question always gets the same answer while the list is the same."""
    asked = members(item, "payer payee at")
    moment(asked["at"], "at")
    hits = [hit for side in ("payer", "payee") for hit in _side_hits(side, asked[side])]
    return {"verdict": "hit" if hits else "clear", "hits": hits[:MOST_HITS], "basis": BASIS}


def _side_hits(side: str, value: Any) -> list[dict[str, Any]]:
    given = members(value, "kind name", "country birth_date")
    kind = one_of(given["kind"], "kind", "person organisation")
    name = text(given["name"], "name", 1, 140)
    country, birth_date = given.get("country"), given.get("birth_date")
    if country is not None and not _is_country(country):
        raise invalid("country must be two capital letters")
    if birth_date is not None and not _is_date(birth_date):
        raise invalid("birth_date must be a date such as 1951-07-23")
    return [
        {
            "side": side,
            "list": LIST["list"],
            "entry": entry["id"],
            "name": entry["name"],
            "score": 100,
            "why": f"the name has the words of the {kind} on the list, in any order",
        }
        for entry in look_up(kind, name, birth_date)
    ]


def _is_country(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[A-Z]{2}", value) is not None


def _is_date(value: Any) -> bool:
    try:
        return len(value) == 10 and bool(date.fromisoformat(value))
    except (TypeError, ValueError):
        return False
