"""The rules of matching once more, slowly and differently: every entry, exact fractions, own
edit distance. For names of plain lower-case words that are no particles."""

from fractions import Fraction


def distance(one, two):
    """Optimal string alignment, by the textbook's table."""
    table = {(-1, j): j + 1 for j in range(-1, len(two))}
    table |= {(i, -1): i + 1 for i in range(-1, len(one))}
    for i, a in enumerate(one):
        for j, b in enumerate(two):
            best = [table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b)]
            if i and j and a == two[j - 1] and one[i - 1] == b:
                best.append(table[i - 2, j - 2] + 1)
            table[i, j] = min(best)
    return table[len(one) - 1, len(two) - 1]


def share_wrong(one, two):
    """The share of a word that is mistaken, or None where it is another word."""
    wrong, shorter = distance(one, two), min(len(one), len(two))
    same_end = one[:4] == two[:4] or one[-4:] == two[-4:]
    if wrong == 0 or (wrong == 1 and shorter >= 5) or (wrong == 2 and shorter >= 8 and same_end):
        return Fraction(wrong, max(len(one), len(two)))
    return None


def weights(words):
    """What each word weighs: its letters, at most eight."""
    return [min(8, len(word)) for word in words]


def ways(words):
    """The name as it is, and with two neighbours as one word, which weighs what both do."""
    plain, found = weights(words), []
    for n in range(len(words) - 1):
        together = [*words[:n], words[n] + words[n + 1], *words[n + 2 :]]
        found.append((together, [*plain[:n], plain[n] + plain[n + 1], *plain[n + 2 :]]))
    return [(words, plain), *found]


def of_words(one, two):
    """The score of two ways to write two names."""
    (asked, ours), (listed, theirs) = one, two
    left = [
        (wrong, i, j)
        for i, a in enumerate(asked)
        for j, b in enumerate(listed)
        if (wrong := share_wrong(a, b)) is not None
    ]
    taken = []
    while left:
        wrong, i, j = min(left)
        taken.append((1 - wrong, i, j))
        left = [pair for pair in left if pair[1] != i and pair[2] != j]
    if not taken or (len(taken) == 1 and (len(asked), len(listed)) != (1, 1)):
        return Fraction(0)
    shares = sorted(
        (
            sum(ours[i] * same for same, i, _ in taken) / sum(ours),
            sum(theirs[j] * same for same, _, j in taken) / sum(theirs),
        )
    )
    return 30 * shares[0] + 70 * shares[1]


def score(asked, listed):
    """From 0 to 100, rounded down: the best of all ways to write one of the two."""
    asked, listed = ways(asked.split()), ways(listed.split())
    tried = [(asked[0], way) for way in listed] + [(way, listed[0]) for way in asked]
    return int(max(of_words(*pair) for pair in tried))
