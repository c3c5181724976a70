"""Signs what a conformance run has shown, and says of a row whether it is what was signed.

An attestation is a JWS (RFC 7515, ES256). The database only keeps it: whoever can write there
cannot make one, because the key lies in a private file.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from guilder.chassis.contract import convert, decode, encode
from guilder.chassis.store import Tx
from guilder.contracts.context import PLATFORM
from guilder.contracts.errors import InvalidRequest
from guilder.contracts.registry.attestations import Standing
from guilder.services.registry import attestation_store

ALGORITHM: Final = "ES256"
TYPE: Final = "guilder-attestation"
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""How many private keys P-256 has, plus one (FIPS 186-5)."""

CurrentSuite = Callable[[str], str | None]
"""SHA-256 of this platform's suite of a contract; None where nobody can say."""


class Statement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed: what was tested, with what, when, and until when it counts."""

    id: UUID
    run: UUID
    contract: str
    contract_version: str
    edition: str
    version: str
    url: str
    digest: str
    suite: str
    disclaims: list[str]
    result: Literal["passed"] = "passed"
    finished_at: datetime
    expires_at: datetime


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a header holds."""

    alg: Literal["ES256"]
    typ: Literal["guilder-attestation"]
    kid: str


class Notary:
    """The key of attestations, and what is believed because of it."""

    def __init__(self, seed: bytes, life: timedelta, current_suite: CurrentSuite) -> None:
        """`seed` are the 32 bytes of the key's file; an attestation counts for `life`."""
        self._key = private_key(seed)
        self.kid = thumbprint(self._key)
        self.life, self._current_suite = life, current_suite

    def public_jwk(self) -> dict[str, str]:
        """The public key as RFC 7517 writes it."""
        members = {name: str(value) for name, value in self._key.as_dict(private=False).items()}
        shape = {name: members[name] for name in ("kty", "crv", "x", "y")}
        return shape | {
            "kid": self.kid,
            "use": "sig",
            "alg": ALGORITHM,
            "guilder_use": "attestations",
        }

    def sign(self, statement: Statement) -> str:
        """The statement as a JWS in its compact form."""
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": self.kid}
        return jws.serialize_compact(header, encode(statement), self._key, algorithms=[ALGORITHM])

    def read(self, signed: str) -> Statement | None:
        """What was signed with this key; None for anything else."""
        try:
            found = jws.deserialize_compact(signed, self._key, algorithms=[ALGORITHM])
            if convert(found.headers(), Header).kid != self.kid:
                return None
            statement: Statement = decode(found.payload, Statement)
        except (JoseError, ValueError, InvalidRequest):
            return None
        return statement

    def statement(self, row: Any) -> Statement | None:
        """What a row attests; None unless every column says what was signed."""
        found = self.read(row["signed"])
        if found is None:
            return None
        said = {name: getattr(found, name) for name in ("id", "contract", "contract_version")}
        said |= {name: getattr(found, name) for name in ("edition", "version", "url", "digest")}
        said |= {name: getattr(found, name) for name in ("finished_at", "expires_at")}
        said |= {"run_id": found.run, "suite_hash": found.suite, "tenant": PLATFORM}
        kept = {name: value for name, value in dict(row).items() if name != "signed"}
        return found if said == kept else None

    def standing(self, row: Any, now: datetime) -> Standing:
        """Whether an edition may be bound by a row, or why not."""
        found = self.statement(row)
        if found is None:
            return "altered"
        if not found.finished_at <= now < found.expires_at:
            return "expired"
        current = self._current_suite(found.contract) == found.suite
        return "fresh" if current else "outdated"

    async def fresh(self, tx: Tx, contract: str, edition: str, version: str, url: str) -> Any:
        """The row by which exactly this may be bound now, or None."""
        for row in await attestation_store.speaking(tx, contract, edition, version, url):
            if self.standing(row, tx.at) == "fresh":
                return row
        return None


def private_key(seed: bytes) -> ECKey:
    """The P-256 key that belongs to 32 random bytes."""
    number = int.from_bytes(seed, "big") % (ORDER - 1) + 1
    return ECKey.import_key(ec.derive_private_key(number, ec.SECP256R1()))


def thumbprint(key: ECKey) -> str:
    """The name of a key (RFC 7638)."""
    members = {name: str(value) for name, value in key.as_dict(private=False).items()}
    shape = {name: members[name] for name in ("crv", "kty", "x", "y")}
    return _base64(sha256(msgspec.json.encode(shape)).digest())


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
