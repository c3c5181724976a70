"""A made-up corpus: how many listed people are found again, how many others are held, how long it
takes. `python tests/services/screening/screening_corpus.py [ENTRIES]` prints it."""

import json
import random
import sys
import time
from dataclasses import dataclass
from datetime import date, timedelta

from guilder.contracts.screening.v1 import Side
from guilder.services.screening.entry import Birth, Entry, Name
from guilder.services.screening.index import Index

THRESHOLD = 85
_HEADS = [
    "b",
    "br",
    "c",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kh",
    "kr",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "sh",
    "st",
    "t",
    "tr",
    "v",
    "w",
    "y",
    "z",
]
_HEARTS = ["a", "e", "i", "o", "u", "ai", "au", "ei", "ou"]
_TAILS = ["", "", "", "k", "l", "m", "n", "r", "s", "t", "v", "nd", "rt", "sk"]


@dataclass
class Found:
    """What the corpus showed."""

    entries: int
    recall: float
    """Of listed people under a misspelt, turned or shortened name: the share that was found."""
    recall_with_birth: float
    precision: float
    """Of those who were found among ten times as many others: the share that is listed."""
    false_alarms: float
    """Of people who are not listed, without a birth date: the share that was held."""
    false_alarms_with_birth: float
    build_seconds: float
    """Seconds and milliseconds of the processor: other work on the machine does not count."""
    p50_ms: float
    p99_ms: float


class Corpus:
    """Names as a country has them: few first names shared by many, many family names."""

    def __init__(self, entries: int, seed: int = 4) -> None:
        self.chance = random.Random(seed)
        words = list(dict.fromkeys(self._word() for _ in range(60_000)))
        self.first, self.family = words[:2_000], words[2_000:]
        self.entries = [self._entry(n) for n in range(entries)]

    def _word(self) -> str:
        syllables = range(self.chance.choice([2, 2, 3]))
        parts = (_HEADS, _HEARTS, _TAILS)
        return "".join("".join(self.chance.choice(part) for part in parts) for _ in syllables)

    def name(self) -> str:
        """First names by how common they are, now and then two, and a family name."""
        chance = self.chance
        count = 2 if chance.random() < 0.3 else 1
        first = [self.first[int(len(self.first) * chance.random() ** 2)] for _ in range(count)]
        family = self.family[int(len(self.family) * chance.random() ** 1.5)]
        return " ".join([*first, family])

    def born(self) -> date:
        """A birthday of somebody who may have an account."""
        return date(1940, 1, 1) + timedelta(days=self.chance.randrange(24_000))

    def _entry(self, n: int) -> Entry:
        names = tuple(Name(self.name()) for _ in range(self.chance.choice([1, 1, 2, 3])))
        return Entry("made up", str(n), "person", names, (Birth.of(self.born()),))

    def disguised(self, name: str) -> str:
        """A name as it reaches a bank: a typing mistake, the other way round, a word less."""
        words, chance = name.split(), self.chance
        at = max(range(len(words)), key=lambda i: len(words[i]))
        word, i = words[at], chance.randrange(1, len(words[at]) - 1)
        words[at] = chance.choice(
            [
                word[:i] + word[i + 1 :],
                word[:i] + word[i] + word[i:],
                word[:i] + word[i + 1] + word[i] + word[i + 2 :],
                word[:i] + chance.choice("aeiou") + word[i + 1 :],
            ]
        )
        if chance.random() < 0.5:
            words.reverse()
        if len(words) > 2 and chance.random() < 0.3:
            del words[1]
        return " ".join(words).upper()


def measure(entries: int, asked: int = 300) -> Found:
    """Ask after `asked` who are listed and ten times as many who are not."""
    corpus = Corpus(entries)
    began = time.process_time()
    index = Index(corpus.entries)
    built, times = time.process_time() - began, []

    def held(name: str, born: date | None) -> set[str]:
        start = time.process_time()
        side = Side(kind="person", name=name, birth_date=born)
        matches = index.find(side, THRESHOLD)
        times.append(time.process_time() - start)
        return {match.entry.id for match in matches}

    listed = corpus.chance.sample(corpus.entries, asked)
    names = [(entry, corpus.disguised(entry.names[0].text)) for entry in listed]
    blind = sum(entry.id in held(name, None) for entry, name in names)
    told = sum(entry.id in held(name, entry.births[0].day) for entry, name in names)
    others = [(corpus.name(), corpus.born()) for _ in range(10 * asked)]
    alarms = sum(bool(held(name, None)) for name, _ in others)
    cleared = sum(bool(held(name, born)) for name, born in others)
    times.sort()
    return Found(
        entries=entries,
        recall=blind / asked,
        recall_with_birth=told / asked,
        precision=told / (told + cleared) if told else 0.0,
        false_alarms=alarms / len(others),
        false_alarms_with_birth=cleared / len(others),
        build_seconds=round(built, 2),
        p50_ms=round(times[len(times) // 2] * 1000, 3),
        p99_ms=round(times[int(len(times) * 0.99)] * 1000, 3),
    )


if __name__ == "__main__":
    sys.stdout.write(
        json.dumps(vars(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)), indent=1)
        + "\n"
    )
