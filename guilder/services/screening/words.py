"""Names as words that can be compared: without case, marks, script, punctuation and legal form.

Pure. A name gives one or two readings: as it sounds (transliterated) and, where letters of other
alphabets look like Latin ones, as it looks.
"""

import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Final

from anyascii import anyascii

from guilder.contracts.screening.v1 import Kind

Words = tuple[str, ...]

MOST_WORDS: Final = 12
"""Words of a name that are looked at: an account's name has at most 140 characters."""

_LOOKS_LIKE: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТУХҮаеѕіјкорсухүһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧανορυι",
    "ABESIJKMHOPCTYXYaesijkopcyxyhdqwABEZHIKMNOPTYXavopui",
)
"""Letters of the Cyrillic and the Greek alphabet with the shape of a Latin one."""

_JOINED: Final = re.compile(r"['’ʼ`´·.]")
_SPLIT: Final = re.compile(r"[^a-z0-9]+")

_BOOK: Final = tomllib.loads((Path(__file__).parent / "words.toml").read_text("utf-8"))

_FILL: Final[dict[Kind, frozenset[str]]] = {
    "person": frozenset(_BOOK["fill"]["person"].split()),
    "organisation": frozenset(_BOOK["fill"]["organisation"].split()),
}
"""Words that say nothing of who it is. Left out unless nothing else would be left."""

COMMON: Final = frozenset(_BOOK["common"]["organisation"].split())
"""Words that many organisations have: alone they name nobody."""

_SPELLINGS: Final[dict[str, str]] = {
    other: line.split()[0]
    for line in _BOOK["spellings"]["names"].strip().splitlines()
    for other in line.split()
}
"""Spellings of one name that differ by more than a letter or two."""


def readings(name: str, kind: Kind) -> tuple[Words, ...]:
    """The readings of a name, each a tuple of words in their order; none where no letter is left.

    What makes no difference to a reader makes none here: control, direction and invisible
    characters, full width and mathematical letters, marks above letters.
    """
    plain = unicodedata.normalize("NFKC", name)
    plain = "".join(c for c in plain if unicodedata.category(c) not in ("Cc", "Cf", "Cn", "Co"))
    marks = unicodedata.normalize("NFKD", plain)
    bare = "".join(c for c in marks if unicodedata.category(c) not in ("Mn", "Me"))
    found: list[Words] = []
    for text in (bare, bare.translate(_LOOKS_LIKE)):
        words = _words(text, kind)
        if words and words not in found:
            found.append(words)
    return tuple(found)


def _words(text: str, kind: Kind) -> Words:
    latin = anyascii(text).lower()
    split = [word for word in _SPLIT.split(_JOINED.sub("", latin)) if word]
    telling = [word for word in split if word not in _FILL[kind]] or split
    return tuple(_SPELLINGS.get(word, word) for word in telling[:MOST_WORDS])


def joins(words: Words) -> list[Words]:
    """The words themselves, and each way to write two neighbours as one: Abdul Rahman."""
    return [
        words,
        *((*words[:i], words[i] + words[i + 1], *words[i + 2 :]) for i in range(len(words) - 1)),
    ]
