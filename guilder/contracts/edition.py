"""How the platform speaks with an edition that is not ours: HTTP and JSON, nothing else.

An edition is a server at a base URL. It says what it is at `MANIFEST`, and answers each
replaceable operation of its contract as a batch of one tenant:

    POST {base}/pricing/v1/quotes
    {"tenant": 7, "items": [{"operation": "book_transfer", ...}, ...]}

    200  Guilder-Edition: pricing B.1.0.0 sha256:9f...
    {"items": [{"answer": {"fee": {...}, "rule": "..."}}, {"problem": {"code": ..., ...}}]}

one answer or problem per item, in order. An item holds what the operation's `sees` names and
nothing else. A request is signed (RFC 9421, ECDSA P-256 with SHA-256) over `SIGNED`, with the
digest of its body (RFC 9530); the platform's public keys are at `GET /v1/edition-keys`.
"""

import typing
from typing import Annotated, Any, Final

import msgspec

from guilder.contracts.declare import Answer, Contract, Operation, Personal

MANIFEST: Final = "/.well-known/guilder-edition"
"""Where an edition says what it is, below its base URL (GET)."""

EDITION: Final = "Guilder-Edition"
"""The header of every answer: `CONTRACT EDITION.VERSION DIGEST`."""

DEADLINE: Final = "Guilder-Deadline-Ms"
"""The header that says how long the platform waits for an answer, in milliseconds."""

REQUEST: Final = "Guilder-Request"
"""The header that names the request of the platform this belongs to, for both sides' logs."""

SIGNED: Final = ("@method", "@authority", "@path", "content-digest")
"""What a signature covers, in this order; its parameters are created, expires, keyid and alg."""

SIGNATURE_SECONDS: Final = 30
"""How long a signature is valid."""

MOST_ITEMS: Final = 256
"""The most items of one batch."""

LARGEST_ANSWER: Final = 1024 * 1024
"""The largest answer that is read, in bytes."""

JSON_TYPES: Final = ("application/json", "application/json;charset=utf-8")
"""What the header Content-Type of an answer may say, without its spaces and in small letters."""

Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}(?!\n)$")]
"""SHA-256 of what the edition runs, as it computes it itself: another build, another digest."""


class Manifest(Answer, frozen=True, kw_only=True):
    """What an edition says of itself.

    `disclaims` names the capabilities of the contract's suite that it does not offer.
    """

    contract: str
    contract_version: str
    edition: Annotated[str, msgspec.Meta(pattern=r"^[A-Z](?!\n)$")]
    version: str
    digest: Digest
    disclaims: Annotated[list[str], msgspec.Meta(max_length=32)] = msgspec.field(
        default_factory=list
    )


def path(operation: Operation) -> str:
    """Where an edition answers an operation, below its base URL: `/pricing/v1/quotes`."""
    return f"/{operation.contract}/v1{operation.path}"


def banner(manifest: Manifest) -> str:
    """The value of the header `Guilder-Edition`."""
    release = f"{manifest.edition}.{manifest.version}"
    return f"{manifest.contract} {release} {manifest.digest}"


def sees_personal(contract: type[Contract]) -> bool:
    """Whether an edition of this contract is shown personal data."""
    return any(map(shows_personal, contract.replaceable()))


def shows_personal(operation: Operation) -> bool:
    """Whether whoever answers this operation is shown personal data."""
    hints = typing.get_type_hints(operation.request, include_extras=True)
    return any(holds_personal(hints[name]) for name in operation.sees)


def holds_personal(kind: Any) -> bool:
    """Whether a type is marked as personal data, itself or anywhere inside."""
    if any(isinstance(mark, Personal) for mark in getattr(kind, "__metadata__", ())):
        return True
    inside = list(typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        inside += typing.get_type_hints(kind, include_extras=True).values()
    return any(map(holds_personal, inside))
