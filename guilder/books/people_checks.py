"""Checks that ids of people and accounts point at something: holders, roles, logins."""

from uuid import UUID

import msgspec

from guilder.books.ledger_checks import Books
from guilder.books.reading import Clients, acting, every, resolved
from guilder.books.report import Notes
from guilder.contracts.access import v1 as access
from guilder.contracts.accounts import v1 as accounts
from guilder.contracts.context import Context, Principal
from guilder.contracts.errors import NotFound
from guilder.contracts.identity import v1 as identity
from guilder.contracts.parties import v1 as parties


class People:
    """The parties of one tenant: those listed, and those asked for one by one."""

    def __init__(self, clients: Clients, tenant: int) -> None:
        """Nobody is known yet."""
        self._client, self._ctx = clients(parties.Parties), acting(tenant)
        self._known: dict[UUID, bool] = {}

    async def load(self) -> int:
        """List them; how many there are."""
        query = parties.PartyQuery(limit=200)
        async for party in every(self._client.parties, self._ctx, query):
            self._known[party.id] = True
        return len(self._known)

    async def known(self, party: UUID) -> bool:
        """Whether the party exists; one whose data was erased does."""
        if party not in self._known:
            # The list leaves out who was erased. A party may always read itself.
            itself = Principal(id=self._ctx.principal.id, kind="service", party=party)
            ctx = msgspec.structs.replace(self._ctx, principal=itself)
            try:
                await self._client.party(ctx, parties.PartyId(party_id=party))
                self._known[party] = True
            except NotFound as problem:  # Erased is a NotFound as well
                self._known[party] = problem.status == 410
        return self._known[party]


async def check_people(clients: Clients, tenant: int, books: Books, notes: Notes) -> None:
    """Holders, parties of logins and accounts of roles exist."""
    people, ctx = People(clients, tenant), acting(tenant)
    customers = [i for i, line in books.lines.items() if line.account.chart == "customer"]
    found = await resolved(clients(accounts.Accounts), ctx, customers)
    notes.checked["accounts"] += len(found)
    notes.checked["parties"] += await people.load()
    for account in found.values():
        for holder in account.holders:
            if not await people.known(holder):
                detail = f"account {account.id} is held by {holder}, who is no party"
                notes.wrong("holder", detail, tenant)
    await _check_logins(clients(identity.Identity), ctx, people, notes)
    await _check_grants(clients, ctx, found, notes)


async def _check_logins(
    client: identity.Identity, ctx: Context, people: People, notes: Notes
) -> None:
    query = identity.PageQuery(limit=200)
    for read in (client.people, client.clients):
        async for login in every(read, ctx, query):
            notes.checked["logins"] += 1
            if login.party is not None and not await people.known(login.party):
                detail = f"login {login.id} points at {login.party}, who is no party"
                notes.wrong("login-party", detail, ctx.tenant)


async def _check_grants(
    clients: Clients, ctx: Context, found: dict[UUID, accounts.Account], notes: Notes
) -> None:
    query = access.GrantQuery(limit=200)
    elsewhere: dict[UUID, UUID] = {}
    async for grant in every(clients(access.Access).grants, ctx, query):
        notes.checked["roles"] += 1
        if grant.account is not None and grant.account not in found:
            elsewhere[grant.id] = grant.account
    exist = await resolved(clients(accounts.Accounts), ctx, set(elsewhere.values()))
    for role, account in elsewhere.items():
        if account not in exist:
            detail = f"role {role} is on account {account}, which does not exist"
            notes.wrong("role-account", detail, ctx.tenant)
