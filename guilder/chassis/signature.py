"""Signatures on requests to editions: RFC 9421 with ECDSA P-256 and SHA-256, and the body's digest
(RFC 9530). An edition that checks them answers nobody but this platform.

The private key is made from 32 bytes, `CallKeys.key("platform", "editions")`: whoever may send to
editions holds those and no other key. The public one is at `GET /v1/edition-keys`.
"""

import hashlib
import re
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from guilder.chassis.token import CallKeys
from guilder.contracts.edition import SIGNATURE_SECONDS, SIGNED
from guilder.contracts.errors import Unauthenticated

PAIR: Final = ("platform", "editions")
"""Of whom the 32 bytes are, among the call keys."""

ALGORITHM: Final = "ecdsa-p256-sha256"
LABEL: Final = "guilder"
SKEW_SECONDS: Final = 5
"""How far ahead the clock of whoever signed may be."""

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ECDSA: Final = ec.ECDSA(hashes.SHA256())
_SIZE: Final = 32
_COVERED: Final = " ".join(f'"{name}"' for name in SIGNED)

Jwk = Mapping[str, str]


class SigningKey:
    """The platform's key towards editions."""

    def __init__(self, seed: bytes) -> None:
        """`seed` are the 32 bytes that the key is made from; the same ones, the same key."""
        number = int.from_bytes(seed, "big") % (_ORDER - 1) + 1
        self._private = ec.derive_private_key(number, ec.SECP256R1())
        point = self._private.public_key().public_numbers()
        self._jwk = {"crv": "P-256", "kty": "EC", "x": _coordinate(point.x)}
        self._jwk["y"] = _coordinate(point.y)
        self.keyid = thumbprint(self._jwk)

    @classmethod
    def of(cls, keys: CallKeys) -> "SigningKey":
        """The key that a process holds; Unauthenticated where it holds none."""
        return cls(keys.key(*PAIR))

    def public_jwk(self) -> dict[str, str]:
        """The public half, as a JSON Web Key that says what it is for."""
        return {**self._jwk, "kid": self.keyid, "use": "sig", "alg": "ES256"}

    def sign(self, method: str, authority: str, path: str, body: bytes, at: int) -> dict[str, str]:
        """The headers that sign a request at a moment (Unix seconds).

        `authority` is the value of the header Host, `path` the path without its query.
        """
        digest = content_digest(body)
        parameters = (
            f"({_COVERED});created={at}"
            f';expires={at + SIGNATURE_SECONDS};keyid="{self.keyid}";alg="{ALGORITHM}"'
        )
        signed = base(zip(SIGNED, (method, authority, path, digest), strict=True), parameters)
        r, s = utils.decode_dss_signature(self._private.sign(signed, _ECDSA))
        raw = r.to_bytes(_SIZE, "big") + s.to_bytes(_SIZE, "big")
        return {
            "Content-Digest": digest,
            "Signature-Input": f"{LABEL}={parameters}",
            "Signature": f"{LABEL}=:{b64encode(raw).decode()}:",
        }


def thumbprint(jwk: Jwk) -> str:
    """RFC 7638: the key's own name."""
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    return _unpadded(hashlib.sha256(msgspec.json.encode(members)).digest())


def content_digest(body: bytes) -> str:
    """The value of the header Content-Digest."""
    return f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"


def base(components: Iterable[tuple[str, str]], parameters: str) -> bytes:
    """What is signed: a line for each component, and the parameters."""
    lines = [
        f'"{name}": {value}' for name, value in (*components, ("@signature-params", parameters))
    ]
    return "\n".join(lines).encode("latin-1")


def holds(jwk: Jwk, signed: bytes, raw: bytes) -> bool:
    """Whether these 64 bytes (r and s) sign that."""
    if len(raw) != 2 * _SIZE:
        return False
    x, y = (int.from_bytes(urlsafe_b64decode(jwk[name] + "=="), "big") for name in ("x", "y"))
    r, s = (int.from_bytes(part, "big") for part in (raw[:_SIZE], raw[_SIZE:]))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    try:
        public.verify(utils.encode_dss_signature(r, s), signed, _ECDSA)
    except InvalidSignature:
        return False
    return True


_INPUT = re.compile(
    r'guilder=(?P<parameters>\((?P<components>[a-z0-9@" -]*)\);created=(?P<created>[0-9]{1,12})'
    r';expires=(?P<expires>[0-9]{1,12});keyid="(?P<keyid>[A-Za-z0-9_-]{1,100})"'
    r';alg="(?P<alg>[a-z0-9-]+)")',
    re.ASCII,
)
_SIGNATURE = re.compile(r"guilder=:([A-Za-z0-9+/]{86}==):", re.ASCII)


class BadSignature(Unauthenticated):
    """A request is not signed, or not by whom it should be, or not now, or not this request."""


def verify(
    jwk: Jwk,
    *,
    method: str,
    authority: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
) -> None:
    """BadSignature unless this key signed exactly this request, and not long ago.

    `authority` is the value of the header Host; `headers` are by small letters; `now` is in Unix
    seconds.
    """
    found = _INPUT.fullmatch(headers.get("signature-input", ""))
    signature = _SIGNATURE.fullmatch(headers.get("signature", ""))
    if found is None or signature is None:
        raise BadSignature("the request is not signed as it must be")
    if found["components"] != _COVERED:
        raise BadSignature("the signature does not cover what it must")
    created, expires = int(found["created"]), int(found["expires"])
    if created > now + SKEW_SECONDS or expires <= now or expires - created > SIGNATURE_SECONDS:
        raise BadSignature("the signature is not of now")
    if found["alg"] != ALGORITHM:
        raise BadSignature("the signature is of another kind")
    digest = content_digest(body)
    if headers.get("content-digest") != digest:
        raise BadSignature("the digest is of another body")
    signed = base(zip(SIGNED, (method, authority, path, digest), strict=True), found["parameters"])
    ours = thumbprint(jwk) == found["keyid"]
    if not ours or not holds(jwk, signed, b64decode(signature[1])):
        raise BadSignature("the signature is not ours")


def _coordinate(number: int) -> str:
    return _unpadded(number.to_bytes(_SIZE, "big"))


def _unpadded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
