"""The log, its feed and those who follow it, on the ledger's events."""

import asyncio
import itertools
from datetime import date

import pytest

from guilder.chassis.events import Doer, Follower
from guilder.chassis.testing import new_id, somebody
from guilder.contracts.context import Call
from guilder.contracts.declare import EventQuery
from guilder.contracts.errors import InvalidRequest, Problem
from guilder.contracts.ledger import v1
from guilder.contracts.values import Money

TENANTS = itertools.count(30_000)


class Till:
    """A tenant whose every booking leaves one event."""

    def __init__(self, world):
        self.ledger, self.who = world.client(v1.Ledger), somebody(next(TENANTS))
        self.accounts = (new_id(), new_id())

    async def open(self):
        calls = [
            Call(self.who.ctx(), v1.OpenAccount(id=i, chart="cash", currency="EUR"))
            for i in self.accounts
        ]
        await self.ledger.open_accounts(calls)
        return self

    async def book(self, count=1, **meta):
        day = date(2026, 3, 2)
        debit, credit = self.accounts
        transfers = [
            v1.Transfer(
                id=new_id(),
                debit=debit,
                credit=credit,
                amount=Money(1, "EUR"),
                value_date=day,
                code="payment",
                meta=v1.Meta(**meta),
            )
            for _ in range(count)
        ]
        calls = [Call(self.who.ctx(), v1.JournalEntry(transfers=[t])) for t in transfers]
        for answer in await self.ledger.submit(calls):
            assert not isinstance(answer, Problem)
        return [str(t.id) for t in transfers]

    async def read(self, after="", limit=500, **more):
        return await self.ledger.events(
            self.who.ctx(), EventQuery(after=after, limit=limit, **more)
        )

    async def end(self):
        """The position behind everything so far."""
        after = ""
        while (page := await self.read(after)).events:
            after = page.next
        return after


@pytest.fixture
async def till(world):
    return await Till(world).open()


async def test_the_feed_goes_on_after_a_position_in_bounded_pages(till):
    start = await till.end()
    booked = await till.book(7)
    seen, after = [], start
    while True:
        page = await till.read(after, limit=3)
        assert len(page.events) <= 3
        if not page.events:
            assert page.next == after
            break
        assert page.next == page.events[-1].position
        seen += page.events
        after = page.next
    mine = [e for e in seen if e.tenant == till.who.tenant]
    assert [e.ids["transfer"] for e in mine] == booked
    assert {(e.type, e.principal) for e in mine} == {("entry.booked", str(till.who.principal.id))}
    assert len({e.position for e in seen}) == len(seen)
    assert (await till.read(start, limit=3)).events == seen[:3]


async def test_a_repeat_and_a_refusal_leave_no_event(till):
    start = await till.end()
    debit, credit = till.accounts
    transfer = v1.Transfer(
        id=new_id(),
        debit=debit,
        credit=credit,
        amount=Money(1, "EUR"),
        value_date=date(2026, 3, 2),
        code="payment",
        meta=v1.Meta(payment=new_id()),
    )
    bad = v1.Transfer(
        id=new_id(),
        debit=debit,
        credit=debit,
        amount=Money(1, "EUR"),
        value_date=date(2026, 3, 2),
        code="payment",
    )
    for one in (transfer, transfer, bad):
        await till.ledger.submit([Call(till.who.ctx(), v1.JournalEntry(transfers=[one]))])
    events = (await till.read(start)).events
    assert [e.ids for e in events if e.tenant == till.who.tenant] == [
        {"transfer": str(transfer.id), "payment": str(transfer.meta.payment)}
    ]


async def test_a_position_that_the_feed_never_gave_is_refused(till):
    for after in (
        "x",
        "1",
        "1.x",
        "1.2.3",
        "-1.0",
        "9" * 40 + ".1",
        "1." + "9" * 40,
        "9" * 20 + ".1",
        "٣.١",
    ):
        with pytest.raises(InvalidRequest):
            await till.read(after)


async def test_waiting_ends_with_the_next_event(till):
    start = await till.end()
    waiting = asyncio.create_task(till.read(start, wait_ms=4_000))
    booked = await till.book()
    page = await asyncio.wait_for(waiting, 4)
    assert [e.ids["transfer"] for e in page.events if e.tenant == till.who.tenant] == booked


@pytest.mark.abuse(24)
async def test_a_slow_transaction_is_not_skipped(till, shared_world):
    """What commits late stands behind the reader's position, never before it."""
    start = await till.end()
    store = shared_world.process.stores["ledger"]
    async with store.tx(till.who.tenant) as slow:
        slow.emit(till.who.ctx(), "account.limited", account=till.accounts[0])
        await slow.flush()
        slow._events.clear()
        booked = await till.book()
        early = (await till.read(start)).events
        assert early == []  # it waits for the slow one, which has the lower number
    later = (await till.read(start)).events
    kinds = [e.type for e in later if e.tenant == till.who.tenant]
    assert kinds == ["account.limited", "entry.booked"]
    assert later[-1].ids["transfer"] == booked[0]


class Seen:
    """A read model in memory beside a follower whose position is in the database."""

    def __init__(self, world, till, kind=Follower, **more):
        self.transfers = []
        self.till = till
        self.store = world.process.stores["ledger"]
        reactions = {"entry.booked": self.deed if kind is Doer else self.reaction}
        self.follower = kind(self.store, till.ledger, reactions, world.clock, **more)
        self.follower.feed = f"test:{new_id()}"

    async def reaction(self, tx, event):
        await self.deed(event)

    async def deed(self, event):
        if event.tenant == self.till.who.tenant:
            self.transfers.append(event.ids["transfer"])

    async def catch_up(self):
        while await self.follower.step():
            pass


@pytest.mark.abuse(24)
async def test_a_follower_takes_each_event_once(till, shared_world):
    seen = Seen(shared_world, till)
    booked = await till.book(3)
    await seen.catch_up()
    await seen.catch_up()
    assert seen.transfers == booked
    booked += await till.book(2)
    await seen.catch_up()
    assert seen.transfers == booked


@pytest.mark.abuse(24)
async def test_a_follower_that_fails_stays_where_it_was(till, shared_world):
    seen = Seen(shared_world, till)
    await seen.catch_up()
    booked = await till.book(3)

    async def breaks(tx, event):
        raise RuntimeError("the effect is not possible now")

    good = seen.follower.reactions
    seen.follower.reactions = {"*": breaks}
    with pytest.raises(RuntimeError):
        await seen.follower.step()
    seen.follower.reactions = good
    await seen.catch_up()
    assert seen.transfers == booked


@pytest.mark.abuse(24)
async def test_two_followers_of_one_name_do_not_double_an_effect(till, shared_world):
    one, two = Seen(shared_world, till), Seen(shared_world, till)
    two.follower.feed = one.follower.feed
    await one.catch_up()
    booked = await till.book(4)
    await asyncio.gather(one.catch_up(), two.catch_up())
    assert sorted(one.transfers + two.transfers) == sorted(booked)


async def test_a_read_model_is_rebuilt_from_position_0(till, shared_world):
    seen = Seen(shared_world, till)
    booked = await till.book(3)
    await seen.catch_up()

    async def clear(tx):
        seen.transfers.clear()

    seen.transfers.append("rubbish")
    await seen.follower.rebuild(clear)
    assert seen.transfers == booked
    booked += await till.book()
    await seen.catch_up()
    assert seen.transfers == booked


async def test_a_doer_acts_first_and_then_moves_on(till, shared_world):
    seen = Seen(shared_world, till, kind=Doer, name="test")
    booked = await till.book(2)
    await seen.catch_up()
    await seen.catch_up()
    assert seen.transfers == booked
