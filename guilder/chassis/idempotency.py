"""The one seam through which every command passes, so that it may be sent twice.

`@local`: the whole effect is in this service's database; key, effect and answer are one
transaction. `@claimed`: other services are called; the claim is committed first, the effects carry
ids derived from `claim.resource`, and the finish commits state and answer together.
"""

import functools
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Concatenate, TypeVar
from uuid import UUID

import msgspec

from guilder.chassis.contract import encode
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store, Tx
from guilder.contracts.context import Context
from guilder.contracts.declare import Contract, Operation
from guilder.contracts.errors import InFlight, KeyReused, Problem, Unavailable
from guilder.contracts.values import uuid7

LEASE = timedelta(seconds=30)
"""How long a claimed command belongs to the process that works on it."""

ASK_AGAIN = 2
"""Most seconds until a repeat is worth it: what is in flight mostly ends long before its lease."""

KEEP = timedelta(days=40)
"""How long finished keys and answers are kept (the promise is 30 days)."""

A = TypeVar("A")
R = TypeVar("R")


class Replayed(msgspec.Struct, frozen=True):
    """The stored answer of an earlier request with the same key, byte for byte."""

    raw: bytes
    status: int
    resource: UUID | None = None
    """The id of what the first request made."""


class Accepted(msgspec.Struct, frozen=True):
    """A command that was stored and has not ended: `answer` says how far it is, under 202.

    Never an outcome: a repeat gets how far it is by then, or how it ended.
    """

    answer: Any


class Claim:
    """A command that this process has claimed and will finish, refuse or release."""

    def __init__(self, once: "Once", operation: Operation, ctx: Context, row: Any) -> None:
        """`row` holds resource, created_at and whether an earlier attempt was resumed."""
        self._once, self._operation, self._ctx = once, operation, ctx
        self.resource: UUID = row["resource"]
        self.created_at: datetime = row["created_at"]
        self.resumed: bool = row["resumed"]
        self._lease: datetime = row["lease_until"]

    async def finish(self, work: Callable[[Tx], Awaitable[A]], subject: UUID | None = None) -> A:
        """Commit the effect of `work`, the answer it returns and the end of the command.

        The stored answer is sealed for `subject`, or for whom the operation names. Where another
        process ended the command first, nothing of `work` stays and its outcome is the answer.
        """
        try:
            async with self._once.store.tx(self._ctx.tenant) as tx:
                tx.resource = self.resource
                answer = await work(tx)
                await self._once.settle(tx, self._operation, self._ctx, 200, answer, subject)
        except _EndedElsewhere:  # a Replayed goes out as it is, like that of a repeat
            return await self.outcome()  # type: ignore[return-value]
        return answer

    async def refuse(
        self, problem: Problem, work: Callable[[Tx], Awaitable[None]] | None = None
    ) -> Replayed | None:
        """Commit a final refusal as the command's outcome, with the effect of `work`.

        None, or the outcome of another process that ended the command first. Who lost the lease
        meanwhile refuses nothing (InFlight): what was refused to him may be done by the other.
        """
        async with self._once.store.tx(self._ctx.tenant) as tx:
            mine = await self._is_mine(tx)
            if mine:
                tx.resource = self.resource
                if work is not None:
                    await work(tx)
                await self._once.settle(tx, self._operation, self._ctx, problem.status, problem)
        return None if mine else await self.outcome()

    async def outcome(self) -> Replayed:
        """How another process ended the command; InFlight while it works on it."""
        async with self._once.store.tx(self._ctx.tenant) as tx:
            return await self._once.outcome(tx, self._ctx)

    async def release(
        self,
        after: timedelta = timedelta(0),
        work: Callable[[Tx], Awaitable[None]] | None = None,
    ) -> None:
        """Give the lease back after an outage: a repeat resumes at once, or `after` a while.

        Wait where a call that was given up may still take effect elsewhere. Nothing is written
        where another process has taken the command over, or has ended it.
        """
        async with self._once.store.tx(self._ctx.tenant) as tx:
            if not await self._is_mine(tx):
                return
            if work is not None:
                await work(tx)
            await tx.execute(
                "UPDATE command SET lease_until=$4 WHERE tenant=$1 AND principal=$2 AND key=$3",
                self._ctx.tenant,
                self._ctx.principal.id,
                self._ctx.key,
                tx.at + after,
            )

    async def _is_mine(self, tx: Tx) -> bool:
        """Whether the lease is still this attempt's, and stays so until the commit."""
        found = await tx.value(
            "SELECT lease_until FROM command WHERE tenant=$1 AND principal=$2 AND key=$3"
            " AND status IS NULL FOR UPDATE",
            self._ctx.tenant,
            self._ctx.principal.id,
            self._ctx.key,
        )
        return bool(found == self._lease)


class _EndedElsewhere(Exception):
    """Somebody else ended the command while this process was working on it."""


class Once:
    """The seam over one service's database."""

    def __init__(self, store: Store, sealer: Sealer | None) -> None:
        """`sealer` encrypts answers that hold personal data; None where none can occur."""
        self.store = store
        self._sealer = sealer

    async def local(
        self, operation: Operation, ctx: Context, request: Any, work: Callable[[Tx], Awaitable[A]]
    ) -> A | Replayed:
        """Run `work` at most once per key; key, effect and answer are one transaction."""
        if ctx.key is None:
            async with self.store.tx(ctx.tenant) as tx:
                return await work(tx)
        refused: Problem | None = None
        async with self.store.tx(ctx.tenant) as tx:
            row = await self._insert(tx, operation, ctx, request, tx.at)
            if row is None:
                return await self._earlier(tx, operation, ctx, request)
            try:
                async with tx.savepoint():
                    answer = await work(tx)
            except Problem as problem:
                if not problem.final:
                    raise
                refused = problem
            await self.settle(
                tx, operation, ctx, refused.status if refused else 200, refused or answer
            )
        if refused:
            raise refused
        return answer

    async def claim(
        self,
        operation: Operation,
        ctx: Context,
        request: Any,
        also: Callable[[Tx], Awaitable[None]] | None = None,
        resumed: Callable[[Tx], Awaitable[None]] | None = None,
    ) -> Claim | Replayed:
        """Commit the key (and the rows `also` writes) before anything else happens.

        `resumed` writes instead where an earlier attempt has lost its lease; both find the
        command's resource in `tx.resource`.
        """
        async with self.store.tx(ctx.tenant) as tx:
            row = await self._insert(tx, operation, ctx, request, tx.at + LEASE)
            if row is not None:
                tx.resource = row["resource"]
                if also is not None:
                    await also(tx)
                return Claim(self, operation, ctx, row)
            taken = await tx.row(
                "UPDATE command SET lease_until=$4 WHERE tenant=$1 AND principal=$2 AND key=$3"
                " AND status IS NULL AND lease_until<=$5 AND hash=$6"
                " RETURNING resource, created_at, lease_until, true AS resumed",
                ctx.tenant,
                ctx.principal.id,
                ctx.key,
                tx.at + LEASE,
                tx.at,
                fingerprint(operation, request),
            )
            if taken is not None:
                tx.resource = taken["resource"]
                if resumed is not None:
                    await resumed(tx)
                return Claim(self, operation, ctx, taken)
            return await self._earlier(tx, operation, ctx, request)

    async def settle(
        self,
        tx: Tx,
        operation: Operation,
        ctx: Context,
        status: int,
        outcome: Any,
        subject: UUID | None = None,
    ) -> None:
        """Store the outcome of a command, once, in the transaction that ends it."""
        if isinstance(outcome, Problem):
            raw = encode(outcome.document())
        else:
            raw = encode(outcome)
            if operation.subject is not None:
                subject = getattr(outcome, operation.subject)
            if subject is not None and self._sealer is not None:
                raw = await self._sealer.seal(ctx.tenant, subject, "command.answer", raw)
        ended = await tx.execute(
            "UPDATE command SET status=$4, answer=$5, subject=$6"
            " WHERE tenant=$1 AND principal=$2 AND key=$3 AND status IS NULL",
            ctx.tenant,
            ctx.principal.id,
            ctx.key,
            status,
            raw,
            subject,
        )
        if not ended:  # what was stored first is what every repeat gets
            raise _EndedElsewhere

    async def expire(self) -> int:
        """Forget finished keys older than KEEP; the number forgotten."""
        gone = 0
        for tenant in await self.store.seen_tenants():
            async with self.store.tx(tenant) as tx:
                gone += await tx.execute(
                    "DELETE FROM command WHERE created_at<$1 AND status IS NOT NULL", tx.at - KEEP
                )
        return gone

    async def _insert(
        self, tx: Tx, operation: Operation, ctx: Context, request: Any, lease_until: datetime
    ) -> Any:
        return await tx.row(
            "INSERT INTO command"
            " (tenant, principal, key, operation, hash, resource, lease_until, created_at)"
            " VALUES ($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT DO NOTHING"
            " RETURNING resource, created_at, lease_until, false AS resumed",
            ctx.tenant,
            ctx.principal.id,
            ctx.key,
            operation.id,
            fingerprint(operation, request),
            tx.resource,
            lease_until,
            tx.at,
        )

    async def _earlier(self, tx: Tx, operation: Operation, ctx: Context, request: Any) -> Replayed:
        row = await self._row(tx, ctx)
        if bytes(row["hash"]) != fingerprint(operation, request):
            raise KeyReused(
                f"the key was first used for {row['operation']}", resource=str(row["resource"])
            )
        return await self._replayed(tx, ctx, row)

    async def outcome(self, tx: Tx, ctx: Context) -> Replayed:
        """The stored outcome of a command that has ended; InFlight for any other."""
        return await self._replayed(tx, ctx, await self._row(tx, ctx))

    async def _row(self, tx: Tx, ctx: Context) -> Any:
        row = await tx.row(
            "SELECT * FROM command WHERE tenant=$1 AND principal=$2 AND key=$3",
            ctx.tenant,
            ctx.principal.id,
            ctx.key,
        )
        if row is None:  # expired since the statement before
            raise Unavailable("the key has just been forgotten", retry_after=1)
        return row

    async def _replayed(self, tx: Tx, ctx: Context, row: Any) -> Replayed:
        if row["status"] is None:
            left = (row["lease_until"] - tx.at).total_seconds()
            soon = min(max(1, int(left) + 1), ASK_AGAIN)
            raise InFlight(retry_after=soon, resource=str(row["resource"]))
        raw = bytes(row["answer"])
        if row["subject"] is not None and self._sealer is not None:
            raw = await self._sealer.open(ctx.tenant, row["subject"], "command.answer", raw)
        return Replayed(raw, row["status"], row["resource"])


def fingerprint(operation: Operation, request: Any) -> bytes:
    """SHA-256 over the operation and its decoded request; spacing and order do not matter."""
    return hashlib.sha256(operation.id.encode() + b"\n" + encode(request)).digest()


S = TypeVar("S", bound=Any)


def _operation(service: Any, name: str) -> Operation:
    contract: type[Contract] = type(service)
    return contract.operations()[name]


def local(
    method: Callable[[S, Tx, Context, R], Awaitable[A]],
) -> Callable[[S, Context, R], Coroutine[Any, Any, A]]:
    """Make a method `(self, tx, ctx, request)` a command whose whole effect is in `tx`."""

    @functools.wraps(method)
    async def command(self: S, ctx: Context, request: R) -> A:
        operation = _operation(self, method.__name__)
        # A Replayed goes out as it is: the endpoint that called unwraps it.
        return await self.once.local(  # type: ignore[no-any-return]
            operation, ctx, request, lambda tx: method(self, tx, ctx, request)
        )

    return command


def claimed(
    method: Callable[Concatenate[S, Claim, Context, R, ...], Awaitable[A]],
) -> Callable[[S, Context, R], Coroutine[Any, Any, A]]:
    """Make `(self, claim, ctx, request)` a command that calls other services between two commits.

    The method ends with `return await claim.finish(work)`. A final refusal is stored as the
    outcome; after anything else the lease is given back and the repeat resumes.
    """

    @functools.wraps(method)
    async def command(self: S, ctx: Context, request: R) -> A:
        operation = _operation(self, method.__name__)
        if ctx.key is None:
            ctx = ctx.step(f"auto:{uuid7(self.once.store.clock.now())}")
        claim = await self.once.claim(operation, ctx, request)
        if isinstance(claim, Replayed):
            return claim  # type: ignore[return-value]
        try:
            return await method(self, claim, ctx, request)
        except Problem as problem:
            if not problem.final:
                await claim.release()
                raise
            ended = await claim.refuse(problem)
            if ended is not None:
                return ended  # type: ignore[no-any-return]
            raise
        except BaseException:
            await claim.release()
            raise

    return command
