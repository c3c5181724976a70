"""The outside: a real mail server, an endpoint that takes posts, and a tenant that uses both."""

import asyncio
import email
import email.policy
import itertools
import json
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network

from aiosmtpd.smtp import SMTP

from guilder.chassis.events import SYSTEM
from guilder.chassis.outbound import Outbound, Rules
from guilder.chassis.testing import Bank, make_bank, new_id, somebody
from guilder.contracts.context import Call, Context
from guilder.contracts.declare import Nothing
from guilder.contracts.notifications import v1
from guilder.contracts.notifications.addresses import ConfirmEmail, SetEmail
from guilder.contracts.notifications.deliveries import DeliveryId, DeliveryQuery
from guilder.contracts.notifications.webhooks import RegisterWebhook
from guilder.contracts.values import uuid7
from guilder.services.notifications import delivery_store
from guilder.services.notifications.delivery import Outgoing
from guilder.services.notifications.mail import Mailer
from guilder.services.notifications.settings import NotificationsSettings

COUNT = itertools.count()
"""Ids of one millisecond are in the order in which they are made."""

LOOPBACK = Rules(allow=(ip_network("127.0.0.0/8"),))


class MailServer:
    """aiosmtpd in this loop. `rcpt` and `data` are what it answers; `mails` what it took."""

    def __init__(self):
        self.rcpt, self.data, self.mails = "250 OK", "250 Taken as 42", []
        self.envelopes, self.reached = [], asyncio.Event()
        self.hangs, self.tried = None, []

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.tried.append(address)
        if self.rcpt.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, server, session, envelope):
        self.reached.set()
        if self.hangs is not None:
            await self.hangs.wait()
        if self.data.startswith("2"):
            self.envelopes.append(envelope)
            self.mails.append(
                email.message_from_bytes(envelope.content, policy=email.policy.default)
            )
        return self.data

    @asynccontextmanager
    async def serving(self, **more):
        loop = asyncio.get_running_loop()
        given = {"hostname": "localhost"} | more
        server = await loop.create_server(lambda: SMTP(self, loop=loop, **given), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()


@dataclass
class Endpoint:
    """Takes posts at a port of its own and answers as it is told."""

    status: int = 200
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    hangs: asyncio.Event | None = None
    posts: list = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def _take(self, reader, writer):
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = {
                name.lower(): value
                for name, _, value in (line.partition(": ") for line in lines[1:-2])
            }
            body = await reader.readexactly(int(headers["content-length"]))
            self.posts.append((lines[0], headers, body))
            self.reached.set()
            if self.hangs is not None:
                await self.hangs.wait()
            told = {"Content-Length": str(len(self.body)), "Connection": "close"} | self.headers
            answer = "".join(f"{name}: {value}\r\n" for name, value in told.items())
            writer.write(f"HTTP/1.1 {self.status} X\r\n{answer}\r\n".encode() + self.body)
            await writer.drain()
        writer.close()

    @asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
        try:
            yield self
        finally:
            server.close()

    @property
    def ids(self):
        return [headers["webhook-id"] for _, headers, _ in self.posts]

    @property
    def types(self):
        return [json.loads(body)["type"] for _, _, body in self.posts]


def mailer(port, **more):
    given = {"smtp": f"127.0.0.1:{port}", "smtp_security": "none", "sender": "bank@example.org"}
    return Mailer(NotificationsSettings(**(given | more)))


@dataclass
class Desk:
    """A tenant, its staff, and the parts of notifications under test."""

    world: object
    bank: Bank
    engine: object
    service: object

    @property
    def clock(self):
        return self.world.clock

    @property
    def tenant(self):
        return self.bank.number

    def public(self):
        return self.world.public(v1.Notifications)

    def client(self):
        return self.world.client(v1.Notifications)

    async def register(self, endpoint, *topics, who=None):
        asked = RegisterWebhook(url=endpoint.url, topics=list(topics or ("payment.booked",)))
        return await self.public().register_webhook((who or self.bank.manager).ctx(), asked)

    async def person(self, server, address="jana@example.com"):
        """Somebody with a confirmed address."""
        who = somebody(self.tenant, party=new_id())
        await self.public().set_email(who.ctx(), SetEmail(address=address))
        await self.engine.round()
        code = re.search(r"\b\d{8}\b", server.mails[-1].get_content())[0]
        await self.public().confirm_email(who.ctx(), ConfirmEmail(code=code))
        return who

    async def queue(self, recipient, order="payment:x", **more):
        """Queue a delivery to an endpoint or to somebody's address, as the reactions do."""
        async with self.world.process.stores["notifications"].tx(self.tenant) as tx:
            row = await tx.row("SELECT * FROM webhook WHERE id=$1", getattr(recipient, "id", None))
            given = {
                "tenant": self.tenant,
                "id": uuid7(self.clock.now(), next(COUNT) << 40),
                "topic": "payment.booked",
                "order": order,
                "subject": "Payment booked",
                "text": '{"type":"payment.booked","timestamp":"now","data":{}}',
            }
            if row is not None:
                given |= {"channel": "webhook", "recipient": row["id"], "url": row["url"]}
            else:
                who = recipient.principal.id
                row = await tx.row("SELECT * FROM address WHERE principal=$1", who)
                given |= {"channel": "email", "recipient": who, "person": row["person"]}
                given |= {"sealed": bytes(row["sealed"])}
            out = Outgoing(**(given | more))
            await delivery_store.add(tx, [out], self.service.settings.attempts)
        return out.id

    async def read(self, delivery):
        asked = DeliveryId(delivery_id=delivery)
        return await self.public().delivery(self.bank.manager.ctx(), asked)

    async def listed(self, **query):
        page = await self.public().deliveries(self.bank.manager.ctx(), DeliveryQuery(**query))
        return page.items

    async def inbox(self):
        page = await self.client().inbox(self.bank.manager.ctx(), v1.InboxQuery(limit=200))
        return [m for m in page.items if not m.everyone]

    async def endpoint(self, id_):
        page = await self.public().webhooks(self.bank.manager.ctx(), Nothing())
        return next((line for line in page.items if line.id == id_), None)

    async def later(self, **delta):
        """Move the clock on and carry out what has become due."""
        self.clock.move(**delta)
        await self.engine.round()

    def message(self, **changes):
        fresh = {
            "id": uuid7(self.clock.now()),
            "channel": "email",
            "to": "jana@example.com",
            "topic": "maintenance.72h",
            "order": "x",
            "subject": "Soon",
            "text": "It begins",
        }
        return v1.Deliver(**(fresh | changes))

    async def deliver(self, *messages):
        ctx = Context(self.tenant, SYSTEM)
        return await self.client().deliver([Call(ctx, m) for m in messages])


@asynccontextmanager
async def open_desk(world, smtp=None):
    """A desk of a new bank; loopback is allowed, and mail goes to `smtp` if there is one."""
    built = world.process.built["notifications"]
    service, engine = built.service, built.sweeps[0].work.__self__
    carrier, at = service.stock, world.clock.at
    before = carrier.mailer, carrier._outbound, service.rules, service.settings
    carrier.mailer = None if smtp is None else mailer(smtp.port)
    carrier._outbound, service.rules = Outbound(LOOPBACK), LOOPBACK
    desk = Desk(world, await make_bank(world), engine, service)
    try:
        yield desk
    finally:
        async with world.process.stores["notifications"].tx(desk.tenant) as tx:
            # what still waits, and notices of later windows, would come to another test's server
            await tx.execute("DELETE FROM address")
            await tx.execute(
                "UPDATE delivery SET state='gone', ended_at=$1 WHERE state='queued'", tx.at
            )
        carrier._outbound.close()
        carrier.mailer, carrier._outbound, service.rules, service.settings = before
        world.clock.at = at
