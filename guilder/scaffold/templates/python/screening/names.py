"""The list and how names are compared: the same words in any order, whatever their accents."""

import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

_DEFAULT = Path(__file__).resolve().parent / "lists" / "own.json"

LIST: dict[str, Any] = json.loads(Path(os.environ.get("LIST") or _DEFAULT).read_text("utf-8"))
"""Read at the start. A list is data and no part of the digest; `basis` says which one it was."""

BASIS = f"{LIST['list']} of {LIST['as_of']}, {len(LIST['entries'])} entries"


def words(name: str) -> str:
    """The words of a name in alphabetical order, without accents, case and punctuation."""
    parts = unicodedata.normalize("NFKD", name)
    plain = "".join(c for c in parts if not unicodedata.category(c).startswith("M"))
    return " ".join(sorted(re.findall(r"[^\W_]+", plain.casefold())))


_BY_WORDS: dict[str, list[dict[str, str]]] = {}
for _entry in LIST["entries"]:
    _BY_WORDS.setdefault(words(_entry["name"]), []).append(_entry)


def look_up(kind: str, name: str, birth_date: str | None) -> list[dict[str, str]]:
    """Entries of this kind and name; a known year of birth that differs clears."""
    found = []
    for entry in _BY_WORDS.get(words(name), []):
        known = entry.get("birth_date")
        other = known and birth_date and known[:4] != birth_date[:4]
        if entry["kind"] == kind and not other:
            found.append(entry)
    return found
