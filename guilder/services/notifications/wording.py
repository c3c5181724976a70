"""The sentences: what a notice of maintenance says, and how a moment is told. Pure."""

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

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
    return f"{{{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}}}"


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
