"""Countries as lists write them: ISO codes, or their names in English."""

from functools import cache
from typing import Final

import pycountry

_WRITTEN: Final = {
    "burma": "MM",
    "cape verde": "CV",
    "congo, democratic republic of the": "CD",
    "congo, republic of the": "CG",
    "democratic republic of the congo": "CD",
    "ivory coast": "CI",
    "korea, north": "KP",
    "korea, south": "KR",
    "north korea": "KP",
    "palestinian": "PS",
    "russia": "RU",
    "south korea": "KR",
    "swaziland": "SZ",
    "the gambia": "GM",
    "turkey": "TR",
    "west bank": "PS",
}
"""Names of the lists that the ISO register writes otherwise."""


@cache
def code(written: str) -> str | None:
    """ISO 3166-1 alpha-2 of a name or a code; None where it is no country, or none known."""
    name = written.strip().casefold()
    if name in _WRITTEN:
        return _WRITTEN[name]
    try:
        return str(pycountry.countries.lookup(name).alpha_2)
    except LookupError:
        return None


def codes(written: list[str]) -> frozenset[str]:
    """The codes of those that are known."""
    return frozenset(found for name in written if (found := code(name)) is not None)
