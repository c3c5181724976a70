"""A proposal's states and who may decide on it. Pure; the rows come from the store.

proposed → approved → executed | failed
proposed → rejected | expired
"""

import hashlib
from datetime import datetime
from typing import Any

from guilder.contracts.access.v1 import Proposal, ProposalState, Propose
from guilder.contracts.context import Principal
from guilder.contracts.errors import InvalidRequest


def digest(operation: str, text: str) -> bytes:
    """SHA-256 of operation and input: what is approved is what is executed."""
    return hashlib.sha256(operation.encode() + b"\n" + text.encode()).digest()


def proposed_digest(request: Propose) -> bytes:
    """The digest of what is proposed; InvalidRequest when the caller's own differs."""
    found = digest(request.operation, request.input)
    if request.hash != found.hex():
        raise InvalidRequest("the hash is not that of operation and input", at="$.hash")
    return found


def is_proposer(row: Any, principal: Principal) -> bool:
    """Whether a principal is who proposed: the same login, or another one of the same party."""
    if row["proposed_by"] == principal.id:
        return True
    return principal.party is not None and row["proposed_party"] == principal.party


def state_at(row: Any, at: datetime) -> ProposalState:
    """The state now: an open proposal is expired from its expiry on, swept or not."""
    state: ProposalState = row["state"]
    return "expired" if state == "proposed" and row["expires_at"] <= at else state


def show(row: Any, at: datetime, *, text: str | None = None, reason: str | None = None) -> Proposal:
    """The proposal as its readers see it."""
    return Proposal(
        id=row["id"],
        operation=row["operation"],
        hash=bytes(row["hash"]).hex(),
        state=state_at(row, at),
        proposed_by=row["proposed_by"],
        proposed_at=row["proposed_at"],
        expires_at=row["expires_at"],
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        reason=reason,
        resource=row["resource"],
        problem=row["problem"],
        input=text,
    )
