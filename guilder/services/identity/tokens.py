"""Issuing tokens and believing them; both look into the database, so that revocation is at once."""

from typing import Any, Literal
from uuid import UUID

from guilder.chassis.store import Store, Tx
from guilder.contracts.context import PLATFORM, Principal
from guilder.contracts.identity import v1
from guilder.contracts.values import uuid7
from guilder.services.identity import access_token, keyring, secret, store
from guilder.services.identity.access_token import Claims
from guilder.services.identity.keyring import Keyring
from guilder.services.identity.settings import IdentitySettings

OPERATOR = UUID(int=1)
"""The platform's first operator, a machine client whose secret is a file."""

Kind = Literal["person", "client"]


class Tokens:
    """Tokens of people and machine clients."""

    def __init__(
        self, database: Store, keys: Keyring, settings: IdentitySettings, operator: str
    ) -> None:
        """`operator` is the secret of the platform's first operator."""
        self.store, self.keys, self._settings = database, keys, settings
        self._operator = operator

    async def issue(self, tx: Tx, kind: Kind, row: Any, client: UUID) -> v1.Token:
        """Sign a token for a person or client; `tx` must be open for the platform."""
        kid, key = await self.keys.present(tx)
        now = int(tx.at.timestamp())
        claims = Claims(
            iss=self._settings.issuer,
            aud=self._settings.audience,
            sub=row["id"],
            client_id=client,
            iat=now,
            nbf=now,
            exp=now + self._settings.token_s,
            jti=uuid7(tx.at),
            tenant=row["tenant"],
            kind=kind,
            party=row["party"],
        )
        text = access_token.write(claims, kid, key)
        return v1.Token(access_token=text, token_type="Bearer", expires_in=self._settings.token_s)

    async def for_client(self, request: v1.TokenRequest) -> v1.Token:
        """Answer client credentials; an unknown client takes as long as a wrong secret."""
        try:
            id_ = UUID(request.client_id)
        except ValueError:
            id_ = UUID(int=0)
        async with self.store.tx(PLATFORM) as tx:
            row = await store.client_anywhere(tx, id_)
            known = row is not None and row["revoked_at"] is None
            stored = self._digest(row) if known else secret.NOBODY
            right = secret.matches(id_, request.client_secret, stored)
            if not (right and known):
                raise v1.BadClient()
            return await self.issue(tx, "client", row, row["id"])

    def _digest(self, row: Any) -> bytes:
        if row["secret_digest"] is None:
            return secret.digest(row["id"], self._operator)
        return bytes(row["secret_digest"])

    async def believe(self, token: str) -> v1.Authenticated:
        """Verify a stranger's token; InvalidToken says no more than that it does not hold."""
        kid = access_token.key_id(token)
        async with self.store.tx(PLATFORM) as tx:
            key = await store.verifying_key(tx, kid)
        if key is None:
            raise v1.InvalidToken()
        claims = access_token.read(
            token,
            keyring.public_key(key),
            self._settings.issuer,
            self._settings.audience,
            self.store.clock.now().timestamp(),
        )
        row = await self._holder(claims)
        if row is None:
            raise v1.InvalidToken()
        principal = Principal(id=claims.sub, kind=claims.kind, party=row["party"])
        return v1.Authenticated(tenant=claims.tenant, principal=principal, expires_at=claims.exp)

    async def _holder(self, claims: Claims) -> Any:
        """The person or client of a token, if still welcome."""
        async with self.store.tx(claims.tenant) as tx:
            if claims.kind == "person":
                row = await store.person(tx, claims.tenant, claims.sub)
                gone = row and row["disabled_at"]
            else:
                row = await store.client(tx, claims.tenant, claims.sub)
                gone = row and row["revoked_at"]
        return None if gone else row
