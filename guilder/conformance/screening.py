"""The suite of `screening`: lists are each edition's own; what every edition finds are the
sentinels of the contract, invented names that are on no list of anybody.
"""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec

from guilder.chassis.contract import plain
from guilder.conformance.checks import Broken, Check
from guilder.conformance.session import TENANTS, Session
from guilder.conformance.subject import Marked, Subject
from guilder.contracts.screening.v1 import (
    BIRTH_DATES,
    FUZZY_NAMES,
    SENTINEL_ORGANISATION,
    SENTINEL_PERSON,
    SENTINELS,
    Check as Question,
    Checked,
    Screening,
    Side,
)

NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)

SOUNDS: Final = ("bra", "gno", "fli", "dru", "ska", "pwe", "tho", "zim", "quo", "lar", "nev")

UNKNOWN: Final = (
    Side(kind="person", name="Thistlequam Brindlewick", country="DE"),
    Side(kind="person", name="Ottoberta Flumm", birth_date=date(1990, 2, 28)),
    Side(kind="organisation", name="Snorkwell & Daughters Umbrella Repair", country="GB"),
    Side(kind="person", name="Zebulon Flummerfelt"),
    Side(kind="organisation", name="Blaufink Shipping"),
)
"""Invented names that nobody is to be found by: two of them share a word with a sentinel."""

SCRIPTS: Final = (
    "Анна Квилфедер",
    "محمد قويلفذر",
    "奎尔费瑟",
    "Zoë Ångström-Łukasiewicz",
    "Nguye\u0302\u0303n Thi\u0323",
    "👩‍👩‍👧 & Co",
    "O'Brien; DROP TABLE names; --",
    "=HYPERLINK(1)",
    "A",
    "q" * 140,
)
"""Names in the scripts of the world, and some that are a trap for whoever puts texts together."""


class Names(Subject):
    """Questions about names."""

    def questions(self, chance: random.Random, count: int) -> list[Question]:
        """Invented names, no two alike."""
        return [self._question(chance, n) for n in range(count)]

    def _question(self, chance: random.Random, n: int) -> Question:
        at = NOON + timedelta(seconds=chance.randrange(10**6))
        payee = SENTINELS[n % 2] if n % 5 == 4 else self._side(chance)
        return Question(payer=self._side(chance), payee=payee, at=at)

    @staticmethod
    def _side(chance: random.Random) -> Side:
        name = " ".join(_word(chance) for _ in range(2))
        if chance.random() < 0.3:
            return Side(kind="organisation", name=name, country=chance.choice(("DE", "FR", "JP")))
        born = date(1940, 1, 1) + timedelta(days=chance.randrange(25_000))
        return Side(kind="person", name=name, birth_date=born if chance.random() < 0.5 else None)

    def marked(self, chance: random.Random) -> Marked:
        """Two names that no list has."""
        names = [f"{_word(chance)}{_word(chance)}".capitalize() for _ in range(2)]
        sides = [Side(kind="person", name=f"{name} Flumm") for name in names]
        return Marked(Question(payer=sides[0], payee=sides[1], at=NOON), tuple(names))

    def may_refuse(self, request: Question, code: str) -> bool:
        """Moments that no calendar of an edition reaches, names without a letter."""
        names = (request.payer.name, request.payee.name)
        return not 1970 < request.at.year < 9000 or not all(
            any(c.isalnum() for c in name) and name.isprintable() for name in names
        )

    def tame(self, item: dict[str, Any]) -> dict[str, Any]:
        """With names of letters, dates that there are, and a moment in reach."""
        sides = {}
        for which in ("payer", "payee"):
            side = {name: value for name, value in item[which].items() if value is not None}
            side.pop("birth_date", None)
            letters = "".join(c if c.isalnum() or c == " " else "x" for c in side["name"])
            sides[which] = {**side, "name": letters if letters.strip() else "Flumm"}
        return {**sides, "at": "2026-03-02T12:00:00Z"}

    def bad(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """Sides that are none, and dates that no calendar has."""
        side = {"kind": "person", "name": "Ottoberta Flumm"}
        wrong: list[Any] = [
            {**side, "kind": "ship"},
            {**side, "name": ""},
            {**side, "name": "x" * 141},
            {**side, "name": None},
            {**side, "country": "Germany"},
            {**side, "country": "de"},
            {**side, "birth_date": "yesterday"},
            {**side, "birth_date": "2023-02-29"},
            {**side, "iban": "DE02120300000000202051"},
            {"kind": "person"},
            {"name": "Ottoberta Flumm"},
        ]
        return [
            *({**item, "payer": one} for one in wrong),
            *({**item, "payee": one} for one in wrong),
            {**item, "amount": {"amount": "1.00", "currency": "EUR"}},
            *({**item, "at": at} for at in ("", "noon", "2026-13-01T00:00:00Z")),
        ]


def _word(chance: random.Random) -> str:
    return "".join(chance.choice(SOUNDS) for _ in range(chance.randint(2, 4))).capitalize()


def _asked(payer: Side, payee: Side) -> Question:
    return Question(payer=payer, payee=payee, at=NOON)


def _must(session: Session, check: str, asked: Question, sides: set[str]) -> None:
    """Broken unless all of these sides are hit; where there are none, nobody may be."""
    found: Checked = session.ask(TENANTS[0], [asked])[0]
    hit = {one.side for one in found.hits}
    if not sides <= hit or (hit and not sides):
        wanted = " and ".join(sorted(sides)) or "nobody"
        raise Broken(check, f"{plain(found)}; {wanted} is to be hit", asked)


def sentinels(session: Session) -> None:
    """Ask for each sentinel, on either side and on both."""
    nobody = UNKNOWN[0]
    unborn = msgspec.structs.replace(SENTINEL_PERSON, birth_date=None)
    for one in (*SENTINELS, unborn):
        _must(session, "sentinels", _asked(one, nobody), {"payer"})
        _must(session, "sentinels", _asked(nobody, one), {"payee"})
    _must(session, "sentinels", _asked(*SENTINELS), {"payer", "payee"})


def near_misses(session: Session) -> None:
    """Ask for names that are like a sentinel in one word, or in none."""
    for one in UNKNOWN:
        _must(session, "near-misses", _asked(one, UNKNOWN[0]), set())


def scripts(session: Session) -> str:
    """Ask for names in the scripts of the world."""
    sides = [Side(kind="person", name=name) for name in SCRIPTS]
    session.ask(TENANTS[0], [_asked(one, UNKNOWN[0]) for one in sides])
    return f"{len(sides)} names"


def fuzzy_names(session: Session) -> None:
    """Ask for the sentinels with one letter misspelt."""
    for one in SENTINELS:
        for wrong in _misspelt(one.name):
            asked = _asked(UNKNOWN[0], msgspec.structs.replace(one, name=wrong))
            _must(session, FUZZY_NAMES, asked, {"payee"})


def _misspelt(name: str) -> list[str]:
    """One letter left out, doubled, and another one in its place, in a long word."""
    middle = name.index(" ") + 4
    left, letter, right = name[:middle], name[middle], name[middle + 1 :]
    other = "o" if letter != "o" else "e"
    return [left + right, left + letter * 2 + right, left + other + right]


def birth_dates(session: Session) -> None:
    """Ask for the person of the sentinels, born in another year."""
    other = msgspec.structs.replace(SENTINEL_PERSON, birth_date=date(1994, 7, 23))
    _must(session, BIRTH_DATES, _asked(UNKNOWN[0], other), set())
    _must(session, BIRTH_DATES, _asked(UNKNOWN[0], SENTINEL_PERSON), {"payee"})


CHECKS: Final = (
    Check(
        "sentinels",
        f"{SENTINEL_PERSON.name} and {SENTINEL_ORGANISATION.name} are hits, on either side",
        "Put the contract's SENTINELS on a list of the edition's own.",
        sentinels,
    ),
    Check(
        "near-misses",
        "a name that shares a word with an entry, or none, is clear",
        "Compare whole names; one common word means nobody.",
        near_misses,
    ),
    Check(
        "scripts",
        "a name in any script is checked, up to 140 characters",
        "Treat names as Unicode and never as code.",
        scripts,
    ),
    Check(
        "fuzzy-names",
        "a listed name with one letter misspelt is a hit",
        "Compare by distance and not by equality, or disclaim `fuzzy-names`.",
        fuzzy_names,
        capability=FUZZY_NAMES,
    ),
    Check(
        "birth-dates",
        "a listed person's name with the birth date of another year is clear",
        "Compare birth dates where both sides have one, or disclaim `birth-dates`.",
        birth_dates,
        capability=BIRTH_DATES,
    ),
)

SUBJECT: Final = Names(Screening, CHECKS)
