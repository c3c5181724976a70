"""Access tokens (RFC 9068): written by us alone, so what is read must be exactly our shape.

A stranger's header never chooses anything: one algorithm, one type, three members, and a key id
that only selects among our own keys.
"""

import base64
import re
from typing import Literal
from uuid import UUID

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from guilder.chassis.contract import convert, read_json
from guilder.contracts.errors import InvalidRequest
from guilder.contracts.identity.v1 import InvalidToken

ALGORITHM = "ES256"
MAX_LENGTH = 4096
_SHAPE = re.compile(r"[A-Za-z0-9_-]{1,400}\.[A-Za-z0-9_-]{1,3000}\.[A-Za-z0-9_-]{86}", re.ASCII)


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a header may hold: no `jku`, `x5u`, `jwk`, `crit`."""

    alg: Literal["ES256"]
    typ: Literal["at+jwt"]
    kid: str


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token says. Times are Unix seconds; `client_id` is who asked for the token."""

    iss: str
    aud: str
    sub: UUID
    client_id: UUID
    iat: int
    nbf: int
    exp: int
    jti: UUID
    tenant: int
    kind: Literal["person", "client"]
    party: UUID | None


def write(claims: Claims, kid: UUID, key: ECKey) -> str:
    """Sign a token."""
    header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": str(kid)}
    return jwt.encode(header, msgspec.to_builtins(claims), key, algorithms=[ALGORITHM])


def key_id(token: str) -> UUID:
    """Which key the token says it is signed with; nothing of it is proven yet."""
    if len(token) > MAX_LENGTH or not _SHAPE.fullmatch(token):
        raise InvalidToken()
    try:
        head = token.partition(".")[0]
        raw = base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))
        header: Header = convert(read_json(raw), Header)
        kid = UUID(header.kid)
    except (ValueError, InvalidRequest):
        raise InvalidToken() from None
    if str(kid) != header.kid:  # UUID() also reads braces, urn: and capitals
        raise InvalidToken()
    return kid


def read(token: str, key: ECKey, issuer: str, audience: str, now: float) -> Claims:
    """Verify signature, issuer, audience and times, without leeway; `now` in Unix seconds."""
    try:
        found = jwt.decode(token, key, algorithms=[ALGORITHM])
        claims: Claims = convert(found.claims, Claims)
    except (JoseError, ValueError, InvalidRequest):
        raise InvalidToken() from None
    if claims.iss != issuer or claims.aud != audience or now < claims.nbf:
        raise InvalidToken()
    if now >= claims.exp:
        raise InvalidToken("the token has expired")
    return claims
