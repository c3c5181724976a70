"""`screening`: whether the lists of sanctioned people and organisations may mean somebody.

`check` is a decision: same question, same answer while the lists are the same. Cases and what
becomes of them are of stock, whoever answers the check.
"""

import unicodedata
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import (
    Answer,
    Answers,
    Batch,
    Contract,
    Personal,
    Request,
    operation,
)
from guilder.contracts.errors import Conflict, NotFound

Kind = Literal["person", "organisation"]
Role = Literal["payer", "payee"]
"""On which side of a payment somebody stands."""
CaseState = Literal["open", "released", "confirmed"]
Reason = Annotated[str, msgspec.Meta(min_length=3, max_length=200), Personal()]

FUZZY_NAMES, BIRTH_DATES = "fuzzy-names", "birth-dates"
"""What an edition may do without, if it says so: to find misspelt names; to clear whose birth date
is another than the list's."""

ECHO: Final = 8
"""From so many characters on a name that stands in `basis` or `entry` is an echo, no accident."""


class UnknownCase(NotFound):
    """No such case in this bank."""

    code = "unknown-case"
    title = "There is no such case"
    fix = "Check the id; GET /v1/screening/cases lists the cases of your bank."


class CaseDecided(Conflict):
    """The case was released or confirmed before."""

    code = "case-decided"
    title = "The case was decided before"
    fix = "Read the case: it is released or confirmed for good."


class Side(Request, frozen=True, kw_only=True):
    """One side of a payment: a person or an organisation, as the bank knows it.

    `country` ISO 3166-1 alpha-2 of the address; `birth_date` of a person, where known.
    """

    kind: Kind
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=140), Personal()]
    country: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}(?!\n)$")] | None = None
    birth_date: Annotated[date | None, Personal()] = None


SENTINEL_PERSON: Final = Side(
    kind="person", name="Zebulon Quillfeather Varnhagen", birth_date=date(1951, 7, 23)
)
SENTINEL_ORGANISATION: Final = Side(kind="organisation", name="Umbrafjord Obsidian Shipping")
SENTINELS: Final = (SENTINEL_PERSON, SENTINEL_ORGANISATION)
"""Invented names that every edition reports as a hit, on either side and whatever its lists hold,
so that a suite can test any edition: exactly these words, of this kind. The person is of this
birth date and no particular country; asked without a birth date it is a hit as well. An edition
that offers `fuzzy-names` finds them with one letter misspelt too, one that offers `birth-dates`
clears the person of another year of birth."""


class Check(Request, frozen=True, kw_only=True):
    """May this payer pay this payee, as far as the lists say? No amount, no account."""

    payer: Side
    payee: Side
    at: datetime


class Hit(Answer, frozen=True, kw_only=True):
    """An entry of a list that may be meant, and why it was found, in a sentence.

    `list` names the list ("OFAC SDN"), `entry` is that list's own id, `name` the name on it that
    matched. `score` goes from 0 to 100.
    """

    side: Role
    list: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    entry: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    score: Annotated[int, msgspec.Meta(ge=0, le=100)]
    why: Annotated[str, msgspec.Meta(min_length=1, max_length=500), Personal()]


class Checked(Answer, frozen=True, kw_only=True):
    """`hit` where any entry may be meant; somebody of the bank then looks at it.

    `basis` says which lists, as of when.
    """

    verdict: Literal["clear", "hit"]
    hits: Annotated[list[Hit], msgspec.Meta(max_length=50)]
    basis: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


def faults(asked: Check, checked: Checked) -> Iterator[str]:
    """What a checked answer must never be."""
    if (checked.verdict == "hit") != bool(checked.hits):
        yield f"the verdict is {checked.verdict} with {len(checked.hits)} hits"
    texts = [text for hit in checked.hits for text in (hit.list, hit.entry, hit.name, hit.why)]
    if not all(text.isprintable() for text in (checked.basis, *texts)):
        yield "a text holds a character that cannot be shown"
    kept = [_plain(text) for text in (checked.basis, *(hit.entry for hit in checked.hits))]
    for side, name in (("payer", _plain(asked.payer.name)), ("payee", _plain(asked.payee.name))):
        if len(name) >= ECHO and any(name in text for text in kept):
            yield f"basis or entry holds the name of the {side}"


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Examined(Request, frozen=True, kw_only=True):
    """Somebody who was checked, as a holder of the one account or the other, and the hits on him.

    `party` is whose personal data it is: it is stored sealed with that party's key.
    """

    role: Role
    party: UUID
    side: Side
    hits: list[Hit]


class OpenCase(Request, frozen=True, kw_only=True):
    """A hit on a payment: who was checked, what was found, and which edition found it.

    `sides` are all holders of both accounts, each once. `screened_by` is the edition's full
    version ("screening B.1.0.0"), `generation` that of the binding.
    """

    payment_id: UUID
    sides: Annotated[list[Examined], msgspec.Meta(min_length=1, max_length=16)]
    basis: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    screened_by: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    generation: Annotated[int, msgspec.Meta(ge=0)]


class WhichPayment(Request, frozen=True, kw_only=True):
    """The payment whose case is asked for."""

    payment_id: UUID


class Standing(Answer, frozen=True, kw_only=True):
    """How the case of a payment stands, and who screened it; all None where there is none."""

    case_id: UUID | None = None
    state: CaseState | None = None
    screened_by: str | None = None
    generation: int | None = None


class CaseQuery(Request, frozen=True, kw_only=True):
    """The cases of this bank, oldest first; pass `next` as `after`."""

    state: CaseState | None = None
    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class CaseLine(Answer, frozen=True, kw_only=True):
    """A case without personal data: how many hits there are on which payment, and who found them.

    `screened_by` is the edition's full version.
    """

    id: UUID
    payment_id: UUID
    state: CaseState
    hits: int
    screened_by: str
    opened_at: datetime
    decided_at: datetime | None


class Cases(Answer, frozen=True, kw_only=True):
    """A page of cases."""

    items: list[CaseLine]
    next: UUID | None


class CaseId(Request, frozen=True, kw_only=True):
    """Which case."""

    case_id: UUID


class Case(Answer, frozen=True, kw_only=True):
    """A case with everybody who was checked and every hit explained.

    Of those who were erased since nothing is left but their number; `reason` goes with them where
    they were hit. `approval` is the proposal by which it was decided.
    """

    id: UUID
    payment_id: UUID
    state: CaseState
    sides: list[Examined]
    erased: int
    basis: str
    screened_by: str
    generation: int
    opened_at: datetime
    decided_at: datetime | None
    reason: Annotated[str | None, Personal()]
    approval: UUID | None


class DecideCase(Request, frozen=True, kw_only=True):
    """Decide a case, with the reason."""

    case_id: UUID
    reason: Reason


class DecidedCase(Answer, frozen=True, kw_only=True):
    """The case as it was decided, for good."""

    id: UUID
    payment_id: UUID
    state: CaseState
    decided_at: datetime


class Screening(Contract, name="screening", version="1.0.0", kind="decision"):
    """Checks against lists, and the cases that hits become."""

    @operation(
        "POST /checks",
        command=False,
        deadline_ms=1_000,
        replaceable=True,
        closed=True,
        sees=("payer", "payee", "at"),
        faults=faults,
    )
    async def check(self, calls: Batch[Check]) -> Answers[Checked]:
        """Check both sides of payments against the lists."""
        raise NotImplementedError

    @operation("POST /screening/cases", deadline_ms=2_000)
    async def open_case(self, calls: Batch[OpenCase]) -> Answers[Standing]:
        """Open the case of a payment, once; a repeat is answered how it stands."""
        raise NotImplementedError

    @operation("POST /screening/standings", command=False, deadline_ms=1_000)
    async def standing(self, calls: Batch[WhichPayment]) -> Answers[Standing]:
        """Say how the case of a payment stands, if there is one."""
        raise NotImplementedError

    @operation("GET /screening/cases", public=True, may="view")
    async def cases(self, ctx: Context, request: CaseQuery) -> Cases:
        """List the cases of this bank, oldest first; staff only."""
        raise NotImplementedError

    @operation("GET /screening/cases/{case_id}", public=True, may="view", problems=(UnknownCase,))
    async def case(self, ctx: Context, request: CaseId) -> Case:
        """Read a case with every hit explained; staff only."""
        raise NotImplementedError

    @operation(
        "POST /screening/cases/{case_id}/release",
        public=True,
        may="administer",
        four_eyes=True,
        problems=(UnknownCase, CaseDecided),
    )
    async def release_case(self, ctx: Context, request: DecideCase) -> DecidedCase:
        """Let the payment go on: nobody of the list is meant; somebody else has to agree."""
        raise NotImplementedError

    @operation(
        "POST /screening/cases/{case_id}/confirmation",
        public=True,
        may="administer",
        four_eyes=True,
        problems=(UnknownCase, CaseDecided),
    )
    async def confirm_case(self, ctx: Context, request: DecideCase) -> DecidedCase:
        """Refuse the payment: the list means this party; somebody else has to agree."""
        raise NotImplementedError
