"""`parties`: people and organisations; the only home of names and addresses."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from guilder.contracts.context import Context
from guilder.contracts.declare import (
    Answer,
    Answers,
    Batch,
    Contract,
    Personal,
    Request,
    operation,
)
from guilder.contracts.errors import Conflict, Refused
from guilder.contracts.vault.v1 import Erased

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=140), Personal()]
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=70), Personal()]


class ReferenceTaken(Conflict):
    """Another party carries this external reference."""

    code = "reference-taken"
    title = "Another party carries this reference"
    fix = "Read the party with that reference, or use another one."


class BadName(Refused):
    """A name or address line is empty or holds characters that could deceive a reader."""

    code = "bad-name"
    title = "The name or address holds characters that could deceive a reader"
    fix = "Write it in one alphabet per word, without control, direction or invisible characters."


class Address(Request, frozen=True, kw_only=True):
    """A postal address, in the order in which it is written; country ISO 3166-1 alpha-2."""

    lines: Annotated[list[Line], msgspec.Meta(min_length=1, max_length=4)]
    country: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}(?!\n)$")]


class CreateParty(Request, frozen=True, kw_only=True):
    """A person or an organisation. `reference` is an id of another system, unique per tenant."""

    kind: Literal["person", "organisation"]
    name: Name
    birth_date: Annotated[date | None, Personal()] = None
    address: Address | None = None
    reference: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9:._-]{1,60}(?!\n)$")] | None = None


class Party(Answer, frozen=True, kw_only=True):
    """A person or an organisation."""

    id: UUID
    kind: Literal["person", "organisation"]
    name: Name
    birth_date: Annotated[date | None, Personal()]
    address: Address | None
    reference: str | None
    created_at: datetime


class PartyId(Request, frozen=True, kw_only=True):
    """Which party."""

    party_id: UUID


class KnownParty(Answer, frozen=True, kw_only=True):
    """That a party exists and is not erased; nothing personal."""

    id: UUID
    kind: Literal["person", "organisation"]


class NamedParty(Answer, frozen=True, kw_only=True):
    """What screening is told of a party; `country` is that of the address, where known."""

    id: UUID
    kind: Literal["person", "organisation"]
    name: Name
    birth_date: Annotated[date | None, Personal()]
    country: str | None


class EraseParty(Request, frozen=True, kw_only=True):
    """Erase the personal data of a party, with a reason (not about the person)."""

    party_id: UUID
    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=200)]


class ErasedParty(Answer, frozen=True, kw_only=True):
    """The party's id stays, its keys are gone: name, birth date and address never open again."""

    id: UUID
    keys_destroyed: int


class PartyQuery(Request, frozen=True, kw_only=True):
    """Filter: by whole name (as written, case and spacing do not matter) or by reference."""

    name: Name | None = None
    reference: Annotated[str, msgspec.Meta(max_length=60)] | None = None
    after: UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class PartyPage(Answer, frozen=True, kw_only=True):
    """A page; pass `next` as `after`."""

    items: list[Party]
    next: UUID | None


class Parties(Contract, name="parties", version="1.0.0-draft"):
    """People and organisations."""

    @operation(
        "POST /parties",
        public=True,
        may="administer",
        status=201,
        subject="id",
        problems=(ReferenceTaken, BadName),
    )
    async def create(self, ctx: Context, request: CreateParty) -> Party:
        """Record a person or an organisation."""
        raise NotImplementedError

    @operation("GET /parties/{party_id}", public=True, may="view", on="inside", problems=(Erased,))
    async def party(self, ctx: Context, request: PartyId) -> Party:
        """Read a party: oneself, or any for staff."""
        raise NotImplementedError

    @operation("GET /parties", public=True, may="view")
    async def parties(self, ctx: Context, request: PartyQuery) -> PartyPage:
        """List or look up parties; staff only."""
        raise NotImplementedError

    @operation(
        "POST /parties/{party_id}/erasure",
        public=True,
        may="administer",
        four_eyes=True,
        problems=(Erased,),
    )
    async def erase(self, ctx: Context, request: EraseParty) -> ErasedParty:
        """Destroy the keys of a party's personal data; needs a second pair of eyes."""
        raise NotImplementedError

    @operation("POST /known-parties", command=False, deadline_ms=1_000, problems=(Erased,))
    async def known(self, calls: Batch[PartyId]) -> Answers[KnownParty]:
        """Tell another service whether parties exist, without their personal data."""
        raise NotImplementedError

    @operation("POST /party-names", command=False, deadline_ms=1_000, problems=(Erased,))
    async def names(self, calls: Batch[PartyId]) -> Answers[NamedParty]:
        """Tell payments whom a payment is between, so that both sides can be screened."""
        raise NotImplementedError
