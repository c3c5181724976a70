"""The nouns of a list: an entry, its names, when somebody was born. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from guilder.contracts.screening.v1 import SENTINELS, Kind, Side

CIRCA_YEARS: Final = 2
"""How far "about 1960" reaches."""

Agrees = Literal["agrees", "differs", "unknown"]


@dataclass(frozen=True, slots=True)
class Birth:
    """A birth as a list knows it: a day, or the first and last year that it may be."""

    first: int
    last: int
    day: date | None = None

    @classmethod
    def of(cls, day: date) -> "Birth":
        """A known day."""
        return cls(day.year, day.year, day)

    @classmethod
    def about(cls, year: int) -> "Birth":
        """A year that is not sure."""
        return cls(year - CIRCA_YEARS, year + CIRCA_YEARS)

    @classmethod
    def within(cls, written: Iterable[str], *, about: bool) -> "Birth | None":
        """The years among what is written; a single one may be `about` then. None where none is."""
        years = [int(year) for year in written if year.isdecimal() and len(year) == 4]
        if not years:
            return None
        if len(years) == 1 and about:
            return cls.about(years[0])
        return cls(min(years), max(years))

    def may_be(self, born: date) -> bool:
        """Whether somebody born on a day may be meant; day and month may have been swapped."""
        if self.day is None:
            return self.first <= born.year <= self.last
        swapped = (self.day.year, self.day.day, self.day.month)
        return born == self.day or (born.year, born.month, born.day) == swapped


@dataclass(frozen=True, slots=True)
class Name:
    """A name on a list; a weak one is a nickname that many share."""

    text: str
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody on a list. `id` is the list's own; `countries` ISO 3166-1 alpha-2."""

    list: str
    id: str
    kind: Kind
    names: tuple[Name, ...]
    births: tuple[Birth, ...] = ()
    countries: frozenset[str] = frozenset()

    def born(self, side: Side) -> Agrees:
        """Whether the birth date agrees; a list may know several."""
        if side.birth_date is None or not self.births:
            return "unknown"
        agrees = any(birth.may_be(side.birth_date) for birth in self.births)
        return "agrees" if agrees else "differs"

    def lives(self, side: Side) -> Agrees:
        """Whether the country is one of those that the list names."""
        if side.country is None or not self.countries:
            return "unknown"
        return "agrees" if side.country in self.countries else "differs"


SENTINEL_LIST: Final = "Guilder sentinels"

SENTINEL_ENTRIES: Final = tuple(
    Entry(
        list=SENTINEL_LIST,
        id=f"sentinel-{side.kind}",
        kind=side.kind,
        names=(Name(side.name),),
        births=(Birth.of(side.birth_date),) if side.birth_date else (),
    )
    for side in SENTINELS
)
"""The invented names that every edition reports."""
