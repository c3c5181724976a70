"""Bindings through the contract: approved by another, one at a time, back to stock in one call."""

import asyncio
import itertools
import random

import msgspec
import pytest
from binding_desk import (
    ADDRESS,
    Approving,
    another_operator,
    answering,
    approve,
    bind,
    end,
    history,
    propose,
    wish,
)

from guilder.chassis.idempotency import fingerprint
from guilder.chassis.testing import make_bank, new_id, operator, somebody
from guilder.contracts.access import v1 as access
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import EventQuery, Nothing
from guilder.contracts.errors import Forbidden, InvalidRequest
from guilder.contracts.registry import v1
from guilder.services.registry import binding_store
from guilder.services.registry.release import ONE_FOR_ALL, read_health


def known(world, tenant, contract="pricing"):
    """What this process would do with a call."""
    found = world.process.bindings.resolve(tenant, contract)
    return found.label, found.generation, found.address


async def view(world, bank, contract="pricing"):
    lines = (await world.public(v1.Registry).bindings(bank.manager.ctx(), Nothing())).items
    (line,) = [line for line in lines if line.contract == contract]
    return line


async def test_a_tenant_is_moved_to_a_release_and_back(world):
    bank, neighbour = await make_bank(world), await make_bank(world)
    stock = ("pricing A.1.0.0", 0, None)
    with answering(world) as asked:
        record = await bind(world, wish(bank.slug))
    assert {address.path for address in asked} == {ADDRESS.removeprefix("unix:")}
    assert known(world, bank.number) == ("pricing A.1.1.0", record.generation, ADDRESS)
    assert known(world, neighbour.number) == stock
    line = await view(world, bank)
    assert (line.edition, line.version, line.generation) == ("A", "1.1.0", record.generation)
    assert (line.binding, line.since) == (record.id, record.bound_at)
    assert (await view(world, neighbour)).binding is None
    assert record.ended_at is None
    assert record.approved_by != record.proposed_by == operator().principal.id
    done = await end(world, record)
    assert known(world, bank.number) == stock
    assert (await view(world, bank)).binding is None
    assert done.ended_by == operator().principal.id
    assert done.ended_generation > record.generation
    assert done.ended_at > done.bound_at
    (kept,) = (await history(world, tenant=bank.slug)).items
    assert kept == done


async def test_another_release_takes_the_place_of_the_one_before(world):
    bank = await make_bank(world)
    with answering(world):
        first = await bind(world, wish(bank.slug))
    with answering(world, [("pricing", ("A", "1.2.0"))]):
        second = await bind(world, wish(bank.slug, version="1.2.0"))
    assert known(world, bank.number)[0] == "pricing A.1.2.0"
    newer, older = (await history(world, tenant=bank.slug)).items
    assert (newer, older.id) == (second, first.id)
    assert older.ended_generation == newer.generation
    assert older.ended_at <= newer.bound_at
    await end(world, second)


async def test_ending_again_changes_nothing(world):
    bank = await make_bank(world)
    with answering(world):
        record = await bind(world, wish(bank.slug))
    done = await end(world, record)
    before = await world.client(v1.Registry).directory(
        somebody(PLATFORM).ctx(), v1.DirectoryQuery()
    )
    assert await end(world, record, await another_operator(world)) == done
    after = await world.client(v1.Registry).directory(somebody(PLATFORM).ctx(), v1.DirectoryQuery())
    assert after.generation == before.generation
    with pytest.raises(v1.UnknownBinding):
        await end(world, msgspec.structs.replace(record, id=new_id()))


async def test_nothing_is_in_force_before_another_operator_agrees(world):
    bank, other = await make_bank(world), await another_operator(world)
    with answering(world):
        proposal = await propose(world, operator(), wish(bank.slug))
        await world.settle()
        assert known(world, bank.number)[0] == "pricing A.1.0.0"
        with pytest.raises(access.OwnProposal):
            await approve(world, operator(), proposal)
        assert (await approve(world, other, proposal)).state == "executed"
    assert known(world, bank.number)[0] == "pricing A.1.1.0"
    (record,) = (await history(world, tenant=bank.slug)).items
    assert record.approved_by == other.principal.id
    await end(world, record)


async def test_an_approval_is_good_for_what_was_approved_alone(world):
    """Even one of our own processes cannot bind without, or otherwise than, two people agreed."""
    bank, other = await make_bank(world), await another_operator(world)
    registry = world.client(v1.Registry)
    with answering(world):
        proposal = await propose(world, operator(), wish(bank.slug))
        for approval in (None, new_id(), proposal.id):
            with pytest.raises(Forbidden):
                await registry.bind(operator().ctx(approval=approval), wish(bank.slug))
        await approve(world, other, proposal)
        (record,) = (await history(world, tenant=bank.slug)).items
        await end(world, record)
        for who, request in (
            (operator(), wish(bank.slug, address="unix:/run/mine.sock")),
            (other, wish(bank.slug)),
        ):
            with pytest.raises(Forbidden):
                await registry.bind(who.ctx(approval=proposal.id), request)
    assert known(world, bank.number)[0] == "pricing A.1.0.0"


GONE = v1.ReleaseUnreachable("connection refused")
FINE = [("pricing", ("A", "1.1.0"))]


@pytest.mark.parametrize(
    ("changes", "said", "problem"),
    [
        *(({"contract": name}, FINE, v1.NotBindable) for name in ONE_FOR_ALL),
        ({"contract": "screening-of-birds"}, FINE, v1.UnknownContract),
        ({"edition": "B"}, FINE, InvalidRequest),
        ({"tenant": "nowhere"}, FINE, v1.UnknownTenant),
        ({"contract": "payments", "on_failure": "fallback"}, FINE, v1.FallbackImpossible),
        ({"address": "unix:/run/../etc/x.sock"}, FINE, InvalidRequest),
        ({"address": "unix:/" + "a" * 60 + "/" + "b" * 60}, FINE, InvalidRequest),
        ({"address": "http://pricing:99999"}, FINE, InvalidRequest),
        ({"address": "http://pricing:8080/"}, FINE, InvalidRequest),
        ({}, GONE, v1.ReleaseUnreachable),
        ({}, [], v1.WrongRelease),
        ({}, [("payments", ("A", "1.1.0"))], v1.WrongRelease),
        ({}, [("pricing", ("A", "1.0.0"))], v1.WrongRelease),
        ({}, [("pricing", ("B", "1.1.0"))], v1.WrongRelease),
    ],
)
async def test_what_cannot_be_bound_is_refused_before_anybody_reads_it(
    world, changes, said, problem
):
    bank = await make_bank(world)
    with answering(world, said), pytest.raises(problem):
        await propose(world, operator(), wish(**({"tenant": bank.slug} | changes)))
    assert (await history(world, tenant=bank.slug)).items == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        "pricing.sock",
        "unix:pricing.sock",
        "unix:/run/a b.sock",
        "unix:/run/x.sock\n",
        "http://pricing:0",
        "http://pricing:8080//",
        "http://anna@pricing:8080",
        "http://pricing:8080?x=1",
        "http://prícing:8080",
        "file:///etc/passwd",
        "gopher://pricing:70",
    ],
)
async def test_an_odd_address_is_refused_at_the_door(address):
    fields = {"tenant": "nordbank", "contract": "pricing", "version": "1.1.0", "address": address}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, v1.Bind)
    msgspec.convert(fields | {"address": "http://[::1]:8080"}, v1.Bind)


async def test_a_release_that_went_away_meanwhile_is_not_bound_and_holds_up_nobody(world):
    bank, other = await make_bank(world), await another_operator(world)
    with answering(world):
        lost = await propose(world, operator(), wish(bank.slug))
        fine = await propose(world, operator(), wish(bank.slug, on_failure="fallback"))
    with answering(world, GONE):
        failed = await approve(world, other, lost)
    assert (failed.state, failed.problem) == ("failed", "release-unreachable")
    assert known(world, bank.number)[0] == "pricing A.1.0.0"
    with answering(world):
        assert (await approve(world, other, fine)).state == "executed"
    (record,) = (await history(world, tenant=bank.slug)).items
    assert record.on_failure == "fallback"
    await end(world, record)


async def test_too_many_bindings_are_refused(world, monkeypatch):
    bank, other = await make_bank(world), await another_operator(world)
    monkeypatch.setattr(binding_store, "MAX_BOUND", 0)
    with answering(world):
        done = await approve(world, other, await propose(world, operator(), wish(bank.slug)))
    assert (done.state, done.problem) == ("failed", "too-many-bindings")


async def test_the_history_is_told_in_pages(world):
    bank = await make_bank(world)
    records = []
    for minor in range(1, 4):
        version = f"1.{minor}.0"
        with answering(world, [("pricing", ("A", version))]):
            records.append(await bind(world, wish(bank.slug, version=version)))
    await end(world, records[-1])
    seen, after = [], None
    while True:
        page = await history(world, tenant=bank.slug, after=after, limit=2)
        seen += [record.version for record in page.items]
        if page.next is None:
            break
        after = page.next
    assert seen == ["1.3.0", "1.2.0", "1.1.0"]
    assert (await history(world, tenant=bank.slug, in_force=True)).items == []
    assert (await history(world, tenant=bank.slug, contract="payments")).items == []


async def test_both_ends_of_a_binding_are_in_the_log(world):
    bank = await make_bank(world)
    with answering(world):
        record = await bind(world, wish(bank.slug))
    await end(world, record)
    registry, seen, after = world.client(v1.Registry), [], ""
    while (page := await registry.events(operator().ctx(), EventQuery(after=after))).events:
        seen += [e for e in page.events if e.ids.get("binding") == str(record.id)]
        after = page.next
    assert [(e.type, e.tenant, e.principal) for e in seen] == [
        ("binding.bound", PLATFORM, str(operator().principal.id)),
        ("binding.ended", PLATFORM, str(operator().principal.id)),
    ]
    assert (seen[0].ids["number"], seen[0].ids["release"]) == (str(bank.number), "A.1.1.0")


async def test_a_clock_set_back_keeps_bindings_in_order(world):
    bank = await make_bank(world)
    clock = world.clock
    with answering(world):
        first = await bind(world, wish(bank.slug))
        clock.move(hours=-1)
        try:
            done = await end(world, first)
            again = await bind(world, wish(bank.slug))
            await end(world, again)
        finally:
            clock.move(hours=1)
    assert first.bound_at < done.ended_at <= again.bound_at


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"services":{"pricing":{"edition":"A","version":"1.1.0","x":1}}}', {"pricing"}),
        (b'{"services":{}}', set()),
        (b"", None),
        (b"<html>", None),
        (b"[]", None),
        (b'{"services":[]}', None),
        (b'{"services":{"pricing":"A"}}', None),
        (b'{"services":{"pricing":{}}}', None),
    ],
)
def test_a_health_report_is_read_with_suspicion(body, said):
    if said is None:
        with pytest.raises(v1.ReleaseUnreachable):
            read_health(body)
    else:
        assert set(read_health(body)) == said


async def test_the_self_check_finds_a_binding_that_could_not_be_made(direct):
    bank, service = await make_bank(direct), direct.process.built["registry"].service
    with answering(direct):
        record = await bind(direct, wish(bank.slug))

    async def found():
        report = await service.self_check(operator().ctx(), Nothing())
        assert report.checked["bindings"] >= 1
        return [f.detail for f in report.findings if f.tenant == bank.number]

    assert await found() == []
    for column, wrong, said in (
        ("contract", "ledger", "$.contract"),
        ("address", "unix:/../x", "$.address"),
        ("generation", 10**9, "later than the directory"),
    ):
        async with service.store.tx(PLATFORM) as tx:
            right = await tx.value(f"SELECT {column} FROM binding WHERE id=$1", record.id)
            change = f"UPDATE binding SET {column}=$2 WHERE id=$1"
            await tx.execute(change, record.id, wrong)
        (detail,) = await found()
        assert said in detail
        async with service.store.tx(PLATFORM) as tx:
            await tx.execute(change, record.id, right)
    await end(direct, record)


# ── a random life against a naive model ──────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(3))
async def test_at_every_moment_exactly_one_release_answers(direct, monkeypatch, seed):
    dice, service = random.Random(seed), direct.process.built["registry"].service
    approving, registry = Approving(), direct.client(v1.Registry)
    monkeypatch.setattr(service, "access", approving)
    banks = [await make_bank(direct) for _ in range(3)]
    pairs = list(itertools.product(banks, ("pricing", "payments")))
    model, ids, changes = {}, {}, []

    async def change(bank, contract):
        """One binding or ending, as an operator would; what the model makes of it."""
        pair, version = (bank.number, contract), f"1.{dice.randrange(1, 9)}.0"
        if pair in ids and dice.random() < 0.4:
            done = await registry.end_binding(
                operator().ctx(), v1.BindingId(binding_id=ids.pop(pair))
            )
            del model[pair]
            return done.ended_generation
        request = wish(bank.slug, contract=contract, version=version)
        approval = new_id()
        operation = v1.Registry.operations()["bind"]
        approving.hashes[approval] = service_hash(operation, request)
        with answering(direct, [(contract, ("A", version))]):
            made = await registry.bind(operator().ctx(approval=approval), request)
        model[pair], ids[pair] = version, made.id
        return made.generation

    for _ in range(40):
        if dice.random() < 0.2:
            direct.clock.move(seconds=dice.randrange(-5, 60))
        changes.append(await change(*dice.choice(pairs)))
        if dice.random() < 0.5:
            await direct.process.directory.refresh()
            for bank, contract in pairs:
                found = direct.process.bindings.resolve(bank.number, contract)
                assert found.version == model.get((bank.number, contract), "1.0.0")
    assert changes == sorted(set(changes)), "the generation rises with every change"
    for number in ids.values():
        await registry.end_binding(operator().ctx(), v1.BindingId(binding_id=number))
    await direct.process.directory.refresh()
    async with service.store.tx(PLATFORM) as tx:
        overlaps = await tx.value(
            "SELECT count(*) FROM binding a JOIN binding b USING (number, contract, mode)"
            " WHERE a.id <> b.id AND a.during && b.during"
            " AND a.withdrawn_at IS NULL AND b.withdrawn_at IS NULL"
        )
    assert overlaps == 0


def service_hash(operation, request):
    return fingerprint(operation, request).hex()


async def test_two_who_bind_at_once_end_in_one_binding(direct, monkeypatch):
    bank, service = await make_bank(direct), direct.process.built["registry"].service
    approving, registry = Approving(), direct.client(v1.Registry)
    monkeypatch.setattr(service, "access", approving)
    operation = v1.Registry.operations()["bind"]

    async def one(n):
        request, approval = wish(bank.slug, address=f"unix:/run/{n}.sock"), new_id()
        approving.hashes[approval] = service_hash(operation, request)
        return await registry.bind(operator().ctx(approval=approval), request)

    with answering(direct):
        made = await asyncio.gather(*(one(n) for n in range(6)))
    last = max(made, key=lambda record: record.generation)
    (left,) = (await history(direct, tenant=bank.slug, in_force=True)).items
    assert left.id == last.id
    assert len({record.generation for record in made}) == 6
    await end(direct, left)


# ── who may ──────────────────────────────────────────────────────────────────────────────────

OPERATIONS = {
    "bind": lambda bank: wish(bank.slug),
    "end_binding": lambda bank: v1.BindingId(binding_id=new_id()),
    "binding_history": lambda bank: v1.BindingQuery(),
}


@pytest.mark.refuses("registry.bind")
@pytest.mark.refuses("registry.end_binding")
@pytest.mark.refuses("registry.binding_history")
@pytest.mark.parametrize("name", OPERATIONS)
async def test_only_operators_of_the_platform_bind(world, name):
    bank = await make_bank(world)
    registry = world.public(v1.Registry)
    with answering(world) as asked:
        for who in (somebody(PLATFORM), somebody(bank.number), bank.manager, bank.auditor):
            with pytest.raises(Forbidden):
                await getattr(registry, name)(who.ctx(), OPERATIONS[name](bank))
    assert asked == [], "nobody makes the platform knock at an address of his choice"


@pytest.mark.parametrize("name", OPERATIONS)
async def test_nor_does_another_service_for_a_tenant(world, name):
    bank = await make_bank(world)
    with pytest.raises(Forbidden):
        await getattr(world.client(v1.Registry), name)(bank.manager.ctx(), OPERATIONS[name](bank))
