"""E-mail addresses: a person sets his own, and confirms it before anything is sent there."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from guilder.contracts.declare import Answer, Personal, Request
from guilder.contracts.errors import NotFound, Refused
from guilder.contracts.notifications.deliveries import Subscription

Email = Annotated[
    str,
    msgspec.Meta(
        max_length=254,
        pattern=r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@([A-Za-z0-9-]{1,63}\.){1,8}"
        r"[A-Za-z][A-Za-z0-9-]{1,62}(?!\n)$",
    ),
    Personal(),
]
"""One plain ASCII address: no quotes, comments, names, spaces or line breaks; so no second one."""


class AddressUnknown(NotFound):
    """The person has set no address."""

    code = "no-email-address"
    title = "You have set no e-mail address"
    fix = "Set one with POST /v1/email-address."


class CodeWrong(Refused):
    """The code is not the one that was sent last, or has expired."""

    code = "code-wrong"
    title = "This is not the code, or it has expired"
    fix = "Use the newest code within an hour; after five wrong ones set the address again."


class MailNotOffered(Refused):
    """The operator has set up no mail server."""

    code = "mail-not-offered"
    title = "This platform sends no e-mail"
    fix = "Read the inbox instead; the operator sets up a server with GUILDER_NOTIFICATIONS_SMTP."


class SetEmail(Request, frozen=True, kw_only=True):
    """One's own address. A confirmed one stays in use until the new one is confirmed."""

    address: Email


class ConfirmEmail(Request, frozen=True, kw_only=True):
    """The code that was sent to the address."""

    code: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{8}(?!\n)$")]


class ChooseTopics(Request, frozen=True, kw_only=True):
    """What one is not written about; everything else is sent. An empty list = write everything."""

    unsubscribed: Annotated[list[Subscription], msgspec.Meta(max_length=20)]


class EmailState(Answer, frozen=True, kw_only=True):
    """How it stands with one's address, without the address itself.

    `confirm_until`: until when the code counts that was sent to a new address.
    """

    id: UUID
    confirmed_at: datetime | None
    confirm_until: datetime | None
    unsubscribed: list[str]


class OwnEmail(EmailState, frozen=True, kw_only=True):
    """The same with the addresses: the confirmed one, and one that waits for its code."""

    address: Email | None
    pending: Email | None
