"""Encrypting personal data with the key of the person it belongs to (AES-256-GCM).

Keys come from the vault service and are cached for at most 60 seconds. What is sealed is bound to
tenant, subject and place (`table.column`), so a value moved elsewhere does not open. When the
vault has destroyed a subject's key, nothing sealed with it opens again.
"""

import os
import struct
from typing import Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from guilder.chassis.clock import Clock
from guilder.contracts.errors import Internal

CACHE_SECONDS = 60.0
CACHE_KEYS = 20_000


class Keys(Protocol):
    """Where data keys come from."""

    async def key(self, tenant: int, subject: UUID, epoch: int | None) -> tuple[int, bytes]:
        """Epoch and 32-byte key of a subject; `epoch` None = the present one, made if absent."""
        ...


class Sealer:
    """Seals and opens bytes for data subjects."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        """`keys` is asked at most once a minute per subject and epoch."""
        self._keys, self._clock = keys, clock
        self._cache: dict[tuple[int, UUID, int | None], tuple[float, int, bytes]] = {}
        self._forgotten = 0

    async def seal(self, tenant: int, subject: UUID, place: str, plain: bytes) -> bytes:
        """Encrypt: 4 bytes of epoch, 12 of nonce, then ciphertext with its 16-byte tag."""
        epoch, key = await self._key(tenant, subject, None)
        nonce = os.urandom(12)
        head = struct.pack(">I", epoch)
        bound = self._bound(tenant, subject, place, head)
        return head + nonce + AESGCM(key).encrypt(nonce, plain, bound)

    async def open(self, tenant: int, subject: UUID, place: str, sealed: bytes) -> bytes:
        """Decrypt; Erased when the key is gone, Internal when the bytes were tampered with."""
        head, nonce, body = sealed[:4], sealed[4:16], sealed[16:]
        _, key = await self._key(tenant, subject, struct.unpack(">I", head)[0])
        try:
            return AESGCM(key).decrypt(nonce, body, self._bound(tenant, subject, place, head))
        except InvalidTag:
            raise Internal(f"{place} does not open: it was changed or moved") from None

    def forget(self, tenant: int, subject: UUID) -> None:
        """Drop every cached key of a subject, because the vault has just destroyed them."""
        self._forgotten += 1
        for place in [known for known in self._cache if known[:2] == (tenant, subject)]:
            del self._cache[place]

    async def _key(self, tenant: int, subject: UUID, epoch: int | None) -> tuple[int, bytes]:
        now = self._clock.monotonic()
        found = self._cache.get((tenant, subject, epoch))
        if found is None or found[0] < now:
            before = self._forgotten
            number, key = await self._keys.key(tenant, subject, epoch)
            found = (now + CACHE_SECONDS, number, key)
            if before == self._forgotten:  # else it may be the very key that is gone now
                if len(self._cache) >= CACHE_KEYS:
                    self._cache.clear()
                self._cache[tenant, subject, epoch] = found
        return found[1], found[2]

    @staticmethod
    def _bound(tenant: int, subject: UUID, place: str, head: bytes) -> bytes:
        return f"{tenant}|{subject}|{place}|".encode() + head
