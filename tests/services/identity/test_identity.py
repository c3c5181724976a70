"""Identity through its contract, in the three modes."""

import base64
import stat
from uuid import UUID

import msgspec
import pytest

from guilder.chassis.testing import Who, make_bank, new_id, operator, somebody
from guilder.contracts.context import PLATFORM, Principal
from guilder.contracts.declare import EventQuery, Nothing
from guilder.contracts.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    KeyReused,
    NotFound,
    Unauthenticated,
)
from guilder.contracts.identity import v1
from guilder.contracts.parties.v1 import CreateParty, Parties
from guilder.contracts.registry.v1 import UnknownTenant

FIRST = "00000000-0000-0000-0000-000000000001"


def anybody() -> Who:
    return somebody(PLATFORM)


async def sign_in(identity, made: v1.ClientSecret) -> str:
    request = v1.TokenRequest(client_id=str(made.id), client_secret=made.client_secret)
    return (await identity.client_token(anybody().ctx(), request)).access_token


async def believed(identity, token: str) -> v1.Authenticated:
    return await identity.authenticate(anybody().ctx(), v1.Presented(token=token))


async def minted(identity, bank, login: str) -> str:
    request = v1.Mint(tenant=bank.slug, login=login)
    return (await identity.mint(operator().ctx(), request)).access_token


async def log_of(identity, name: str, id_) -> list:
    seen, after = [], ""
    while (page := await identity.events(anybody().ctx(), EventQuery(after=after))).events:
        seen += [e for e in page.events if e.ids.get(name) == str(id_)]
        after = page.next
    return seen


async def customer(world, bank) -> UUID:
    request = CreateParty(kind="person", name="Jana")
    return (await world.client(Parties).create(bank.manager.ctx(), request)).id


# ── people ───────────────────────────────────────────────────────────────────────────────────


async def test_people_have_logins_of_their_own_within_a_tenant(world):
    identity, bank, other = world.client(v1.Identity), *[await make_bank(world) for _ in "12"]
    party, ctx = await customer(world, bank), bank.manager.ctx()
    request = v1.CreatePerson(login="jana", party=party)
    made = await identity.create_person(ctx, request)
    assert (made.login, made.party, made.state) == ("jana", party, "active")
    assert await identity.create_person(ctx, request) == made
    with pytest.raises(KeyReused):
        await identity.create_person(ctx, v1.CreatePerson(login="jan"))
    with pytest.raises(v1.LoginTaken):
        await identity.create_person(bank.manager.ctx(), v1.CreatePerson(login="jana"))
    assert await identity.create_person(other.manager.ctx(), v1.CreatePerson(login="jana"))
    assert [(e.type, e.tenant) for e in await log_of(identity, "person", made.id)] == [
        ("person.created", bank.number)
    ]


async def test_people_are_listed_in_pages(world):
    identity, bank = world.client(v1.Identity), await make_bank(world)
    for n in range(5):
        await identity.create_person(bank.manager.ctx(), v1.CreatePerson(login=f"p{n}"))
    seen, after = [], None
    for _ in range(3):
        page = await identity.people(bank.manager.ctx(), v1.PageQuery(after=after, limit=2))
        seen += [p.login for p in page.items]
        after = page.next
    assert sorted(seen) == [f"p{n}" for n in range(5)]
    assert after is None
    stranger = somebody(bank.number + 100_000)
    assert (await identity.people(stranger.ctx(), v1.PageQuery())).items == []


async def test_a_disabled_person_is_out_at_once(world):
    identity, bank = world.client(v1.Identity), await make_bank(world)
    made = await identity.create_person(bank.manager.ctx(), v1.CreatePerson(login="eva"))
    token = await minted(identity, bank, "eva")
    assert (await believed(identity, token)).principal.id == made.id
    gone = v1.Disable(person_id=made.id, reason="left the bank")
    with pytest.raises(NotFound):
        await identity.disable(somebody(bank.number + 100_000).ctx(), gone)
    assert (await identity.disable(bank.manager.ctx(), gone)).state == "disabled"
    assert (await identity.disable(bank.manager.ctx(), gone)).state == "disabled"
    with pytest.raises(Unauthenticated):
        await believed(identity, token)
    with pytest.raises(Conflict):
        await minted(identity, bank, "eva")
    assert [e.type for e in await log_of(identity, "person", made.id)].count("person.disabled") == 1


@pytest.mark.parametrize("login", ["jana\n", "Jana", "", "j", "jana smith", "jаna", "a" * 64])
def test_odd_logins_are_refused_at_the_door(login):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"login": login}, v1.CreatePerson)


@pytest.mark.abuse(33)
async def test_a_login_is_of_a_party_of_its_own_tenant(world):
    identity, bank, other = world.client(v1.Identity), *[await make_bank(world) for _ in "12"]
    for party in (new_id(), await customer(world, other)):
        with pytest.raises(v1.UnknownParty):
            await identity.create_person(
                bank.manager.ctx(), v1.CreatePerson(login="jan", party=party)
            )
        with pytest.raises(v1.UnknownParty):
            await identity.create_client(
                bank.manager.ctx(), v1.CreateClient(name="till", party=party)
            )
    page = await identity.people(bank.manager.ctx(), v1.PageQuery())
    assert page.items == []


# ── machine clients ──────────────────────────────────────────────────────────────────────────


async def test_a_client_signs_in_with_its_secret_alone(world):
    identity, bank = world.client(v1.Identity), await make_bank(world)
    party = await customer(world, bank)
    ctx, request = bank.manager.ctx(), v1.CreateClient(name="till", party=party)
    made = await identity.create_client(ctx, request)
    assert len(base64.urlsafe_b64decode(made.client_secret + "=")) == 32
    assert await identity.create_client(ctx, request) == made
    who = await believed(identity, await sign_in(identity, made))
    assert who.tenant == bank.number
    assert who.principal == Principal(id=made.id, kind="client", party=party)
    assert who.expires_at == int(world.clock.now().timestamp()) + 600
    (shown,) = (await identity.clients(bank.manager.ctx(), v1.PageQuery())).items
    assert (shown.id, shown.name, shown.state) == (made.id, "till", "active")


async def test_no_secret_lies_in_the_database(direct):
    identity, bank = direct.client(v1.Identity), await make_bank(direct)
    made = await identity.create_client(bank.manager.ctx(), v1.CreateClient(name="till"))
    async with direct.process.stores["identity"].tx(bank.number) as tx:
        rows = await tx.fetch("SELECT * FROM client") + await tx.fetch("SELECT * FROM command")
    assert rows
    for value in (v for row in rows for v in row.values()):
        raw = value if isinstance(value, bytes) else str(value).encode()
        assert made.client_secret.encode() not in raw


async def test_unknown_wrong_and_malformed_clients_get_one_answer(world):
    identity, bank = world.client(v1.Identity), await make_bank(world)
    made = await identity.create_client(bank.manager.ctx(), v1.CreateClient(name="till"))
    answers = set()
    for id_, secret in (
        (str(made.id), made.client_secret[:-2] + "xx"),
        (str(made.id), ""),
        (str(new_id()), made.client_secret),
        (FIRST, made.client_secret),
        ("' OR 1=1 --", made.client_secret),
        ("", ""),
        (str(UUID(int=0)), ""),
        (str(made.id), "ü\u2028" * 50),
    ):
        request = v1.TokenRequest(client_id=id_, client_secret=secret)
        with pytest.raises(v1.BadClient) as refused:
            await identity.client_token(anybody().ctx(), request)
        answers.add(str(refused.value.document()))
    assert len(answers) == 1


async def test_a_new_secret_replaces_the_old_one(world):
    identity, bank = world.client(v1.Identity), await make_bank(world)
    old = await identity.create_client(bank.manager.ctx(), v1.CreateClient(name="till"))
    ctx, request = bank.manager.ctx(), v1.ClientId(client_id=old.id)
    new = await identity.rotate_secret(ctx, request)
    assert await identity.rotate_secret(ctx, request) == new
    assert await sign_in(identity, new)
    with pytest.raises(v1.BadClient):
        await sign_in(identity, old)
    for who in (somebody(bank.number + 100_000), operator()):
        with pytest.raises(NotFound):
            await identity.rotate_secret(who.ctx(), request)
    assert [e.type for e in await log_of(identity, "client", old.id)] == [
        "client.created",
        "client.secret-rotated",
    ]


async def test_a_revoked_client_is_out_at_once(world):
    identity, bank = world.client(v1.Identity), await make_bank(world)
    made = await identity.create_client(bank.manager.ctx(), v1.CreateClient(name="till"))
    token = await sign_in(identity, made)
    revoke = v1.RevokeClient(client_id=made.id, reason="the till was stolen")
    with pytest.raises(NotFound):
        await identity.revoke_client(somebody(bank.number + 100_000).ctx(), revoke)
    assert (await identity.revoke_client(bank.manager.ctx(), revoke)).state == "revoked"
    assert (await identity.revoke_client(bank.manager.ctx(), revoke)).state == "revoked"
    with pytest.raises(Unauthenticated):
        await believed(identity, token)
    with pytest.raises(v1.BadClient):
        await sign_in(identity, made)
    with pytest.raises(Conflict):
        await identity.rotate_secret(bank.manager.ctx(), v1.ClientId(client_id=made.id))
    assert [e.type for e in await log_of(identity, "client", made.id)].count("client.revoked") == 1


async def test_a_clients_name_is_printable(direct):
    bank = await make_bank(direct)
    with pytest.raises(InvalidRequest):
        await direct.client(v1.Identity).create_client(
            bank.manager.ctx(), v1.CreateClient(name="till\r\nroot")
        )


async def test_the_first_operator_signs_in_with_the_secret_of_the_file(world):
    identity, path = world.client(v1.Identity), world._folder / "operator.secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    request = v1.TokenRequest(client_id=FIRST, client_secret=path.read_text())
    token = await identity.client_token(anybody().ctx(), request)
    assert (token.token_type, token.expires_in) == ("Bearer", 600)
    who = await believed(identity, token.access_token)
    assert (who.tenant, who.principal) == (PLATFORM, operator().principal)
    with pytest.raises(Conflict):
        await identity.rotate_secret(operator().ctx(), v1.ClientId(client_id=UUID(int=1)))


# ── minting ──────────────────────────────────────────────────────────────────────────────────


async def test_an_operator_mints_and_both_logs_say_so(world):
    identity, bank = world.client(v1.Identity), await make_bank(world)
    party = await customer(world, bank)
    made = await identity.create_person(
        bank.manager.ctx(), v1.CreatePerson(login="eva", party=party)
    )
    who = await believed(identity, await minted(identity, bank, "eva"))
    assert who.tenant == bank.number
    assert who.principal == Principal(id=made.id, kind="person", party=party)
    seen = [e for e in await log_of(identity, "person", made.id) if e.type == "token.minted"]
    assert {(e.tenant, e.principal) for e in seen} == {(0, FIRST), (bank.number, FIRST)}
    with pytest.raises(v1.UnknownLogin):
        await minted(identity, bank, "nobody")
    with pytest.raises(UnknownTenant):
        await identity.mint(operator().ctx(), v1.Mint(tenant="nowhere", login="eva"))
    with pytest.raises(Forbidden):
        await identity.mint(bank.manager.ctx(), v1.Mint(tenant=bank.slug, login="eva"))


# ── refusals ─────────────────────────────────────────────────────────────────────────────────

ADMINISTRATION = {
    "create_person": lambda: v1.CreatePerson(login="mallory"),
    "people": v1.PageQuery,
    "disable": lambda: v1.Disable(person_id=new_id(), reason="no reason"),
    "create_client": lambda: v1.CreateClient(name="mallory"),
    "clients": v1.PageQuery,
    "rotate_secret": lambda: v1.ClientId(client_id=new_id()),
    "revoke_client": lambda: v1.RevokeClient(client_id=new_id(), reason="no reason"),
}
OPERATION = {
    "mint": lambda: v1.Mint(tenant="platform", login="mallory"),
    "rotate_key": Nothing,
}


@pytest.mark.refuses("identity.create_person")
@pytest.mark.refuses("identity.people")
@pytest.mark.refuses("identity.disable")
@pytest.mark.refuses("identity.create_client")
@pytest.mark.refuses("identity.clients")
@pytest.mark.refuses("identity.rotate_secret")
@pytest.mark.refuses("identity.revoke_client")
async def test_only_who_administers_the_bank_touches_its_logins(world):
    identity, bank, other = world.public(v1.Identity), *[await make_bank(world) for _ in "12"]
    foreign = Who(bank.number, other.manager.principal)
    for name, request in ADMINISTRATION.items():
        for who in (somebody(bank.number), bank.auditor, foreign):
            with pytest.raises(Forbidden):
                await getattr(identity, name)(who.ctx(), request())
    assert (await identity.people(bank.manager.ctx(), v1.PageQuery())).items == []
    assert (await identity.clients(bank.manager.ctx(), v1.PageQuery())).items == []


@pytest.mark.refuses("identity.mint")
@pytest.mark.refuses("identity.rotate_key")
async def test_only_operators_mint_and_rotate(world):
    identity, bank = world.public(v1.Identity), await make_bank(world)
    for name, request in OPERATION.items():
        for who in (somebody(PLATFORM), bank.manager, bank.auditor):
            with pytest.raises(Forbidden):
                await getattr(identity, name)(who.ctx(), request())
        inside = Who(bank.number, operator().principal)
        with pytest.raises(Forbidden):
            await getattr(identity, name)(inside.ctx(), request())


async def test_tokens_are_verified_for_our_own_processes_alone(world):
    with pytest.raises(Unauthenticated):
        await world.public(v1.Identity).authenticate(anybody().ctx(), v1.Presented(token="a.b.c"))
