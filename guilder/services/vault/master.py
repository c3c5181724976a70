"""Master keys: one file per epoch, readable by this process's user alone."""

import hmac
import os
import secrets
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from guilder.chassis.keyfile import private_file
from guilder.contracts.errors import Internal


class MasterKeys:
    """Wraps and unwraps data keys; master keys never leave this object."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made private (0700) if it is absent."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._keys: dict[str, bytes] = {}

    def wrap(self, tenant: int, subject: UUID, epoch: int, key: bytes) -> bytes:
        """Encrypt a data key, bound to its owner and epoch."""
        nonce = os.urandom(12)
        bound = f"{tenant}|{subject}|{epoch}".encode()
        return nonce + AESGCM(self._master(f"epoch-{epoch}")).encrypt(nonce, key, bound)

    def unwrap(self, tenant: int, subject: UUID, epoch: int, wrapped: bytes) -> bytes:
        """Decrypt a data key; Internal when it is not this subject's or was changed."""
        bound = f"{tenant}|{subject}|{epoch}".encode()
        name = f"epoch-{epoch}"
        if name not in self._keys and not self._path(name).exists():  # never make it anew
            raise Internal(f"the master key of epoch {epoch} is gone: restore the secrets folder")
        try:
            master = AESGCM(self._master(name))
            return master.decrypt(wrapped[:12], wrapped[12:], bound)
        except InvalidTag:
            raise Internal("a data key does not open: it was changed or moved") from None

    def index_key(self, tenant: int) -> bytes:
        """The tenant's 32-byte look-up key."""
        return hmac.digest(self._master("index"), f"tenant:{tenant}".encode(), "sha256")

    def _master(self, name: str) -> bytes:
        if name not in self._keys:
            self._keys[name] = private_file(self._path(name), lambda: secrets.token_bytes(32))
        return self._keys[name]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.key"
