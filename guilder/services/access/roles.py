"""The roles, what each may do, and how a question is decided. Pure."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from guilder.contracts.access.v1 import Decision, Role, RoleName, RoleScope
from guilder.contracts.context import PLATFORM, Context, Principal
from guilder.contracts.declare import May

ROLES: Final[dict[RoleName, Role]] = {
    role.name: role
    for role in (
        Role(
            name="owner",
            rights=["view", "make"],
            scope="account",
            sentence="Sees the account and pays from it, because it is his.",
        ),
        Role(
            name="signatory",
            rights=["view", "make"],
            scope="account",
            sentence="Sees the account and pays from it, on behalf of its owner.",
        ),
        Role(
            name="bookkeeper",
            rights=["view"],
            scope="account",
            sentence="Sees the account and its entries; changes nothing.",
        ),
        Role(
            name="manager",
            rights=["view", "make", "approve", "administer"],
            scope="tenant",
            sentence="Runs the bank: sees, makes, approves and administers everything in it.",
        ),
        Role(
            name="auditor",
            rights=["view"],
            scope="tenant",
            sentence="Sees everything in the bank; changes nothing.",
        ),
        Role(
            name="operator",
            rights=["view", "approve", "administer", "operate"],
            scope="tenant",
            sentence="Runs the platform itself and approves what another operator proposes; has no"
            " rights inside any bank.",
        ),
    )
}


def with_right(right: May) -> list[RoleName]:
    """The roles that include a right."""
    return [role.name for role in ROLES.values() if right in role.rights]


def subjects(principal: Principal) -> list[UUID]:
    """Whose roles count for a principal: his own and his party's; the platform itself has none."""
    if principal.kind == "service":
        return []
    return [principal.id] if principal.party is None else [principal.id, principal.party]


def decide(right: May, account: UUID | None, held: Iterable[RoleName]) -> Decision:
    """Decide from the roles held on the account or tenant asked about; the reason says why."""
    names = sorted(set(held))
    for name in names:
        if right in ROLES[name].rights:
            return Decision(
                allowed=True, reason=f"The role {name} includes the right to {right}.", role=name
            )
    where = "in this tenant" if account is None else "on this account"
    givers = [
        name for name in with_right(right) if account is not None or ROLES[name].scope == "tenant"
    ]
    missing = f"the right to {right} comes with {' or '.join(givers)}"
    if not names:
        return Decision(allowed=False, reason=f"You hold no role {where}; {missing}.")
    return Decision(
        allowed=False, reason=f"You hold only {' and '.join(names)} {where}; {missing}."
    )


def check_scope(tenant: int, role: RoleName, account: UUID | None) -> None:
    """Raise RoleScope unless the role is given on what it is made for."""
    if ROLES[role].scope == "account" and account is None:
        raise RoleScope(f"{role} is given on an account; name the account", at="$.account")
    if ROLES[role].scope == "tenant" and account is not None:
        raise RoleScope(f"{role} is given on the tenant; leave out the account", at="$.account")
    if role == "operator" and tenant != PLATFORM:
        raise RoleScope("operators belong to the platform, not to a tenant", at="$.role")


def is_self(ctx: Context, subject: UUID) -> bool:
    """Whether a subject is the principal of the call or his party."""
    return subject in (ctx.principal.id, ctx.principal.party)
