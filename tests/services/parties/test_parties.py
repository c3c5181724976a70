"""Parties through their contract, in the three modes."""

from datetime import date

import pytest

from guilder.chassis.contract import plain
from guilder.chassis.testing import new_id, somebody
from guilder.contracts.context import Call
from guilder.contracts.declare import EventQuery, Nothing
from guilder.contracts.errors import Internal, InvalidRequest, NotFound
from guilder.contracts.parties import v1
from guilder.contracts.vault.v1 import Erased, Subject, Vault

ADDRESS = v1.Address(lines=["Hlavní 12", "110 00 Praha"], country="CZ")


def person(name="Jana Nováková", **more):
    return v1.CreateParty(kind="person", name=name, **more)


async def found(parties, who, **query):
    return [p.id for p in (await parties.parties(who.ctx(), v1.PartyQuery(**query))).items]


async def findings(world, tenant):
    checked = await world.client(v1.Parties).self_check(somebody(tenant).ctx(), Nothing())
    return [f.check for f in checked.findings if f.tenant == tenant]


async def test_a_party_reads_itself(world):
    parties = world.client(v1.Parties)
    request = person(birth_date=date(1980, 2, 29), address=ADDRESS, reference=f"r:{new_id()}")
    made = await parties.create(somebody(31).ctx(), request)
    herself = somebody(31, party=made.id)
    assert await parties.party(herself.ctx(), v1.PartyId(party_id=made.id)) == made
    assert (made.birth_date, made.address) == (date(1980, 2, 29), ADDRESS)


async def test_a_whole_name_is_found_however_it_is_written(world):
    parties, who = world.client(v1.Parties), somebody(32)
    tag = str(new_id())
    made = await parties.create(who.ctx(), person(f"Ge\u0301raldine  Straße {tag}"))
    assert made.name == f"G\u00e9raldine  Straße {tag}"
    assert await found(parties, who, name=f" géraldine STRASSE\u00a0{tag}") == [made.id]
    assert await found(parties, who, name=f"géraldine {tag}") == []
    assert await found(parties, somebody(33), name=made.name) == []


async def test_pages_follow_the_ids(world):
    parties, who = world.client(v1.Parties), somebody(34)
    reference = str(new_id())
    made = [(await parties.create(who.ctx(), person(f"P {reference} {n}"))).id for n in range(3)]
    seen, after = [], None
    while True:
        query = v1.PartyQuery(after=after, limit=2)
        page = await parties.parties(who.ctx(), query)
        seen += [p.id for p in page.items]
        if (after := page.next) is None:
            break
    assert sorted(seen) == seen
    assert set(made) <= set(seen)
    assert len(set(seen)) == len(seen)


async def test_a_reference_is_taken_once_per_tenant(world):
    parties, reference = world.client(v1.Parties), f"client:{new_id()}"
    first = await parties.create(somebody(35).ctx(), person(reference=reference))
    with pytest.raises(v1.ReferenceTaken):
        await parties.create(somebody(35).ctx(), person("Another", reference=reference))
    await parties.create(somebody(36).ctx(), person(reference=reference))
    assert await found(parties, somebody(35), reference=reference) == [first.id]


async def test_another_service_learns_who_exists_and_nothing_more(world):
    parties, who = world.client(v1.Parties), somebody(37)
    made = await parties.create(who.ctx(), v1.CreateParty(kind="organisation", name="Baník a.s."))
    calls = [
        Call(who.ctx(), v1.PartyId(party_id=made.id)),
        Call(who.ctx(), v1.PartyId(party_id=new_id())),
        Call(somebody(38).ctx(), v1.PartyId(party_id=made.id)),
    ]
    one, two, three = await parties.known(calls)
    assert plain(one) == {"id": str(made.id), "kind": "organisation"}
    assert isinstance(two, NotFound)
    assert isinstance(three, NotFound)


async def test_an_erased_party_is_gone_from_everywhere(world):
    parties, who = world.client(v1.Parties), somebody(39)
    made = await parties.create(who.ctx(), person(f"Eva {new_id()}", reference=f"e:{new_id()}"))
    erase = v1.EraseParty(party_id=made.id, reason="asked for it")
    assert (await parties.erase(who.ctx(), erase)).keys_destroyed == 1
    herself = somebody(39, party=made.id)
    with pytest.raises(Erased):
        await parties.party(herself.ctx(), v1.PartyId(party_id=made.id))
    assert await found(parties, who, name=made.name) == []
    assert await found(parties, who, reference=made.reference) == []
    (known,) = await parties.known([Call(who.ctx(), v1.PartyId(party_id=made.id))])
    assert isinstance(known, Erased)
    with pytest.raises(Erased):
        await parties.erase(who.ctx(), erase)
    with pytest.raises(NotFound):
        await parties.erase(who.ctx(), v1.EraseParty(party_id=new_id(), reason="asked for it"))
    with pytest.raises(v1.ReferenceTaken):
        await parties.create(who.ctx(), person(reference=made.reference))
    async with world.process.stores["parties"].tx(39) as tx:
        row = await tx.row("SELECT * FROM party WHERE id=$1", made.id)
    assert (row["sealed"], row["name_hash"]) == (None, None)
    assert await findings(world, 39) == []


async def test_nothing_personal_is_stored_in_the_clear(direct):
    parties, who = direct.client(v1.Parties), somebody(40)
    await parties.create(who.ctx(), person("Zdislava Xaverová", address=ADDRESS))
    async with direct.process.stores["parties"].tx(40) as tx:
        for table in ("party", "command", "event"):
            for row in await tx.fetch(f"SELECT t::text AS line FROM {table} t"):
                clear = row["line"].encode()
                assert b"Zdislava" not in clear
                assert b"5a6469736c617661" not in clear
                assert b"Hlavn" not in clear


async def test_making_and_erasing_are_in_the_log_in_ids(world):
    parties, who = world.client(v1.Parties), somebody(41)
    made = await parties.create(who.ctx(), person())
    await parties.erase(who.ctx(), v1.EraseParty(party_id=made.id, reason="asked for it"))
    seen, after = [], ""
    while (page := await parties.events(who.ctx(), EventQuery(after=after))).events:
        seen += [e for e in page.events if e.ids.get("party") == str(made.id)]
        after = page.next
    assert [(e.type, e.ids) for e in seen] == [
        ("party.created", {"party": str(made.id)}),
        ("party.erased", {"party": str(made.id)}),
    ]


async def erasures(parties, who, party):
    """Who erased a party, as its log says."""
    seen, after = [], ""
    while (page := await parties.events(who.ctx(), EventQuery(after=after))).events:
        seen += [
            e.principal
            for e in page.events
            if e.type == "party.erased" and e.ids["party"] == str(party)
        ]
        after = page.next
    return seen


async def test_an_erasure_that_only_the_vault_remembers_is_finished(world):
    """A crash between the two, or the data restored to a moment before it."""
    parties, who = world.client(v1.Parties), somebody(46)
    made = await parties.create(who.ctx(), person(f"Eva {new_id()}"))
    subject = Subject(subject=made.id, reason="asked for it")
    await world.client(Vault).erase(who.ctx(), subject)
    await world.settle()
    assert await findings(world, 46) == []
    assert await found(parties, who, name=made.name) == []
    assert await erasures(parties, who, made.id) == [str(who.principal.id)]
    await world.settle()
    assert len(await erasures(parties, who, made.id)) == 1


async def test_a_repeat_answers_although_the_reaction_was_first(direct, monkeypatch):
    parties, who, key = direct.client(v1.Parties), somebody(47), str(new_id())
    made = await parties.create(who.ctx(), person())
    erase = v1.EraseParty(party_id=made.id, reason="asked for it")
    with monkeypatch.context() as patch:
        patch.setattr(direct.process.built["parties"].service.once, "settle", None)
        with pytest.raises(Internal):  # dies after the vault, before its own last commit
            await parties.erase(who.ctx(key), erase)
    await direct.settle()
    assert await found(parties, who, name=made.name) == []
    assert (await parties.erase(who.ctx(key), erase)).keys_destroyed == 1
    assert len(await erasures(parties, who, made.id)) == 1


@pytest.mark.abuse(63)
@pytest.mark.parametrize(
    "name",
    [
        "Nordbank\u202ektna",
        "Nord\u200bbank",
        "Nord\u00adbank",
        "Nоrdbank",  # a Cyrillic о
        "\u13aanna",  # a Cherokee letter like an A
        "\uff21nna",  # full width
        "\U0001d56c\U0001d593\U0001d593\U0001d586",  # mathematical
        "\ufb01nn",  # a ligature
        "Nordbank\u2028Total: 0",
        "Nordbank\r\nTotal: 0",
        "Nordbank\ufe0f",
        "\u3164",
        "-",
        "' ' .",
        "M\ufffdller",
        " \u00a0 ",
        "\ue000",
        "\U0001d15f" * 100,  # grows threefold under NFC
    ],
)
async def test_a_name_that_could_deceive_is_refused(world, name):
    parties, who = world.client(v1.Parties), somebody(42)
    with pytest.raises(v1.BadName):
        await parties.create(who.ctx(), person(name))
    address = v1.Address(lines=["Main street 1", name[:70]], country="NL")
    with pytest.raises(v1.BadName):
        await parties.create(who.ctx(), person("Honest", address=address))


@pytest.mark.parametrize(
    "name", ["Газпром Neft", "Ελένη", "李小龍", "محمد", "O'Neill-Müller 2nd", "ᎠᏂ", "Calle 1º"]
)
async def test_an_honest_name_of_any_alphabet_is_taken(direct, name):
    made = await direct.client(v1.Parties).create(somebody(43).ctx(), person(name))
    assert made.name == name


async def test_a_birth_date_is_a_persons_and_in_the_past(direct):
    parties, who = direct.client(v1.Parties), somebody(44)
    tomorrow = date.fromordinal(direct.clock.now().date().toordinal() + 2)
    with pytest.raises(InvalidRequest):
        await parties.create(who.ctx(), person(birth_date=tomorrow))
    with pytest.raises(InvalidRequest):
        await parties.create(
            who.ctx(),
            v1.CreateParty(kind="organisation", name="A", birth_date=date(1990, 1, 1)),
        )


async def test_the_self_check_sees_what_was_damaged(direct):
    parties, who = direct.client(v1.Parties), somebody(45)
    made = [(await parties.create(who.ctx(), person(f"P{n}"))).id for n in range(3)]
    await parties.erase(who.ctx(), v1.EraseParty(party_id=made[2], reason="asked for it"))
    assert await findings(direct, 45) == []
    async with direct.process.stores["parties"].tx(45) as tx:
        await tx.execute("UPDATE party SET sealed=sealed||'\\x00' WHERE id=$1", made[0])
        await tx.execute("UPDATE party SET name_hash='\\x00' WHERE id=$1", made[1])
        await tx.execute("UPDATE party SET name_hash='\\x00' WHERE id=$1", made[2])
    assert sorted(await findings(direct, 45)) == ["party-erased", "party-lookup", "party-opens"]
    async with direct.process.stores["parties"].tx(45) as tx:
        await tx.execute("DELETE FROM party")
