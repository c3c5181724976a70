"""The rows of deliveries: what went out, or waits to, and how far each got."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.declare import Answer, Request
from guilder.contracts.errors import Conflict, NotFound

Subscription = Literal[
    "maintenance", "payment.booked", "payment.refused", "payment.reversed", "payment.waiting"
]
"""What can be subscribed to: an event of payments, or everything about planned maintenance."""

Channel = Literal["email", "webhook"]

DeliveryState = Literal["queued", "sent", "failed", "gone"]
"""Waits or is under way; was taken by the other side; was given up; has no recipient any more."""


def subscription(topic: str) -> str:
    """What somebody must have subscribed to in order to hear of a topic."""
    return "maintenance" if topic.startswith("maintenance.") else topic


class UnknownDelivery(NotFound):
    """No such delivery, or it was tidied away."""

    code = "unknown-delivery"
    title = "There is no such delivery"
    fix = "List them with GET /v1/notification-deliveries; old ones are tidied away."


class NotReplayable(Conflict):
    """The delivery is still under way, or nobody is there to receive it."""

    code = "not-replayable"
    title = "This delivery cannot be sent again"
    fix = "Read the delivery: it is queued already, or its recipient is gone."


class DeliveryId(Request, frozen=True, kw_only=True):
    """Which delivery."""

    delivery_id: UUID


class DeliveryQuery(Request, frozen=True, kw_only=True):
    """Filter of the list of deliveries; pass `next` as `before`."""

    state: DeliveryState | None = None
    channel: Channel | None = None
    recipient: UUID | None = None
    about: UUID | None = None
    before: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class DeliveryLine(Answer, frozen=True, kw_only=True):
    """One thing that happened to a delivery.

    `why` is the kind of failure, where there was one; `by` the edition that was asked.
    """

    at: datetime
    what: Literal["queued", "tried", "sent", "failed", "gone", "replayed"]
    why: str | None = None
    by: str | None = None


class Delivery(Answer, frozen=True, kw_only=True):
    """A message on its way to one recipient, without its address.

    `recipient` is a webhook endpoint or a principal; `about` what the message is about. `next_at`
    is when it is tried (again), while it is queued. `why` is the kind of the last failure, `by`
    the edition that was asked last, `reference` the carrier's own, `replays` the sent
    delivery that this one sends again. `log` is only in the answer to
    a single delivery, oldest first.
    """

    id: UUID
    channel: Channel
    recipient: UUID
    topic: str
    about: UUID | None
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_at: datetime | None
    ended_at: datetime | None
    why: str | None
    by: str | None
    reference: str | None
    replays: UUID | None
    log: list[DeliveryLine] | None = None


class Deliveries(Answer, frozen=True, kw_only=True):
    """A page, newest first."""

    items: list[Delivery]
    next: UUID | None
