"""`vault`: the keys of data subjects. One place holds them, so one place can destroy them."""

from typing import Annotated
from uuid import UUID

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Answers, Batch, Contract, Request, operation
from guilder.contracts.errors import NotFound


class Erased(NotFound):
    """The subject's key was destroyed: what was sealed with it is gone for good."""

    code = "erased"
    status = 410
    title = "The personal data was erased"
    fix = "Nothing can be done: the key of this person was destroyed."


class KeyQuestion(Request, frozen=True, kw_only=True):
    """Which key: of which data subject, of which epoch (None = the present one)."""

    subject: UUID
    epoch: int | None = None


class DataKey(Answer, frozen=True, kw_only=True):
    """A 32-byte AES key (base64 on the wire) and its epoch. Cache it for at most 60 seconds."""

    subject: UUID
    epoch: int
    key: bytes


class Subject(Request, frozen=True, kw_only=True):
    """A data subject: a party, or a principal where no party is known."""

    subject: UUID
    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=200)]


class Destroyed(Answer, frozen=True, kw_only=True):
    """How many keys (one per epoch) were destroyed."""

    subject: UUID
    keys: int


class Rotate(Request, frozen=True, kw_only=True):
    """Start a new epoch for the tenant of the call: new data is sealed with new keys."""


class Epoch(Answer, frozen=True, kw_only=True):
    """The tenant's present epoch."""

    epoch: int


class IndexQuestion(Request, frozen=True, kw_only=True):
    """Ask for the tenant's look-up key."""


class IndexKey(Answer, frozen=True, kw_only=True):
    """The 32-byte HMAC key with which a tenant's names are indexed."""

    key: bytes


class Vault(Contract, name="vault", version="1.0.0-draft"):
    """Keys of data subjects, one per subject and epoch, wrapped by that epoch's master key."""

    @operation("POST /keys", command=False, deadline_ms=2_000, problems=(Erased,))
    async def keys(self, calls: Batch[KeyQuestion]) -> Answers[DataKey]:
        """Hand out a subject's key; the present epoch's key is made when it is absent."""
        raise NotImplementedError

    @operation("POST /index-key", command=False, deadline_ms=2_000)
    async def index_key(self, ctx: Context, request: IndexQuestion) -> IndexKey:
        """Hand out the tenant's look-up key."""
        raise NotImplementedError

    @operation("POST /subjects/{subject}/erasure")
    async def erase(self, ctx: Context, request: Subject) -> Destroyed:
        """Destroy all keys of a data subject; what was sealed with them never opens again."""
        raise NotImplementedError

    @operation("POST /epochs")
    async def rotate(self, ctx: Context, request: Rotate) -> Epoch:
        """Start a new epoch for the tenant of the call."""
        raise NotImplementedError
