"""The ledger through its contract, in the three modes."""

import asyncio
from datetime import date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings, strategies as st
from ledger_desk import DAY, Desk, eur, move, settle

from guilder.chassis.testing import new_id
from guilder.contracts.context import Call
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import InvalidRequest, KeyReused, NotFound, Problem
from guilder.contracts.ledger import v1
from guilder.contracts.values import MAX_MINOR, Money


async def test_money_moves_from_one_account_to_the_other(desk):
    account, cash = await desk.funded(1_000)
    other = await desk.account(0)
    (booked,) = await desk.book(move(account, other, 250))
    assert (booked.debit, booked.credit, booked.amount) == (account, other, eur(250))
    balance = await desk.balance(account)
    assert (balance.booked, balance.held, balance.available) == (eur(750), eur(0), eur(750))
    assert await desk.booked(other) == 250
    assert await desk.booked(cash) == -1_000
    assert await desk.ledger.transfer(desk.who.ctx(), v1.TransferId(transfer_id=booked.id)) == (
        booked
    )


async def test_opening_twice_answers_alike_and_other_properties_are_refused(desk):
    request = v1.OpenAccount(id=new_id(), chart="clearing", currency="CZK", partner="AB", floor=0)
    other = v1.OpenAccount(id=request.id, chart="cash", currency="CZK", partner="AB", floor=0)
    money = v1.OpenAccount(id=new_id(), chart="cash", currency="XXX")
    calls = [Call(desk.who.ctx(), r) for r in (request, request, other, money)]
    first, again, differs, withdrawn = await desk.ledger.open_accounts(calls)
    assert first == again
    assert first.state == "open"
    assert isinstance(differs, v1.LedgerAccountDiffers)
    assert isinstance(withdrawn, InvalidRequest)
    await desk.ledger.set_floor(desk.who.ctx(), v1.SetFloor(account_id=request.id, floor=-5))
    (later,) = await desk.ledger.open_accounts([Call(desk.who.ctx(), request)])
    assert later == first


# ── refusals ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.abuse(1)
async def test_an_amount_of_zero_is_refused(desk):
    account, cash = await desk.funded(100)
    assert await desk.refused(move(cash, account, 0)) == ("amount-not-positive", "$.transfers[0]")


@pytest.mark.abuse(2)
async def test_a_negative_amount_is_refused(desk):
    account, cash = await desk.funded(100)
    assert (await desk.refused(move(account, cash, -5)))[0] == "amount-not-positive"
    assert await desk.booked(account) == 100


@pytest.mark.abuse(7)
async def test_an_amount_of_another_precision_is_refused(desk):
    """JPY has no minor unit below the yen: 1.5 is not expressible, and 150 sen are not 1.5 EUR."""
    with pytest.raises(ValueError, match="decimals"):
        Money.parse("1.5", "JPY")
    yen, cash = [await desk.account(currency="JPY", chart=c) for c in ("customer", "cash")]
    await desk.book(move(cash, yen, 0, amount=Money.parse("15", "JPY")))
    assert (await desk.balance(yen)).booked.amount == "15"


@pytest.mark.abuse(8)
async def test_sums_do_not_overflow(desk):
    account, cash = await desk.funded(MAX_MINOR, floor=None)
    assert (await desk.refused(move(cash, account, 1)))[0] == "amount-too-large"
    assert await desk.booked(account) == MAX_MINOR
    with pytest.raises(ValueError, match="larger"):
        eur(2**63)
    page = await desk.ledger.journal(desk.who.ctx(), v1.JournalQuery(after=10**30))
    assert page.items == []
    query = v1.EntryQuery(account_id=account, before=10**30)
    assert len((await desk.ledger.entries(desk.who.ctx(), query)).items) == 1


@pytest.mark.abuse(11)
async def test_another_currency_than_the_account_s_is_refused(desk):
    account, cash = await desk.funded(100)
    crowns = await desk.account(currency="CZK")
    czk = Money(5, "CZK")
    assert (await desk.refused(move(account, cash, 5, amount=czk)))[0] == "currency-mismatch"
    assert (await desk.refused(move(account, crowns, 5)))[0] == "currency-mismatch"


@pytest.mark.abuse(12)
async def test_debit_and_credit_must_be_two_accounts(desk):
    account, _ = await desk.funded(100)
    assert (await desk.refused(move(account, account, 5)))[0] == "same-account"


async def test_what_is_not_there_or_closed_is_refused(desk):
    account, cash = await desk.funded(100)
    closed = await desk.account(0)
    await desk.ledger.close_account(desk.who.ctx(), v1.AccountId(account_id=closed))
    assert (await desk.refused(move(account, new_id(), 5)))[0] == "unknown-ledger-account"
    assert (await desk.refused(move(account, closed, 5)))[0] == "ledger-account-closed"
    assert (await desk.refused(move(account, cash, 101)))[0] == "insufficient-funds"
    assert (await desk.refused(settle("post", new_id())))[0] == "pending-unknown"
    (done,) = await desk.book(move(account, cash, 5))
    assert (await desk.refused(move(account, cash, 6, id=done.id)))[0] == "transfer-id-reused"
    assert (await desk.refused(settle("void", done.id)))[0] == "pending-unknown"
    with pytest.raises(NotFound):
        await desk.ledger.transfer(desk.who.ctx(), v1.TransferId(transfer_id=new_id()))
    with pytest.raises(v1.UnknownLedgerAccount):
        await desk.balance(new_id())
    with pytest.raises(v1.UnknownLedgerAccount):
        await desk.ledger.entries(desk.who.ctx(), v1.EntryQuery(account_id=new_id()))


async def test_a_malformed_transfer_is_refused_by_name(desk):
    account, cash = await desk.funded(100)
    spread = {"value_date": date(1899, 12, 31)}, {"value_date": date(2201, 1, 1)}
    for more in spread:
        assert (await desk.refused(move(account, cash, 5, **more)))[1] == (
            "$.transfers[0].value_date"
        )
    for more, field in (
        ({"debit": None}, "debit"),
        ({"credit": None}, "credit"),
        ({"amount": None}, "amount"),
        ({"timeout_s": 5}, "timeout_s"),
        ({"pending_id": new_id()}, "pending_id"),
        ({"kind": "post"}, "pending_id"),
        ({"id": UUID(int=5)}, "id"),
    ):
        refused = await desk.refused(move(account, cash, 5, **more))
        assert refused == ("invalid-request", f"$.transfers[0].{field}")
    assert await desk.booked(account) == 100


async def test_books_never_cross_tenants(desk):
    account, cash = await desk.funded(100)
    stranger = Desk(desk.world)
    other = await stranger.account(None)
    assert (await stranger.refused(move(account, other, 5)))[0] == "unknown-ledger-account"
    with pytest.raises(v1.UnknownLedgerAccount):
        await stranger.balance(account)
    (hold,) = await desk.book(move(account, cash, 5, kind="pending"))
    assert (await stranger.refused(settle("void", hold.id)))[0] == "pending-unknown"
    with pytest.raises(NotFound):
        await stranger.ledger.transfer(stranger.who.ctx(), v1.TransferId(transfer_id=hold.id))
    with pytest.raises(v1.UnknownLedgerAccount):
        await stranger.ledger.set_floor(
            stranger.who.ctx(), v1.SetFloor(account_id=account, floor=None)
        )
    # The same transfer id means nothing in another tenant, and one batch may hold both.
    mine, theirs = move(cash, account, 7), await stranger.account(chart="cash")
    calls = [
        Call(desk.who.ctx(), v1.JournalEntry(transfers=[mine])),
        Call(
            stranger.who.ctx(),
            v1.JournalEntry(transfers=[move(theirs, other, 9, id=mine.id)]),
        ),
    ]
    one, two = await desk.ledger.submit(calls)
    assert (one.transfers[0].amount, two.transfers[0].amount) == (eur(7), eur(9))


# ── linked entries, batches, repeats ─────────────────────────────────────────────────────────


async def test_linked_transfers_are_booked_together_or_not_at_all(desk):
    account, cash = await desk.funded(100)
    fees = await desk.account(chart="fees")
    whole = [move(account, cash, 60), move(account, fees, 50)]
    assert await desk.refused(*whole) == ("insufficient-funds", "$.transfers[1]")
    assert await desk.booked(account) == 100
    assert await desk.booked(fees) == 0
    # Money may come in and go on within one entry.
    other = await desk.account(0)
    await desk.book(move(account, other, 100), move(other, cash, 100))
    assert (await desk.booked(account), await desk.booked(other)) == (0, 0)


async def test_a_refused_entry_leaves_the_others_of_its_batch_alone(desk):
    account, cash = await desk.funded(100)
    good, bad, last = move(account, cash, 60), move(account, cash, 50), move(account, cash, 40)
    answers = await desk.submit([good], [bad], [last])
    assert [isinstance(a, Problem) for a in answers] == [False, True, False]
    assert [a.transfers[0].seq for a in (answers[0], answers[2])] == [
        answers[0].transfers[0].seq,
        answers[0].transfers[0].seq + 1,
    ]
    assert await desk.booked(account) == 0


@pytest.mark.abuse(20)
async def test_a_repeat_after_a_lost_reply_answers_as_booked(desk):
    account, cash = await desk.funded(100)
    entry = [move(account, cash, 60), move(account, cash, 40)]
    first = await desk.book(*entry)
    assert await desk.book(*entry) == first
    assert await desk.submit(entry, entry) == [v1.Booked(transfers=first)] * 2
    fresh = [move(cash, account, 5)]
    one, two = await desk.submit(fresh, fresh)
    assert one == two
    assert await desk.booked(account) == 5
    await desk.book(move(account, cash, 5))
    await desk.ledger.close_account(desk.who.ctx(), v1.AccountId(account_id=account))
    assert await desk.book(*entry) == first


async def test_ids_used_in_part_or_twice_are_refused(desk):
    account, cash = await desk.funded(100)
    (done,) = await desk.book(old := move(account, cash, 5))
    assert done.id == old.id
    fresh = move(account, cash, 5)
    assert await desk.refused(fresh, old) == ("transfer-id-reused", "$.transfers[1]")
    assert await desk.refused(fresh, fresh) == ("transfer-id-reused", "$.transfers[1]")
    for more in (
        {"code": "fee"},
        {"value_date": date(2026, 3, 3)},
        {"meta": v1.Meta(payment=new_id())},
        {"meta": v1.Meta(row="1")},
        {"kind": "pending"},
        {"credit": await desk.account()},
    ):
        refused = await desk.refused(move(account, cash, 5, **{"id": old.id, **more}))
        assert refused == ("transfer-id-reused", "$.transfers[0]")
    assert await desk.booked(account) == 95


@pytest.mark.abuse(16)
async def test_fifty_parallel_debits_spend_the_money_once(desk):
    account, cash = await desk.funded(1_000)
    answers = await asyncio.gather(*(desk.submit([move(account, cash, 100)]) for _ in range(50)))
    codes = [a.code for (a,) in answers if isinstance(a, Problem)]
    assert codes == ["insufficient-funds"] * 40
    assert await desk.booked(account) == 0


# ── pending transfers ────────────────────────────────────────────────────────────────────────


async def test_a_hold_counts_until_it_is_posted_or_voided(desk):
    account, cash = await desk.funded(100)
    (hold,) = await desk.book(move(account, cash, 80, kind="pending"))
    balance = await desk.balance(account)
    assert (balance.booked, balance.held, balance.available) == (eur(100), eur(80), eur(20))
    assert (await desk.refused(move(account, cash, 21)))[0] == "insufficient-funds"
    assert (await desk.refused(settle("post", hold.id, amount=eur(81))))[0] == "post-above-hold"
    post = settle("post", hold.id, amount=eur(50))
    (posted,) = await desk.book(post)
    assert (posted.debit, posted.credit, posted.amount) == (account, cash, eur(50))
    balance = await desk.balance(account)
    assert (balance.booked, balance.held, balance.available) == (eur(50), eur(0), eur(50))
    assert (await desk.refused(settle("post", hold.id)))[0] == "pending-closed"
    assert await desk.book(post) == [posted]
    (other,) = await desk.book(move(account, cash, 50, kind="pending"))
    (void,) = await desk.book(settle("void", other.id))
    assert (void.kind, void.amount) == ("void", eur(50))
    assert (await desk.refused(settle("void", other.id)))[0] == "pending-closed"
    assert (await desk.balance(account)).available == eur(50)


async def test_a_hold_can_be_made_and_posted_in_one_entry(desk):
    account, cash = await desk.funded(100)
    hold = move(account, cash, 80, kind="pending")
    bad = [hold, settle("post", hold.id), settle("void", hold.id)]
    assert await desk.refused(*bad) == ("pending-closed", "$.transfers[2]")
    await desk.book(*bad[:2])
    assert await desk.booked(account) == 20


async def test_an_expired_hold_cannot_be_posted_and_is_freed(desk):
    account, cash = await desk.funded(100)
    (short,) = await desk.book(move(account, cash, 80, kind="pending", timeout_s=60))
    (long,) = await desk.book(move(account, cash, 10, kind="pending", timeout_s=3_600))
    assert short.expires_at == short.booked_at + timedelta(seconds=60)
    clock = desk.world.clock
    clock.move(seconds=59)
    try:
        assert (await desk.ledger.expire(desk.who.ctx(), Nothing())).count == 0
        clock.move(seconds=1)
        assert (await desk.refused(settle("post", short.id)))[0] == "pending-closed"
        assert (await desk.balance(account)).held == eur(90)
        service = desk.world.process.endpoints["ledger"].service
        await service.sweep()
        assert (await desk.balance(account)).held == eur(10)
        assert (await desk.ledger.expire(desk.who.ctx(), Nothing())).count == 0
        assert (await desk.refused(settle("void", short.id)))[0] == "pending-closed"
        await desk.book(settle("post", long.id))
    finally:
        clock.move(seconds=-60)
    page = await desk.ledger.journal(desk.who.ctx(), v1.JournalQuery())
    assert [(t.kind, t.pending_id) for t in page.items[-2:]] == [
        ("expire", short.id),
        ("post", long.id),
    ]
    assert (await desk.balance(account)).available == eur(90)


async def test_expire_frees_in_its_own_name(desk):
    account, cash = await desk.funded(100)
    await desk.book(move(account, cash, 80, kind="pending", timeout_s=1))
    desk.world.clock.move(seconds=1)
    try:
        ctx = desk.who.ctx()
        assert (await desk.ledger.expire(ctx, Nothing())).count == 1
        assert (
            await desk.ledger.expire(ctx, Nothing())
        ).count == 1  # the same key: the same answer
    finally:
        desk.world.clock.move(seconds=-1)


# ── limits and closing ───────────────────────────────────────────────────────────────────────


async def test_a_limit_can_be_moved_and_old_debt_stays(desk):
    account, cash = await desk.funded(10)
    assert (await desk.refused(move(account, cash, 60)))[0] == "insufficient-funds"
    ctx = desk.who.ctx()
    answer = await desk.ledger.set_floor(ctx, v1.SetFloor(account_id=account, floor=-50))
    assert answer.floor == -50
    with pytest.raises(KeyReused):
        await desk.ledger.set_floor(ctx, v1.SetFloor(account_id=account, floor=-51))
    await desk.book(move(account, cash, 60))
    await desk.ledger.set_floor(desk.who.ctx(), v1.SetFloor(account_id=account, floor=0))
    assert (await desk.refused(move(account, cash, 1)))[0] == "insufficient-funds"
    await desk.book(move(cash, account, 20))
    assert await desk.booked(account) == -30
    assert await findings(desk) == []
    await desk.ledger.set_floor(desk.who.ctx(), v1.SetFloor(account_id=account, floor=None))
    await desk.book(move(account, cash, 1_000))
    with pytest.raises(v1.UnknownLedgerAccount):
        await desk.ledger.set_floor(desk.who.ctx(), v1.SetFloor(account_id=new_id(), floor=0))


async def findings(desk):
    check = await desk.ledger.self_check(desk.who.ctx(), Nothing())
    return [f for f in check.findings if f.tenant == desk.tenant]


async def test_only_an_empty_account_can_be_closed(desk):
    account, cash = await desk.funded(100)
    request = v1.AccountId(account_id=account)
    with pytest.raises(v1.LedgerAccountInUse):
        await desk.ledger.close_account(desk.who.ctx(), request)
    (hold,) = await desk.book(move(account, cash, 100, kind="pending"))
    await desk.book(move(cash, account, 5), move(account, cash, 5))
    await desk.book(settle("post", hold.id))
    (hold,) = await desk.book(move(cash, account, 5, kind="pending"))
    with pytest.raises(v1.LedgerAccountInUse):
        await desk.ledger.close_account(desk.who.ctx(), request)
    await desk.book(settle("void", hold.id))
    closed = await desk.ledger.close_account(desk.who.ctx(), request)
    assert closed.state == "closed"
    assert await desk.ledger.close_account(desk.who.ctx(), request) == closed
    assert await desk.booked(account) == 0
    with pytest.raises(v1.UnknownLedgerAccount):
        await desk.ledger.close_account(desk.who.ctx(), v1.AccountId(account_id=new_id()))


# ── what was, by booking time and by value date ──────────────────────────────────────────────


async def test_balances_by_booking_time_and_by_value_date(desk):
    clock, cash, account = desk.world.clock, await desk.account(), await desk.account()
    days = [date(1995, 3, 24), date(1993, 1, 1), date(2026, 3, 9), date(1995, 3, 24)]
    moments, amounts, moved = [], [100, 20, 7, -30], 0
    try:
        for day, minor in zip(days, amounts, strict=True):
            sides = (cash, account) if minor > 0 else (account, cash)
            (booked,) = await desk.book(move(*sides, abs(minor), value_date=day))
            moments.append(booked.booked_at)
            clock.move(minutes=10)
            moved += 10
    finally:
        clock.move(minutes=-moved)
    for n, moment in enumerate(moments):
        assert await desk.booked(account, booked_at=moment) == sum(amounts[: n + 1])
        just_before = moment - timedelta(microseconds=1)
        assert await desk.booked(account, booked_at=just_before) == sum(amounts[:n])
        assert await desk.booked(cash, booked_at=moment) == -sum(amounts[: n + 1])
    for day in {d + timedelta(days=k) for d in days for k in (-1, 0, 1)}:
        expected = sum(a for d, a in zip(days, amounts, strict=True) if d <= day)
        assert await desk.booked(account, value_date=day) == expected
        assert await desk.booked(cash, value_date=day) == -expected
    then = await desk.balance(account, value_date=days[0])
    assert (then.held, then.available, then.value_date) == (None, None, days[0])
    extremes = (date.min, 0), (date.max, sum(amounts))
    for day, expected in extremes:
        assert await desk.booked(account, value_date=day) == expected


async def test_a_question_about_two_times_or_none_is_refused(desk):
    account = await desk.account()
    for more in (
        {"booked_at": desk.world.clock.now(), "value_date": DAY},
        {"booked_at": datetime(2026, 3, 2)},
    ):
        with pytest.raises(InvalidRequest):
            await desk.balance(account, **more)


async def test_entries_carry_the_balance_after_each(desk):
    account, cash = await desk.account(), await desk.account()
    amounts = [500, -120, 30, -10, 7]
    for minor in amounts:
        sides = (cash, account) if minor > 0 else (account, cash)
        await desk.book(move(*sides, abs(minor), meta=v1.Meta(row=f"r{abs(minor)}")))
    (hold,) = await desk.book(move(account, cash, 5, kind="pending"))
    await desk.book(settle("void", hold.id))
    seen, before = [], None
    while True:
        query = v1.EntryQuery(account_id=account, before=before, limit=2)
        page = await desk.ledger.entries(desk.who.ctx(), query)
        assert len(page.items) <= 2
        seen += page.items
        before = page.next
        if before is None:
            break
    assert [e.amount.minor for e in seen] == amounts[::-1]
    assert [e.balance_after.minor for e in seen] == [
        sum(amounts[: n + 1]) for n in reversed(range(len(amounts)))
    ]
    assert {e.counter_account for e in seen} == {cash}
    assert [e.meta.row for e in seen] == ["r7", "r10", "r30", "r120", "r500"]


async def test_journal_and_trial_balance_come_in_pages(desk):
    account, cash = await desk.funded(100, floor=-5)
    for minor in range(1, 6):
        await desk.book(move(account, cash, minor))
    await desk.book(move(account, cash, 9, kind="pending"))
    seen, after = [], 0
    while after is not None:
        page = await desk.ledger.journal(desk.who.ctx(), v1.JournalQuery(after=after, limit=2))
        seen += page.items
        after = page.next
    assert [t.amount.minor for t in seen] == [100, 1, 2, 3, 4, 5, 9]
    assert [t.seq for t in seen] == sorted({t.seq for t in seen})
    lines, place = [], None
    while True:
        page = await desk.ledger.trial_balance(desk.who.ctx(), v1.TrialQuery(after=place, limit=1))
        lines += page.items
        place = page.next
        if place is None:
            break
    totals = {
        x.account.id: (x.debits, x.credits, x.pending_debits, x.pending_credits) for x in lines
    }
    assert totals == {account: (15, 100, 9, 0), cash: (100, 15, 0, 9)}


# ── conservation ─────────────────────────────────────────────────────────────────────────────

PLANS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 80)), min_size=1, max_size=25
)


@settings(max_examples=25, deadline=None)
@given(plan=PLANS)
async def test_money_is_neither_made_nor_lost(shared_world, plan):
    """Whatever is submitted, in one batch or many: the sum is 0 and no limit is passed."""
    desk = Desk(shared_world)
    accounts = [await desk.account(floor) for floor in (None, 0, -50, 0)]
    expected = [0, 0, 0, 0]
    entries, outcome = [], []
    for debit, credit, minor in plan:
        entries.append([move(accounts[debit], accounts[credit], minor)])
        low = (None, 0, -50, 0)[debit]
        good = debit != credit and (low is None or expected[debit] - minor >= low)
        outcome.append(good)
        if good:
            expected[debit] -= minor
            expected[credit] += minor
    half = len(entries) // 2
    answers = await desk.submit(*entries[:half]) if half else []
    answers += await desk.submit(*entries[half:])
    assert [not isinstance(a, Problem) for a in answers] == outcome
    assert [await desk.booked(a) for a in accounts] == expected
    assert sum(expected) == 0
