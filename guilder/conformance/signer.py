"""Signs as the platform does, and as somebody would who is not it."""

import hashlib
import time

from guilder.chassis.signature import SigningKey

SEED_BYTES = 32


class Signer:
    """A key, and how far behind its clock is."""

    def __init__(self, seed: bytes, behind_s: int = 0) -> None:
        """`seed` are the 32 bytes of the platform's key towards editions; ValueError for others."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"the seed of the key has {SEED_BYTES} bytes, not {len(seed)}")
        self._seed, self._behind = seed, behind_s
        self._key = SigningKey(seed)

    @classmethod
    def read(cls, raw: bytes) -> "Signer":
        """Take the content of a seed file: the 32 bytes, or as 64 hexadecimal digits."""
        if len(raw) == SEED_BYTES:
            return cls(raw)
        try:
            return cls(bytes.fromhex(raw.decode("ascii").strip()))
        except (ValueError, UnicodeDecodeError):
            raise ValueError("a seed file holds 32 bytes, or 64 hexadecimal digits") from None

    def headers(self, method: str, authority: str, path: str, body: bytes) -> dict[str, str]:
        """The headers that sign a request now."""
        at = int(time.time()) - self._behind
        return self._key.sign(method, authority, path, body, at)

    def aged(self, seconds: int) -> "Signer":
        """The same key so long ago."""
        return Signer(self._seed, self._behind + seconds)

    def stranger(self) -> "Signer":
        """Another key."""
        return Signer(hashlib.sha256(b"a stranger" + self._seed).digest(), self._behind)

    def public_jwk(self) -> dict[str, str]:
        """What an edition verifies with."""
        return self._key.public_jwk()
