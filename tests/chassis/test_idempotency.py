"""The seam for commands, on a real database: what a key is worth at every moment of its life.

The vault's database serves as an example; no service is asked.
"""

from contextlib import contextmanager
from uuid import UUID

import msgspec
import pytest

from guilder.chassis.idempotency import KEEP, LEASE, Claim, Once, Replayed
from guilder.chassis.testing import new_id, somebody
from guilder.contracts.errors import Forbidden, InFlight, KeyReused
from guilder.contracts.vault import v1

OPERATION = v1.Vault.operations()["erase"]


@pytest.fixture
def once(direct):
    return Once(direct.process.stores["vault"], None)


@contextmanager
def later(world, **delta):
    """The shared clock moved, and moved back."""
    world.clock.move(**delta)
    try:
        yield
    finally:
        world.clock.move(**{unit: -amount for unit, amount in delta.items()})


def wanted(subject: UUID | None = None) -> v1.Subject:
    return v1.Subject(subject=subject or new_id(), reason="for a test")


async def end(claim: Claim, keys: int = 1):
    async def work(tx):
        return v1.Destroyed(subject=tx.resource, keys=keys)

    return await claim.finish(work)


def read(replayed) -> v1.Destroyed:
    assert isinstance(replayed, Replayed)
    return msgspec.json.decode(replayed.raw, type=v1.Destroyed)


@pytest.mark.abuse(19)
async def test_a_repeat_in_flight_waits_only_as_long_as_the_lease_lives(direct, once):
    ctx, request = somebody(951).ctx(), wanted()
    first = await once.claim(OPERATION, ctx, request)
    with pytest.raises(InFlight) as refused:
        await once.claim(OPERATION, ctx, request)
    assert 0 < refused.value.retry_after <= LEASE.total_seconds() + 1
    assert refused.value.more["resource"] == str(first.resource)
    with later(direct, seconds=LEASE.total_seconds() - 1), pytest.raises(InFlight):
        await once.claim(OPERATION, ctx, request)
    with later(direct, seconds=LEASE.total_seconds()):
        second = await once.claim(OPERATION, ctx, request)
        assert (second.resource, second.resumed) == (first.resource, True)
        with pytest.raises(InFlight):
            await once.claim(OPERATION, ctx, request)


@pytest.mark.abuse(17)
async def test_another_body_under_the_key_is_refused_in_flight_and_after(direct, once):
    ctx, request = somebody(952).ctx(), wanted()
    claim = await once.claim(OPERATION, ctx, request)
    for moment in (0, LEASE.total_seconds() + 1):  # an abandoned key is not free either
        with later(direct, seconds=moment), pytest.raises(KeyReused) as refused:
            await once.claim(OPERATION, ctx, wanted())
        assert refused.value.more["resource"] == str(claim.resource)
    await end(claim)
    with pytest.raises(KeyReused):
        await once.claim(OPERATION, ctx, wanted())
    with pytest.raises(KeyReused):
        await once.claim(v1.Vault.operations()["rotate"], ctx, request)


@pytest.mark.abuse(18)
async def test_a_key_belongs_to_one_tenant_and_one_principal(once):
    who, request = somebody(953), wanted()
    claims = [
        await once.claim(OPERATION, ctx, request)
        for ctx in (who.ctx("k"), somebody(953).ctx("k"), somebody(954).ctx("k"))
    ]
    assert len({claim.resource for claim in claims}) == 3
    with pytest.raises(InFlight):
        await once.claim(OPERATION, who.ctx("k"), request)


@pytest.mark.abuse(20)
async def test_what_was_stored_first_is_what_every_repeat_gets(direct, once):
    """Two processes end one command: the slower answers with the outcome of the faster."""
    ctx, request = somebody(955).ctx(), wanted()
    slow = await once.claim(OPERATION, ctx, request)
    with later(direct, seconds=LEASE.total_seconds()):
        fast = await once.claim(OPERATION, ctx, request)
    answer = await end(fast, keys=7)
    assert read(await end(slow, keys=8)) == answer
    assert read(await once.claim(OPERATION, ctx, request)) == answer
    assert (await slow.refuse(Forbidden())).status == 200


async def test_who_lost_the_lease_neither_refuses_nor_gives_it_back(direct, once):
    """What is refused to a process that hung may be done by the one that took over."""
    ctx, request, wrote = somebody(955).ctx(), wanted(), []

    async def work(tx):
        wrote.append(tx.resource)

    slow = await once.claim(OPERATION, ctx, request)
    with later(direct, seconds=LEASE.total_seconds()):
        fast = await once.claim(OPERATION, ctx, request)
        with pytest.raises(InFlight):
            await slow.refuse(Forbidden(), work)
        await slow.release(work=work)
        with pytest.raises(InFlight):  # it is still the other's
            await once.claim(OPERATION, ctx, request)
        assert wrote == []
        answer = await end(fast)
    assert read(await once.claim(OPERATION, ctx, request)) == answer


async def test_a_final_refusal_is_an_outcome_and_a_released_claim_is_none(once):
    ctx, request = somebody(956).ctx(), wanted()
    claim = await once.claim(OPERATION, ctx, request)
    await claim.release()
    again = await once.claim(OPERATION, ctx, request)
    assert again.resumed
    assert await again.refuse(Forbidden("not you")) is None
    stored = await once.claim(OPERATION, ctx, request)
    assert (stored.status, stored.resource) == (403, claim.resource)


async def test_a_local_command_that_fails_leaves_nothing_but_a_refusal(once):
    who, request, ran = somebody(957), wanted(), []

    async def refuse(tx):
        ran.append(1)
        tx.emit(ctx, "subject.erased", subject=request.subject)
        raise Forbidden("no")

    async def crash(tx):
        ran.append(1)
        raise ZeroDivisionError

    ctx = who.ctx()
    with pytest.raises(Forbidden):
        await once.local(OPERATION, ctx, request, refuse)
    assert (await once.local(OPERATION, ctx, request, crash)).status == 403
    assert len(ran) == 1
    async with once.store.tx(957) as tx:
        assert await tx.value("SELECT count(*) FROM event WHERE tenant=957") == 0
    ctx = who.ctx()
    for times in (2, 3):
        with pytest.raises(ZeroDivisionError):
            await once.local(OPERATION, ctx, request, crash)
        assert len(ran) == times


async def test_finished_keys_are_kept_and_then_forgotten_but_never_open_ones(direct, once):
    ctx, left = somebody(958).ctx(), somebody(958).ctx()
    request = wanted()
    await end(await once.claim(OPERATION, ctx, request))
    open_one = await once.claim(OPERATION, left, request)
    assert KEEP.days >= 30
    with later(direct, days=KEEP.days):
        await once.expire()
        assert isinstance(await once.claim(OPERATION, ctx, request), Replayed)
    with later(direct, days=KEEP.days, seconds=1):
        await once.expire()
        async with once.store.tx(958) as tx:
            rows = await tx.fetch("SELECT resource FROM command WHERE tenant=958")
    assert [row["resource"] for row in rows] == [open_one.resource]
