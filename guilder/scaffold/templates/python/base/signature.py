"""Verifies that the platform sent a request: RFC 9421 over the digest of the body (RFC 9530)."""

import base64
import binascii
import hashlib
import hmac
import json
import re
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from problems import unauthenticated

COVERED = '"@method" "@authority" "@path" "content-digest"'
SECONDS, SKEW, AGAIN = 30, 5, 60.0

_DIGEST = re.compile(r"(?:^|, *)sha-256=:([A-Za-z0-9+/=]+):")
_INPUT = re.compile(
    r'([a-z*][a-z0-9_.*-]*)=(\(([^)]*)\)((?:;[a-z]+=(?:\d{1,15}|"[^"\\]*"))*))', re.ASCII
)
_PARAMETER = re.compile(r';([a-z]+)=(\d+|"[^"]*")', re.ASCII)


class Keys:
    """The platform's public keys: a JWKS in a file or behind a URL."""

    def __init__(self, source: str) -> None:
        """Fail when there is no key to begin with."""
        self.source, self._lock = source, threading.Lock()
        self._known: dict[str, ec.EllipticCurvePublicKey] = {}
        self._read()

    def find(self, name: str) -> ec.EllipticCurvePublicKey | None:
        """The key of this id. A platform that changed its key is asked once a minute at most."""
        with self._lock:
            if name not in self._known and time.monotonic() - self._read_at > AGAIN:
                with suppress(OSError, ValueError):  # the keys that are known stay
                    self._read()
            return self._known.get(name)

    def _read(self) -> None:
        self._read_at = time.monotonic()
        if self.source.startswith(("http://", "https://")):
            with urllib.request.urlopen(self.source, timeout=5) as answer:
                raw = answer.read()
        else:
            raw = Path(self.source).read_bytes()
        found = {
            key["kid"]: ec.EllipticCurvePublicNumbers(
                _number(key["x"]), _number(key["y"]), ec.SECP256R1()
            ).public_key()
            for key in json.loads(raw)["keys"]
            if key["kty"] == "EC"
            and key["crv"] == "P-256"
            and key.get("guilder_use", "requests") == "requests"  # another one signs reports
        }
        if not found:
            raise ValueError(f"no P-256 key in {self.source}")
        self._known = found


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


class Headers(Protocol):
    """Anything that knows a header by its name in small letters."""

    def get(self, name: str, /) -> str | None:
        """Its value, or None."""


def verify(method: str, path: str, headers: Headers, body: bytes, keys: Keys, now: float) -> None:
    """Return where the signature holds; raise the problem `unauthenticated` where it does not.

    `now` is in seconds since 1970.
    """
    digest = headers.get("content-digest") or ""
    claimed = _DIGEST.search(digest)
    if not claimed or not hmac.compare_digest(_bytes(claimed[1]), hashlib.sha256(body).digest()):
        raise unauthenticated("Content-Digest is not the digest of the body")

    entry = _INPUT.fullmatch(headers.get("signature-input") or "")
    if entry is None:
        raise unauthenticated("Signature-Input is not one signature")
    label, parameters, covered, rest = entry.groups()
    if covered != COVERED:
        raise unauthenticated(f"the signature must cover {COVERED}")
    given = {name: value.strip('"') for name, value in _PARAMETER.findall(rest)}
    if given.get("alg") != "ecdsa-p256-sha256":
        raise unauthenticated("alg is not the agreed one")
    if not _fresh(given.get("created", ""), given.get("expires", ""), now):
        raise unauthenticated("the signature is too old, or not valid yet")
    key = keys.find(given.get("keyid", ""))
    if key is None:
        raise unauthenticated("keyid names no key of the platform")

    base = "\n".join(
        [
            f'"@method": {method}',
            f'"@authority": {(headers.get("host") or "").lower()}',
            f'"@path": {path}',
            f'"content-digest": {digest}',
            f'"@signature-params": {parameters}',
        ]
    )
    signature = re.fullmatch(re.escape(label) + "=:([^:]*):", headers.get("signature") or "")
    raw = _bytes(signature[1]) if signature else b""
    if len(raw) != 64:  # r and s, 32 bytes each, not DER
        raise unauthenticated("the signature does not hold")
    pair = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    try:
        key.verify(pair, base.encode(), ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise unauthenticated("the signature does not hold") from None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _fresh(created: str, expires: str, now: float) -> bool:
    if not (created.isdigit() and expires.isdigit()):
        return False
    begins, ends = int(created), int(expires)
    return begins <= now + SKEW and now < ends and ends - begins <= SECONDS
