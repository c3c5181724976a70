"""A payment passes screening between its fee and the books, in the three modes."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import msgspec
from payments_desk import a_customer, an_account, eur, open_desk
from payments_outages import Gone, Loses, forget, road
from test_payments import outcome
from test_payments_crash import later, resume_all, revoke
from test_payments_waiting import told, waits

from guilder.chassis.contract import plain
from guilder.contracts.access import v1 as access
from guilder.contracts.accounts import v1 as accounts
from guilder.contracts.parties.v1 import EraseParty, Parties
from guilder.contracts.payments import v1
from guilder.contracts.screening import v1 as screening
from guilder.services.payments.screen import CLEAR, DECLINED, PASSED

LISTED = screening.SENTINEL_PERSON.name


async def listed_account(desk):
    """An account of somebody who is on a list."""
    who = await a_customer(desk.world, desk.bank, LISTED)
    return await an_account(desk.world, desk.bank, who)


async def held(desk, ctx=None, account=None):
    """A payment that waits because its creditor is on a list, and its order."""
    account = account or await listed_account(desk)
    request = desk.order("20.00", creditor_account=account.iban)
    return await waits(desk, ctx, request), request


async def cases(desk):
    client = desk.world.client(screening.Screening)
    return (await client.cases(desk.bank.auditor.ctx(""), screening.CaseQuery())).items


async def decide(desk, name):
    """Have the only case decided by two people, and payments hear of it."""
    (case,) = await cases(desk)
    asked = screening.DecideCase(case_id=case.id, reason="looked at the papers")
    propose = getattr(desk.world.public(screening.Screening), name)
    proposal = plain(await propose(desk.bank.manager.ctx(), asked))
    await desk.world.public(access.Access).approve(
        desk.bank.second_manager.ctx(), access.Verdict(proposal_id=UUID(proposal["id"]))
    )
    await desk.world.settle()


@contextmanager
def everybody(world, *, listed):
    """Everybody is on a list, or nobody."""
    service = world.process.built["screening"].service
    find = service._find
    service._find = lambda index, side: find(index, screening.SENTINEL_PERSON) if listed else []
    service._remembered.clear()
    try:
        yield
    finally:
        service._find = find
        service._remembered.clear()


def aged(world, **delta):
    """Payments heard its names a while ago; of parties' silence it knows nothing."""
    names, seconds = world.process.built["payments"].service.screen.names, timedelta(**delta)
    names._silent_until = 0.0
    for key, known in names._known.items():
        names._known[key] = replace(known, at=known.at - seconds.total_seconds())


def screened(payment):
    return [(d.by, d.outcome) for d in payment.decisions if d.step == "screening"]


async def test_a_clear_payment_goes_on_and_says_who_screened(world):
    desk = await open_desk(world)
    made = await desk.public().create(desk.jana.ctx(), desk.order())
    assert (made.state, screened(made)) == ("booked", [("screening A.1.0.0", CLEAR)])
    assert screened(await desk.read(made.id)) == [("screening A.1.0.0", CLEAR)]
    assert await cases(desk) == []


async def test_a_hit_waits_and_the_payer_learns_nothing_else(world):
    desk = await open_desk(world)
    ctx = desk.jana.ctx()
    made, request = await held(desk, ctx)
    assert (made.waits_for.part, made.waits_for.moved) == ("check", "nothing")
    assert made.waits_for.detail == (
        "the bank checks it; it goes on by itself afterwards; nothing has been moved yet"
    )
    seen = str(plain(await desk.read(made.id, desk.jana))) + str(
        plain(await desk.pay().activity(desk.jana.ctx(""), v1.PaymentId(payment_id=made.id)))
    )
    for word in ("hit", "list", "case", "sanction", "zebulon", "screening"):
        assert word not in seen.lower()
    assert await desk.transfers() == []
    with later(desk, minutes=10):
        await resume_all(desk)
        assert (await waits(desk, ctx, request)).waits_for.part == "check"
        assert await desk.findings() == []
    (case,) = await cases(desk)
    assert (case.payment_id, case.state, case.screened_by) == (made.id, "open", "screening A.1.0.0")


async def test_released_it_goes_on_by_itself(world):
    desk = await open_desk(world)
    made, _ = await held(desk)
    await decide(desk, "release_case")
    await resume_all(desk)  # at once: the event took it up
    paid = await desk.read(made.id)
    assert (paid.state, screened(paid)) == ("booked", [("screening A.1.0.0", PASSED)])
    assert await desk.has(desk.mine) == "80.00"
    assert await told(desk, made.id) == ["payment.waiting", "payment.booked"]
    assert await desk.findings() == []


async def test_what_a_person_looks_at_keeps_nothing_else_waiting(world):
    desk = await open_desk(world)
    checked, _ = await held(desk)
    world.clock.move(seconds=1)
    with road(world, Gone, "pricing"):
        other = await waits(desk)
    with later(desk, minutes=10):
        await resume_all(desk)
    assert (await desk.read(other.id)).state == "booked"
    assert (await desk.read(checked.id)).waits_for.part == "check"


async def test_confirmed_it_is_refused_without_a_reason(world):
    desk = await open_desk(world)
    ctx = desk.jana.ctx()
    made, request = await held(desk, ctx)
    await decide(desk, "confirm_case")
    await resume_all(desk)
    ended = await desk.read(made.id, desk.jana)
    assert (ended.state, ended.refusal.code) == ("refused", "payment-declined")
    assert ended.refusal.detail == v1.PaymentDeclined.title
    assert screened(await desk.read(made.id)) == [("screening A.1.0.0", DECLINED)]
    found = await outcome(desk, ctx, request)
    assert (found.status, found.replayed) == (422, True)
    assert await desk.transfers() == []
    assert await desk.findings() == []


async def test_released_it_still_needs_the_right(world):
    desk = await open_desk(world)
    made, _ = await held(desk)
    await revoke(desk)
    await decide(desk, "release_case")
    await resume_all(desk)
    assert (await desk.read(made.id)).state == "refused"
    assert await desk.transfers() == []


async def test_the_payer_is_screened_as_well_and_every_holder(world):
    desk = await open_desk(world)
    who = [await a_customer(world, desk.bank, name) for name in ("Otto Berg", LISTED)]
    asked = accounts.OpenAccount(holders=[one.principal.party for one in who])
    joint = await world.client(accounts.Accounts).open(desk.bank.manager.ctx(), asked)
    await held(desk, account=joint)
    ctx = desk.bank.manager.ctx()
    back = desk.order("1.00", debtor_account=joint.iban, creditor_account=desk.hers.iban)
    await waits(desk, ctx, back)
    found = world.client(screening.Screening)
    hits = {}
    for line in await cases(desk):
        case = await found.case(ctx, screening.CaseId(case_id=line.id))
        hits |= {(s.role, s.side.name): len(s.hits) for s in case.sides if s.side.name != "Jana"}
    assert hits[("payee", LISTED)] == hits[("payer", LISTED)] == 1
    assert hits[("payee", "Otto Berg")] == hits[("payer", "Otto Berg")] == 0
    assert hits[("payee", "Eva")] == 0


async def test_without_screening_nobody_pays(world):
    desk = await open_desk(world)
    ctx, request = desk.jana.ctx(), desk.order("20.00")
    with road(world, Gone, "screening"):
        made = await waits(desk, ctx, request)
        assert (made.waits_for.part, made.waits_for.moved) == ("screening", "nothing")
    assert await desk.transfers() == []
    assert (await desk.public().create(ctx, request)).state == "booked"


async def test_a_case_whose_receipt_was_lost_is_one(world):
    desk = await open_desk(world)
    account = await listed_account(desk)
    request = desk.order("20.00", creditor_account=account.iban)
    with road(world, Loses, "screening"):
        made = await waits(desk, None, request)
        assert made.waits_for.part == "screening"
    with later(desk, seconds=30):
        await resume_all(desk)
    assert (await desk.read(made.id)).waits_for.part == "check"
    assert len(await cases(desk)) == 1


async def test_names_that_are_known_are_enough_while_parties_is_gone(world):
    desk = await open_desk(world)
    await desk.public().create(desk.jana.ctx(), desk.order("1.00"))
    aged(world, hours=23)
    with road(world, Gone, "parties"):
        assert (await desk.public().create(desk.jana.ctx(), desk.order("1.00"))).state == "booked"
        forget(world)
        made = await waits(desk)
        assert made.waits_for.part == "parties"
    assert await desk.has(desk.mine) == "98.00"


async def test_names_are_asked_anew_after_a_minute(world):
    """Who got another name is screened by it: here, one that is listed."""
    desk = await open_desk(world)
    await desk.public().create(desk.jana.ctx(), desk.order("1.00"))
    names = world.process.built["payments"].service.screen.names
    key = desk.bank.number, desk.eva.principal.party
    other = msgspec.structs.replace(names._known[key].party, name=LISTED)
    names._known[key] = replace(names._known[key], party=other)
    assert (await waits(desk)).waits_for.part == "check"
    aged(world, seconds=61)
    assert (await desk.public().create(desk.jana.ctx(), desk.order("1.00"))).state == "booked"


async def test_names_are_not_trusted_for_longer_than_a_day(world):
    desk = await open_desk(world)
    await desk.public().create(desk.jana.ctx(), desk.order("1.00"))
    aged(world, hours=25)
    with road(world, Gone, "parties"):
        assert (await waits(desk)).waits_for.part == "parties"


async def test_who_was_erased_is_forgotten_at_once_and_not_paid(world):
    desk = await open_desk(world)
    await desk.public().create(desk.jana.ctx(), desk.order("1.00"))
    gone = desk.eva.principal.party
    asked = EraseParty(party_id=gone, reason="asked for it")
    await world.client(Parties).erase(desk.bank.manager.ctx(), asked)
    await world.settle()
    known = world.process.built["payments"].service.screen.names._known
    assert (desk.bank.number, gone) not in known
    with road(world, Gone, "parties"):
        assert (await waits(desk)).waits_for.part == "parties"
    found = await outcome(desk, desk.jana.ctx(), desk.order("1.00"))
    assert (found.status, found.problem.code) == (422, "payment-declined")


async def test_what_may_have_moved_is_not_screened_again(world):
    """The lists change while the books do not answer: the payment had passed."""
    desk = await open_desk(world)
    with road(world, Gone, "ledger"):
        made = await waits(desk)
    assert made.waits_for.moved == "unknown"
    with road(world, Gone, "screening"), later(desk, minutes=5):
        await resume_all(desk)
    paid = await desk.read(made.id)
    assert (paid.state, screened(paid)) == ("booked", [("screening A.1.0.0", CLEAR)])


async def test_a_reversal_is_not_screened(world):
    desk = await open_desk(world)
    made = await desk.public().create(desk.jana.ctx(), desk.order("20.00"))
    with everybody(world, listed=True):
        assert (await waits(desk)).waits_for.part == "check"
        assert (await desk.reverse(made.id)).state == "executed"
    assert await desk.has(desk.mine) == "100.00"


async def test_a_quote_is_not_screened(world):
    desk = await open_desk(world)
    account = await listed_account(desk)
    asked = v1.QuoteRequest(
        debtor_account=desk.mine.iban, creditor_account=account.iban, amount=eur("1.00")
    )
    assert (await desk.public().quote(desk.jana.ctx(""), asked)).fee == eur("0.00")
    assert await cases(desk) == []


async def test_a_case_stands_whatever_a_later_answer_says(world):
    """An edition that changes its mind does not let what was held slip through."""
    desk = await open_desk(world)
    made, _ = await held(desk)
    with everybody(world, listed=False), later(desk, minutes=10):
        await resume_all(desk)
    assert (await desk.read(made.id)).waits_for.part == "check"
