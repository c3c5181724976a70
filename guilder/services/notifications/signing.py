"""Signatures of webhooks as in Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`. Pure.

A secret is written `whsec_` + base64. The header holds one signature for each secret in force,
parted by a space, so that a receiver can take over a new secret at any moment of an overlap.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Final
from uuid import UUID

PREFIX: Final = "whsec_"
BYTES: Final = 32


def fresh() -> bytes:
    """A new secret."""
    return secrets.token_bytes(BYTES)


def written(secret: bytes) -> str:
    """A secret as its owner is shown it."""
    return PREFIX + base64.b64encode(secret).decode()


def sign(secret: bytes, delivery: UUID, at: int, body: bytes) -> str:
    """One signature; `at` in seconds since 1970."""
    signed = f"{delivery}.{at}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def headers(keys: Iterable[bytes], delivery: UUID, at: int, body: bytes) -> dict[str, str]:
    """The headers of a post."""
    return {
        "webhook-id": str(delivery),
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(sign(key, delivery, at, body) for key in keys),
    }
