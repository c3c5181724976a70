"""What is known of a person or organisation: checked texts, their sealed form, their look-up form.

A name is shown to people who decide by it, so it must look like what it is: no character that is
invisible, turns the direction of writing, breaks the line, or borrows its shape from another
alphabet within one word.
"""

import hmac
import unicodedata
from datetime import date
from typing import Final

import msgspec

from guilder.contracts.errors import InvalidRequest
from guilder.contracts.parties.v1 import Address, BadName, CreateParty

MAX_NAME: Final = 140
MAX_LINE: Final = 70

_REFUSED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control, format (bidi, zero width), surrogate, private, unassigned, line and paragraph breaks."""

_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\ufffd"
) | {chr(c) for c in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}
"""Characters without a shape of their own that Unicode files under letters, marks or symbols, and
the one that stands where another system could not read one."""

_LOOK_ALIKE: Final = frozenset(
    {"LATIN", "CYRILLIC", "GREEK", "CHEROKEE", "COPTIC", "ARMENIAN", "LISU"}
)
"""Alphabets that share the shape of many letters; a word is written in one of them."""


class Known(msgspec.Struct, frozen=True):
    """The personal data of one party, as it is sealed."""

    name: str
    birth_date: date | None
    address: Address | None

    def seal_form(self) -> bytes:
        """The bytes to seal."""
        return msgspec.json.encode(self)

    @staticmethod
    def read(raw: bytes) -> "Known":
        """Read the opened bytes."""
        return msgspec.json.decode(raw, type=Known)


def clean(text: str, at: str, longest: int) -> str:
    """Normalise (NFC) and trim; BadName naming the place unless it is honest and short enough."""
    tidy = unicodedata.normalize("NFC", text).strip()
    if not tidy:
        raise BadName("nothing but spaces", at=at)
    if not any(char.isalnum() for char in tidy):  # nobody could screen or find it
        raise BadName("it holds no letter and no digit", at=at)
    if len(tidy) > longest:
        raise BadName(f"longer than {longest} characters once normalised", at=at)
    for char in tidy:
        if unicodedata.category(char) in _REFUSED or char in _INVISIBLE:
            raise BadName(f"the character U+{ord(char):04X} is not allowed", at=at)
        if _disguised(char):
            raise BadName(f"U+{ord(char):04X} is another form of a plain letter", at=at)
    for word in tidy.split():
        if len(_alphabets(word)) > 1:
            raise BadName("one word mixes letters of alphabets that look alike", at=at)
    return tidy


def _disguised(char: str) -> bool:
    """Whether it is a plain letter in another dress: full width, mathematical, a ligature."""
    plain = unicodedata.normalize("NFKC", char)
    cased = unicodedata.category(char) in ("Lu", "Ll", "Lt")
    return cased and not char.isascii() and plain.isascii()


def _alphabets(word: str) -> frozenset[str]:
    letters = (unicodedata.name(c, "").split(" ")[0] for c in word if c.isalpha())
    return _LOOK_ALIKE.intersection(letters)


def fold(name: str) -> str:
    """The form in which names are looked up: NFKC, case folded, spaces collapsed."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def name_hash(key: bytes, name: str) -> bytes:
    """HMAC-SHA256 of the folded name under the tenant's look-up key."""
    return hmac.digest(key, fold(name).encode(), "sha256")


def known(request: CreateParty, latest_birth: date) -> Known:
    """Check what a request says of a party; BadName or InvalidRequest name the place."""
    if request.birth_date is not None:
        if request.kind != "person":
            raise InvalidRequest("only a person has a birth date", at="$.birth_date")
        if request.birth_date > latest_birth:
            raise InvalidRequest("the birth date lies in the future", at="$.birth_date")
    address = request.address
    if address is not None:
        lines = [
            clean(line, f"$.address.lines[{i}]", MAX_LINE) for i, line in enumerate(address.lines)
        ]
        address = Address(lines=lines, country=address.country)
    return Known(clean(request.name, "$.name", MAX_NAME), request.birth_date, address)
