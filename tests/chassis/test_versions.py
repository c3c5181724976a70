"""Versions live at least 180 days after they are deprecated; what an older edition knows."""

import json
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given, strategies as st

from guilder.chassis import versions as module
from guilder.chassis.openapi import contract_document
from guilder.chassis.versions import NOTICE, Known, Versions, document, fields_of, versions
from guilder.contracts.declare import Answer, Answers, Batch, Contract, Request, operation
from guilder.contracts.pricing.v1 import Pricing


class Side(Request, frozen=True, kw_only=True):
    """Who."""

    name: str


class LaterSide(Request, frozen=True, kw_only=True):
    """Who, and from where."""

    name: str
    country: str | None = None


class Score(Answer, frozen=True, kw_only=True):
    """How many points."""

    points: int


class LaterScore(Answer, frozen=True, kw_only=True):
    """How many points, and why."""

    points: int
    why: str | None = None


def made(side, score, version, later=False):
    class Check(Request, frozen=True, kw_only=True):
        """A question about both."""

        sides: list[side]
        note: str

    class Made(Contract, name="made", version=version, kind="decision"):
        """Made up for this test."""

        @operation("POST /checks", command=False, replaceable=True, sees=("sides", "note"))
        async def check(self, calls: Batch[Check]) -> Answers[score]:
            """Check."""

        if later:

            @operation("POST /others", command=False, replaceable=True, sees=("note",))
            async def other(self, calls: Batch[Check]) -> Answers[score]:
                """Ask something else."""

    return Made


@pytest.fixture
def two(monkeypatch):
    """A contract whose 1.0.0 is frozen, and whose present version is 1.1.0."""
    kept = json.loads(json.dumps(contract_document(made(Side, Score, "1.0.0"))))
    monkeypatch.setattr(module, "frozen", lambda n, v: kept if v == "1.0.0" else None)
    return made(LaterSide, LaterScore, "1.1.0", later=True)


ASKED = {"sides": [{"name": "Ada", "country": "GB"}, {"name": "Bob"}], "note": "n"}


def test_an_older_edition_is_asked_and_heard_only_what_its_version_knows(two):
    known = fields_of(two, "1.0.0")
    assert set(known) == {"check"}  # the younger operation stays with stock
    assert known["check"].ask(ASKED) == {"sides": [{"name": "Ada"}, {"name": "Bob"}], "note": "n"}
    assert known["check"].answer({"points": 3, "why": "w", "more": 1}) == {"points": 3}


def test_an_edition_of_the_present_version_is_asked_everything(two):
    known = fields_of(two, "1.1.0")
    assert set(known) == {"check", "other"}
    assert known["check"].ask(ASKED) == ASKED
    assert known["check"].answer({"points": 3, "why": "w"}) == {"points": 3, "why": "w"}
    assert known["other"].ask(ASKED) == {"note": "n"}


def test_only_for_an_older_version_is_anything_left_out(two, monkeypatch):
    monkeypatch.setattr(module, "all_contracts", lambda: {"made": two})
    module.older.cache_clear()
    assert set(module.older("made", "1.0.0")) == {"check"}
    for version in ("1.1.0", "", "1.2.0"):  # the present one, stock, one of a later platform
        assert module.older("made", version) is None
    assert module.older("unknown", "1.0.0") is None
    module.older.cache_clear()


def test_a_version_that_never_was_is_known_by_nobody(two):
    with pytest.raises(LookupError, match=r"no made 1\.2\.0"):
        fields_of(two, "1.2.0")


def test_what_pricing_asks_is_all_known():
    (known,) = fields_of(Pricing, Pricing.contract_version.removesuffix("-draft")).values()
    asked = {
        "operation": "book_transfer",
        "product": "current",
        "amount": {"amount": "1.00", "currency": "EUR"},
        "at": "2026-03-02T09:30:00Z",
    }
    assert known.ask(asked) == asked
    assert document(Pricing)["info"]["version"] == Pricing.contract_version


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(), max_size=4))
def test_what_is_left_out_is_what_is_not_named(item):
    known = Known({"properties": {"a": {}, "b": {}}}, {}, {})
    assert known.ask(item) == {n: v for n, v in item.items() if n in "ab"}


# ── the days ─────────────────────────────────────────────────────────────────────────────────

BOOK = """
[made."1.0.0"]
released = 2026-01-31
deprecated = 2027-01-31
sunset = 2027-07-30
[made."1.10.0"]
released = 2026-06-01
[made."1.9.0"]
released = 2026-05-01
[made.operations.check]
deprecated = 2027-02-01
"""


def test_versions_are_listed_by_their_numbers():
    assert list(Versions(BOOK).released("made")) == ["1.0.0", "1.9.0", "1.10.0"]
    assert Versions(BOOK).released("unknown") == {}


@given(st.dates(date(2026, 2, 1), date(2090, 1, 1)), st.integers(-400, 400))
def test_a_sunset_is_never_sooner_than_180_days(deprecated, days):
    sunset = date.fromordinal(deprecated.toordinal() + days)
    text = f'[m."1.0.0"]\nreleased=2026-01-31\ndeprecated={deprecated}\nsunset={sunset}\n'
    if days >= 180:
        assert Versions(text).released("m")["1.0.0"].sunset == sunset
    else:
        with pytest.raises(ValueError, match="180 days after"):
            Versions(text)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("sunset = 2027-01-31\nreleased = 2026-01-31", "needs the day"),
        ("deprecated = 2025-01-31\nreleased = 2026-01-31", "before it was released"),
        ("deprecated = 2027-01-31", "say when it was released"),
        ('released = "2026-01-31"', "must be a day"),
        ("released = 2026-01-31T00:00:00Z", "must be a day"),
        ("released = 2026-01-31\nretired = 2027-01-31", "knows no retired"),
    ],
)
def test_days_that_make_no_sense_are_refused(lines, said):
    with pytest.raises(ValueError, match=said):
        Versions(f'[made."1.0.0"]\n{lines}\n')


def test_what_this_tree_says_keeps_the_promise():
    versions()  # reading it is the test
    assert NOTICE.days == 180


def test_nothing_is_bound_to_what_was_never_released_or_has_ended(two):
    book = Versions(BOOK)
    assert "was never released; released are: 1.0.0, 1.9.0, 1.10.0" in book.unbindable(
        two, "1.2.0", date(2026, 3, 2)
    )
    assert book.unbindable(two, "1.1.0", date(2026, 3, 2)) == ""  # the present version
    assert book.unbindable(two, "1.0.0", date(2027, 7, 29)) == ""
    assert "has ended on 2027-07-30" in book.unbindable(two, "1.0.0", date(2027, 7, 30))
    second = made(Side, Score, "2.0.0")
    assert "no longer 1.0.0" in book.unbindable(second, "1.0.0", date(2026, 3, 2))


def test_the_headers_begin_on_the_day_and_name_both_moments():
    book, check = Versions(BOOK), made(Side, Score, "1.0.0", later=True).operations()
    life = book.life(check["other"], "1.0.0")
    assert life.headers("/docs", date(2027, 1, 30)) == {}
    headers = life.headers("/docs", date(2027, 1, 31))
    since = datetime.fromtimestamp(int(headers["Deprecation"].removeprefix("@")), UTC)
    assert since == datetime(2027, 1, 31, tzinfo=UTC)
    assert parsedate_to_datetime(headers["Sunset"]) == datetime(2027, 7, 30, tzinfo=UTC)
    assert headers["Link"] == '</docs>; rel="deprecation", </docs>; rel="sunset"'
    own = book.life(check["check"], "1.0.0").headers("/docs", date(2027, 2, 1))
    assert set(own) == {"Deprecation", "Link"}  # no end is known yet
    assert book.life(check["other"], "1.9.0").headers("/docs", date(2090, 1, 1)) == {}
