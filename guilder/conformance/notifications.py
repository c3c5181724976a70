"""The suite of `notifications`: what an edition says it delivered has arrived, once and in order,
at recipients that the suite itself owns.
"""

import json
import random
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from guilder.conformance.checks import Broken, Check, shown
from guilder.conformance.judge import Refusal
from guilder.conformance.recipients import NEVER, Arrivals, Recipients, receiving
from guilder.conformance.session import TENANTS, Session
from guilder.conformance.subject import Marked, Subject
from guilder.contracts.edition import Manifest
from guilder.contracts.errors import Problem
from guilder.contracts.notifications.v1 import (
    Channel,
    Deliver,
    MessageDiffers,
    Notifications,
    Undeliverable,
)
from guilder.contracts.values import uuid7

CHANNELS: Final[tuple[Channel, ...]] = ("email", "webhook")
WORDS: Final = ("Ihre Karte ist da", "the invoice of May", "płatność przyjęta", "支払い済み")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "x" for c in text)


@dataclass(frozen=True)
class Messages(Subject):
    """Messages to recipients of the suite."""

    recipients: Recipients | None = None
    channels: list[Channel] = field(default_factory=lambda: list(CHANNELS))

    @contextmanager
    def ready(self) -> Iterator["Messages"]:
        """With recipients that listen."""
        with receiving() as recipients:
            yield self.to(recipients)

    def to(self, recipients: Recipients) -> "Messages":
        """The same subject, with these recipients."""
        return Messages(self.contract, self.checks, self.most, self.harmless, recipients)

    def heard(self, manifest: Manifest) -> str:
        """Use the channels that the edition offers."""
        offered = [one for one in CHANNELS if one not in manifest.disclaims]
        self.channels[:] = offered or CHANNELS
        return "" if offered else "`disclaims` names every channel"

    @property
    def arrivals(self) -> Arrivals:
        """What has arrived."""
        assert self.recipients is not None
        return self.recipients.arrivals

    def message(
        self, channel: Channel, text: str, *, name: str = "", order: str = "", at_ms: int = 0
    ) -> Deliver:
        """A message of its own to a recipient of its own."""
        assert self.recipients is not None
        made = uuid7(datetime.now(UTC) + timedelta(milliseconds=at_ms))
        name = name or f"r{made.hex}"
        return Deliver(
            id=made,
            channel=channel,
            to=self.recipients.address(channel, name),
            topic="conformance.message",
            order=order or name,
            subject=f"Message {made.hex[-6:]}",
            text=text if channel == "email" else json.dumps({"id": str(made), "text": text}),
        )

    def questions(self, chance: random.Random, count: int) -> list[Deliver]:
        """New messages, over every channel that is offered."""
        return [
            self.message(self.channels[n % len(self.channels)], chance.choice(WORDS))
            for n in range(count)
        ]

    def marked(self, chance: random.Random) -> Marked:
        """A message that names somebody who is nobody."""
        mark = f"nobody{secrets.token_hex(8)}"
        return Marked(
            self.message(chance.choice(self.channels), f"Dear {mark}", name=mark), (mark,)
        )

    def may_refuse(self, request: Deliver, code: str) -> bool:
        """What no carrier takes; and never-recipients, who are there to be refused."""
        if f"/{NEVER}" in request.to or request.to.startswith(NEVER):
            return code == Undeliverable.code
        return not (request.subject.isprintable() and request.order.isprintable())

    def tame(self, item: dict[str, Any]) -> dict[str, Any]:
        """To a recipient of the suite."""
        mine = self.message(self.channels[0], item["text"])
        subject, order = _printable(item["subject"]), _printable(item["order"])
        keep = {"topic": item["topic"], "order": order, "subject": subject}
        text = _printable(mine.text)[:2000]
        if mine.channel == "webhook":
            text = json.dumps({"text": item["text"][:300]})
        fixed = {"id": str(mine.id), "channel": mine.channel, "to": mine.to, "text": text}
        return {**item, **keep, **fixed}

    def held(self, body: Any) -> Any:
        """With recipients of the suite."""
        if isinstance(body, list):
            return [self.held(one) for one in body]
        if not isinstance(body, dict):
            return body
        kept = {name: self.held(value) for name, value in body.items()}
        if isinstance(body.get("to"), str) and len(body["to"]) >= 3:
            kept["to"] = self.message(self.channels[0], WORDS[0]).to
        return kept

    def bad(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """Messages without what a message has."""
        return [
            {**item, "id": "1"},
            {**item, "channel": "pigeon"},
            {**item, "to": ""},
            {**item, "to": "x" * 321},
            {**item, "topic": "Everything"},
            {**item, "order": ""},
            {**item, "subject": "x"},
            {**item, "text": "x" * 2001},
            {**item, "cc": item["to"]},
        ]


def _subject(session: Session) -> Messages:
    assert isinstance(session.subject, Messages)
    return session.subject


def _arrived(session: Session, check: str, sent: Deliver, times: int = 1) -> list[str]:
    """The texts that the recipient of a message got; Broken where they are not as many."""
    found = _subject(session).arrivals.bodies(sent.to)
    if not found:
        raise Broken("arrives", "a receipt, and nothing at the recipient", sent)
    if len(found) != times:
        raise Broken(check, f"it arrived {len(found)} times, {times} expected", sent)
    return found


def _over(session: Session, channel: Channel) -> None:
    subject = _subject(session)
    sent = [subject.message(channel, text) for text in WORDS]
    session.ask(TENANTS[0], sent)
    for one in sent:
        (text,) = _arrived(session, channel, one)
        same = text == one.text if channel == "webhook" else text.strip() == one.text.strip()
        if not same:
            raise Broken(channel, f"what arrived is {shown(text)}", one)


def webhook(session: Session) -> None:
    """Deliver documents, and look at what was posted."""
    _over(session, "webhook")


def email(session: Session) -> None:
    """Deliver mails, and look into the mailbox; a subject smuggles no header in."""
    _over(session, "email")
    subject = _subject(session)
    plain = subject.message("email", "Good morning")
    victim = subject.message("email", "unused").to
    evil = msgspec.structs.replace(plain, subject=f"Hello\r\nBcc: {victim}\r\nX-Evil: 1")
    session.ask(TENANTS[0], [evil])
    for whom, mail in subject.arrivals.mails:
        if whom == victim or (whom == evil.to and (mail["X-Evil"] or mail["Bcc"])):
            raise Broken("email", "a line end in the subject made headers of its own", evil)


def delivered_once(session: Session) -> None:
    """Repeat messages: at once, four at a time, in one batch; then reuse an id for another."""
    subject, tenant = _subject(session), TENANTS[0]
    sent = session.fresh_questions("once", 2 * len(subject.channels))
    before = session.ask(tenant, sent)
    session.same(tenant, sent, before, "when it was repeated")
    more = session.fresh_questions("once at a time", 2)
    for came in session.send_all([session.batch(tenant, more)] * 4):
        session.read(tenant, more, came)
    for one in (*sent, *more):
        _arrived(session, "delivered-once", one)
    other = msgspec.structs.replace(sent[0], subject="Another message altogether")
    answer = session.try_one(tenant, other)
    _is_refused("delivered-once", other, answer, MessageDiffers)
    _arrived(session, "delivered-once", other)


def _is_refused(check: str, sent: Deliver, answer: Any, problem: type[Problem]) -> None:
    """Broken unless the answer is this problem."""
    if not isinstance(answer, Refusal) or answer.code != problem.code:
        raise Broken(check, f"{answer}, and not the problem `{problem.code}`", sent)


def in_order(session: Session) -> None:
    """Deliver a batch whose items stand in another order than their ids."""
    subject = _subject(session)
    for channel in subject.channels:
        name = f"order{secrets.token_hex(6)}"
        made = [
            subject.message(channel, f"number {n}", name=name, order=name, at_ms=n)
            for n in range(6)
        ]
        turned = [made[n] for n in (3, 0, 5, 1, 4, 2)]
        session.ask(TENANTS[0], turned)
        texts = _arrived(session, "in-order", made[0], len(made))
        numbers = re.findall(r"number (\d)", " ".join(texts))
        if numbers != [str(n) for n in range(len(made))]:
            raise Broken("in-order", f"they arrived as {', '.join(numbers)}", turned)


def undeliverable(session: Session) -> None:
    """Deliver to somebody who takes nothing, ever."""
    subject = _subject(session)
    for channel in subject.channels:
        sent = subject.message(channel, "Hello?", name=f"{NEVER}{secrets.token_hex(6)}")
        answer = session.try_one(TENANTS[0], sent)
        tries = subject.arrivals.tries(sent.to)
        if not isinstance(answer, Refusal) and not tries:
            raise Broken("arrives", "a receipt, and the recipient was not even tried", sent)
        _is_refused("undeliverable", sent, answer, Undeliverable)
        if tries != 1:
            raise Broken("undeliverable", f"it was tried {tries} times", sent)


CHECKS: Final = (
    Check(
        "arrives",
        "whoever gives a receipt has handed the message over",
        "Answer after the carrier has taken it, not before.",
    ),
    Check(
        "webhook",
        "the text of a webhook's message is posted to its URL as it stands, once",
        "POST `text` as the body, byte by byte; or disclaim `webhook`.",
        webhook,
        capability="webhook",
    ),
    Check(
        "email",
        "a mail with this subject and text arrives at this address and at no other",
        "Hand it to the relay that the run names; fold or refuse line ends in a subject; or"
        " disclaim `email`.",
        email,
        capability="email",
    ),
    Check(
        "delivered-once",
        "a message is delivered once per id; the id of another message is refused as"
        f" {MessageDiffers.code}",
        "Write the id down before delivering, and answer a repeat from what was written.",
        delivered_once,
    ),
    Check(
        "in-order",
        "messages with one `order` go out in the order of their ids",
        "Sort a batch by id; let one `order` be delivered by one worker; or disclaim `order`.",
        in_order,
        capability="order",
    ),
    Check(
        "undeliverable",
        "who never takes a message (SMTP 550, HTTP 410) is the problem undeliverable at once; it is"
        " tried once",
        "Tell what is refused for good from what may work later; the platform decides on repeats.",
        undeliverable,
    ),
)

MOST: Final = 64
"""The most messages of one batch: each has to go out within the deadline."""

SUBJECT: Final = Messages(Notifications, CHECKS, MOST, harmless=False)
