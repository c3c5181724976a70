"""Conformance runs and attestations: what the platform itself has tested of an edition, and signed.

A run is asked for (`conform`), goes on by itself and ends as `passed`, `failed` or `broken`. Only
one that passed makes an attestation. It speaks of exactly one edition, version and URL, and only
while it is `fresh`.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.declare import Answer, Request
from guilder.contracts.errors import Conflict, NotFound
from guilder.contracts.registry.bindings import (
    ContractName,
    Edition,
    NotReplaceable as NotReplaceable,
)

EditionUrl = Annotated[str, msgspec.Meta(min_length=8, max_length=300)]
"""The base URL of an edition; GUILDER_OUTBOUND_ALLOW says which are reached that are not public."""

Named = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]((\.(0|[1-9][0-9]{0,3})){3})?(?!\n)$")]
"""An edition, `B`, or one version of it, `B.1.0.0`."""

RunState = Literal["running", "passed", "failed", "broken"]
"""`failed`: the edition did not do what its contract promises; `broken`: nobody can say."""

Standing = Literal["fresh", "expired", "outdated", "altered"]
"""Whether an edition may be bound by an attestation, or why not: its time is over; this platform's
suite or key has changed since; it is not as it was signed.
"""


class TooManyRuns(Conflict):
    """As many runs wait as are worth it."""

    code = "too-many-runs"
    title = "Too many conformance runs are waiting"
    fix = "Wait until one has ended."


class UnknownRun(NotFound):
    """No such conformance run."""

    code = "unknown-run"
    title = "There is no such conformance run"
    fix = "Ask for one with `guilder conform`, which prints its id."


class Conform(Request, frozen=True, kw_only=True):
    """Run the contract's conformance suite against the edition at a URL.

    Where `edition` names one (and its version), what answers must say that it is that.
    """

    contract: ContractName
    url: EditionUrl
    edition: Named | None = None


class RunId(Request, frozen=True, kw_only=True):
    """Which conformance run."""

    run_id: UUID


class Check(Answer, frozen=True, kw_only=True):
    """One check of the suite. A `skipped` one is of a capability that the edition disclaims."""

    name: str
    passed: bool
    skipped: bool = False
    detail: str = ""
    milliseconds: int = 0


class ConformanceRun(Answer, frozen=True, kw_only=True):
    """A run as it is now; what the edition says of itself is known as soon as it was asked.

    `progress` are the suite's latest lines, oldest first. `reason` says why it is `broken`;
    `attestation` is the id of what a run that passed has made.
    """

    id: UUID
    contract: str
    url: str
    wanted: str | None
    state: RunState
    asked_by: UUID
    asked_at: datetime
    progress: list[str]
    checks: list[Check]
    contract_version: str | None = None
    edition: str | None = None
    version: str | None = None
    digest: str | None = None
    disclaims: list[str] = msgspec.field(default_factory=list)
    suite: str | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    attestation: UUID | None = None


class AttestationQuery(Request, frozen=True, kw_only=True):
    """Filter of the list of attestations."""

    contract: ContractName | None = None
    edition: Edition | None = None
    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class Attestation(Answer, frozen=True, kw_only=True):
    """What this platform attests: this edition, there, passed this suite at that time.

    `suite` is the SHA-256 of the suite. `signed` is the same as a JWS (RFC 7515, ES256) that
    whoever has the keys of `GET /v1/edition-keys` can check.
    """

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
    finished_at: datetime
    expires_at: datetime
    standing: Standing
    signed: str


class Attestations(Answer, frozen=True, kw_only=True):
    """A page, newest first; pass `next` as `after`."""

    items: list[Attestation]
    next: UUID | None


class EditionKeys(Answer, frozen=True, kw_only=True):
    """Public keys as RFC 7517 writes them, told apart by `kid`.

    Those with `use` = `sig` and `guilder_use` = `requests` sign what the platform sends to
    editions, those with `attestations` what it attests.
    """

    keys: list[dict[str, str]]
