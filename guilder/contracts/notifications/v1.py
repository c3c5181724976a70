"""`notifications`: what people of a tenant are told, in their inbox.

A text may hold moments as `{2026-03-03T01:00:00Z}`. Each reader gets them in the zone of his
tenant and in UTC, so one message serves everyone on the platform.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Answers, Batch, Contract, Request, operation
from guilder.contracts.errors import Conflict

Topic = Annotated[str, msgspec.Meta(pattern=r"^[a-z-]{1,40}\.[a-z0-9-]{1,40}(?!\n)$")]
"""What a message is about, for programs: `maintenance.72h`."""


class MessageDiffers(Conflict):
    """The id was used for another message."""

    code = "message-differs"
    title = "Another message carries this id"
    fix = "Use a new UUIDv7 for a new message; one that was delivered never changes."


class Deliver(Request, frozen=True, kw_only=True):
    """A message for everyone of the tenant of the call; tenant 0 = everyone on the platform.

    It holds no personal data. `id` is a UUIDv7 of the caller's, by which a repeat is recognised;
    `about` the thing that the message is about.
    """

    id: UUID
    topic: Topic
    about: UUID | None = None
    subject: Annotated[str, msgspec.Meta(min_length=3, max_length=200)]
    text: Annotated[str, msgspec.Meta(min_length=3, max_length=2_000)]


class Delivered(Answer, frozen=True, kw_only=True):
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


class Notifications(Contract, name="notifications", version="1.0.0-draft", kind="delivery"):
    """What people are told."""

    @operation("POST /messages", deadline_ms=2_000, problems=(MessageDiffers,))
    async def deliver(self, calls: Batch[Deliver]) -> Answers[Delivered]:
        """Deliver messages for other services; one with a known id is not delivered again."""
        raise NotImplementedError

    @operation("GET /inbox", public=True, on="inside")
    async def inbox(self, ctx: Context, request: InboxQuery) -> Inbox:
        """Read the messages to one's tenant and to the platform; everyone who is signed in."""
        raise NotImplementedError
