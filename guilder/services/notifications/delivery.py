"""What is on its way outside, when it is tried again, and how an attempt ended. Pure."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from guilder.contracts.declare import Event
from guilder.contracts.errors import InvalidRequest, Problem
from guilder.contracts.notifications.deliveries import DeliveryState
from guilder.contracts.notifications.v1 import Channel, Deliver, Post
from guilder.contracts.values import uuid7

CODE_TOPIC: Final = "address.code"
"""The topic of a mail with the code that confirms an address."""

FIRST_PAUSE: Final = timedelta(seconds=10)
LONGEST_PAUSE: Final = timedelta(hours=6)
GROWTH: Final = 3
"""Twelve attempts reach about a day."""

LEASE: Final = timedelta(seconds=60)
"""How long a delivery belongs to the process that tries it: far longer than an attempt may take."""

KINDS: Final = frozenset(
    {
        "address-refused",
        "connection",
        "http-1xx",
        "http-3xx",
        "http-4xx",
        "http-5xx",
        "interrupted",
        "mail-not-offered",
        "recipient-gone",
        "smtp-4xx",
        "smtp-5xx",
        "smtp-login",
        "timeout",
        "tls",
    }
)
"""Kinds of failure besides the codes of problems. The list is closed: it is a metric's label."""

_RANKS: Final = {"payment.waiting": 0, "payment.booked": 1, "payment.refused": 1}
"""What of one payment comes first where the clock says the same; everything else is later."""


UUID_VERSION: Final = 7


def check(message: Post | Deliver, *shown: str) -> None:
    """InvalidRequest for an id without a time, or a character in a field that cannot be `shown`."""
    if message.id.version != UUID_VERSION:
        raise InvalidRequest("the id must be a UUIDv7: ids are in order of time", at="$.id")
    for name in shown:
        if not getattr(message, name).isprintable():
            raise InvalidRequest("holds a character that cannot be shown", at=f"$.{name}")


@dataclass(frozen=True)
class Outgoing:
    """A message to one recipient, before it is queued."""

    tenant: int
    id: UUID
    channel: Channel
    recipient: UUID
    topic: str
    order: str
    subject: str
    text: str
    about: UUID | None = None
    person: UUID | None = None
    sealed: bytes | None = None
    url: str | None = None


@dataclass(frozen=True)
class Verdict:
    """How an attempt ended. `queued` = to be tried again, at the earliest `after` from now.

    `refused`: whoever delivers will say the same to every repeat.
    """

    state: DeliveryState
    why: str | None = None
    by: str | None = None
    reference: str | None = None
    refused: bool = False
    after: timedelta = timedelta(0)


def pause(delivery: UUID, attempt: int) -> timedelta:
    """How long to wait after an attempt that failed (1 = the first).

    Grows threefold up to the longest; a half of it at least and all of it at most, by a hash, so
    that what failed together does not come back together and yet every process says the same.
    """
    grown: int = GROWTH ** min(attempt - 1, 20)
    whole = min(FIRST_PAUSE * grown, LONGEST_PAUSE)
    drawn = hashlib.sha256(f"{delivery}|{attempt}".encode()).digest()
    return whole / 2 + whole / 2 * (int.from_bytes(drawn[:4]) / 2**32)


def kind(problem: Problem) -> str:
    """The kind of failure that a problem tells of."""
    told = problem.more.get("kind")
    return told if isinstance(told, str) and told in KINDS else problem.code


def judge(problem: Problem) -> Verdict:
    """What becomes of a delivery that ended in a problem: outages are tried again."""
    why = kind(problem)
    if not problem.final:
        seconds = min(problem.retry_after or 0, LONGEST_PAUSE.total_seconds())
        return Verdict("queued", why, after=timedelta(seconds=seconds))
    return Verdict("gone" if why == "recipient-gone" else "failed", why, refused=True)


def copy_id(message: UUID, recipient: UUID) -> UUID:
    """The id of a message's delivery to one recipient: the same at every repeat.

    Clock and upper random bits are the message's, so deliveries keep the order of messages.
    """
    drawn = hashlib.sha256(message.bytes + recipient.bytes).digest()
    low = int.from_bytes(drawn[:8]) & ((1 << 62) - 1)
    return UUID(int=message.int >> 64 << 64 | 2 << 62 | low)


def event_id(event: Event) -> UUID:
    """The id of what is told of an event of a payment: of its content alone, in its order."""
    names = "|".join(f"{name}={value}" for name, value in sorted(event.ids.items()))
    drawn = hashlib.sha256(f"{event.type}|{event.tenant}|{names}".encode()).digest()
    rank = _RANKS.get(event.type, 2)
    return uuid7(event.at, rank << 72 | int.from_bytes(drawn[:9]))


def due_again(delivery: UUID, attempts: int, verdict: Verdict, now: datetime) -> datetime:
    """When a delivery is tried again."""
    return now + max(pause(delivery, attempts), verdict.after)
