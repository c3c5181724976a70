"""Finds the entries that a name may mean without comparing it to all of them.

A name is a candidate if two of its words agree with words asked for, or its only one. Words that
agree are found by what a mistake cannot have touched: some letters at one of the ends.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

from guilder.contracts.screening.v1 import Kind, Side
from guilder.services.screening.entry import Entry, Name
from guilder.services.screening.match import (
    END,
    ONE_MISTAKE,
    TWO_MISTAKES,
    Match,
    judge,
    mistakes,
    most_mistakes,
)
from guilder.services.screening.words import Words, joins, readings

REMEMBERED: Final = 20_000
"""Words of which it is remembered which words of the lists agree with them."""

Key = tuple[str, int]


class Index:
    """The names of all entries, by their words. Never changes once it is built, but
    for the words that it remembers."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Build it."""
        self.entries = 0
        self._names: list[tuple[Entry, Name, tuple[Words, ...]]] = []
        self._having: dict[Kind, dict[str, list[int]]] = {"person": {}, "organisation": {}}
        self._alone: dict[Kind, dict[str, list[int]]] = {"person": {}, "organisation": {}}
        for entry in entries:
            self.entries += 1
            for name in entry.names:
                self._add(entry, name)
        self._vocabulary = {kind: _Vocabulary(self._having[kind]) for kind in self._having}

    def _add(self, entry: Entry, name: Name) -> None:
        listed = readings(name.text, entry.kind)
        if not listed:
            return
        n = len(self._names)
        self._names.append((entry, name, listed))
        ways = [way for words in listed for way in joins(words)]
        for word in {word for way in ways for word in way}:
            self._having[entry.kind].setdefault(word, []).append(n)
        for word in {way[0] for way in ways if len(way) == 1}:
            self._alone[entry.kind].setdefault(word, []).append(n)

    def find(self, side: Side, threshold: int) -> list[Match]:
        """The entries that may be meant, the likeliest first, each by its best name."""
        asked = readings(side.name, side.kind)
        best: dict[tuple[str, str], Match] = {}
        for n in self._candidates(asked, side.kind):
            entry, name, listed = self._names[n]
            match = judge(side, asked, entry, name, listed)
            if match is None or match.score < threshold:
                continue
            key = (entry.list, entry.id)
            if key not in best or _rank(match) < _rank(best[key]):
                best[key] = match
        return sorted(best.values(), key=_rank)

    def forget(self) -> None:
        """Remember no word that somebody was asked after with: they are parts of people's names."""
        for vocabulary in self._vocabulary.values():
            vocabulary.forget()

    def _candidates(self, asked: tuple[Words, ...], kind: Kind) -> set[int]:
        having, alone, known = self._having[kind], self._alone[kind], self._vocabulary[kind]
        found: set[int] = set()
        for words in asked:
            ways = joins(words)
            places = [
                [having[same] for same in known.agreeing(word)]
                for word in dict.fromkeys(word for way in ways for word in way)
            ]
            places = [place for place in places if place]
            # of two words that agree one is not the commonest, so that one need not be gone through
            places.sort(key=lambda place: sum(map(len, place)))
            rarer: dict[int, int] = defaultdict(int)
            for place in places[:-1]:
                for n in set().union(*place):
                    rarer[n] += 1
            found.update(n for n, times in rarer.items() if times > 1)
            once = {n for n, times in rarer.items() if times == 1}
            if once and places:
                for listed in places[-1]:
                    found.update(once.intersection(listed))
            for twice in {word for way in ways for word in way if way.count(word) > 1}:
                found.update(n for same in known.agreeing(twice) for n in having[same])
            for way in ways:
                if len(way) == 1:
                    for same in known.agreeing(way[0]):
                        found.update(alone.get(same, ()))
        return found


class _Vocabulary:
    """The words of the lists, and which of them agree with a word."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = set(words)
        self._by_end: dict[Key, list[str]] = defaultdict(list)
        self._remembered: dict[str, tuple[str, ...]] = {}
        for word in self._words:
            for size in {*_sizes(len(word)), *_sizes(len(word) - 1)}:
                for end in _ends(word, size):
                    self._by_end[end, len(word)].append(word)

    def agreeing(self, word: str) -> tuple[str, ...]:
        """Every word of the lists that agrees with a word."""
        found = self._remembered.get(word)
        if found is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            found = self._remembered[word] = tuple(sorted(self._look(word)))
        return found

    def forget(self) -> None:
        """Remember nothing."""
        self._remembered.clear()

    def _look(self, word: str) -> set[str]:
        found = {word} & self._words
        for length in range(len(word) - 2, len(word) + 3):
            shorter = min(length, len(word))
            most = most_mistakes(shorter)
            if abs(length - len(word)) > most:
                continue
            for end in [end for size in _sizes(shorter) for end in _ends(word, size)]:
                if near := self._by_end.get((end, length)):
                    close = process.extract(
                        word, near, scorer=OSA.distance, score_cutoff=most, limit=None
                    )
                    found.update(s for s, _, _ in close if mistakes(word, s) is not None)
        return found


def _sizes(shorter: int) -> tuple[int, ...]:
    """How many letters at an end stand in two words that agree, by the length of the shorter.

    One mistake, also two neighbours swapped in the middle, leaves so many at one of the ends; two
    mistakes leave END by definition.
    """
    if shorter < ONE_MISTAKE:
        return ()
    if shorter < 7:
        return (2,)
    if shorter < TWO_MISTAKES:
        return (3,)
    return (3, END) if shorter == TWO_MISTAKES else (END,)


def _ends(word: str, size: int) -> tuple[str, str]:
    return f"{word[:size]}-", f"-{word[-size:]}"


def _rank(match: Match) -> tuple[int, str, str, str]:
    return -match.score, match.entry.list, match.entry.id, match.name.text
