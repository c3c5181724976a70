"""The call token: which of our processes calls, what exactly, on whose behalf. Lives 30 seconds.

HMAC-SHA256 with a key per pair of services, over the caller, the audience, the operation, the hash
of target and body, and the context. It proves origin and content between processes; people and
machine clients never see one.
"""

import hashlib
import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.errors import Unauthenticated

LIFETIME = 30
KEY_BYTES = 32
"""As long as the digest: a shorter key is easier to guess."""
HEADER = "guilder-call"


class Claims(msgspec.Struct, frozen=True):
    """What a call token says.

    `exp` is Unix seconds; `left` milliseconds until the deadline; `body` the digest of the request.
    """

    iss: str
    aud: str
    op: str
    exp: int
    body: str
    left: int
    ctx: Context | None = None


class CallKeys:
    """The keys a process holds: one per pair (caller, audience)."""

    def __init__(self, root: bytes) -> None:
        """`root` is the platform's call secret; pair keys are derived from it."""
        self._root = root

    def key(self, caller: str, audience: str) -> bytes:
        """The key of a pair; Unauthenticated where this process does not hold it."""
        return hmac.digest(self._root, f"call:{caller}>{audience}".encode(), "sha256")

    def sign(self, claims: Claims) -> str:
        """Write the token."""
        payload = urlsafe_b64encode(msgspec.json.encode(claims))
        mac = hmac.digest(self.key(claims.iss, claims.aud), payload, "sha256")
        return (payload + b"." + urlsafe_b64encode(mac)).decode()

    def verify(self, token: str, audience: str, operation: str, body: str) -> Claims:
        """Read the token; Unauthenticated unless it holds for exactly this call, now.

        `body` is the digest of what was received.
        """
        payload, _, mac = token.encode("ascii", "replace").partition(b".")
        try:
            claims = msgspec.json.decode(urlsafe_b64decode(payload), type=Claims)
            given = urlsafe_b64decode(mac)
        except (ValueError, msgspec.MsgspecError):
            raise Unauthenticated("the call token cannot be read") from None
        wanted = hmac.digest(self.key(claims.iss, claims.aud), payload, "sha256")
        if not hmac.compare_digest(wanted, given):
            raise Unauthenticated("the call token is not ours")
        if claims.aud != audience or claims.op != operation:
            raise Unauthenticated("the call token is for another call")
        if claims.body != body:
            raise Unauthenticated("the call token is for another body")
        if not -LIFETIME <= claims.exp - time.time() <= 2 * LIFETIME or claims.exp < time.time():
            raise Unauthenticated("the call token has expired")
        return claims


class PairKeys(CallKeys):
    """The keys of a process that holds those of its own pairs and no others."""

    def __init__(self, pairs: Mapping[str, str]) -> None:
        """`pairs` maps `caller>audience` to the key in hex; ValueError for what is no key."""
        super().__init__(b"")
        try:
            self._pairs = {pair: bytes.fromhex(key) for pair, key in pairs.items()}
        except (AttributeError, TypeError):
            raise ValueError("they are an object of pairs and keys in hex") from None
        for pair, key in self._pairs.items():
            if len(key) != KEY_BYTES:
                raise ValueError(f"the key of {pair} has not {KEY_BYTES} bytes")

    def key(self, caller: str, audience: str) -> bytes:
        """The key of a pair; Unauthenticated where this process does not hold it."""
        found = self._pairs.get(f"{caller}>{audience}")
        if found is None:
            raise Unauthenticated(f"this process holds no key for {caller} calling {audience}")
        return found


def digest(target: str, body: bytes) -> str:
    """SHA-256 over the target (path and query, where ids stand) and the body, hex."""
    return hashlib.sha256(target.encode() + b"\n" + body).hexdigest()
