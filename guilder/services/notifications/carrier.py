"""Stock's own way to the outside: each message once, over SMTP or as a signed post."""

import asyncio
import hashlib
from typing import Any, Final
from uuid import UUID
from weakref import WeakValueDictionary

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
from guilder.services.notifications.delivery import check, kind
from guilder.services.notifications.mail import Mailer, compose

log = structlog.get_logger()

CARRY_S: Final = 8.0
"""Seconds for one message: less than `deliver` may take, so that the outcome is still told."""

LARGEST_REPLY: Final = 16 * 1024
"""Bytes of an endpoint's answer that are read; nothing in it matters but the status."""

REFUSALS: Final = {
    "address-refused": "the URL leads where nothing is sent",
    "recipient-gone": "the endpoint is used no more",
    "smtp-5xx": "the mail server refuses it for good",
    "undeliverable": "this is no plain e-mail address",
}
"""What is said of each kind of refusal."""

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
        self._under_way: WeakValueDictionary[tuple[int, UUID], asyncio.Lock] = WeakValueDictionary()

    async def carry(self, calls: Batch[v1.Deliver]) -> Answers[v1.Delivered]:
        """Deliver what is new; known ids get the answer they had.

        To one recipient what has one `order` goes out by its ids, one after the other: what comes
        after an outage has to wait.
        """
        answers: dict[int, v1.Delivered | Problem] = {}
        lines: dict[tuple[int, str, str], list[int]] = {}
        for n, call in sorted(enumerate(calls), key=lambda pair: pair[1].request.id):
            place = call.ctx.tenant, call.request.to, call.request.order
            lines.setdefault(place, []).append(n)

        async def line(places: list[int]) -> None:
            waits: Problem | None = None
            for n in places:
                answer = answers[n] = waits or await self._once(calls[n])
                if isinstance(answer, Problem) and not answer.final:
                    waits = answer

        await asyncio.gather(*(line(places) for places in lines.values()))
        return [answers[n] for n in range(len(calls))]

    async def _once(self, call: Call[v1.Deliver]) -> v1.Delivered | Problem:
        """Deliver, unless that was done; who repeats himself meanwhile waits for how it ends."""
        tenant, asked, print_ = call.ctx.tenant, call.request, fingerprint(call.request)
        lock = self._under_way.setdefault((tenant, asked.id), asyncio.Lock())
        async with lock:
            async with self._store.tx(tenant) as tx:
                known = await delivery_store.receipt(tx, tenant, asked.id)
            if known is not None:
                return _repeated(asked, known, print_)
            reference = why = None
            try:
                _check(asked)
                send = self._mail if asked.channel == "email" else self._post
                async with asyncio.timeout(CARRY_S):
                    reference = _presentable(await send(call), asked.to)
            except TimeoutError:
                return Unavailable("the other side did not answer in time", kind="timeout")
            except v1.Undeliverable as problem:
                why = kind(problem)
            except Problem as problem:
                return problem
            async with self._store.tx(tenant) as tx:
                await delivery_store.add_receipt(tx, tenant, asked.id, print_, reference, why)
            if why is not None:
                return _refusal(why)
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
        if row is None:
            raise v1.ChannelDisclaimed("no endpoint was registered with this URL")
        if row["removed_at"] is not None or row["disabled_at"] is not None:
            raise _refusal("recipient-gone")
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
        except AddressRefused:
            raise _refusal("address-refused") from None
        except TimeoutError:
            raise
        except OSError:
            raise Unavailable("the endpoint does not answer", kind="connection") from None
        status = reply.status
        if status == 410:
            raise _refusal("recipient-gone")
        if not 200 <= status < 300:
            group = f"http-{status // 100}xx"
            told = reply.headers.get("retry-after", "")
            again = int(told) if told.isascii() and told.isdecimal() and len(told) < 8 else None
            raise Unavailable(f"the endpoint answers {status}", kind=group, retry_after=again)
        return status


def _repeated(asked: v1.Deliver, known: Any, print_: bytes) -> v1.Delivered | Problem:
    """What the first of them was answered."""
    if bytes(known["hash"]) != print_:
        return v1.MessageDiffers(f"message {asked.id}")
    if known["refused"] is not None:
        return _refusal(known["refused"])
    return v1.Delivered(id=asked.id, at=known["at"], reference=known["reference"])


def _refusal(why: str) -> v1.Undeliverable:
    """The same words whenever it is told."""
    return v1.Undeliverable(REFUSALS[why], kind=why)


def fingerprint(asked: v1.Deliver) -> bytes:
    """SHA-256 of a message with its recipient."""
    return hashlib.sha256(encode(asked)).digest()


def _check(asked: v1.Deliver) -> None:
    """Refuse what cannot be told apart, shown or sent."""
    check(asked, "subject")
    if asked.channel == "email":
        if not asked.text.replace("\n", " ").replace("\t", " ").isprintable():
            raise InvalidRequest("holds a character that cannot be shown", at="$.text")
        try:
            msgspec.convert(asked.to, Email)
        except msgspec.ValidationError:
            raise _refusal("undeliverable") from None
    elif not isinstance(read_json(asked.text.encode()), dict):
        raise InvalidRequest("a webhook posts a JSON object", at="$.text")


def _presentable(reference: str, to: str) -> str | None:
    """What a carrier said, unless it holds what does not belong there."""
    plain = "".join(c if c.isascii() and c.isprintable() else " " for c in reference)[:200].strip()
    return None if not plain or to.casefold() in plain.casefold() else plain
