"""Checks and cases through the contract, in the three modes."""

from dataclasses import replace
from datetime import date
from uuid import UUID

import msgspec
import pytest

from guilder.chassis.batch import one
from guilder.chassis.contract import plain
from guilder.chassis.testing import make_bank, new_id, somebody
from guilder.contracts.access import v1 as access
from guilder.contracts.context import Call
from guilder.contracts.declare import EventQuery, Nothing
from guilder.contracts.errors import Forbidden, NotFound, Unavailable
from guilder.contracts.parties.v1 import CreateParty, EraseParty, Parties
from guilder.contracts.screening import v1
from guilder.services.screening.index import Index

EMIL = v1.Side(kind="person", name="Emil Sander", country="DE", birth_date=date(1984, 5, 6))
GRETA = v1.Side(kind="person", name="Greta Lind")
SENTINEL, SENTINELS_LTD = v1.SENTINELS


async def check(world, bank, payer=EMIL, payee=GRETA):
    asked = v1.Check(payer=payer, payee=payee, at=world.clock.now())
    checked = await one(world.client(v1.Screening).check, bank.manager.ctx(""), asked)
    assert list(v1.faults(asked, checked)) == []
    return checked


async def a_party(world, bank, name):
    asked = CreateParty(kind="person", name=name)
    return (await world.client(Parties).create(bank.manager.ctx(), asked)).id


async def a_case(world, bank, payee=None, payment=None):
    """A case of a payment from Emil to the sentinel; how it stands."""
    payer, payee = await a_party(world, bank, EMIL.name), payee or await a_party(world, bank, "X Y")
    found = await check(world, bank, payee=SENTINEL)
    opened = v1.OpenCase(
        payment_id=payment or new_id(),
        sides=[
            v1.Examined(role="payer", party=payer, side=EMIL, hits=[]),
            v1.Examined(role="payee", party=payee, side=SENTINEL, hits=found.hits),
        ],
        basis=found.basis,
        screened_by="screening B.1.0.0",
        generation=7,
    )
    standing = await one(world.client(v1.Screening).open_case, bank.manager.ctx(), opened)
    return opened, standing


async def test_what_was_found_by_other_lists_is_not_remembered_for_these(direct):
    """A list changes while a batch is checked: what is found still is by the list before."""
    bank, service = await make_bank(direct), direct.process.built["screening"].service
    asked = v1.Check(payer=EMIL, payee=GRETA, at=direct.clock.now())
    find = service._find

    def changing(index, side):
        service._remembered, service._of = {}, Index([])  # as another check does
        return find(index, side)

    service._find = changing
    try:
        await service.check([Call(bank.manager.ctx(""), asked)])
        assert not service._remembered
    finally:
        service._find = find


async def test_who_was_asked_after_is_forgotten_also_while_no_list_can_be_read(direct, monkeypatch):
    bank, service = await make_bank(direct), direct.process.built["screening"].service
    asked = v1.Check(payer=EMIL, payee=GRETA, at=direct.clock.now())
    await service.check([Call(bank.manager.ctx(""), asked)])
    assert service._remembered

    async def unreadable():
        raise Unavailable("the lists cannot be read")

    monkeypatch.setattr(service.lists, "current", unreadable)
    await service.forget()
    assert not service._remembered


def decide(standing, reason="another person of that name"):
    return v1.DecideCase(case_id=standing.case_id, reason=reason)


async def read(world, bank, standing):
    asked = v1.CaseId(case_id=standing.case_id)
    return await world.public(v1.Screening).case(bank.auditor.ctx(""), asked)


async def approved(world, bank, proposal):
    """A proposal as it is once the other manager has approved it and it ran."""
    found = UUID(plain(proposal)["id"])
    await world.public(access.Access).approve(
        bank.second_manager.ctx(), access.Verdict(proposal_id=found)
    )
    await world.settle()
    asked = access.ProposalId(proposal_id=found)
    return await world.client(access.Access).proposal(bank.manager.ctx(""), asked)


async def told(world, bank):
    """The events of a bank's cases: type and ids."""
    seen, after = [], ""
    client = world.client(v1.Screening)
    while (page := await client.events(bank.manager.ctx(""), EventQuery(after=after))).events:
        seen += [(e.type, e.ids) for e in page.events if e.tenant == bank.number]
        after = page.next
    return seen


async def test_who_is_on_no_list_is_clear(world):
    bank = await make_bank(world)
    checked = await check(world, bank)
    assert (checked.verdict, checked.hits) == ("clear", [])
    assert "OFAC SDN of 2026-11-02" in checked.basis


@pytest.mark.parametrize("side", ["payer", "payee"])
@pytest.mark.parametrize("sentinel", v1.SENTINELS, ids=lambda s: s.kind)
async def test_the_sentinels_are_hits_on_either_side(world, side, sentinel):
    bank = await make_bank(world)
    for asked in (sentinel, msgspec.structs.replace(sentinel, birth_date=None)):
        (hit,) = (await check(world, bank, **{side: asked})).hits
        assert (hit.side, hit.name, hit.score) == (side, sentinel.name, 100)
    misspelt = msgspec.structs.replace(sentinel, name=sentinel.name.replace("sidian", "sidan"))
    misspelt = msgspec.structs.replace(misspelt, name=misspelt.name.replace("Quillf", "Quilf"))
    assert (await check(world, bank, **{side: misspelt})).verdict == "hit"


async def test_another_year_of_birth_clears_the_sentinel(world):
    bank = await make_bank(world)
    other = msgspec.structs.replace(SENTINEL, birth_date=date(1952, 7, 23))
    assert (await check(world, bank, payee=other)).verdict == "clear"


@pytest.mark.parametrize(
    ("side", "entry"),
    [
        (v1.Side(kind="person", name="Kasimir Volderhaven"), "900001"),
        (v1.Side(kind="person", name="Perpetua Grauwacker", birth_date=date(1950, 1, 1)), "900003"),
        (v1.Side(kind="person", name="Benedikt Ostrovgrad"), "910001"),
        (v1.Side(kind="organisation", name="Glasswater Perihelion"), "910002"),
        (v1.Side(kind="person", name="Стормванг Илдико"), "XXi.001"),
        (v1.Side(kind="organisation", name="Copper Lantern Society Ltd"), "XXe.001"),
        (
            v1.Side(kind="person", name="Anselm Drakensund"),
            "EU.990001.1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_sample_has_a_list_of_every_format(direct, side, entry):
    bank = await make_bank(direct)
    (hit,) = (await check(direct, bank, payer=side)).hits
    assert hit.entry == entry


async def test_a_case_is_opened_once_and_says_who_screened(world):
    bank = await make_bank(world)
    opened, standing = await a_case(world, bank)
    assert (standing.state, standing.screened_by, standing.generation) == (
        "open",
        "screening B.1.0.0",
        7,
    )
    inside = world.client(v1.Screening)
    assert await one(inside.open_case, bank.manager.ctx(), opened) == standing
    which = v1.WhichPayment(payment_id=opened.payment_id)
    assert await one(inside.standing, bank.manager.ctx(""), which) == standing
    nothing = v1.WhichPayment(payment_id=new_id())
    assert await one(inside.standing, bank.manager.ctx(""), nothing) == v1.Standing()
    case = await read(world, bank, standing)
    assert (case.sides, case.erased) == (opened.sides, 0)
    assert "zebulon" in case.sides[1].hits[0].why
    (line,) = (await world.public(v1.Screening).cases(bank.auditor.ctx(""), v1.CaseQuery())).items
    assert (line.id, line.payment_id) == (case.id, case.payment_id)
    assert (line.hits, line.state) == (1, "open")
    assert [event for event, _ in await told(world, bank)] == ["case.opened"]


@pytest.mark.refuses("screening.release_case")
@pytest.mark.refuses("screening.confirm_case")
@pytest.mark.parametrize(
    ("name", "state"), [("release_case", "released"), ("confirm_case", "confirmed")]
)
async def test_two_people_decide_a_case_once(world, name, state):
    bank = await make_bank(world)
    opened, standing = await a_case(world, bank)
    propose = getattr(world.public(v1.Screening), name)
    for who in (somebody(bank.number), bank.auditor):
        with pytest.raises(Forbidden):
            await propose(who.ctx(), decide(standing))
    with pytest.raises(Forbidden):  # not even a service may without an approval
        await getattr(world.client(v1.Screening), name)(bank.manager.ctx(), decide(standing))
    proposal = await propose(bank.manager.ctx(), decide(standing))
    again = await propose(bank.manager.ctx(), decide(standing))
    with pytest.raises(Forbidden):
        await world.public(access.Access).approve(
            bank.manager.ctx(), access.Verdict(proposal_id=UUID(plain(proposal)["id"]))
        )
    assert (await read(world, bank, standing)).state == "open"
    assert (await approved(world, bank, proposal)).state == "executed"
    case = await read(world, bank, standing)
    assert (case.state, case.reason) == (state, "another person of that name")
    assert case.approval == UUID(plain(proposal)["id"])
    ids = {"case": str(case.id), "payment": str(opened.payment_id)}
    assert (await told(world, bank))[-1] == (f"case.{state}", ids)
    assert (await approved(world, bank, again)).state == "failed"
    for late in ("release_case", "confirm_case"):
        with pytest.raises(v1.CaseDecided):
            await getattr(world.public(v1.Screening), late)(bank.manager.ctx(), decide(standing))


async def test_what_was_approved_of_one_case_decides_no_other_and_nothing_else(world):
    bank = await make_bank(world)
    (_, first), (_, second) = await a_case(world, bank), await a_case(world, bank)
    proposal = await world.public(v1.Screening).release_case(bank.manager.ctx(), decide(first))
    assert (await approved(world, bank, proposal)).state == "executed"
    inside, approval = world.client(v1.Screening), UUID(plain(proposal)["id"])
    for who, decision, standing in (
        (bank.manager, inside.release_case, second),
        (bank.manager, inside.confirm_case, first),
        (bank.second_manager, inside.release_case, first),
    ):
        ctx = msgspec.structs.replace(who.ctx(), approval=approval)
        with pytest.raises(Forbidden, match="second person"):
            await decision(ctx, decide(standing))
    assert (await read(world, bank, second)).state == "open"


@pytest.mark.refuses("screening.cases")
@pytest.mark.refuses("screening.case")
async def test_cases_are_for_the_staff_of_the_bank(world):
    bank, other = await make_bank(world), await make_bank(world)
    opened, standing = await a_case(world, bank)
    public, wanted = world.public(v1.Screening), v1.CaseId(case_id=standing.case_id)
    payer = somebody(bank.number, party=opened.sides[0].party)
    for who in (somebody(bank.number), payer):
        with pytest.raises(Forbidden):
            await public.cases(who.ctx(""), v1.CaseQuery())
        with pytest.raises(Forbidden):
            await public.case(who.ctx(""), wanted)
    assert (await public.cases(other.auditor.ctx(""), v1.CaseQuery())).items == []
    with pytest.raises(v1.UnknownCase):
        await public.case(other.auditor.ctx(""), wanted)
    with pytest.raises(NotFound):
        await public.release_case(other.manager.ctx(), decide(standing))
    found = v1.WhichPayment(payment_id=opened.payment_id)
    inside = world.client(v1.Screening)
    assert await one(inside.standing, other.manager.ctx(""), found) == v1.Standing()


async def test_cases_are_listed_by_state_and_page(world):
    bank = await make_bank(world)
    standings = [(await a_case(world, bank))[1] for _ in range(3)]
    standings.sort(key=lambda standing: standing.case_id)  # the clock of the tests stands still
    public = world.public(v1.Screening)
    await approved(world, bank, await public.release_case(bank.manager.ctx(), decide(standings[1])))
    ctx = bank.auditor.ctx("")
    page = await public.cases(ctx, v1.CaseQuery(limit=2))
    rest = await public.cases(ctx, v1.CaseQuery(limit=2, after=page.next))
    listed = [line.id for line in page.items + rest.items]
    assert (listed, rest.next) == ([s.case_id for s in standings], None)
    for state, wanted in (("open", [0, 2]), ("released", [1]), ("confirmed", [])):
        lines = (await public.cases(ctx, v1.CaseQuery(state=state))).items
        assert [line.id for line in lines] == [standings[n].case_id for n in wanted]


async def test_whoever_holds_an_account_does_not_decide_its_case(world):
    bank = await make_bank(world)
    opened, standing = await a_case(world, bank)
    own = msgspec.structs.replace(bank.manager.principal, party=opened.sides[0].party)
    ctx = msgspec.structs.replace(bank.manager.ctx(), principal=own, approval=new_id())
    with pytest.raises(Forbidden, match="of his own"):
        await world.client(v1.Screening).release_case(ctx, decide(standing))


async def test_nor_is_it_let_go_by_whoever_holds_an_account_and_approves(world):
    bank = await make_bank(world)
    opened, standing = await a_case(world, bank)
    for side in opened.sides:
        own = msgspec.structs.replace(bank.second_manager.principal, party=side.party)
        concerned = replace(bank, second_manager=replace(bank.second_manager, principal=own))
        public = world.public(v1.Screening)
        with pytest.raises(Forbidden, match="of his own"):  # nobody has to look at such a proposal
            await public.release_case(concerned.second_manager.ctx(), decide(standing))
        asked = await public.release_case(bank.manager.ctx(), decide(standing))
        done = await approved(world, concerned, asked)
        assert (done.state, done.problem) == ("failed", "forbidden")
    assert (await read(world, bank, standing)).state == "open"


async def test_erasing_a_party_empties_what_cases_hold_about_it(world):
    bank = await make_bank(world)
    gone = await a_party(world, bank, SENTINEL.name)
    opened, standing = await a_case(world, bank, payee=gone)
    _, untouched = await a_case(world, bank)
    public = world.public(v1.Screening)
    await approved(world, bank, await public.release_case(bank.manager.ctx(), decide(standing)))
    asked = EraseParty(party_id=gone, reason="asked for it")
    await world.client(Parties).erase(bank.manager.ctx(), asked)
    await world.settle()
    async with world.process.stores["screening"].tx(bank.number) as tx:
        rows = await tx.fetch("SELECT * FROM side WHERE screening_case=$1", standing.case_id)
        assert {row["party"]: row["sealed"] is None for row in rows} == {
            opened.sides[0].party: False,
            gone: True,
        }
        kept = "SELECT reason FROM screening_case WHERE id=$1"
        assert await tx.value(kept, standing.case_id) is None
    case = await read(world, bank, standing)
    assert (case.sides, case.erased, case.reason) == (opened.sides[:1], 1, None)
    assert (await read(world, bank, untouched)).erased == 0
    checked = await world.client(v1.Screening).self_check(bank.manager.ctx(""), Nothing())
    assert [found for found in checked.findings if found.tenant == bank.number] == []


async def test_nothing_about_anybody_stands_open_in_the_database(direct):
    bank = await make_bank(direct)
    _, standing = await a_case(direct, bank)
    public = direct.public(v1.Screening)
    await approved(direct, bank, await public.release_case(bank.manager.ctx(), decide(standing)))
    async with direct.process.stores["screening"].tx(bank.number) as tx:
        for table in ("screening_case", "side", "event", "command"):
            text = str(await tx.fetch(f"SELECT t::text FROM {table} t")).lower()
            for word in ("zebulon", "emil", "another person"):
                assert word not in text
                assert word.encode().hex() not in text


async def test_a_case_that_was_tampered_with_is_found(direct):
    bank = await make_bank(direct)
    _, standing = await a_case(direct, bank)
    async with direct.process.stores["screening"].tx(bank.number) as tx:
        await tx.execute("UPDATE side SET sealed = sealed || '\\x00' WHERE n=2")
    checked = await direct.client(v1.Screening).self_check(bank.manager.ctx(""), Nothing())
    found = [f for f in checked.findings if f.tenant == bank.number]
    assert [f.check for f in found] == ["case-opens"]
    assert str(standing.case_id) in found[0].detail


async def test_many_checks_are_one_batch_of_many_banks(world):
    banks = [await make_bank(world) for _ in range(2)]
    at = world.clock.now()
    calls = [
        Call(bank.manager.ctx(""), v1.Check(payer=payer, payee=GRETA, at=at))
        for bank in banks
        for payer in (EMIL, SENTINEL, SENTINELS_LTD)
    ]
    checked = await world.client(v1.Screening).check(calls)
    assert [answer.verdict for answer in checked] == ["clear", "hit", "hit"] * 2


FAULTY = [
    ({"verdict": "clear"}, "the verdict is clear with 1 hits"),
    ({"hits": []}, "the verdict is hit with 0 hits"),
    ({"basis": "lists for zebulon  QUILLFEATHER varnhagen"}, "holds the name of the payee"),
    ({"basis": "a\u202eb"}, "cannot be shown"),
]


@pytest.mark.parametrize(("change", "fault"), FAULTY)
async def test_what_an_answer_must_never_be(direct, change, fault):
    bank = await make_bank(direct)
    checked = await check(direct, bank, payee=SENTINEL)
    asked = v1.Check(payer=EMIL, payee=SENTINEL, at=direct.clock.now())
    (said,) = v1.faults(asked, msgspec.structs.replace(checked, **change))
    assert fault in said
