"""Whom a name may mean: pairs that must and must not hit, and the index against every entry."""

from datetime import date
from fractions import Fraction

import pytest
import screening_oracle
from hypothesis import given, settings, strategies as st

from guilder.contracts.screening.v1 import Side
from guilder.services.screening.entry import Birth, Entry, Name
from guilder.services.screening.index import Index
from guilder.services.screening.match import mistakes, why

THRESHOLD = 85


def person(name, born=None, country=None):
    return Side(kind="person", name=name, birth_date=born, country=country)


def company(name, country=None):
    return Side(kind="organisation", name=name, country=country)


def found(side, *entries, threshold=THRESHOLD):
    return Index(entries).find(side, threshold)


def hits(asked, listed, kind="person"):
    entry = Entry("list", "1", kind, (Name(listed),))
    return bool(found(Side(kind=kind, name=asked), entry))


MUST_HIT = [
    ("person", "Kasimir Volderhaven", "VOLDERHAVEN, Kasimir"),
    ("person", "kasimir  VOLDERHAVEN", "Kasimir Volderhaven"),
    ("person", "Kasimir Voldehraven", "Kasimir Volderhaven"),
    ("person", "Kasimr Volderhven", "Kasimir Volderhaven"),
    ("person", "Kásimïr Völderhaven", "Kasimir Volderhaven"),
    ("person", "Kasimir Octave Volderhaven", "Kasimir Volderhaven"),
    ("person", "Kasimir Volderhaven", "Kasimir Octave Volderhaven"),
    ("person", "Kasimir von Volderhaven", "Kasimir Volderhaven"),
    ("person", "Dr. Kasimir Volderhaven", "Kasimir Volderhaven"),
    ("person", "Mohamed Abdel Rahman", "Muhammad Abdulrahman"),
    ("person", "Abdulrahman Yasin", "Abdul Rahman YASIN"),
    ("person", "Youssef Al-Tarabishi", "Yusuf TARABISHI"),
    ("person", "Sergey Volkonogov", "Сергей Волконогов"),
    ("person", "Ángel Núñez-Garrón", "Angel NUNEZ GARRON"),
    ("person", "Øyvind Kjærsgård", "Oyvind Kjaersgard"),
    ("person", "Sean O'Dubhghaill", "Sean ODUBHGHAILL"),
    ("organisation", "Tarnhelm Meridian Shipping Limited", "TARNHELM MERIDIAN SHIPPING LTD"),
    ("organisation", "Tarnhelm Meridian", "Tarnhelm Meridian Shipping Company"),
    ("organisation", "Meridian Tarnhelm S.A.", "Tarnhelm Meridian GmbH"),
    ("organisation", "Tarnhelm Shipping", "Tarnhelm Shipping JSC"),
    ("organisation", "Tarnhelm", "OOO Tarnhelm"),
]

MUST_NOT_HIT = [
    ("person", "Kasimir Berg", "Kasimir Volderhaven"),
    ("person", "Anna Volderhaven", "Kasimir Volderhaven"),
    ("person", "Volderhaven", "Kasimir Volderhaven"),
    ("person", "Maria Garcia", "Maria Garcia Lopez Hernandez"),
    ("person", "Maria Elena Garcia", "Maria Garcia Lopez"),
    ("person", "Anna Schmidt", "Hanna Schmidt"),
    ("person", "Ali Hassan", "Ali Hosni Mahmoud"),
    ("person", "J. Smith", "John Smith"),
    ("person", "Musa Ibrahimovic", "Musa"),
    ("person", "!!!", "Kasimir Volderhaven"),
    ("organisation", "International Trading Company", "Global International Trading"),
    ("organisation", "Meridian Shipping", "Tarnhelm Meridian Shipping"),
    ("organisation", "First National Bank", "National Bank of Tarnhelm"),
    ("organisation", "Tarnhelm Bakery", "Tarnhelm"),
    ("organisation", "GmbH", "Tarnhelm GmbH"),
]


@pytest.mark.parametrize(("kind", "asked", "listed"), MUST_HIT)
def test_must_hit(kind, asked, listed):
    assert hits(asked, listed, kind)


@pytest.mark.parametrize(("kind", "asked", "listed"), MUST_NOT_HIT)
def test_must_not_hit(kind, asked, listed):
    assert not hits(asked, listed, kind)


@pytest.mark.parametrize(
    "disguise",
    [
        pytest.param("Kаsimir Vоlderhaven", id="look-alike letters"),
        pytest.param("\u202enevahredloV\u202c Kasimir Volderhaven", id="bidi"),
        pytest.param("Kasi\u200bmir Vol\u00adderhaven", id="invisible"),
        pytest.param("Ｋａｓｉｍｉｒ Volderhaven", id="full width"),
        pytest.param("𝐊𝐚𝐬𝐢𝐦𝐢𝐫 Volderhaven", id="mathematical"),
        pytest.param("K.a.s.i.m.i.r Volderhaven", id="dots"),
        pytest.param("K\u0336asimir V\u0336olderhaven", id="struck out"),
        pytest.param("Καsimir Vοlderhaven", id="greek"),
    ],
)
@pytest.mark.abuse(63)
def test_a_disguise_does_not_help(disguise):
    assert hits(disguise, "Kasimir Volderhaven")


@pytest.mark.parametrize(
    ("births", "born", "word"),
    [
        ([Birth.of(date(1961, 3, 14))], date(1961, 3, 14), "agrees"),
        ([Birth.of(date(1961, 3, 4))], date(1961, 4, 3), "agrees"),  # day and month swapped
        ([Birth.of(date(1961, 3, 14))], date(1961, 3, 15), None),
        ([Birth.of(date(1961, 3, 14))], date(1962, 3, 14), None),
        ([Birth(1961, 1961)], date(1961, 12, 31), "agrees"),
        ([Birth(1961, 1961)], date(1962, 1, 1), None),
        ([Birth(1960, 1963)], date(1963, 5, 5), "agrees"),
        ([Birth.about(1961)], date(1963, 5, 5), "agrees"),
        ([Birth.about(1961)], date(1964, 5, 5), None),
        ([Birth(1950, 1950), Birth(1961, 1961)], date(1961, 5, 5), "agrees"),
        ([], date(1961, 5, 5), "unknown"),
        ([Birth(1961, 1961)], None, "unknown"),
    ],
)
def test_another_birth_clears(births, born, word):
    entry = Entry("list", "1", "person", (Name("Kasimir Volderhaven"),), tuple(births))
    matches = found(person("Kasimir Volderhaven", born), entry)
    assert [match.born for match in matches] == ([] if word is None else [word])


def test_another_kind_clears():
    entry = Entry("list", "1", "person", (Name("Kasimir Volderhaven"),))
    assert found(company("Kasimir Volderhaven"), entry) == []


def test_another_country_lowers_what_is_not_the_same_name():
    entry = Entry("list", "1", "person", (Name("Kasimir Volderhaven"),), (), frozenset({"MT"}))
    scores = {
        country: found(person("Kasimr Volderhven", country=country), entry, threshold=70)[0].score
        for country in ("MT", None, "DE")
    }
    assert scores["MT"] > scores[None] > scores["DE"]
    assert found(person("Kasimir Volderhaven", country="DE"), entry)[0].score == 100


def test_a_weak_name_must_be_the_same():
    entry = Entry("list", "1", "person", (Name("The Copper Lamplighter", weak=True),))
    assert found(person("The Copper Lamplighter"), entry)
    assert not found(person("Copper Lamplihgter"), entry)


def test_a_hit_says_why():
    entry = Entry(
        "OFAC SDN",
        "900001",
        "person",
        (Name("Kasimir VOLDERHAVEN"),),
        (Birth.of(date(1961, 3, 14)),),
        frozenset({"IS"}),
    )
    (match,) = found(person("Volderhven, Kasimir", date(1961, 3, 14), "DE"), entry)
    assert why(match) == (
        "2 of 2 words agree (volderhven for volderhaven, kasimir) with a name of OFAC SDN"
        f" entry 900001; score {match.score} of 100; birth date agrees; country differs"
    )


# ── against every entry ──────────────────────────────────────────────────────────────────────

word = st.text(alphabet="abc", min_size=2, max_size=10)
name = st.lists(word, min_size=1, max_size=4).map(" ".join)


@st.composite
def misspelt(draw, names):
    """A name of the list with a few letters changed, left out, added or swapped."""
    text = draw(st.sampled_from(names))
    for _ in range(draw(st.integers(0, 3))):
        i = draw(st.integers(0, len(text) - 1))
        kind = draw(st.sampled_from(["change", "drop", "add", "swap"]))
        letter = draw(st.sampled_from("abcx "))
        after = {
            "change": text[:i] + letter + text[i + 1 :],
            "drop": text[:i] + text[i + 1 :],
            "add": text[:i] + letter + text[i:],
            "swap": text[:i] + text[i + 1 : i + 2] + text[i : i + 1] + text[i + 2 :],
        }[kind]
        text = after if after.strip() else text
    return " ".join(draw(st.permutations(text.split())))


@settings(max_examples=300)
@given(st.data())
def test_the_index_misses_nothing_that_every_entry_would_give(data):
    names = data.draw(st.lists(name, min_size=1, max_size=25))
    asked = data.draw(st.one_of(misspelt(names), name))
    entries = [Entry("list", str(n), "person", (Name(text),)) for n, text in enumerate(names)]
    wanted = {
        str(n): scored
        for n, text in enumerate(names)
        if (scored := screening_oracle.score(asked, text)) >= 70
    }
    matches = Index(entries).find(person(asked), 70)
    assert {match.entry.id: match.score for match in matches} == wanted
    assert [match.score for match in matches] == sorted(wanted.values(), reverse=True)


short = st.text(alphabet="abcd", min_size=1, max_size=12)


@given(st.data())
def test_mistakes_are_those_of_the_textbook(data):
    one = data.draw(short)
    two = data.draw(st.one_of(misspelt([one]).filter(bool), short))
    wrong, share = mistakes(one, two), screening_oracle.share_wrong(one, two)
    assert (None if wrong is None else Fraction(wrong, max(len(one), len(two)))) == share
    assert wrong == mistakes(two, one)


@given(st.text(min_size=1, max_size=140))
def test_any_text_is_a_name(text):
    assert Index([]).find(person(text), 70) == []
    entry = Entry("list", "1", "person", (Name(text),))
    for match in Index([entry]).find(person(text), 70):
        assert why(match).isprintable()
