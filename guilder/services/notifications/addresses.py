"""A person sets his own e-mail address and confirms it. Composed into the service."""

import hmac
import secrets
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from guilder.chassis.idempotency import Claim, Once, claimed, local
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store, Tx
from guilder.contracts.context import Context
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import Forbidden, TooManyRequests
from guilder.contracts.notifications import v1
from guilder.contracts.notifications.addresses import (
    AddressUnknown,
    ChooseTopics,
    CodeWrong,
    ConfirmEmail,
    EmailState,
    MailNotOffered,
    OwnEmail,
    SetEmail,
)
from guilder.contracts.vault.v1 import Erased
from guilder.services.notifications import address_store, delivery_store
from guilder.services.notifications.carrier import Carrier
from guilder.services.notifications.delivery import CODE_TOPIC, Outgoing
from guilder.services.notifications.engine import ADDRESS, Sealed
from guilder.services.notifications.settings import NotificationsSettings
from guilder.services.notifications.wording import CODE_SUBJECT, CODE_TEXT

CODE_LASTS: Final = timedelta(hours=1)
CODE_TRIES: Final = 5
BETWEEN: Final = timedelta(minutes=1)
"""Between two codes: nobody is flooded by somebody who sets a stranger's address."""
A_DAY: Final = 5
"""Codes for one person within a day."""


class AddressDesk(v1.Notifications):
    """The operations on one's own address."""

    store: Store
    once: Once
    sealer: Sealer
    stock: Carrier
    settings: NotificationsSettings

    async def email(self, ctx: Context, request: Nothing) -> OwnEmail:
        """Open what is sealed; a person whose key is gone has no address."""
        async with self.store.tx(ctx.tenant) as tx:
            row = await address_store.find(tx, ctx.tenant, ctx.principal.id)
        if row is None:
            raise AddressUnknown()
        try:
            address, pending = [await self._open(row, row[n]) for n in ("sealed", "pending")]
        except Erased:
            raise AddressUnknown() from None
        return OwnEmail(
            **msgspec.structs.asdict(_state(row)),
            address=None if address is None else address.to,
            pending=None if pending is None else pending.to,
        )

    @local
    async def set_email(self, tx: Tx, ctx: Context, request: SetEmail) -> EmailState:
        """Keep the address aside and queue a code for it, in one commit."""
        if ctx.principal.kind != "person":
            raise Forbidden("only a person has an e-mail address here")
        if self.stock.mailer is None:
            raise MailNotOffered()
        await self._check_pace(tx, ctx)
        person = ctx.principal.party or ctx.principal.id
        new = Sealed(to=request.address, code=f"{secrets.randbelow(10**8):08}")
        sealed = await self._seal(ctx.tenant, person, new)
        until = tx.at + CODE_LASTS
        row = await address_store.ask(tx, ctx.tenant, ctx.principal.id, person, sealed, until)
        code = Outgoing(
            tenant=ctx.tenant,
            id=tx.resource,
            channel="email",
            recipient=ctx.principal.id,
            topic=CODE_TOPIC,
            order="address",
            subject=CODE_SUBJECT,
            text=CODE_TEXT,
            person=person,
            sealed=sealed,
        )
        await delivery_store.add(tx, [code], self.settings.attempts)
        tx.emit(ctx, "address.set", principal=ctx.principal.id)
        return _state(row)

    async def _check_pace(self, tx: Tx, ctx: Context) -> None:
        tenant, principal = ctx.tenant, ctx.principal.id
        row = await address_store.lock(tx, tenant, principal)
        if row is not None and tx.at - row["asked_at"] < BETWEEN:
            raise TooManyRequests("a code was sent a moment ago", retry_after=60)
        since = tx.at - timedelta(days=1)
        sent = await delivery_store.codes_since(tx, tenant, principal, since)
        if sent >= A_DAY:
            raise TooManyRequests(f"{A_DAY} codes were sent within a day", retry_after=3_600)

    @claimed
    async def confirm_email(self, claim: Claim, ctx: Context, request: ConfirmEmail) -> EmailState:
        """Count the try before the code is looked at, so that none is free."""
        async with self.store.tx(ctx.tenant) as tx:
            if await address_store.find(tx, ctx.tenant, ctx.principal.id) is None:
                raise AddressUnknown()
            tried = await address_store.try_code(tx, ctx.tenant, ctx.principal.id, CODE_TRIES)
        if tried is None:
            raise CodeWrong("no code counts any more")
        pending = await self._open(tried, tried["pending"])
        assert pending is not None  # a row that was tried holds one
        if not hmac.compare_digest(pending.code or "", request.code):
            raise CodeWrong()
        sealed = await self._seal(ctx.tenant, tried["person"], Sealed(to=pending.to))

        async def work(tx: Tx) -> EmailState:
            row = await address_store.confirm(tx, tried, sealed)
            if row is None:
                raise CodeWrong("another address was set meanwhile")
            tx.emit(ctx, "address.confirmed", principal=ctx.principal.id)
            return _state(row)

        return await claim.finish(work)

    @local
    async def choose_topics(self, tx: Tx, ctx: Context, request: ChooseTopics) -> EmailState:
        """Keep the choice."""
        chosen = sorted(set(request.unsubscribed))
        row = await address_store.choose(tx, ctx.tenant, ctx.principal.id, list(chosen))
        if row is None:
            raise AddressUnknown()
        return _state(row)

    @local
    async def remove_email(self, tx: Tx, ctx: Context, request: Nothing) -> EmailState:
        """Remove the address, and end what waits to be sent to it."""
        if not await address_store.remove(tx, ctx.tenant, ctx.principal.id):
            raise AddressUnknown()
        await delivery_store.give_up(tx, ctx.tenant, ctx.principal.id)
        tx.emit(ctx, "address.removed", principal=ctx.principal.id)
        return EmailState(
            id=ctx.principal.id, confirmed_at=None, confirm_until=None, unsubscribed=[]
        )

    async def _seal(self, tenant: int, person: UUID, address: Sealed) -> bytes:
        raw = msgspec.json.encode(address)
        return await self.sealer.seal(tenant, person, ADDRESS, raw)

    async def _open(self, row: Any, sealed: Any) -> Sealed | None:
        if sealed is None:
            return None
        raw = await self.sealer.open(row["tenant"], row["person"], ADDRESS, bytes(sealed))
        return msgspec.json.decode(raw, type=Sealed)


def _state(row: Any) -> EmailState:
    return EmailState(
        id=row["principal"],
        confirmed_at=row["confirmed_at"],
        confirm_until=row["pending_until"],
        unsubscribed=row["unsubscribed"],
    )
