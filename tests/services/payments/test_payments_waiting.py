"""What cannot be decided now waits: stored, honest, decided later; in the three modes."""

import time
from datetime import timedelta

import pytest
from payments_desk import an_account, eur, open_desk
from payments_outages import Gone, Hangs, Loses, forget, road
from test_payments import outcome
from test_payments_crash import later, resume_all, revoke

from guilder.chassis.contract import decode
from guilder.contracts.declare import EventQuery
from guilder.contracts.errors import Unavailable
from guilder.contracts.payments import v1
from guilder.contracts.pricing.v1 import Tier
from guilder.services.payments import payment

ASKED = ["accounts", "access", "pricing", "parties", "screening", "registry", "ledger"]


async def waits(desk, ctx=None, request=None):
    """Send an order and see it wait."""
    found = await outcome(desk, ctx or desk.jana.ctx(), request or desk.order("20.00"))
    assert (found.problem, found.status) == (None, 202)
    made = decode(found.body(), v1.Payment)
    assert made.state == "waiting"
    return made


async def told(desk, payment_id):
    """The events of a payment, by type."""
    seen, after = [], ""
    while (page := await desk.pay().events(desk.jana.ctx(""), EventQuery(after=after))).events:
        seen += [e.type for e in page.events if e.ids.get("payment") == str(payment_id)]
        after = page.next
    return seen


async def listed(desk, who=None):
    ctx = (who or desk.bank.auditor).ctx("")
    return (await desk.public().waiting(ctx, v1.WaitingQuery())).items


async def ended(desk, made, **delta):
    """The payment after the sweep came by, a while later."""
    with later(desk, **delta or {"seconds": 60}):
        await resume_all(desk)
        return await desk.read(made.id)


async def test_without_the_books_a_payment_waits_and_is_booked_later(world):
    desk = await open_desk(world)
    ctx, request = desk.jana.ctx(), desk.order("20.00", remittance="Miete")
    with road(world, Gone, "ledger"):
        made = await waits(desk, ctx, request)
        assert (made.waits_for.part, made.waits_for.moved) == ("ledger", "unknown")
        assert made.waits_for.detail == (
            "the books do not answer; it is tried again by itself;"
            " the money may have been moved already, and is never moved twice"
        )
        assert (made.fee, made.value_date, made.decisions) == (None, None, [])
        assert await waits(desk, ctx, request) == made == await desk.read(made.id, desk.jana)
        for seconds in (15, 30, 45):  # the books stay away, and nothing piles up
            await ended(desk, made, seconds=seconds)
    assert [p.id for p in await listed(desk)] == [made.id]
    assert "booked" not in await desk.activity(made.id)
    assert await desk.findings() == []
    assert (await ended(desk, made)).state == "booked"
    assert await listed(desk) == []
    first, again = await outcome(desk, ctx, request), await outcome(desk, ctx, request)
    assert (first.status, first.replayed, first.body()) == (201, True, again.body())
    booked = decode(first.body(), v1.Payment)
    assert (booked.id, booked.remittance, booked.waits_for) == (made.id, "Miete", None)
    lines = [w for w in await desk.activity(made.id) if w not in ("repeated", "resumed")]
    assert lines == ["received", "waiting", "allowed", "priced", "booked"]
    assert await told(desk, made.id) == ["payment.waiting", "payment.booked"]
    assert await desk.has(desk.mine) == "80.00"
    assert await desk.findings() == []


@pytest.mark.parametrize("part", ASKED[:-1])
async def test_whatever_part_does_not_answer_the_order_is_kept(world, part):
    desk = await open_desk(world)
    forget(world)
    ctx, request = desk.jana.ctx(), desk.order("20.00")
    with road(world, Gone, part):
        made = await waits(desk, ctx, request)
        assert (made.waits_for.part, made.waits_for.moved) == (part, "nothing")
    assert (await desk.public().create(ctx, request)).state == "booked"  # a repeat at once goes on
    assert await desk.has(desk.mine) == "80.00"
    assert await desk.findings() == []


async def test_what_the_books_did_without_saying_so_is_found(world):
    desk = await open_desk(world)
    with road(world, Loses, "ledger"):
        made = await waits(desk)
    assert made.waits_for.moved == "unknown"
    assert await desk.has(desk.mine) == "80.00"
    assert await desk.findings() == []
    await revoke(desk)  # too late: what is booked is booked
    assert (await ended(desk, made, seconds=11)).state == "booked"
    assert len(await desk.transfers()) == 1
    assert await desk.findings() == []


async def test_without_keys_nothing_is_stored(world):
    desk = await open_desk(world)
    forget(world)
    with road(world, Gone, "vault"), pytest.raises(Unavailable):
        await desk.public().create(desk.jana.ctx(), desk.order())
    assert await listed(desk) == []
    async with world.process.stores["payments"].tx(desk.bank.number) as tx:
        assert await tx.value("SELECT count(*) FROM payment") == 0
        assert await tx.value("SELECT count(*) FROM command") == 0


async def test_the_text_is_sealed_before_the_books_are_asked(world):
    """So that a vault that goes away does not part the books from what payments says."""
    desk = await open_desk(world)
    forget(world)
    request = desk.order("20.00", remittance="Miete")
    sealer = world.process.built["payments"].service.sealer
    # the order is the manager's, its text the account holder's: that key is missing
    await sealer.seal(desk.bank.number, desk.bank.manager.principal.id, "x", b"")
    with road(world, Gone, "vault"):
        made = await waits(desk, desk.bank.manager.ctx(), request)
        assert (made.waits_for.part, made.waits_for.moved) == ("vault", "nothing")
    assert await desk.transfers() == []
    assert (await ended(desk, made)).remittance == "Miete"


async def test_parts_that_a_payment_does_not_need_may_be_gone(world):
    desk = await open_desk(world)
    needed = {*ASKED, "vault"}
    others = [c for c in world.process.endpoints if c not in needed | {"payments"}]
    assert {"notifications", "audit", "identity"} <= set(others)
    forget(world)
    with road(world, Gone, *others):
        made = await desk.public().create(desk.jana.ctx(), desk.order("20.00"))
        assert made.state == (await desk.read(made.id, desk.jana)).state == "booked"
    assert await desk.has(desk.mine) == "80.00"
    with road(world, Gone, "pricing"), pytest.raises(Unavailable):  # a quote promises: it is now
        await desk.public().quote(
            desk.jana.ctx(""),
            v1.QuoteRequest(
                debtor_account=desk.mine.iban, creditor_account=desk.hers.iban, amount=eur("1.00")
            ),
        )


@pytest.mark.parametrize("change", ["role", "blocked", "closed", "money", "tenant"])
async def test_what_changed_meanwhile_counts(world, change):
    desk = await open_desk(world)
    closed = await an_account(world, desk.bank, desk.eva)
    request = desk.order("20.00", creditor_account=closed.iban)
    with road(world, Gone, "ledger"):
        made = await waits(desk, request=request)
    forget(world)
    codes = {"blocked": "account-blocked", "closed": "account-blocked", "role": "unknown-account"}
    if change == "role":
        await revoke(desk)
    elif change == "blocked":
        await desk.block(desk.mine)
    elif change == "closed":
        await desk.block(closed, "close")
    elif change == "money":
        await desk.public().create(desk.jana.ctx(), desk.order("90.00"))
    else:
        await close_tenant(desk)
    seen = await ended(desk, made)
    code = codes.get(change, "insufficient-funds" if change == "money" else "forbidden")
    assert (seen.state, seen.refusal.code) == ("refused", code)
    assert await told(desk, made.id) == ["payment.waiting", "payment.refused"]
    assert len(await desk.transfers()) == (change == "money")
    assert await desk.findings() == []


async def close_tenant(desk):
    async with desk.world.process.stores["registry"].tx(0, desk.bank.number) as tx:
        await tx.execute("UPDATE directory SET state='closed' WHERE number=$1", desk.bank.number)


async def test_a_quote_that_held_when_the_order_came_holds_when_it_is_booked(world):
    desk = await open_desk(world)
    await desk.tariff(Tier(flat=eur("0.50")))
    asked = v1.QuoteRequest(
        debtor_account=desk.mine.iban, creditor_account=desk.hers.iban, amount=eur("20.00")
    )
    quote = await desk.public().quote(desk.jana.ctx(""), asked)
    with road(world, Gone, "ledger"):
        quoted = await waits(desk, request=desk.order("20.00", quote_id=quote.quote_id))
        unquoted = await waits(desk)
    with later(desk, days=2):
        await desk.tariff(Tier(flat=eur("9.00")))
        await resume_all(desk)
    seen = [await desk.read(made.id) for made in (quoted, unquoted)]
    assert [made.fee for made in seen] == [eur("0.50"), eur("9.00")]
    assert seen[0].value_date == world.clock.now().date() + timedelta(days=2)
    assert seen[0].created_at == world.clock.now()
    assert await desk.findings() == []


async def test_books_that_hang_keep_nobody_waiting_and_book_once(direct, monkeypatch):
    assert payment.WORK_SECONDS["order"] <= 5 < payment.LONGEST + 5 < 30
    monkeypatch.setitem(payment.WORK_SECONDS, "order", 0.3)
    desk = await open_desk(direct)
    began = time.monotonic()
    with road(direct, Hangs, "ledger") as known:
        made = await waits(desk)
        assert time.monotonic() - began < 3
        stopped = known["ledger"]
        assert await desk.transfers() == []
        stopped.go.set()  # the process goes on, and finds the question in its socket
        await stopped.held[0]
    assert len(await desk.transfers()) == 1
    assert (await desk.read(made.id)).state == "waiting"
    assert (await ended(desk, made, seconds=11)).state == "booked"
    assert len(await desk.transfers()) == 1
    assert await desk.findings() == []


async def test_nothing_is_refused_while_a_question_may_still_be_on_its_way(direct, monkeypatch):
    monkeypatch.setitem(payment.WORK_SECONDS, "order", 0.3)
    desk = await open_desk(direct)
    with road(direct, Hangs, "ledger") as known:
        made = await waits(desk)
    await revoke(desk)
    fence = payment.FENCE.total_seconds()
    seen = await ended(desk, made, seconds=fence - 1)
    assert (seen.state, seen.waits_for.part, seen.waits_for.moved) == (
        "waiting",
        "ledger",
        "unknown",
    )
    known["ledger"].go.set()
    await known["ledger"].held[0]
    assert (await ended(desk, made, seconds=fence + 5)).state == "booked"
    assert await desk.findings() == []


async def test_a_question_that_never_arrives_is_refused_in_the_end(direct, monkeypatch):
    monkeypatch.setitem(payment.WORK_SECONDS, "order", 0.3)
    desk = await open_desk(direct)
    with road(direct, Hangs, "ledger"):
        made = await waits(desk)
    await revoke(desk)
    assert (await ended(desk, made, seconds=15)).state == "waiting"
    assert (await ended(desk, made, seconds=payment.FENCE.total_seconds())).state == "refused"


async def test_a_repeat_of_what_waits_is_fast(direct, monkeypatch):
    monkeypatch.setitem(payment.WORK_SECONDS, "order", 0.3)
    monkeypatch.setitem(payment.WORK_SECONDS, "repeat", 0.1)
    desk = await open_desk(direct)
    ctx, request = desk.jana.ctx(), desk.order("20.00")
    with road(direct, Hangs, "pricing"):
        made = await waits(desk, ctx, request)
        began = time.monotonic()
        assert await waits(desk, ctx, request) == made
        assert time.monotonic() - began < 2
