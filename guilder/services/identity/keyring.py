"""The keys that sign tokens: rows in the database, their private halves sealed by a key file."""

import json
import os
from datetime import timedelta
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.jwk import ECKey

from guilder.chassis.store import Tx
from guilder.contracts.errors import Internal
from guilder.services.identity import store

CACHED = 16
"""How many opened private keys are kept."""


class Keyring:
    """Signing keys of all processes of identity; needs transactions opened for the platform."""

    def __init__(self, master: bytes, token_life: timedelta) -> None:
        """`master` (32 bytes) seals; a retired key verifies for one more `token_life`."""
        self._master, self._life = AESGCM(master), token_life
        self._opened: dict[UUID, ECKey] = {}

    async def present(self, tx: Tx) -> tuple[UUID, ECKey]:
        """Id and private key that sign now; the first one is made here."""
        row = await store.present_key(tx)
        if row is None:
            await store.lock_keys(tx)
            row = await store.present_key(tx) or await self._add(tx, tx.resource)
        return row["id"], self._open(row)

    async def rotate(self, tx: Tx, id_: UUID) -> None:
        """Sign with a new key from now on."""
        await store.lock_keys(tx)
        await store.retire_keys(tx, tx.at + self._life)
        await self._add(tx, id_)

    async def _add(self, tx: Tx, id_: UUID) -> Any:
        key = ECKey.generate_key("P-256", private=True)
        members = {name: str(value) for name, value in key.as_dict(private=True).items()}
        nonce = os.urandom(12)
        sealed = nonce + self._master.encrypt(nonce, json.dumps(members).encode(), id_.bytes)
        return await store.add_key(tx, id_, (members["x"], members["y"]), sealed)

    def _open(self, row: Any) -> ECKey:
        if row["id"] not in self._opened:
            if len(self._opened) >= CACHED:
                self._opened.clear()
            self._opened[row["id"]] = self.unseal(row)
        return self._opened[row["id"]]

    def unseal(self, row: Any) -> ECKey:
        """The private key of a row; Internal when it does not open or is another's."""
        sealed = bytes(row["sealed"])
        try:
            members = json.loads(self._master.decrypt(sealed[:12], sealed[12:], row["id"].bytes))
        except InvalidTag:
            raise Internal("a signing key does not open: it was changed or moved") from None
        if (members["x"], members["y"]) != (row["x"], row["y"]):
            raise Internal("a signing key's public half is not its own")
        return ECKey.import_key(members)


def public_key(row: Any) -> ECKey:
    """The public key of a row."""
    return ECKey.import_key({"kty": "EC", "crv": "P-256", "x": row["x"], "y": row["y"]})


def jwk(row: Any) -> dict[str, str]:
    """The public key as RFC 7517 writes it."""
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": row["x"],
        "y": row["y"],
        "kid": str(row["id"]),
        "use": "sig",
        "alg": "ES256",
    }
