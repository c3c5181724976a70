"""Sealing: bound to whom and where it was sealed, and forgotten within a minute."""

import os
from itertools import product
from uuid import UUID

import pytest

from guilder.chassis.clock import Clock
from guilder.chassis.seal import CACHE_SECONDS, Sealer
from guilder.contracts.errors import Internal
from guilder.contracts.vault.v1 import Erased

A, B = UUID(int=1), UUID(int=2)


class Ticks(Clock):
    """Seconds that a test counts."""

    def __init__(self):
        self.seconds = 1000.0

    def monotonic(self):
        return self.seconds


class Ring:
    """One key for everybody (so that only the binding tells them apart) that can be destroyed."""

    def __init__(self):
        self.secret, self.asked, self.destroyed = os.urandom(32), [], set()

    async def key(self, tenant, subject, epoch):
        self.asked.append((tenant, subject, epoch))
        if subject in self.destroyed:
            raise Erased(f"subject {subject}")
        return epoch or 3, self.secret


@pytest.fixture
def ring():
    return Ring()


@pytest.fixture
def clock():
    return Ticks()


@pytest.fixture
def sealer(ring, clock):
    return Sealer(ring, clock)


async def test_what_is_sealed_opens_in_its_own_place_and_nowhere_else(sealer):
    sealed = await sealer.seal(1, A, "party.sealed", b"Jana")
    assert b"Jana" not in sealed
    for place in product((1, 2), (A, B), ("party.sealed", "party.other")):
        if place == (1, A, "party.sealed"):
            assert await sealer.open(*place, sealed) == b"Jana"
        else:
            with pytest.raises(Internal):
                await sealer.open(*place, sealed)


async def test_a_changed_byte_anywhere_does_not_open(sealer):
    sealed = await sealer.seal(1, A, "t.c", b"x")
    for n in range(len(sealed)):
        changed = sealed[:n] + bytes([sealed[n] ^ 1]) + sealed[n + 1 :]
        with pytest.raises(Internal):
            await sealer.open(1, A, "t.c", changed)


async def test_no_two_seals_are_alike(sealer):
    assert len({await sealer.seal(1, A, "t.c", b"x") for _ in range(50)}) == 50


async def test_a_key_is_asked_for_once_a_minute_and_no_longer_used_after_it(sealer, ring, clock):
    sealed = await sealer.seal(1, A, "t.c", b"x")
    await sealer.open(1, A, "t.c", sealed)
    asked = [(1, A, None), (1, A, 3)]
    assert ring.asked == asked
    clock.seconds += CACHE_SECONDS
    await sealer.open(1, A, "t.c", sealed)
    assert ring.asked == asked
    ring.destroyed.add(A)
    clock.seconds += 0.001
    with pytest.raises(Erased):
        await sealer.open(1, A, "t.c", sealed)
    assert CACHE_SECONDS <= 60


async def test_what_is_forgotten_is_asked_for_at_once(sealer, ring):
    sealed = [await sealer.seal(1, who, "t.c", b"x") for who in (A, B)]
    for who, what in zip((A, B), sealed, strict=True):
        await sealer.open(1, who, "t.c", what)
    ring.destroyed |= {A, B}
    sealer.forget(1, A)
    with pytest.raises(Erased):
        await sealer.open(1, A, "t.c", sealed[0])
    with pytest.raises(Erased):
        await sealer.seal(1, A, "t.c", b"x")
    assert await sealer.open(1, B, "t.c", sealed[1]) == b"x"


async def test_a_key_on_its_way_while_it_is_forgotten_is_not_kept(sealer, ring):
    sealed = await sealer.seal(1, A, "t.c", b"x")
    plain = ring.key

    async def slow(tenant, subject, epoch):
        found = await plain(tenant, subject, epoch)
        ring.destroyed.add(A)
        sealer.forget(1, A)
        return found

    ring.key = slow
    await sealer.open(1, A, "t.c", sealed)
    with pytest.raises(Erased):
        await sealer.open(1, A, "t.c", sealed)
