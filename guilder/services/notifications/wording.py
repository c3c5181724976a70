"""What is said of a notice of maintenance or of a payment, to people and to programs. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from guilder.chassis.contract import encode
from guilder.contracts.declare import Event
from guilder.contracts.notifications.v1 import Post
from guilder.contracts.registry.windows import Notice, NoticeKind

MOMENT: Final = re.compile(r"\{(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\}", re.ASCII)
"""A moment within a text, until somebody reads it."""

AHEAD: Final = "Planned maintenance of {what} begins on {begins} and ends on {ends}. {writes}{why}"

SENTENCES: Final[dict[NoticeKind, str]] = {
    "announced": AHEAD,
    "72h": AHEAD,
    "24h": AHEAD,
    "1h": AHEAD,
    "begun": "Planned maintenance of {what} has begun. It ends on {ends}. {writes}{why}",
    "extended": "Planned maintenance of {what} takes longer: it now ends on {ends}.{why}",
    "verifying": "The planned maintenance of {what} has come to its end and is being checked."
    " Changes are possible again as soon as that is done; you will be told.",
    "completed": "Planned maintenance of {what} is over. Changes are possible again.",
    "cancelled": "Planned maintenance of {what}, announced for {begins} until {ends},"
    " will not take place.{why}",
}

WRITES: Final = {
    "refuse": "Meanwhile everything can be read; changes{there} have to wait.",
    "queue": "Meanwhile everything can be read; payments are accepted and booked afterwards,"
    " other changes{there} have to wait.",
}

PAYMENTS: Final = {
    "payment.booked": "was booked",
    "payment.refused": "was refused",
    "payment.reversed": "was reversed",
    "payment.waiting": "is stored and waits to be decided",
}
"""The events of payments that are told, and what each means."""

CODE: Final = "{code}"
"""Stands in the text of a mail for the code, which is sealed beside the address."""

CODE_SUBJECT: Final = "Confirm your e-mail address"
CODE_TEXT: Final = (
    f"Your code is {CODE}. It counts for an hour.\n\n"
    "Somebody, probably you, set this address as his own at his bank. If it was not you, do"
    " nothing: without the code nothing is sent here again."
)


def message(notice: Notice) -> Post:
    """The message that a notice makes; its id is the notice's."""
    if notice.service is not None:
        what = f"the service `{notice.service}`"
    else:
        what = "your bank's services" if notice.tenant else "the platform"
    text = SENTENCES[notice.kind].format(
        what=what,
        begins=mark(notice.begins_at),
        ends=mark(notice.ends_at),
        writes=WRITES[notice.writes].format(there=" there" if notice.service else ""),
        why=f" Why: {notice.reason}",
    )
    return Post(
        id=notice.id,
        topic=f"maintenance.{notice.kind}",
        about=notice.window,
        subject=f"Maintenance: {notice.title}",
        text=text,
    )


def mark(moment: datetime) -> str:
    """A moment as it stands in a text, to the second."""
    return f"{{{_second(moment)}}}"


def _second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def tell(text: str, zone: str) -> str:
    """The text with its moments as people of a zone say them, and in UTC."""
    return MOMENT.sub(lambda found: _moment(found, zone), text)


def _moment(found: re.Match[str], zone: str) -> str:
    try:
        moment = datetime.fromisoformat(found[1])
        local = moment.astimezone(ZoneInfo(zone))
    except (ValueError, OverflowError):  # looks like a moment and is none
        return found[0]
    day = f"{local:%A} {local.day} {local:%B %Y} at {local:%H:%M}"
    if zone == "UTC":
        return f"{day} UTC"
    return f"{day} {zone} ({moment.day} {moment:%B} {moment:%H:%M} UTC)"


def payment_text(event: Event) -> tuple[str, str]:
    """Subject and text of a mail about an event of a payment."""
    said = f"Payment {event.ids['payment']} {PAYMENTS[event.type]}"
    return f"{said}.", f"{said}, {mark(event.at)}. Sign in at your bank to see it."


def body(topic: str, message_at: datetime, ids: Mapping[str, object]) -> str:
    """The JSON document that a webhook posts: type, moment, and ids alone."""
    data = {name: str(value) for name, value in ids.items()}
    at = message_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return encode({"type": topic, "timestamp": at, "data": data}).decode()


def notice_body(notice: Notice, at: datetime) -> str:
    """The same of a notice: when its window begins and ends, and what it is of."""
    ids = {"notice": notice.id, "window": notice.window, "service": notice.service or "all"}
    times = {"begins_at": notice.begins_at, "ends_at": notice.ends_at}
    told = {name: _second(time) for name, time in times.items()}
    return body(f"maintenance.{notice.kind}", at, ids | told)


def disabled(endpoint: UUID, url: str, since: datetime, *, gone: bool) -> tuple[str, str]:
    """Subject and text of the message that an endpoint is used no more."""
    why = "It answered 410, gone." if gone else f"It has taken nothing since {mark(since)}."
    return (
        "A webhook endpoint was disabled",
        f"Nothing is posted to {url} any more (endpoint {endpoint}). {why}"
        " Repair it, then POST to its /activation; failed deliveries can be replayed.",
    )
