"""Who may see and change parties, in the three modes."""

import pytest

from guilder.chassis.contract import convert, read_request
from guilder.chassis.testing import make_bank, new_id, somebody
from guilder.contracts.access.v1 import Access, OwnProposal, Verdict
from guilder.contracts.errors import Forbidden, InvalidRequest, NotFound
from guilder.contracts.parties import v1
from guilder.contracts.vault.v1 import Erased


async def made(world, bank, name="Jana"):
    request = v1.CreateParty(kind="person", name=name)
    return await world.public(v1.Parties).create(bank.manager.ctx(), request)


@pytest.mark.refuses("parties.create")
@pytest.mark.refuses("parties.parties")
async def test_only_staff_record_and_list_parties(world):
    bank, public = await make_bank(world), world.public(v1.Parties)
    jana = await made(world, bank)
    for who in (somebody(bank.number), somebody(bank.number, party=jana.id)):
        with pytest.raises(Forbidden):
            await public.create(who.ctx(), v1.CreateParty(kind="person", name="Eva"))
        with pytest.raises(Forbidden):
            await public.parties(who.ctx(), v1.PartyQuery(name="Jana"))
    page = await public.parties(bank.auditor.ctx(), v1.PartyQuery())
    assert page.items == [jana]


@pytest.mark.abuse(33)
@pytest.mark.abuse(34)
@pytest.mark.refuses("parties.party")
async def test_another_party_looks_like_none(world):
    bank, other, public = await make_bank(world), await make_bank(world), world.public(v1.Parties)
    jana, eva = await made(world, bank), await made(world, bank, "Eva")
    herself = somebody(bank.number, party=eva.id)
    abroad = somebody(other.number, party=jana.id)
    strangers = (herself, somebody(bank.number), other.manager, abroad)
    for who in strangers:
        told = []
        for party in (jana.id, new_id()):
            with pytest.raises(NotFound) as caught:
                await public.party(who.ctx(), v1.PartyId(party_id=party))
            problem = caught.value
            told.append((problem.code, problem.detail.replace(str(party), "ID")))
        assert told[0] == told[1]
    assert (await public.parties(other.manager.ctx(), v1.PartyQuery(name="Jana"))).items == []
    for who in (bank.auditor, somebody(bank.number, party=jana.id)):
        assert await public.party(who.ctx(), v1.PartyId(party_id=jana.id)) == jana


@pytest.mark.refuses("parties.erase")
async def test_erasing_needs_staff_and_a_second_pair_of_eyes(world):
    bank, public = await make_bank(world), world.public(v1.Parties)
    jana = await made(world, bank)
    request = v1.EraseParty(party_id=jana.id, reason="asked for it")
    for who in (somebody(bank.number), somebody(bank.number, party=jana.id), bank.auditor):
        with pytest.raises(Forbidden):
            await public.erase(who.ctx(), request)
    proposal = await public.erase(bank.manager.ctx(), request)
    number = proposal["id"] if isinstance(proposal, dict) else proposal.id
    verdict = convert({"proposal_id": str(number)}, Verdict)
    with pytest.raises(OwnProposal):
        await world.public(Access).approve(bank.manager.ctx(), verdict)
    await world.settle()
    read = v1.PartyId(party_id=jana.id)
    assert await public.party(bank.auditor.ctx(), read) == jana
    await world.public(Access).approve(bank.second_manager.ctx(), verdict)
    await world.settle()
    with pytest.raises(Erased):
        await public.party(bank.auditor.ctx(), read)
    with pytest.raises(NotFound) as caught:
        await public.party(somebody(bank.number).ctx(), read)
    assert not isinstance(caught.value, Erased)
    assert (await public.parties(bank.auditor.ctx(), v1.PartyQuery())).items == []


@pytest.mark.abuse(35)
@pytest.mark.parametrize("extra", ["tenant", "id", "role", "created_at", "erased_at"])
def test_members_that_nobody_asked_for_are_refused(extra):
    with pytest.raises(InvalidRequest):
        convert({"kind": "person", "name": "Jana", extra: "1"}, v1.CreateParty)


@pytest.mark.abuse(62)
@pytest.mark.parametrize(
    "fields",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "9" * 30},
        {"after": "1"},
        {"after": "' OR 1=1"},
        {"name": "x" * 141},
        {"reference": "x" * 61},
    ],
)
def test_absurd_pages_are_refused(fields):
    with pytest.raises(InvalidRequest):
        read_request(v1.Parties.operations()["parties"], {}, list(fields.items()), b"")
