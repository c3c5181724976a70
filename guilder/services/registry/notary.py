"""Signs what a conformance run has shown, and says of a row whether it is what was signed.

An attestation is a JWS (RFC 7515, ES256). The database only keeps it: whoever can write there
cannot make one, because the key lies in a private file.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
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

CurrentSuite = Callable[[str], Awaitable[str | None]]
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

    def __init__(self, pem: bytes, life: timedelta, current_suite: CurrentSuite) -> None:
        """`pem` is the private key; an attestation counts for `life`."""
        self._key = ECKey.import_key(pem)
        self.kid = self._key.thumbprint()
        self.life, self._current_suite = life, current_suite

    def public_jwk(self) -> dict[str, str]:
        """The public key as RFC 7517 writes it."""
        shape = {name: str(value) for name, value in self._key.as_dict(private=False).items()}
        said = {"kid": self.kid, "use": "sig", "alg": ALGORITHM, "guilder_use": "attestations"}
        return {name: shape[name] for name in ("kty", "crv", "x", "y")} | said

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

    async def standing(self, row: Any, now: datetime) -> Standing:
        """Whether an edition may be bound by a row, or why not."""
        found = self.statement(row)
        if found is None:  # of a former key it is as it was, for all that can still be said
            return "outdated" if _key_named(row["signed"]) not in ("", self.kid) else "altered"
        if not found.finished_at <= now < found.expires_at:
            return "expired"
        current = await self._current_suite(found.contract) == found.suite
        return "fresh" if current else "outdated"

    async def fresh(self, tx: Tx, contract: str, edition: str, version: str, url: str) -> Any:
        """The row by which exactly this may be bound now, or None."""
        for row in await attestation_store.speaking(tx, contract, edition, version, url):
            if await self.standing(row, tx.at) == "fresh":
                return row
        return None


def _key_named(signed: str) -> str:
    """Which key a JWS says it is of; nothing of it is proven. "" where it says nothing."""
    try:
        return str(jws.extract_compact(signed.encode()).headers().get("kid", ""))
    except (JoseError, ValueError):
        return ""


def fresh_key() -> bytes:
    """A new private key (PEM)."""
    return ECKey.generate_key("P-256", private=True).as_pem(private=True)
