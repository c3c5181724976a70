"""Stock's own way to the outside: each message once, over SMTP or as a signed post."""

import asyncio
import hashlib
from typing import Any, Final

import msgspec
import structlog

from guilder.chassis.clock import Clock
from guilder.chassis.contract import encode, read_json
from guilder.chassis.outbound import Outbound
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store
from guilder.contracts.context import Call
from guilder.contracts.declare import Answers, Batch
from guilder.contracts.errors import AddressRefused, InvalidRequest, Problem, Unavailable
from guilder.contracts.notifications import v1
from guilder.contracts.notifications.addresses import Email
from guilder.services.notifications import delivery_store, signing, webhook_store
from guilder.services.notifications.mail import Mailer, compose

log = structlog.get_logger()

UUID_VERSION: Final = 7
CARRY_S: Final = 8.0
"""Seconds for one message: less than `deliver` may take, so that the outcome is still told."""

LARGEST_REPLY: Final = 16 * 1024
"""Bytes of an endpoint's answer that are read; nothing in it matters but the status."""

SECRET: Final = "webhook.secret"
"""The place that secrets are sealed for, also those that are old by now."""


class Carrier:
    """Delivers for every tenant whose delivery no other edition does."""

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        outbound: Outbound,
        mailer: Mailer | None,
        clock: Clock,
    ) -> None:
        """`mailer` None: no e-mail can be sent here."""
        self._store, self._sealer, self._clock = store, sealer, clock
        self._outbound, self.mailer = outbound, mailer

    async def carry(self, calls: Batch[v1.Deliver]) -> Answers[v1.Delivered]:
        """Deliver what is new; known ids get the receipt they had."""
        wanted = [(call.ctx.tenant, call.request.id) for call in calls]
        async with self._store.tx(*sorted({tenant for tenant, _ in wanted})) as tx:
            known = await delivery_store.receipts(tx, wanted)
        return list(
            await asyncio.gather(
                *(self._carry(c, known.get((c.ctx.tenant, c.request.id))) for c in calls)
            )
        )

    async def _carry(self, call: Call[v1.Deliver], known: Any) -> v1.Delivered | Problem:
        asked, print_ = call.request, fingerprint(call.request)
        if known is not None:
            if bytes(known["hash"]) != print_:
                return v1.MessageDiffers(f"message {asked.id}")
            return v1.Delivered(id=asked.id, at=known["at"], reference=known["reference"])
        try:
            _check(asked)
            send = self._mail if asked.channel == "email" else self._post
            async with asyncio.timeout(CARRY_S):
                reference = _presentable(await send(call), asked.to)
        except TimeoutError:
            return Unavailable("the other side did not answer in time", kind="timeout")
        except Problem as problem:
            return problem
        async with self._store.tx(call.ctx.tenant) as tx:
            await delivery_store.add_receipt(tx, call.ctx.tenant, asked.id, print_, reference)
        return v1.Delivered(id=asked.id, at=tx.at, reference=reference)

    async def _mail(self, call: Call[v1.Deliver]) -> str:
        if self.mailer is None:
            raise Unavailable("no mail server is set up", kind="mail-not-offered")
        asked, at = call.request, self._clock.now()
        sender = self.mailer.sender
        mail = compose(sender, asked.to, asked.id, at, asked.subject, asked.text)
        return await self.mailer.send(asked.to, mail)

    async def _post(self, call: Call[v1.Deliver]) -> str:
        """Post to a registered endpoint; to any other address there is no secret to sign with."""
        asked, tenant, now = call.request, call.ctx.tenant, self._clock.now()
        async with self._store.tx(tenant) as tx:
            row = await webhook_store.at_url(tx, tenant, asked.to)
        if row is None or row["disabled_at"] is not None:
            raise v1.Undeliverable("no endpoint in use has this URL", kind="recipient-gone")
        sealed = [row["secret"]]
        if row["old_until"] is not None and row["old_until"] > now:
            sealed.append(row["old_secret"])
        keys = [await self._sealer.open(tenant, row["id"], SECRET, bytes(s)) for s in sealed]
        body = asked.text.encode()
        headers = signing.headers(keys, asked.id, int(now.timestamp()), body)
        headers |= {"Content-Type": "application/json", "User-Agent": "Guilder-Webhook/1"}
        return f"http {await self._status(asked.to, headers, body)}"

    async def _status(self, url: str, headers: dict[str, str], body: bytes) -> int:
        """Post; the status if it says that the message was taken, else a problem."""
        try:
            reply = await self._outbound.request(
                "POST", url, headers, body, timeout_s=CARRY_S, most=LARGEST_REPLY
            )
        except AddressRefused as refused:
            raise v1.Undeliverable(refused.detail, kind="address-refused") from None
        except TimeoutError:
            raise
        except OSError:
            raise Unavailable("the endpoint does not answer", kind="connection") from None
        status = reply.status
        if status == 410:
            raise v1.Undeliverable("the endpoint says that it is gone", kind="recipient-gone")
        if not 200 <= status < 300:
            group = f"http-{status // 100}xx"
            told = reply.headers.get("retry-after", "")
            again = int(told) if told.isascii() and told.isdecimal() and len(told) < 8 else None
            raise Unavailable(f"the endpoint answers {status}", kind=group, retry_after=again)
        return status


def fingerprint(asked: v1.Deliver) -> bytes:
    """SHA-256 of a message with its recipient."""
    return hashlib.sha256(encode(asked)).digest()


def _check(asked: v1.Deliver) -> None:
    """Refuse what cannot be told apart, shown or sent."""
    if asked.id.version != UUID_VERSION:
        raise InvalidRequest("the id must be a UUIDv7: ids are in order of time", at="$.id")
    if not asked.subject.isprintable():
        raise InvalidRequest("holds a character that cannot be shown", at="$.subject")
    if asked.channel == "email":
        if not asked.text.replace("\n", " ").replace("\t", " ").isprintable():
            raise InvalidRequest("holds a character that cannot be shown", at="$.text")
        try:
            msgspec.convert(asked.to, Email)
        except msgspec.ValidationError:
            raise v1.Undeliverable("this is no plain e-mail address") from None
    elif not isinstance(read_json(asked.text.encode()), dict):
        raise InvalidRequest("a webhook posts a JSON object", at="$.text")


def _presentable(reference: str, to: str) -> str | None:
    """What a carrier said, unless it holds what does not belong there."""
    plain = "".join(c if c.isascii() and c.isprintable() else " " for c in reference)[:200].strip()
    return None if not plain or to.casefold() in plain.casefold() else plain
