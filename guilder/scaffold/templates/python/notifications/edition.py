"""Delivers messages by mail, each once. This is the file to change."""

import hashlib
import json
import os
import re
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from mail import compose, send, undeliverable
from problems import Problem, attempt, invalid, unavailable
from reading import members, one_of, text
from store import Store

CONTRACT = "notifications"
CONTRACT_VERSION = "__CONTRACT_VERSION__"
EDITION = "__EDITION__"
VERSION = "1.0.0"
PATH = "/notifications/v1/deliveries"
DISCLAIMS = ["webhook"]
"""What the suite may test and this edition does not offer."""

DATA = Path(os.environ.get("DATA") or Path(__file__).resolve().parent / "data")
SENDER = os.environ.get("MAIL_FROM") or "noreply@bank.example"
SMTP_URL = os.environ.get("SMTP_URL") or None

_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+"
)
_TOPIC = re.compile(r"[a-z-]{1,40}\.[a-z0-9-]{1,40}")

STORE = Store(DATA / "delivered.sqlite")


def answer_batch(tenant: int, items: list[Any], deadline: float) -> list[dict[str, Any]]:
    """Deliver one message after the other, in the order of their ids.

    A repeat never overtakes its first, since the store is held for the whole batch.
    """
    ids = [str(item.get("id")).lower() if isinstance(item, dict) else "" for item in items]
    results: dict[int, dict[str, Any]] = {}
    with STORE.lock:
        for n in sorted(range(len(items)), key=lambda n: ids[n]):
            results[n] = attempt(partial(deliver, tenant, items[n], deadline))
    return [results[n] for n in range(len(items))]


def deliver(tenant: int, item: Any, deadline: float) -> dict[str, Any]:
    """Deliver a message, or answer as before when it was delivered before."""
    message = _read(item)
    name = message.pop("id")
    digest = hashlib.sha256(json.dumps(message, sort_keys=True).encode()).hexdigest()
    before = STORE.find(tenant, name)
    if before is not None:
        if before[0] != digest:
            raise _differs()
        return {"id": name, "at": before[1], "reference": before[2]}
    if message["channel"] != "email":
        raise _disclaimed()
    if not _ADDRESS.fullmatch(message["to"]):
        raise undeliverable("this is no address for mail")
    if time.monotonic() >= deadline:
        raise unavailable("there is no time left")
    reference = f"<{name}.{tenant}@{SENDER.partition('@')[2]}>"
    mail = compose(SENDER, message["to"], reference, message["subject"], message["text"])
    send(SMTP_URL, DATA / "outbox", mail, deadline)
    at = datetime.now(UTC).isoformat()
    STORE.add(tenant, name, digest, at, reference)
    return {"id": name, "at": at, "reference": reference}


def _read(item: Any) -> dict[str, str]:
    given = members(item, "id channel to topic order subject text")
    name = text(given["id"], "id", 36, 36)
    try:
        name = str(UUID(name))
    except ValueError:
        raise invalid("id must be a UUID") from None
    topic = text(given["topic"], "topic", 3, 81)
    if not _TOPIC.fullmatch(topic):
        raise invalid("topic must be such as payment.booked")
    return {
        "id": name,
        "channel": one_of(given["channel"], "channel", "email webhook"),
        "to": text(given["to"], "to", 3, 320),
        "topic": topic,
        "order": text(given["order"], "order", 1, 80),
        "subject": text(given["subject"], "subject", 3, 200),
        "text": text(given["text"], "text", 3, 2_000),
    }


def _disclaimed() -> Problem:
    title = "This edition does not deliver over this channel"
    fix = "Nothing: the platform delivers the message itself."
    return Problem("channel-disclaimed", 422, title, "this edition delivers mail alone", fix)


def _differs() -> Problem:
    fix = "Use a new UUIDv7 for a new message; one that was delivered never changes."
    return Problem("message-differs", 409, "Another message carries this id", "it differs", fix)
