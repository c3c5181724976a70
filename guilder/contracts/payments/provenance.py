"""Where the decisions on a payment came from, and what is said when one is asked for again."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from guilder.contracts.declare import Answer
from guilder.contracts.values import Money


class Decision(Answer, frozen=True, kw_only=True):
    """A step of a payment, who decided it, what was asked and what was answered.

    `binding` None = stock, which nobody bound; `fallback` = stock answered in its place.
    `generation` is that of the directory. `asked` holds nothing personal: of what an edition saw
    of people, that it saw it is all that is kept. `at` and `took_us` (microseconds) are null where
    they were not kept yet.
    """

    step: str
    edition: str
    version: str
    binding: UUID | None
    generation: int
    fallback: bool
    asked: dict[str, str]
    answered: str
    at: datetime | None
    took_us: int | None


class Decisions(Answer, frozen=True, kw_only=True):
    """The decisions on a payment, in the order in which they were made."""

    items: list[Decision]


Verdict = Literal["same", "different", "silent", "unbound", "unrecorded", "undecided"]
"""The same fee and rule; another; no answer; who decided is no longer bound; what was asked was
not kept; nothing was priced."""


class Explanation(Answer, frozen=True, kw_only=True):
    """The fee of a payment, derived again by asking who decided it the same question.

    `sentences` say it for people, with the values that counted. `again` names who was asked now.
    """

    payment: UUID
    state: str
    amount: Money
    fee: Money | None
    rule: str | None
    decision: Decision | None
    verdict: Verdict
    again: str | None = None
    fee_again: Money | None = None
    rule_again: str | None = None
    sentences: list[str]
