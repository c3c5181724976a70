"""The suite of `pricing`: every edition has a tariff of its own, so what is known beforehand is
what the contract says of any tariff.
"""

import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from guilder.chassis.contract import convert, encode, plain
from guilder.conformance.checks import Broken, Check
from guilder.conformance.session import TENANTS, Session
from guilder.conformance.subject import Marked, Subject
from guilder.contracts import values
from guilder.contracts.pricing.v1 import Pricing, Question
from guilder.contracts.values import MAX_MINOR, Money

CURRENCIES: Final = ("EUR", "USD", "GBP", "CHF", "JPY", "BHD", "KRW", "TND")
"""With two decimals, with none, and with three."""

NOON: Final = "2026-03-02T12:00:00Z"

FORMS: Final = {
    NOON: (
        "2026-03-02T12:00:00+00:00",
        "2026-03-02T12:00:00.000Z",
        "2026-03-02T13:00:00+01:00",
        "2026-03-02T06:30:00-05:30",
        "2026-03-03T02:00:00+14:00",
    ),
    "2024-02-29T23:59:59.999999Z": ("2024-03-01T00:59:59.999999+01:00",),
    "2026-10-25T01:00:00Z": ("2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+02:00"),
}
"""Moments, and other ways to write the same: a leap day's last, the hour that clocks repeat."""


class Fees(Subject):
    """Questions about fees."""

    def questions(self, chance: random.Random, count: int) -> list[Question]:
        """Amounts of all sizes in several currencies, no two alike."""
        return [self._question(chance, n) for n in range(count)]

    def _question(self, chance: random.Random, n: int) -> Question:
        largest = 10 ** chance.randint(2, 12)
        return Question(
            operation="book_transfer",
            product=chance.choice(("current", "savings")),
            amount=Money(chance.randint(1, largest) * 997 + n, chance.choice(CURRENCIES)),
            at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(10**7)),
        )

    def marked(self, chance: random.Random) -> Marked:
        """An amount that no tariff comes to by itself."""
        amount = Money(chance.randrange(10**11, 10**12) * 10 + 7, "EUR")
        asked = Question(
            operation="book_transfer", product="current", amount=amount, at=_moments()[0]
        )
        return Marked(asked, (amount.amount, str(amount.minor)))

    def may_refuse(self, request: Question, code: str) -> bool:
        """Less than nothing, and moments that no calendar of an edition reaches."""
        return request.amount.minor < 0 or not 1970 < request.at.year < 9000

    def tame(self, item: dict[str, Any]) -> dict[str, Any]:
        """With a currency that there is, no more decimals than it has, and a moment in reach."""
        amount, currency = item["amount"]["amount"], item["amount"]["currency"]
        if currency not in values.CURRENCIES:
            currency = CURRENCIES[len(amount) % len(CURRENCIES)]
        whole, _, rest = amount.partition(".")
        rest = rest[: values.CURRENCIES[currency]]
        whole = whole[-(15 - values.CURRENCIES[currency]) :].lstrip("-0") or "1"
        amount = f"{whole}.{rest}" if rest else whole
        at = (
            item["at"] if re.match(r"(19[89]|20)\d.*:[0-5]\d(\.\d+)?(Z|[+-])", item["at"]) else NOON
        )
        return {**item, "amount": {"amount": amount, "currency": currency}, "at": at}

    def bad(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """Amounts that are no decimal strings, and what is none of the words."""
        amounts: tuple[Any, ...] = (0.1, 1, "1e3", "1,00", "", " 1 ", "+1", "0x1", "٣", "1_000")
        wrong = [{"amount": amount, "currency": "EUR"} for amount in amounts]
        wrong += [{"amount": "1.00"}, {"currency": "EUR"}, {"amount": "1.00", "currency": "eur"}]
        wrong.append({"amount": "1.00", "currency": "EUR", "scale": 2})
        return [
            *({**item, "amount": amount} for amount in wrong),
            {**item, "operation": "anything"},
            {**item, "product": "gold"},
            *({**item, "at": at} for at in ("", "noon", "2026-13-01T00:00:00Z", "2026-02-30")),
        ]


def golden(session: Session) -> str:
    """Ask at the edges: nothing, the smallest unit, the largest amount, every kind of currency."""
    asked = [
        Question(operation="book_transfer", product="current", amount=Money(minor, currency), at=at)
        for currency in ("EUR", "JPY", "BHD")
        for minor in (0, 1, 99, 100, MAX_MINOR)
        for at in _moments()
    ]
    session.ask(TENANTS[0], asked)
    return f"{len(asked)} questions"


def _moments() -> list[datetime]:
    return [datetime.fromisoformat(text.replace("Z", "+00:00")) for text in FORMS]


def forms(session: Session) -> None:
    """Ask the same question in other words."""
    base = {"operation": "book_transfer", "product": "savings"}
    money = {"amount": "1234.50", "currency": "EUR"}
    for moment, others in FORMS.items():
        _alike(session, [{**base, "amount": money, "at": at} for at in (moment, *others)])
    for currency, amounts in {"EUR": ("7.50", "7.5"), "BHD": ("7.500", "7.5", "7.50")}.items():
        said = [{"amount": amount, "currency": currency} for amount in amounts]
        _alike(session, [{**base, "amount": one, "at": NOON} for one in said])


def _alike(session: Session, items: Sequence[dict[str, Any]]) -> None:
    """Broken unless all of these get one answer."""
    first: Any = None
    for item in items:
        body = encode({"tenant": TENANTS[0], "items": [item]})
        request = convert(item, Question)
        came = session.send(session.sent(body))
        (answer,) = session.read(TENANTS[0], [request], came)
        if first is None:
            first = answer
        if answer != first:
            session.same(TENANTS[0], [request], [answer], "when it was asked again")
            session.same(TENANTS[0], [convert(items[0], Question)], [first], "later")
            raise Broken("forms", f"{plain(answer)}, to {items[0]} it was {plain(first)}", item)


CHECKS: Final = (
    Check(
        "golden",
        "amounts of nothing, of one minor unit and of 10^15 are priced, in currencies with 0, 2"
        " and 3 decimals",
        "Count in whole minor units; take the decimals from ISO 4217.",
        golden,
    ),
    Check(
        "forms",
        "one moment is one moment in any zone, and 7.5 is 7.50",
        "Turn moments into UTC and amounts into minor units before deciding.",
        forms,
    ),
)

SUBJECT: Final = Fees(Pricing, CHECKS)
