"""Secrets of machine clients.

A secret is 256 random bits, never a word that somebody chose, so nobody finds it by guessing and a
plain SHA-256 protects the stored digest. argon2 would slow down only us: it is for passwords.
"""

import hashlib
import hmac
import secrets
from uuid import UUID

NOBODY = bytes(32)
"""Stands in for the digest of a client that does not exist; no secret is known to have it."""


def fresh() -> str:
    """A new secret: 32 random bytes, base64url."""
    return secrets.token_urlsafe(32)


def digest(client: UUID, secret: str) -> bytes:
    """What is stored; bound to the client, so that a digest copied to another one is no use."""
    return hashlib.sha256(client.bytes + secret.encode("utf-8", "replace")).digest()


def matches(client: UUID, secret: str, stored: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(digest(client, secret), stored)
