"""Which commands planned maintenance and read-only mode hold back. Pure.

Whoever has the directory decides the same: the gateway for what comes from outside, each service's
executor for what was approved earlier. Reads are never held.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Final
from uuid import UUID

from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import Operation
from guilder.contracts.errors import Problem, Unavailable
from guilder.contracts.registry.v1 import Directory
from guilder.contracts.registry.windows import OpenWindow, ReadOnlyMode, UnderMaintenance

IN_FORCE: Final = ("in_progress", "verifying")
QUEUED: Final = "payments.create"
"""What a window whose writes are queued lets through, to be stored as `waiting`."""

DECISIONS: Final = ("access.approve", "access.reject")
LONGEST_WAIT_S: Final = 3_600
"""The most that `Retry-After` says: a window may end early."""

ASK_AGAIN_S: Final = 60
"""What it says where nobody knows how long."""


@dataclass(frozen=True)
class Hold:
    """What holds a command back: a window or a read-only switch, by its id.

    `problem` is how it is refused; None = take it in, and do it when the window is over.
    Without an id: nobody knows yet whether there is anything.
    """

    id: UUID | None
    problem: Problem | None


def held(operation: Operation, tenant: int, directory: Directory, now: datetime) -> Hold | None:
    """What holds a command of a tenant back now; None = go on."""
    if not operation.command or _operates(operation, tenant):
        return None
    if directory.generation < 0:  # a process that started while the registry was gone
        unheard = "what may be written now has not been heard since this process started"
        return Hold(None, Unavailable(unheard, retry_after=1))
    for switch in directory.read_only:
        if switch.tenant in (PLATFORM, tenant):
            problem = ReadOnlyMode("an operator has switched writing off", retry_after=ASK_AGAIN_S)
            return Hold(switch.id, problem)
    holding = sorted(_holding(operation, tenant, directory, now), key=lambda w: w.ends_at)
    refusing = [w for w in holding if w.writes == "refuse" or operation.id != QUEUED]
    if refusing:
        return Hold(refusing[-1].id, _refusal(refusing[-1], now))
    return Hold(holding[-1].id, None) if holding else None


def _operates(operation: Operation, tenant: int) -> bool:
    """What the platform's operators do and decide always goes on: they do the maintenance."""
    return operation.may == "operate" or (tenant == PLATFORM and operation.id in DECISIONS)


def _holding(
    operation: Operation, tenant: int, directory: Directory, now: datetime
) -> Iterator[OpenWindow]:
    """Windows in force that concern the tenant and the operation."""
    for window in directory.windows:
        concerned = window.tenant in (PLATFORM, tenant) and _writes_to(operation, window.service)
        if concerned and window.state(now) in IN_FORCE:
            yield window


def _writes_to(operation: Operation, service: str | None) -> bool:
    """Whether a command changes something in a service; behind each account stands the ledger."""
    if service is None or operation.contract == service:
        return True
    return service == "ledger" and (operation.moves_money or operation.contract == "accounts")


def _refusal(window: OpenWindow, now: datetime) -> Problem:
    if window.state(now) == "verifying":
        detail, wait = "the work is being checked and ends soon", ASK_AGAIN_S
    else:
        detail = f"no changes until {window.ends_at:%Y-%m-%dT%H:%M:%SZ}"
        wait = ceil((window.ends_at - now).total_seconds())
    return UnderMaintenance(detail, retry_after=min(wait, LONGEST_WAIT_S), window=str(window.id))
