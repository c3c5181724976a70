"""`identity`: people, machine clients, tokens and the keys that sign them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.context import Context, Principal
from guilder.contracts.declare import Answer, Contract, Nothing, Request, operation
from guilder.contracts.errors import Conflict, NotFound, Refused, Unauthenticated
from guilder.contracts.registry.v1 import Slug, UnknownTenant

Login = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{1,62}(?!\n)$")]
Reason = Annotated[str, msgspec.Meta(min_length=3, max_length=200)]


class LoginTaken(Conflict):
    """The login name is in use in this tenant."""

    code = "login-taken"
    title = "This login name is taken"
    fix = "Choose another login name."


class UnknownLogin(NotFound):
    """No such person in this tenant."""

    code = "unknown-login"
    title = "There is no such login in this tenant"
    fix = "Check tenant and login name; list people with GET /v1/people."


class UnknownParty(Refused):
    """The party of a login is not one of this tenant, or was erased."""

    code = "unknown-party"
    title = "The party is not one of this bank"
    fix = "Record the party first, with POST /v1/parties."


class BadClient(Unauthenticated):
    """Client id and secret do not match, or the client was revoked."""

    code = "invalid-client"
    title = "Client id and secret do not match"
    fix = "Check both; if the secret is lost, rotate it with POST /v1/clients/ID/secret."


class InvalidToken(Unauthenticated):
    """The token is not one of ours, has expired, or its holder's access was removed."""

    code = "invalid-token"
    title = "The token does not hold"
    fix = "Get a new token at /oauth/token."


class CreatePerson(Request, frozen=True, kw_only=True):
    """Somebody who may sign in. `party` links a customer; staff have none."""

    login: Login
    party: UUID | None = None


class Person(Answer, frozen=True, kw_only=True):
    """A person's login. `id` is the principal."""

    id: UUID
    login: str
    party: UUID | None
    state: Literal["active", "disabled"]
    created_at: datetime


class People(Answer, frozen=True, kw_only=True):
    """A page; pass `next` as `after`."""

    items: list[Person]
    next: UUID | None


class PageQuery(Request, frozen=True, kw_only=True):
    """Which page."""

    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class Disable(Request, frozen=True, kw_only=True):
    """Remove a person's access; live tokens stop within seconds. The reason is not stored."""

    person_id: UUID
    reason: Reason


class CreateClient(Request, frozen=True, kw_only=True):
    """A machine client for OAuth 2.1 client credentials. `party` limits it to a customer."""

    name: Annotated[str, msgspec.Meta(min_length=2, max_length=60)]
    party: UUID | None = None


class ClientId(Request, frozen=True, kw_only=True):
    """Which machine client."""

    client_id: UUID


class RevokeClient(Request, frozen=True, kw_only=True):
    """Revoke a machine client; its live tokens stop within seconds. The reason is not stored."""

    client_id: UUID
    reason: Reason


class Client(Answer, frozen=True, kw_only=True):
    """A machine client; its id is the principal."""

    id: UUID
    name: str
    party: UUID | None
    state: Literal["active", "revoked"]
    created_at: datetime


class Clients(Answer, frozen=True, kw_only=True):
    """A page; pass `next` as `after`."""

    items: list[Client]
    next: UUID | None


class ClientSecret(Answer, frozen=True, kw_only=True):
    """A client with its secret; keep the secret, it is shown to nobody else."""

    id: UUID
    name: str
    party: UUID | None
    client_secret: str


class Mint(Request, frozen=True, kw_only=True):
    """Mint a token for a person of any tenant (operators; until people sign in themselves).

    The slug `platform` names the platform itself.
    """

    tenant: Slug
    login: Login


class TokenRequest(Request, frozen=True, kw_only=True):
    """OAuth 2.1 client credentials."""

    client_id: str
    client_secret: str


class Token(Answer, frozen=True, kw_only=True):
    """An ES256-signed access token (RFC 9068) and its life in seconds."""

    access_token: str
    token_type: str
    expires_in: int


class Presented(Request, frozen=True, kw_only=True):
    """A token as a stranger presented it."""

    token: Annotated[str, msgspec.Meta(max_length=4096)]


class Authenticated(Answer, frozen=True, kw_only=True):
    """Whose token it is. `expires_at` is Unix seconds."""

    tenant: int
    principal: Principal
    expires_at: int


class Jwks(Answer, frozen=True, kw_only=True):
    """The public keys (RFC 7517) that tokens may be signed with."""

    keys: list[dict[str, str]]


class Rotated(Answer, frozen=True, kw_only=True):
    """The new signing key; the earlier one stays valid until its last token has expired."""

    id: str


class Identity(Contract, name="identity", version="1.0.0-draft"):
    """Logins, machine clients and tokens."""

    @operation(
        "POST /people",
        public=True,
        may="administer",
        status=201,
        problems=(LoginTaken, UnknownParty),
    )
    async def create_person(self, ctx: Context, request: CreatePerson) -> Person:
        """Create a login for a person."""
        raise NotImplementedError

    @operation("GET /people", public=True, may="administer")
    async def people(self, ctx: Context, request: PageQuery) -> People:
        """List the people of the tenant."""
        raise NotImplementedError

    @operation("POST /people/{person_id}/disable", public=True, may="administer")
    async def disable(self, ctx: Context, request: Disable) -> Person:
        """Remove a person's access at once."""
        raise NotImplementedError

    @operation(
        "POST /clients",
        public=True,
        may="administer",
        status=201,
        subject="id",
        problems=(UnknownParty,),
    )
    async def create_client(self, ctx: Context, request: CreateClient) -> ClientSecret:
        """Create a machine client; the answer holds its secret."""
        raise NotImplementedError

    @operation("GET /clients", public=True, may="administer")
    async def clients(self, ctx: Context, request: PageQuery) -> Clients:
        """List the machine clients of the tenant."""
        raise NotImplementedError

    @operation("POST /clients/{client_id}/secret", public=True, may="administer", subject="id")
    async def rotate_secret(self, ctx: Context, request: ClientId) -> ClientSecret:
        """Give a machine client a new secret; the old one stops working."""
        raise NotImplementedError

    @operation("POST /clients/{client_id}/revocation", public=True, may="administer")
    async def revoke_client(self, ctx: Context, request: RevokeClient) -> Client:
        """Revoke a machine client at once."""
        raise NotImplementedError

    @operation(
        "POST /tokens",
        public=True,
        command=False,
        may="operate",
        problems=(UnknownLogin, UnknownTenant),
    )
    async def mint(self, ctx: Context, request: Mint) -> Token:
        """Mint a token for a person; the platform's operators only; audited."""
        raise NotImplementedError

    @operation("POST /client-tokens", command=False, problems=(BadClient,))
    async def client_token(self, ctx: Context, request: TokenRequest) -> Token:
        """Answer an OAuth 2.1 client-credentials request."""
        raise NotImplementedError

    @operation("POST /authentications", command=False, deadline_ms=1_000, problems=(InvalidToken,))
    async def authenticate(self, ctx: Context, request: Presented) -> Authenticated:
        """Verify a presented token: signature, times, issuer, audience, revocation."""
        raise NotImplementedError

    @operation("GET /jwks")
    async def jwks(self, ctx: Context, request: Nothing) -> Jwks:
        """List the public signing keys."""
        raise NotImplementedError

    @operation("POST /signing-keys", public=True, may="operate", status=201)
    async def rotate_key(self, ctx: Context, request: Nothing) -> Rotated:
        """Start signing with a new key; the platform's operators only."""
        raise NotImplementedError
