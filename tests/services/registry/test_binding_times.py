"""When bindings begin and end: planned, taken back, put back; and the directory by its changes."""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from binding_desk import (
    Approving,
    another_operator,
    approve,
    bind,
    end,
    history,
    propose,
    rollback,
    saying,
    soon,
    wish,
)

from guilder.chassis.idempotency import fingerprint
from guilder.chassis.testing import make_bank, new_id, operator
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import EventQuery
from guilder.contracts.registry import v1
from guilder.services.registry import directory


async def put(world, bank, version, **changes):
    with saying(world, version):
        return await bind(world, wish(bank.slug, version=version, **changes))


async def one(world, record):
    found = (await history(world, limit=200)).items
    return next(r for r in found if r.id == record.id)


async def directory_of(world, known=-1):
    return await world.client(v1.Registry).directory(
        operator().ctx(), v1.DirectoryQuery(known=known)
    )


def of(answer, bank):
    return [line for line in answer.bindings if line.tenant == bank.number]


# ── planned ──────────────────────────────────────────────────────────────────────────────────


async def test_a_planned_binding_takes_the_place_of_the_one_before_at_its_moment(world):
    bank, at = await make_bank(world), soon(world, hours=2)
    first = await put(world, bank, "1.1.0")
    known = (await directory_of(world)).generation
    second = await put(world, bank, "1.2.0", begins=at)
    assert (second.bound_at, second.replaces, second.ended_at) == (at, first.id, None)
    before = await one(world, first)
    assert (before.ended_at, before.ended_reason) == (at, "replaced")
    change = await directory_of(world, known)
    assert (change.whole, change.ended) == (False, [])
    assert {(line.id, line.begins, line.ends) for line in of(change, bank)} == {
        (first.id, None, at),
        (second.id, at, None),
    }
    assert of(await directory_of(world), bank) == sorted(of(change, bank), key=lambda b: b.id)
    world.clock.move(hours=2)
    try:
        (line,) = of(await directory_of(world), bank)
        assert (line.id, line.begins, line.ends) == (second.id, None, None)
        await end(world, second)
    finally:
        world.clock.move(hours=-2)


async def test_a_planned_binding_that_is_taken_back_leaves_the_one_before_as_it_was(world):
    bank, at = await make_bank(world), soon(world, hours=2)
    first = await put(world, bank, "1.1.0")
    second = await put(world, bank, "1.2.0", begins=at)
    known = (await directory_of(world)).generation
    done = await rollback(world, second)
    assert (done.ended.ended_reason, done.restored) == ("withdrawn", None)
    assert done.ended.ended_at < done.ended.bound_at
    assert await one(world, first) == first
    change = await directory_of(world, known)
    assert change.ended == [second.id]
    assert [(line.id, line.ends) for line in of(change, bank)] == [(first.id, None)]
    again = await put(world, bank, "1.3.0", begins=at)
    assert again.replaces == first.id
    done = await rollback(world, first)
    assert (done.withdrawn, done.restored) == (again.id, None)
    assert of(await directory_of(world), bank) == []


async def test_one_binding_is_planned_at_a_time(world):
    bank, other = await make_bank(world), await another_operator(world)
    planned = await put(world, bank, "1.2.0", begins=soon(world, hours=2))
    for begins in (None, soon(world, hours=1), soon(world, hours=3)):
        with saying(world):
            asked = await propose(world, operator(), wish(bank.slug, begins=begins))
            done = await approve(world, other, asked)
        assert (done.state, done.problem) == ("failed", "binding-planned")
    shadow = await put(world, bank, "1.3.0", mode="shadow")
    for record in (planned, shadow):
        await end(world, record)


@pytest.mark.parametrize("ahead", [{"seconds": -1}, {"seconds": 0}, {"days": 367}])
async def test_nothing_begins_in_the_past_or_far_ahead(world, ahead):
    bank = await make_bank(world)
    with saying(world), pytest.raises(v1.BindingTimes):
        await propose(world, operator(), wish(bank.slug, begins=soon(world, **ahead)))


@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_what_no_calendar_in_utc_holds_is_refused_like_any_other_time(world, edge):
    bank = await make_bank(world)
    asked = wish(bank.slug, begins=datetime.fromisoformat(edge))
    with saying(world), pytest.raises(v1.BindingTimes, match=edge[:10]):
        await propose(world, operator(), asked)


async def test_what_is_approved_after_it_should_have_begun_does_not_begin(world):
    bank, other = await make_bank(world), await another_operator(world)
    with saying(world):
        asked = await propose(world, operator(), wish(bank.slug, begins=soon(world, minutes=5)))
        world.clock.move(minutes=6)
        try:
            done = await approve(world, other, asked)
        finally:
            world.clock.move(minutes=-6)
    assert (done.state, done.problem) == ("failed", "binding-times")


# ── put back ─────────────────────────────────────────────────────────────────────────────────


async def test_a_rollback_puts_back_what_was_replaced_again_and_again(world):
    bank = await make_bank(world)
    first = await put(world, bank, "1.1.0", on_failure="fallback")
    second = await put(world, bank, "1.2.0")
    third = await put(world, bank, "1.3.0")
    done = await rollback(world, third)
    assert (done.ended.id, done.ended.ended_reason) == (third.id, "rolled-back")
    back = done.restored
    assert (back.version, back.restores, back.ended_at) == ("1.2.0", second.id, None)
    assert (back.proposed_by, back.approved_by) == (second.proposed_by, second.approved_by)
    assert back.generation == done.ended.ended_generation > third.generation
    assert world.process.bindings.resolve(bank.number, "pricing").version == "1.2.0"
    done = await rollback(world, back)
    assert (done.restored.version, done.restored.restores) == ("1.1.0", first.id)
    assert done.restored.on_failure == "fallback"
    last = await rollback(world, done.restored)
    assert last.restored is None
    assert world.process.bindings.resolve(bank.number, "pricing").address is None
    for record in (third, back, first):  # what has ended stays as it is
        known = (await directory_of(world)).generation
        again = await rollback(world, record)
        assert (again.ended, again.restored) == (await one(world, record), None)
        assert (await directory_of(world)).generation == known


async def test_a_rollback_withdraws_what_was_to_follow(world):
    bank = await make_bank(world)
    first, second = await put(world, bank, "1.1.0"), await put(world, bank, "1.2.0")
    third = await put(world, bank, "1.3.0", begins=soon(world, hours=2))
    done = await rollback(world, second)
    assert (done.withdrawn, done.restored.version) == (third.id, first.version)
    assert (await one(world, third)).ended_reason == "withdrawn"
    await end(world, done.restored)
    with pytest.raises(v1.UnknownBinding):
        await world.public(v1.Registry).rollback(
            operator().ctx(), v1.BindingId(binding_id=new_id())
        )


async def test_every_step_is_in_the_log(world):
    bank, at = await make_bank(world), soon(world, hours=2)
    first = await put(world, bank, "1.1.0")
    second = await put(world, bank, "1.2.0")
    planned = await put(world, bank, "1.3.0", begins=at)
    done = await rollback(world, second)
    await end(world, done.restored)
    names = {first.id: "1", second.id: "2", planned.id: "planned", done.restored.id: "restored"}
    registry, seen, after = world.client(v1.Registry), [], ""
    while (page := await registry.events(operator().ctx(), EventQuery(after=after))).events:
        seen += [e for e in page.events if e.ids.get("binding") in map(str, names)]
        after = page.next
    said = {str(binding): name for binding, name in names.items()}
    assert [(e.type, said[e.ids["binding"]], e.ids.get("reason")) for e in seen] == [
        ("binding.bound", "1", None),
        ("binding.ended", "1", "replaced"),
        ("binding.bound", "2", None),
        ("binding.ended", "2", "planned"),
        ("binding.bound", "planned", None),
        ("binding.withdrawn", "planned", None),
        ("binding.ended", "2", "rolled-back"),
        ("binding.bound", "restored", None),
        ("binding.ended", "restored", "ended"),
    ]
    assert seen[4].ids["begins"] == at.isoformat()
    assert seen[7].ids["restores"] == str(first.id)


# ── the directory by its changes ─────────────────────────────────────────────────────────────


async def test_a_whole_directory_comes_in_pages(direct, monkeypatch):
    bank = await make_bank(direct)
    made = [await put(direct, bank, "1.1.0")]
    made += [await put(direct, bank, "1.1.0", mode="shadow")]
    made += [await put(direct, bank, "1.1.0", mode="canary", share=7)]
    everything = (await directory_of(direct)).bindings
    monkeypatch.setattr(directory, "PAGE", 2)
    registry, ctx, pages = direct.client(v1.Registry), operator().ctx(), []
    answer = await registry.directory(ctx, v1.DirectoryQuery())
    pages.append(answer)
    while answer.next is not None:
        answer = await registry.directory(ctx, v1.DirectoryQuery(after=answer.next))
        pages.append(answer)
    assert [line for page in pages for line in page.bindings] == everything
    assert {len(page.bindings) for page in pages[:-1]} == {2}
    monkeypatch.setattr(
        direct.process.directory, "latest", v1.Directory(generation=-1, bindings=[])
    )
    await direct.process.directory.refresh()
    assert direct.process.bindings.resolve(bank.number, "pricing").version == "1.1.0"
    for record in made:
        await end(direct, record)


async def test_whoever_missed_too_much_gets_everything(direct, monkeypatch):
    bank = await make_bank(direct)
    known = (await directory_of(direct)).generation
    made = [await put(direct, bank, f"1.{n}.0") for n in range(1, 4)]
    assert (await directory_of(direct, known)).whole is False
    monkeypatch.setattr(directory, "MOST_CHANGES", 2)
    assert (await directory_of(direct, known)).whole is True
    assert (await directory_of(direct, known + 10**6)).whole is True, "of another past"
    await end(direct, made[-1])


@dataclass
class Place:
    """One tenant, contract and mode, as somebody would keep it on paper who watches the clock."""

    current: object = None
    planned: tuple | None = None
    before: dict = field(default_factory=dict)
    names: dict = field(default_factory=dict)

    def tick(self, now):
        if self.planned and self.planned[0] <= now:
            self.current, self.planned = self.planned[1], None

    def bind(self, made, name, at=None):
        self.names[made], self.before[made] = name, self.current
        if at is None:
            self.current = made
        else:
            self.planned = (at, made)

    def end(self, gone):
        """Whether it was in force or planned, and whether it had begun."""
        if self.planned and self.planned[1] == gone:
            self.planned = None
        elif gone is not None and self.current == gone:
            self.current = self.planned = None
            return True
        return False

    def serving(self, at):
        late = self.planned and self.planned[0] <= at
        return self.names.get(self.planned[1] if late else self.current)


def serving(lines, place, at):
    """By the lines of a directory."""
    found = [
        line.version
        for line in lines
        if (line.tenant, line.contract, line.mode) == place
        and (line.begins is None or line.begins <= at)
        and (line.ends is None or at < line.ends)
    ]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("seed", range(4))
async def test_at_every_moment_the_same_serves_by_table_by_process_and_on_paper(
    direct, monkeypatch, seed
):
    dice, registry = random.Random(seed), direct.client(v1.Registry)
    service, approving, began = direct.process.built["registry"].service, Approving(), 0
    monkeypatch.setattr(service, "access", approving)
    banks = [await make_bank(direct) for _ in range(2)]
    slugs = {bank.number: bank.slug for bank in banks}
    paper, ids = {}, defaultdict(list)
    modes = ("live", "shadow", "canary")
    places = [(bank.number, "pricing", mode) for bank in banks for mode in modes]
    kept, known = {}, -1  # what a process knows that follows the changes

    async def bind_one(place, n):
        number, _, mode = place
        at = soon(direct, minutes=dice.randrange(1, 90)) if dice.random() < 0.4 else None
        version = f"1.{n}.0"
        share = 10 if mode == "canary" else None
        request = wish(slugs[number], version=version, mode=mode, share=share, begins=at)
        approval = new_id()
        operation = v1.Registry.operations()["bind"]
        approving.hashes[approval] = fingerprint(operation, request).hex()
        with saying(direct, version):
            if paper[place].planned:
                with pytest.raises(v1.AlreadyPlanned):
                    await registry.bind(operator().ctx(approval=approval), request)
                return
            made = await registry.bind(operator().ctx(approval=approval), request)
        paper[place].bind(made.id, version, at)
        ids[place].append(made.id)

    async def take_back(place, binding):
        query, page = v1.BindingId(binding_id=binding), paper[place]
        if dice.random() < 0.5:
            await registry.end_binding(operator().ctx(), query)
            page.end(binding)
            return
        done = await registry.rollback(operator().ctx(), query)
        back = page.before[binding]
        if page.end(binding) and back is not None:
            page.bind(done.restored.id, page.names[back])
            page.before[done.restored.id] = page.before[back]
            ids[place].append(done.restored.id)
        else:
            assert done.restored is None

    for place in places:
        paper[place] = Place()
    for n in range(1, 60):
        if dice.random() < 0.3:
            minutes = dice.randrange(1, 60)
            direct.clock.move(minutes=minutes)
            began += minutes
        for page in paper.values():
            page.tick(direct.clock.now())
        place = dice.choice(places)
        if ids[place] and dice.random() < 0.45:
            await take_back(place, dice.choice(ids[place][-3:]))
        else:
            await bind_one(place, n)
        if dice.random() < 0.7:
            change = await directory_of(direct, known)
            kept = {} if change.whole else kept
            kept |= {line.id: line for line in change.bindings}
            for gone in change.ended:
                kept.pop(gone, None)
            known = change.generation
            whole = (await directory_of(direct)).bindings
            await direct.process.directory.refresh()
            for place in places:
                assert by_process(direct, place) == paper[place].serving(direct.clock.now())
            for ahead in (0, dice.randrange(1, 120)):
                at = soon(direct, minutes=ahead, seconds=1)  # what is at once takes microseconds
                for place in places:
                    expected = paper[place].serving(at)
                    assert serving(whole, place, at) == expected
                    assert serving(kept.values(), place, at) == expected
                    assert await by_table(service, place, at) == expected
    for place in places:
        for binding in ids[place]:
            await registry.end_binding(operator().ctx(), v1.BindingId(binding_id=binding))
    direct.clock.move(minutes=-began)


def by_process(world, place):
    """What this process would do with calls; of many principals a canary takes some."""
    number, contract, mode = place
    bindings = world.process.bindings
    found = bindings.resolve(number, contract)
    if mode == "canary":
        drawn = (bindings.resolve(number, contract, new_id()) for _ in range(300))
        found = next((binding for binding in drawn if binding.mode == "canary"), None)
    elif mode == "shadow":
        found = bindings.shadow(number, contract)
    return found.version if found is not None and found.address is not None else None


async def by_table(service, place, at):
    async with service.store.tx(PLATFORM) as tx:
        rows = await tx.fetch(
            "SELECT version FROM binding WHERE number=$1 AND contract=$2 AND mode=$3"
            " AND during @> $4::timestamptz AND withdrawn_at IS NULL",
            *place,
            at,
        )
    assert len(rows) <= 1
    return rows[0]["version"] if rows else None
