"""Identity: logins, machine clients, tokens, signing keys."""

from uuid import UUID

import msgspec

from guilder.chassis.batch import one
from guilder.chassis.events import feed
from guilder.chassis.idempotency import Once, local
from guilder.chassis.store import Store, Tx
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.declare import EventPage, EventQuery, Nothing, SelfCheck
from guilder.contracts.errors import Conflict, Forbidden, InvalidRequest, NotFound
from guilder.contracts.identity import v1
from guilder.contracts.parties.v1 import Parties, PartyId
from guilder.contracts.registry.v1 import Registry, WhichTenant
from guilder.services.identity import check, keyring, login, secret, store
from guilder.services.identity.tokens import OPERATOR, Tokens


class IdentityService(v1.Identity):
    """Logins, machine clients and tokens."""

    def __init__(
        self, database: Store, once: Once, tokens: Tokens, registry: Registry, parties: Parties
    ) -> None:
        """`registry` knows which tenant a slug names, `parties` who is known to it."""
        self.store, self.once = database, once
        self._tokens, self._registry, self._parties = tokens, registry, parties

    # ── people ──────────────────────────────────────────────────────────────────────────────

    @local
    async def create_person(self, tx: Tx, ctx: Context, request: v1.CreatePerson) -> v1.Person:
        """Create a login."""
        await self._check_party(ctx, request.party)
        row = await store.add_person(tx, ctx.tenant, request)
        if row is None:
            raise v1.LoginTaken()
        tx.emit(ctx, "person.created", person=row["id"], party=row["party"])
        return login.person(row)

    async def people(self, ctx: Context, request: v1.PageQuery) -> v1.People:
        """List the people of the tenant."""
        async with self.store.tx(ctx.tenant) as tx:
            rows = await store.people_page(tx, ctx.tenant, request.after, request.limit)
        items, following = login.page(rows, request.limit)
        return v1.People(items=[login.person(row) for row in items], next=following)

    @local
    async def disable(self, tx: Tx, ctx: Context, request: v1.Disable) -> v1.Person:
        """Remove a person's access; doing it again changes nothing."""
        row = await store.disable_person(tx, ctx.tenant, request.person_id)
        if row is not None:
            tx.emit(ctx, "person.disabled", person=row["id"])
            return login.person(row)
        row = await store.person(tx, ctx.tenant, request.person_id)
        if row is None:
            raise NotFound("there is no such person")
        return login.person(row)

    async def _check_party(self, ctx: Context, party: UUID | None) -> None:
        """A login of nobody, or of another bank's party, would be an orphan."""
        if party is None:
            return
        try:
            await one(self._parties.known, ctx, PartyId(party_id=party))
        except NotFound:
            raise v1.UnknownParty(at="$.party") from None

    # ── machine clients ─────────────────────────────────────────────────────────────────────

    @local
    async def create_client(
        self, tx: Tx, ctx: Context, request: v1.CreateClient
    ) -> v1.ClientSecret:
        """Create a machine client with a fresh secret."""
        if not request.name.isprintable():
            raise InvalidRequest("the name holds a character that cannot be shown", at="$.name")
        await self._check_party(ctx, request.party)
        word = secret.fresh()
        row = await store.add_client(tx, ctx.tenant, request, secret.digest(tx.resource, word))
        tx.emit(ctx, "client.created", client=row["id"], party=row["party"])
        return login.with_secret(row, word)

    async def clients(self, ctx: Context, request: v1.PageQuery) -> v1.Clients:
        """List the machine clients of the tenant."""
        async with self.store.tx(ctx.tenant) as tx:
            rows = await store.clients_page(tx, ctx.tenant, request.after, request.limit)
        items, following = login.page(rows, request.limit)
        return v1.Clients(items=[login.client(row) for row in items], next=following)

    @local
    async def rotate_secret(self, tx: Tx, ctx: Context, request: v1.ClientId) -> v1.ClientSecret:
        """Give a client a new secret; the old one is gone with this commit."""
        row = await store.client(tx, ctx.tenant, request.client_id)
        if row is None:
            raise NotFound("there is no such client")
        if row["id"] == OPERATOR:
            raise Conflict("this client's secret is the file operator.secret: replace the file")
        word = secret.fresh()
        digest = secret.digest(row["id"], word)
        row = await store.set_secret(tx, ctx.tenant, request.client_id, digest)
        if row is None:
            raise Conflict("the client was revoked; create another one")
        tx.emit(ctx, "client.secret-rotated", client=row["id"])
        return login.with_secret(row, word)

    @local
    async def revoke_client(self, tx: Tx, ctx: Context, request: v1.RevokeClient) -> v1.Client:
        """Revoke a client; doing it again changes nothing."""
        row = await store.revoke_client(tx, ctx.tenant, request.client_id)
        if row is not None:
            tx.emit(ctx, "client.revoked", client=row["id"])
            return login.client(row)
        row = await store.client(tx, ctx.tenant, request.client_id)
        if row is None:
            raise NotFound("there is no such client")
        return login.client(row)

    # ── tokens ──────────────────────────────────────────────────────────────────────────────

    async def mint(self, ctx: Context, request: v1.Mint) -> v1.Token:
        """Mint a token for a person; the logs of the platform and of the tenant both say so."""
        _operators_only(ctx)
        number = PLATFORM
        if request.tenant != login.PLATFORM_SLUG:
            number = (await self._registry.tenant(ctx, WhichTenant(slug=request.tenant))).number
        async with self.store.tx(PLATFORM, number) as tx:
            row = await store.person_by_login(tx, number, request.login)
            if row is None:
                raise v1.UnknownLogin()
            if row["disabled_at"] is not None:
                raise Conflict("this person's access was removed")
            for place in sorted({PLATFORM, number}):
                there = msgspec.structs.replace(ctx, tenant=place)
                tx.emit(there, "token.minted", person=row["id"], number=number)
            return await self._tokens.issue(tx, "person", row, ctx.principal.id)

    async def client_token(self, ctx: Context, request: v1.TokenRequest) -> v1.Token:
        """Answer client credentials."""
        return await self._tokens.for_client(request)

    async def authenticate(self, ctx: Context, request: v1.Presented) -> v1.Authenticated:
        """Verify a presented token."""
        return await self._tokens.believe(request.token)

    async def jwks(self, ctx: Context, request: Nothing) -> v1.Jwks:
        """List the public keys with which tokens may be verified."""
        async with self.store.tx(PLATFORM) as tx:
            await self._tokens.keys.present(tx)
            rows = await store.verifying_keys(tx)
        return v1.Jwks(keys=[keyring.jwk(row) for row in rows])

    @local
    async def rotate_key(self, tx: Tx, ctx: Context, request: Nothing) -> v1.Rotated:
        """Sign with a new key from now on."""
        _operators_only(ctx)
        await self._tokens.keys.rotate(tx, tx.resource)
        tx.emit(ctx, "key.rotated", key=tx.resource)
        return v1.Rotated(id=str(tx.resource))

    # ── the service itself ──────────────────────────────────────────────────────────────────

    async def events(self, ctx: Context, request: EventQuery) -> EventPage:
        """Serve the log."""
        return await feed(self.store, request)

    async def self_check(self, ctx: Context, request: Nothing) -> SelfCheck:
        """Check logins, clients and keys."""
        return await check.run(self.store, self._tokens.keys)


def _operators_only(ctx: Context) -> None:
    if ctx.tenant != PLATFORM:
        raise Forbidden("only an operator of the platform may do this")
