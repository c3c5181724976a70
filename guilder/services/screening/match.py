"""How alike two names are, from 0 to 100, and what else speaks for or against it. Pure.

Two words are the same if they are equal, if one typing mistake lies between them (five letters or
more), or two (eight or more, and the first or the last four are untouched). A word counts by its
letters, at most eight; a word that many organisations have counts one. Of each name the share that
the other has is taken: the larger share counts 70, the smaller 30. One word alone is a match only
where both names are one word, or where the others of both are words that many organisations have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rapidfuzz.distance import OSA

from guilder.contracts.screening.v1 import Side
from guilder.services.screening.entry import Agrees, Entry, Name
from guilder.services.screening.words import COMMON, Words, joins

ONE_MISTAKE, TWO_MISTAKES = 5, 8
"""Letters from which a word may hold one mistake, and two."""

END: Final = 4
MOST_WEIGHT: Final = 8
LARGER, SMALLER = 70, 30
BORN_BONUS, COUNTRY_BONUS, COUNTRY_MALUS = 5, 2, 4
TINY: Final = 1e-6
"""What sums of shares may lack of a whole number."""

WEAK_SCORE: Final = 95
"""A nickname is a hit only if it is the same, nearly letter by letter."""


@dataclass(frozen=True, slots=True)
class Alike:
    """How two names agree: the score of the words, and which word stands for which."""

    score: float
    pairs: tuple[tuple[str, str], ...]
    words: int
    """How many words the name on the list has."""


NOT_ALIKE: Final = Alike(0.0, (), 0)


def most_mistakes(shorter: int) -> int:
    """How many mistakes two words may differ by, the shorter of which has so many letters."""
    return 2 if shorter >= TWO_MISTAKES else 1


def mistakes(one: str, two: str) -> int | None:
    """Typing mistakes between two words that are taken for the same; None = they are not."""
    if one == two:
        return 0
    shorter = min(len(one), len(two))
    if shorter < ONE_MISTAKE or abs(len(one) - len(two)) > 2:
        return None
    most = most_mistakes(shorter)
    found = OSA.distance(one, two, score_cutoff=most)
    if found == 1:
        return 1
    if found == 2 and most == 2 and (one[:END] == two[:END] or one[-END:] == two[-END:]):
        return 2
    return None


def alike(asked: Words, listed: Words) -> Alike:
    """The best of writing two neighbours of either name as one word, or not."""
    ours, theirs = _weighed(asked), _weighed(listed)
    best = _alike(ours[0], theirs[0])
    tried = [(ours[0], way) for i, way in enumerate(theirs[1:]) if _known(way[0][i], asked)]
    tried += [(way, theirs[0]) for i, way in enumerate(ours[1:]) if _known(way[0][i], listed)]
    for one, two in tried:
        found = _alike(one, two)
        if found.score > best.score:
            best = found
    return best


def _known(word: str, words: Words) -> bool:
    """Whether a word agrees with any: else writing two as one gains nothing."""
    return any(mistakes(word, other) is not None for other in words)


def _weighed(words: Words) -> list[tuple[Words, list[int]]]:
    """Each way to write a name, with the weights: two words as one weigh what they weigh alone."""
    plain = [1 if word in COMMON else min(len(word), MOST_WEIGHT) for word in words]
    together = [
        [*plain[:i], plain[i] + plain[i + 1], *plain[i + 2 :]] for i in range(len(plain) - 1)
    ]
    return list(zip(joins(words), [plain, *together], strict=True))


def _alike(one: tuple[Words, list[int]], two: tuple[Words, list[int]]) -> Alike:
    (asked, ours), (listed, theirs) = one, two
    pairs = _pairs(asked, listed)
    if not _enough([listed[j] for _, j, _ in pairs], asked, listed):
        return NOT_ALIKE
    shares = [
        sum(ours[i] * same for i, _, same in pairs) / sum(ours),
        sum(theirs[j] * same for _, j, same in pairs) / sum(theirs),
    ]
    score = LARGER * max(shares) + SMALLER * min(shares)
    return Alike(score, tuple((asked[i], listed[j]) for i, j, _ in pairs), len(listed))


def _enough(agreeing: list[str], asked: Words, listed: Words) -> bool:
    """Whether what agrees can name somebody: two telling words, or the only one that both have."""
    telling = sum(word not in COMMON for word in agreeing)
    if telling != 1:
        return telling > 1
    if len(agreeing) == 1:
        return len(asked) == len(listed) == 1
    return all(sum(word not in COMMON for word in words) == 1 for words in (asked, listed))


def _pairs(asked: Words, listed: Words) -> list[tuple[int, int, float]]:
    """Each word with the one it is taken for, the surest first; a word stands for one only."""
    found = [
        (wrong / max(len(one), len(two)), i, j)
        for i, one in enumerate(asked)
        for j, two in enumerate(listed)
        if (wrong := mistakes(one, two)) is not None
    ]
    pairs, left, right = [], set(range(len(asked))), set(range(len(listed)))
    for share, i, j in sorted(found):
        if i in left and j in right:
            left.remove(i)
            right.remove(j)
            pairs.append((i, j, 1 - share))
    return sorted(pairs)


@dataclass(frozen=True, slots=True)
class Match:
    """An entry that may be meant, by one of its names."""

    entry: Entry
    name: Name
    score: int
    alike: Alike
    born: Agrees
    lives: Agrees


def judge(
    side: Side, readings: Sequence[Words], entry: Entry, name: Name, listed: Sequence[Words]
) -> Match | None:
    """What name, kind, birth and country say together; None where somebody else is meant.

    `readings` of the name asked for, `listed` of the name on the list.
    """
    if entry.kind != side.kind or (born := entry.born(side)) == "differs":
        return None
    best = max((alike(one, two) for one in readings for two in listed), key=lambda a: a.score)
    if not best.score or (name.weak and best.score < WEAK_SCORE):
        return None
    lives = entry.lives(side)
    score = best.score + (BORN_BONUS if born == "agrees" else 0)
    if lives != "unknown" and best.score < 100:
        score += COUNTRY_BONUS if lives == "agrees" else -COUNTRY_MALUS
    return Match(entry, name, max(0, min(100, int(score + TINY))), best, born, lives)


def why(match: Match) -> str:
    """The sentence that explains a match."""
    pairs = [one if one == two else f"{one} for {two}" for one, two in match.alike.pairs]
    agreed = f"{len(pairs)} of {match.alike.words} words agree ({', '.join(pairs)})"
    where = f"{match.entry.list} entry {match.entry.id}"
    of = "a weak name" if match.name.weak else "a name"
    said = [agreed, f"with {of} of {where}", f"score {match.score} of 100"]
    if match.entry.kind == "person":
        said.append(f"birth date {match.born}")
    said.append(f"country {match.lives}")
    return "; ".join([" ".join(said[:2]), *said[2:]])[:500]
