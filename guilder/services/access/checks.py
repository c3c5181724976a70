"""The service's own books: what must hold of every role and every proposal."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

from guilder.chassis.events import SYSTEM
from guilder.chassis.store import Store, Tx
from guilder.contracts.access.v1 import InputChanged, RoleScope
from guilder.contracts.context import Context
from guilder.contracts.declare import Finding, SelfCheck
from guilder.contracts.errors import Problem
from guilder.services.access import proposal_store, store
from guilder.services.access.roles import check_scope

PAGE = 500
OpenInput = Callable[[int, Any], Awaitable[str]]
Pages = Callable[[Tx, int, UUID, int], Awaitable[list[Any]]]


def as_platform(tenant: int) -> Context:
    """The context of what the platform does by itself."""
    return Context(tenant=tenant, principal=SYSTEM)


async def self_check(database: Store, open_input: OpenInput) -> SelfCheck:
    """Go through every role and proposal, page by page."""
    findings: list[Finding] = []
    checked = {"grants": 0, "proposals": 0}
    for tenant in await database.seen_tenants():
        async for row in _rows(database, tenant, store.page_of_grants):
            checked["grants"] += 1
            findings += [_finding(tenant, *found) for found in check_grant(tenant, row)]
        async for row in _rows(database, tenant, proposal_store.page_of_proposals):
            checked["proposals"] += 1
            found = check_proposal(row) + await _check_input(tenant, row, open_input)
            findings += [_finding(tenant, *one) for one in found]
    return SelfCheck(service="access", checked=checked, findings=findings, facts={})


def check_grant(tenant: int, row: Any) -> list[tuple[str, str]]:
    """Name of the check and what is wrong, for each thing wrong with a role given."""
    found = []
    name = f"role {row['id']}"
    try:
        check_scope(tenant, row["role"], row["account"])
    except RoleScope as problem:
        found.append(("grant-scope", f"{name}: {problem.detail}"))
    except KeyError:
        found.append(("grant-scope", f"{name}: there is no role {row['role']}"))
    if row["proposal"] is not None:
        of = (row["proposal_operation"], row["proposal_state"])
        if of not in (("access.grant", "approved"), ("access.grant", "executed")):
            found.append(("grant-approval", f"{name}: nobody approved proposal {row['proposal']}"))
    if (row["revoked_at"] is None) != (row["revoked_by"] is None):
        found.append(("grant-revocation", f"{name}: taken back by nobody, or at no time"))
    return found


def check_proposal(row: Any) -> list[tuple[str, str]]:
    """Name of the check and what is wrong, for each thing wrong with a proposal."""
    found = []
    name = f"proposal {row['id']}"
    by_party = row["decided_party"] is not None and row["decided_party"] == row["proposed_party"]
    if row["decided_by"] == row["proposed_by"] or by_party:
        found.append(("proposal-own", f"{name} was decided by its proposer"))
    decided = row["state"] in ("approved", "rejected", "executed", "failed")
    if decided and (row["decided_by"] is None or row["decided_at"] is None):
        found.append(("proposal-undecided", f"{name} is {row['state']}, but nobody decided"))
    if decided and row["decided_at"] is not None and row["decided_at"] >= row["expires_at"]:
        found.append(("proposal-late", f"{name} was decided after its expiry"))
    if (row["state"] == "failed") != (row["problem"] is not None):
        found.append(("proposal-end", f"{name} is {row['state']}, its problem says otherwise"))
    return found


async def _check_input(tenant: int, row: Any, open_input: OpenInput) -> list[tuple[str, str]]:
    try:
        await open_input(tenant, row)
    except InputChanged as problem:
        return [("proposal-input", f"proposal {row['id']}: {problem.detail}")]
    except Problem as problem:
        if problem.status != 410:  # erased with its proposer is as it must be
            raise
    return []


async def _rows(database: Store, tenant: int, pages: Pages) -> AsyncIterator[Any]:
    after = UUID(int=0)
    while True:
        async with database.tx(tenant) as tx:
            rows = await pages(tx, tenant, after, PAGE)
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        after = rows[-1]["id"]


def _finding(tenant: int, check: str, detail: str) -> Finding:
    return Finding(check=check, detail=detail, tenant=tenant)
