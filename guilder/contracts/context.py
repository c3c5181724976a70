"""Who asks, for which tenant, under which key, until when: travels with every call."""

from typing import Generic, Literal, TypeVar
from uuid import UUID

import msgspec

R = TypeVar("R")

PLATFORM = 0
"""The tenant number of the platform itself: its operators live there."""


class Principal(msgspec.Struct, frozen=True):
    """Who is signed in. `party` is set when the login belongs to a party of the tenant."""

    id: UUID
    kind: Literal["person", "client", "service"]
    party: UUID | None = None


class Context(msgspec.Struct, frozen=True):
    """Everything a call carries besides its request."""

    tenant: int
    principal: Principal
    key: str | None = None
    """Idempotency key; scoped to tenant and principal. A caller's own has 1..255 characters and is
    carried as `c:KEY`, so that it is never one of those that the platform makes for its steps."""
    deadline: float = 0.0
    """time.monotonic() seconds on this machine; 0 = the operation's own deadline applies."""
    request: str = ""
    """Request id (trace): the same through every hop, in the audit and in answers."""
    approval: UUID | None = None
    """The approved proposal this command executes (four eyes)."""
    channel: str = "api"
    hold: UUID | None = None
    """The id of the maintenance window whose writes are queued: take the command in, do not act."""

    def step(self, key: str) -> "Context":
        """The same context for a later effect of this command, recognised by `key`."""
        return msgspec.structs.replace(self, key=key, approval=None)


class Call(msgspec.Struct, Generic[R], frozen=True):
    """One item of a gathered batch."""

    ctx: Context
    request: R
