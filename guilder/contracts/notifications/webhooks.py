"""Webhook endpoints: addresses of a tenant's own systems that events are posted to, signed."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from guilder.contracts.declare import Answer, Request
from guilder.contracts.errors import Conflict, NotFound
from guilder.contracts.notifications.deliveries import Subscription


class TooManyWebhooks(Conflict):
    """The tenant has as many endpoints as it may."""

    code = "too-many-webhooks"
    title = "There are as many webhook endpoints as there may be"
    fix = "Remove one that is not needed any more."


class WebhookTaken(Conflict):
    """Another endpoint of the tenant has this URL."""

    code = "webhook-taken"
    title = "There is an endpoint with this URL already"
    fix = "Use that one, or remove it first; rotate it where its secret was lost."


class UnknownWebhook(NotFound):
    """No such endpoint, or it was removed."""

    code = "unknown-webhook"
    title = "There is no such webhook endpoint"
    fix = "List them with GET /v1/webhook-endpoints."


class RegisterWebhook(Request, frozen=True, kw_only=True):
    """An https URL of the tenant's own system, and what is posted to it."""

    url: Annotated[str, msgspec.Meta(min_length=10, max_length=320)]
    topics: Annotated[list[Subscription], msgspec.Meta(min_length=1, max_length=20)]


class WebhookId(Request, frozen=True, kw_only=True):
    """Which endpoint."""

    endpoint_id: UUID


class RotateWebhook(Request, frozen=True, kw_only=True):
    """A new secret; the present one signs as well for `overlap_hours` more."""

    endpoint_id: UUID
    overlap_hours: Annotated[int, msgspec.Meta(ge=0, le=168)] = 24


class Webhook(Answer, frozen=True, kw_only=True):
    """A webhook endpoint.

    `failing_since`: since when nothing was taken there. After days of that it is disabled:
    nothing is sent until it is activated again.
    """

    id: UUID
    url: str
    topics: list[str]
    created_at: datetime
    failing_since: datetime | None = None
    disabled_at: datetime | None = None
    removed_at: datetime | None = None


class WebhookSecret(Answer, frozen=True, kw_only=True):
    """An endpoint and its secret (`whsec_` + base64 of 32 bytes), shown in this answer alone.

    `old_until`: how long the secret before this one signs as well.
    """

    id: UUID
    url: str
    topics: list[str]
    secret: str
    old_until: datetime | None = None


class Webhooks(Answer, frozen=True, kw_only=True):
    """The tenant's endpoints, in the order in which they were registered."""

    items: list[Webhook]
