"""`notifications`: what people and systems of a tenant are told: inbox, e-mail, webhooks.

`deliver` brings one message to the outside and may be somebody else's edition; the inbox, the
addresses, the webhook endpoints and the rows of deliveries stay stock. A text in the inbox may
hold moments as `{2026-03-03T01:00:00Z}`: each reader gets them in the zone of his tenant and in
UTC, so one message serves everyone on the platform.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import (
    Answer,
    Answers,
    Batch,
    Contract,
    Nothing,
    Personal,
    Request,
    operation,
)
from guilder.contracts.errors import (
    AddressRefused,
    Conflict,
    Forbidden,
    Refused,
    TooManyRequests,
)
from guilder.contracts.notifications.addresses import (
    AddressUnknown,
    ChooseTopics,
    CodeWrong,
    ConfirmEmail,
    EmailState,
    MailNotOffered,
    OwnEmail,
    SetEmail,
)
from guilder.contracts.notifications.deliveries import (
    Channel as Channel,
    Deliveries,
    Delivery,
    DeliveryId,
    DeliveryQuery,
    NotReplayable,
    UnknownDelivery,
)
from guilder.contracts.notifications.webhooks import (
    RegisterWebhook,
    RotateWebhook,
    TooManyWebhooks,
    UnknownWebhook,
    Webhook,
    WebhookId,
    Webhooks,
    WebhookSecret,
    WebhookTaken,
)

Topic = Annotated[str, msgspec.Meta(pattern=r"^[a-z-]{1,40}\.[a-z0-9-]{1,40}(?!\n)$")]
"""What a message is about, for programs: `maintenance.72h`, `payment.booked`."""

_MADE: Final = 80
"""Bits of a UUIDv7 below its clock."""
_EARLY, _LATE = timedelta(days=1), timedelta(days=400)


class MessageDiffers(Conflict):
    """The id was used for another message."""

    code = "message-differs"
    title = "Another message carries this id"
    fix = "Use a new UUIDv7 for a new message; one that was delivered never changes."


class Undeliverable(Refused):
    """This address never takes this message; it is not tried again."""

    code = "undeliverable"
    title = "The message cannot be delivered to this address"
    fix = "Read `detail`; correct the address, or register another one, and replay the delivery."


class ChannelDisclaimed(Refused):
    """The edition does not offer the channel; stock delivers in its place."""

    code = "channel-disclaimed"
    title = "This edition does not deliver over this channel"
    fix = "Nothing: the platform delivers the message itself."


class Deliver(Request, frozen=True, kw_only=True):
    """Bring one message to one recipient outside; `id` (UUIDv7) is by what a repeat is recognised.

    Delivered once: a repeat gets the answer of the first. `to` is an e-mail address or an https
    URL; `text` the body of the mail, or the JSON document that a webhook posts as it stands.
    Messages with one `order` go out in the order of their ids.
    """

    id: UUID
    channel: Channel
    to: Annotated[str, msgspec.Meta(min_length=3, max_length=320), Personal()]
    topic: Topic
    order: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    subject: Annotated[str, msgspec.Meta(min_length=3, max_length=200)]
    text: Annotated[str, msgspec.Meta(min_length=3, max_length=2_000)]


class Delivered(Answer, frozen=True, kw_only=True):
    """Handed over to the outside, since when; `reference` is the carrier's own."""

    id: UUID
    at: datetime
    reference: Annotated[str, msgspec.Meta(max_length=200)] | None = None


def faults(asked: Deliver, delivered: Delivered) -> Iterator[str]:
    """What a receipt must never be."""
    if delivered.id != asked.id:
        yield f"the receipt is for {delivered.id}, the message was {asked.id}"
    if delivered.at.tzinfo is None:
        yield "the moment of delivery has no zone"
    elif not _near(asked.id, delivered.at):
        yield f"{delivered.at.isoformat()} is no moment at which this message was delivered"
    if delivered.reference is not None:
        if not delivered.reference.isprintable():
            yield "the reference holds a character that cannot be shown"
        if asked.to.casefold() in delivered.reference.casefold():
            yield "the reference holds the recipient's address"


def _near(message: UUID, at: datetime) -> bool:
    """Whether a moment can be that of a message's delivery, by the clock in its id."""
    made = datetime.fromtimestamp((message.int >> _MADE) / 1000, UTC)
    return -_EARLY <= at - made <= _LATE


class Post(Request, frozen=True, kw_only=True):
    """A message for everyone of the tenant of the call; tenant 0 = everyone on the platform.

    It holds no personal data. `id` is a UUIDv7 of the caller's, by which a repeat is recognised;
    `about` the thing that the message is about.
    """

    id: UUID
    topic: Topic
    about: UUID | None = None
    subject: Annotated[str, msgspec.Meta(min_length=3, max_length=200)]
    text: Annotated[str, msgspec.Meta(min_length=3, max_length=2_000)]


class Posted(Answer, frozen=True, kw_only=True):
    """The message is in the inbox, since when."""

    id: UUID
    at: datetime


class InboxQuery(Request, frozen=True, kw_only=True):
    """Newest first; pass `next` as `before`."""

    before: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class Message(Answer, frozen=True, kw_only=True):
    """What somebody is told. `everyone`: it went to all tenants of the platform."""

    id: UUID
    at: datetime
    topic: str
    about: UUID | None
    subject: str
    text: str
    everyone: bool


class Inbox(Answer, frozen=True, kw_only=True):
    """Messages, newest first."""

    items: list[Message]
    next: UUID | None


class Notifications(Contract, name="notifications", version="1.0.0", kind="delivery"):
    """What people and systems are told."""

    @operation(
        "POST /deliveries",
        deadline_ms=10_000,
        replaceable=True,
        sees=("id", "channel", "to", "topic", "order", "subject", "text"),
        faults=faults,
        problems=(MessageDiffers, Undeliverable, ChannelDisclaimed),
    )
    async def deliver(self, calls: Batch[Deliver]) -> Answers[Delivered]:
        """Bring messages to the outside; one with a known id is not delivered again."""
        raise NotImplementedError

    @operation("POST /inbox-messages", deadline_ms=2_000, problems=(MessageDiffers,))
    async def post(self, calls: Batch[Post]) -> Answers[Posted]:
        """Put messages of other services into inboxes; one with a known id is there already."""
        raise NotImplementedError

    @operation("GET /inbox", public=True, on="inside")
    async def inbox(self, ctx: Context, request: InboxQuery) -> Inbox:
        """Read the messages to one's tenant and to the platform; everyone who is signed in."""
        raise NotImplementedError

    @operation("GET /notification-deliveries", public=True, may="view")
    async def deliveries(self, ctx: Context, request: DeliveryQuery) -> Deliveries:
        """List what goes and went out by e-mail and webhook, newest first; staff only."""
        raise NotImplementedError

    @operation(
        "GET /notification-deliveries/{delivery_id}",
        public=True,
        may="view",
        problems=(UnknownDelivery,),
    )
    async def delivery(self, ctx: Context, request: DeliveryId) -> Delivery:
        """Read a delivery with its small log; staff only."""
        raise NotImplementedError

    @operation(
        "POST /notification-deliveries/{delivery_id}/replay",
        public=True,
        may="administer",
        problems=(UnknownDelivery, NotReplayable),
    )
    async def replay(self, ctx: Context, request: DeliveryId) -> Delivery:
        """Send again: what failed in outages goes on under its id, anything else under a new id."""
        raise NotImplementedError

    @operation(
        "POST /webhook-endpoints",
        public=True,
        may="administer",
        status=201,
        subject="id",
        problems=(AddressRefused, TooManyWebhooks, WebhookTaken),
    )
    async def register_webhook(self, ctx: Context, request: RegisterWebhook) -> WebhookSecret:
        """Register an address that events are posted to; its secret is shown this once."""
        raise NotImplementedError

    @operation("GET /webhook-endpoints", public=True, may="view")
    async def webhooks(self, ctx: Context, request: Nothing) -> Webhooks:
        """List the tenant's webhook endpoints; staff only."""
        raise NotImplementedError

    @operation(
        "POST /webhook-endpoints/{endpoint_id}/rotation",
        public=True,
        may="administer",
        subject="id",
        problems=(UnknownWebhook,),
    )
    async def rotate_webhook(self, ctx: Context, request: RotateWebhook) -> WebhookSecret:
        """Give an endpoint a new secret; both sign for a while, and this one is shown once."""
        raise NotImplementedError

    @operation(
        "POST /webhook-endpoints/{endpoint_id}/activation",
        public=True,
        may="administer",
        problems=(UnknownWebhook,),
    )
    async def enable_webhook(self, ctx: Context, request: WebhookId) -> Webhook:
        """Use an endpoint again that was disabled after days of failure."""
        raise NotImplementedError

    @operation(
        "POST /webhook-endpoints/{endpoint_id}/removal",
        public=True,
        may="administer",
        problems=(UnknownWebhook,),
    )
    async def remove_webhook(self, ctx: Context, request: WebhookId) -> Webhook:
        """Remove an endpoint for good; what waits for it is not sent."""
        raise NotImplementedError

    @operation("GET /email-address", public=True, on="inside", problems=(AddressUnknown,))
    async def email(self, ctx: Context, request: Nothing) -> OwnEmail:
        """Read one's own e-mail address."""
        raise NotImplementedError

    @operation(
        "POST /email-address",
        public=True,
        on="inside",
        problems=(Forbidden, MailNotOffered, TooManyRequests),
    )
    async def set_email(self, ctx: Context, request: SetEmail) -> EmailState:
        """Set one's own e-mail address; only a code is sent there until it is confirmed."""
        raise NotImplementedError

    @operation(
        "POST /email-address/confirmation",
        public=True,
        on="inside",
        problems=(AddressUnknown, CodeWrong),
    )
    async def confirm_email(self, ctx: Context, request: ConfirmEmail) -> EmailState:
        """Confirm one's own e-mail address with the code that was sent to it."""
        raise NotImplementedError

    @operation("POST /email-address/topics", public=True, on="inside", problems=(AddressUnknown,))
    async def choose_topics(self, ctx: Context, request: ChooseTopics) -> EmailState:
        """Choose what one is not written about."""
        raise NotImplementedError

    @operation("POST /email-address/removal", public=True, on="inside", problems=(AddressUnknown,))
    async def remove_email(self, ctx: Context, request: Nothing) -> EmailState:
        """Remove one's own e-mail address; nothing is sent there any more."""
        raise NotImplementedError
