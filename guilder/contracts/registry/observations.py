"""What a process saw of bindings since it last told. No personal data travels here."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.declare import Answer, Request

Failure = Literal[
    "unreachable",
    "late",
    "broken",
    "untruthful",
    "refused-address",
    "too-large",
    "stale-digest",
    "open-circuit",
]
"""Why a call across a binding brought no answer that may be used."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Field = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Shown = Annotated[str, msgspec.Meta(max_length=80)]
Minor = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]


class Difference(Request, frozen=True, kw_only=True):
    """A field in which the other edition differs from the one that serves, and how often.

    `field` is its path in the answer (`fee`); where both are money, `delta_minor` is other minus
    serving in minor units of `currency`; else `serving` and `other` are short texts, of fields
    that hold no personal data.
    """

    field: Field
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}(?!\n)$")] | None = None
    delta_minor: Minor | None = None
    serving: Shown | None = None
    other: Shown | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=2**40)] = 1


class Seen(Request, frozen=True, kw_only=True):
    """What was seen of one binding: calls sent to it, how they ended, how long they took.

    `fallbacks` were answered by stock instead. A shadow's answers are `compared` with those of
    who serves; `dropped` were not, because its queue was full.
    """

    binding: UUID
    calls: Count
    failures: dict[Failure, Count]
    fallbacks: Count = 0
    total_ms: Count = 0
    slowest_ms: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    compared: Count = 0
    equal: Count = 0
    dropped: Count = 0
    differences: Annotated[list[Difference], msgspec.Meta(max_length=50)] = msgspec.field(
        default_factory=list
    )


class Observe(Request, frozen=True, kw_only=True):
    """What a process saw since it last told, at most once a second and when there is something."""

    process: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    seen: Annotated[list[Seen], msgspec.Meta(max_length=500)]


class Observed(Answer, frozen=True, kw_only=True):
    """How many lines were taken: those of bindings that exist."""

    taken: int
