"""Payments through their contract, in the three modes."""

import pytest
from payments_desk import an_account, eur, open_desk

from guilder.chassis.serve import GATEWAY
from guilder.chassis.testing import make_bank, new_id, somebody
from guilder.contracts.accounts.v1 import BadIban, UnknownAccount
from guilder.contracts.context import Call
from guilder.contracts.declare import EventQuery
from guilder.contracts.errors import Forbidden, KeyMissing, KeyReused
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.payments import v1
from guilder.contracts.pricing.v1 import Tier
from guilder.contracts.values import Money, derived
from guilder.contracts.vault.v1 import Subject, Vault

FEE = Tier(percent="1", minimum=eur("0.10"))


async def outcome(desk, ctx, request, operation="create"):
    """The outcome as the gateway sees it, with its bytes."""
    operation = v1.Payments.operations()[operation]
    road = desk.world.road("payments", GATEWAY)
    (found,) = await road.send(operation, [Call(ctx, request)])
    return found


async def test_a_payment_is_booked_with_its_fee_and_tells_who_decided(world):
    desk = await open_desk(world)
    await desk.tariff(FEE)
    made = await desk.public().create(desk.jana.ctx(), desk.order("20.00", remittance="Miete 3"))
    assert (made.state, made.fee, made.remittance) == ("booked", eur("0.20"), "Miete 3")
    assert (made.debtor_account, made.creditor_account) == (desk.mine.id, desk.hers.id)
    assert made.value_date == world.clock.now().date()
    assert [(d.step, d.by) for d in made.decisions] == [
        ("access", "access A.1.0.0"),
        ("pricing", "pricing A.1.0.0"),
        ("screening", "screening A.1.0.0"),
        ("ledger", "ledger A.1.0.0"),
    ]
    assert made.decisions[1].outcome == "0.20 EUR: 1 % of 20.00 EUR, at least 0.10 EUR"
    assert await desk.has(desk.mine) == "79.80"
    assert await desk.has(desk.hers) == "20.00"
    fees = ledger.internal_account(desk.bank.number, "fees", "EUR")
    assert await desk.has(fees) == "0.20"
    assert {t.id for t in await desk.transfers()} == {derived(made.id, 1), derived(made.id, 2)}
    assert await desk.read(made.id, desk.jana) == made
    lines = await desk.activity(made.id)
    assert [w for w in lines if w != "repeated"] == ["received", "allowed", "priced", "booked"]
    assert await desk.findings() == []


async def test_the_creditor_sees_the_payment_but_not_what_it_cost(world):
    desk = await open_desk(world)
    await desk.tariff(FEE)
    made = await desk.public().create(desk.jana.ctx(), desk.order(remittance="Brot"))
    seen = await desk.read(made.id, desk.eva)
    assert (seen.amount, seen.remittance) == (made.amount, "Brot")
    assert (seen.fee, seen.decisions) == (None, [])
    lines = await desk.public().activity(desk.eva.ctx(""), v1.PaymentId(payment_id=made.id))
    assert [line.what for line in lines.items] == ["booked"]
    refused = await outcome(desk, desk.jana.ctx(), desk.order("900.00"))
    with pytest.raises(v1.UnknownPayment):
        await desk.read(refused.problem.more["payment"], desk.eva)


@pytest.mark.abuse(20)
async def test_a_replay_is_byte_equal_and_marked_whether_booked_or_refused(world):
    desk = await open_desk(world)
    for request in (desk.order("10.00", remittance="once"), desk.order("900.00")):
        ctx = desk.jana.ctx()
        first = await outcome(desk, ctx, request)
        assert first.replayed == (world.mode == "encoded")  # that road repeats by itself
        again = await outcome(desk, ctx, request)
        assert again.replayed
        assert again.body() == first.body()
        assert again.status == first.status
    assert first.problem.code == "insufficient-funds"
    stored = await desk.read(first.problem.more["payment"])
    assert (stored.state, stored.refusal.code) == ("refused", "insufficient-funds")
    assert await desk.has(desk.mine) == "90.00"
    assert (await desk.activity(stored.id)).count("repeated") >= 1
    assert await desk.findings() == []


async def test_repeats_fill_no_log(direct):
    desk = await open_desk(direct)
    ctx = desk.jana.ctx()
    made = [await desk.public().create(ctx, desk.order()) for _ in range(25)]
    assert len(set(map(repr, made))) == 1
    assert (await desk.activity(made[0].id)).count("repeated") == 20


@pytest.mark.abuse(17)
async def test_a_key_used_for_another_order_names_the_first_payment(world):
    desk = await open_desk(world)
    ctx = desk.jana.ctx()
    made = await desk.public().create(ctx, desk.order("10.00"))
    with pytest.raises(KeyReused) as refused:
        await desk.public().create(ctx, desk.order("11.00"))
    assert refused.value.more["resource"] == str(made.id)
    assert await desk.has(desk.mine) == "90.00"


@pytest.mark.abuse(18)
async def test_a_key_counts_for_one_tenant_and_one_person_only(world):
    desk, other = await open_desk(world), await open_desk(world)
    key = str(new_id())
    payments = [
        await desk.public().create(desk.jana.ctx(key), desk.order("1.00")),
        await desk.pay().create(desk.bank.manager.ctx(key), desk.order("2.00")),
        await other.public().create(other.jana.ctx(key), other.order("3.00")),
    ]
    assert len({payment.id for payment in payments}) == 3
    assert [await d.has(d.mine) for d in (desk, other)] == ["97.00", "97.00"]


async def test_a_payment_needs_a_key(world):
    desk = await open_desk(world)
    with pytest.raises(KeyMissing):
        await desk.public().create(desk.jana.ctx(""), desk.order())
    assert await desk.transfers() == []


@pytest.mark.refuses("payments.create")
@pytest.mark.abuse(34)
async def test_nobody_pays_from_what_is_not_his(world):
    desk = await open_desk(world)
    unknown = desk.order(debtor_account=str(new_id()))
    stranger = somebody(desk.bank.number)
    seen = []
    for who, request in ((desk.eva, desk.order()), (stranger, desk.order()), (desk.eva, unknown)):
        found = await outcome(desk, who.ctx(), request)
        document = found.problem.document()
        del document["payment"]
        seen.append(document)
    assert seen[0]["code"] == "unknown-account"
    assert seen[0] == seen[1] == seen[2]
    with pytest.raises(Forbidden):
        await desk.public().create(desk.bank.auditor.ctx(), desk.order())
    assert await desk.transfers() == []
    assert await desk.findings() == []


@pytest.mark.abuse(33)
async def test_another_tenants_accounts_and_payments_do_not_exist(world):
    desk, other = await open_desk(world), await open_desk(world)
    for side in ("debtor_account", "creditor_account"):
        for name in (other.mine.iban, str(other.mine.id)):
            with pytest.raises(UnknownAccount) as refused:
                await desk.public().create(desk.jana.ctx(), desk.order(**{side: name}))
            assert refused.value.at == f"$.{side}"
    made = await other.public().create(other.jana.ctx(), other.order())
    with pytest.raises(v1.UnknownPayment):
        await desk.read(made.id)
    quote = await other.public().quote(
        other.jana.ctx(""),
        v1.QuoteRequest(
            debtor_account=str(other.mine.id),
            creditor_account=str(other.hers.id),
            amount=eur("12.50"),
        ),
    )
    with pytest.raises(v1.QuoteInvalid):
        await desk.public().create(desk.jana.ctx(), desk.order(quote_id=quote.quote_id))
    assert await desk.transfers() == []


@pytest.mark.abuse(1)
@pytest.mark.abuse(2)
@pytest.mark.abuse(12)
@pytest.mark.abuse(63)
async def test_orders_that_no_bank_takes(world):
    desk = await open_desk(world)
    czk = await an_account(world, desk.bank, desk.eva, currency="CZK")
    bad_iban = desk.hers.iban[:-1] + str((int(desk.hers.iban[-1]) + 1) % 10)
    cases = [
        (desk.order("0.00"), ledger.AmountNotPositive, "$.amount"),
        (desk.order("-1.00"), ledger.AmountNotPositive, "$.amount"),
        (desk.order(creditor_account=desk.mine.iban), ledger.SameAccount, "$.creditor_account"),
        (desk.order(creditor_account=czk.iban), ledger.CurrencyMismatch, "$.amount.currency"),
        (desk.order(creditor_account=bad_iban), BadIban, "$.creditor_account"),
        (desk.order(remittance="a\u202eb"), v1.BadRemittance, "$.remittance"),
        (desk.order(quote_id=new_id()), v1.QuoteInvalid, "$.quote_id"),
    ]
    for request, problem, at in cases:
        with pytest.raises(problem) as refused:
            await desk.public().create(desk.jana.ctx(), request)
        assert refused.value.at == at
        assert (await desk.read(refused.value.more["payment"])).state == "refused"
    assert await desk.transfers() == []
    assert await desk.findings() == []


async def test_blocked_and_closed_accounts(world):
    desk = await open_desk(world)
    await desk.block(desk.hers)
    assert (await desk.public().create(desk.jana.ctx(), desk.order())).state == "booked"
    back = desk.order(debtor_account=desk.hers.iban, creditor_account=desk.mine.iban)
    with pytest.raises(v1.AccountBlocked):
        await desk.public().create(desk.eva.ctx(), back)
    closed = await an_account(world, desk.bank, desk.eva)
    await desk.block(closed, "close")
    with pytest.raises(v1.AccountBlocked):
        await desk.public().create(desk.jana.ctx(), desk.order(creditor_account=closed.iban))
    assert await desk.findings() == []


@pytest.mark.refuses("payments.quote")
async def test_a_quote_is_honoured_for_five_minutes_whatever_the_tariff_says(world):
    desk = await open_desk(world)
    await desk.tariff(FEE)
    asked = v1.QuoteRequest(
        debtor_account=desk.mine.iban, creditor_account=desk.hers.iban, amount=eur("20.00")
    )
    quote = await desk.public().quote(desk.jana.ctx(""), asked)
    assert (quote.fee, quote.total) == (eur("0.20"), eur("20.20"))
    assert quote.decided_by == "pricing A.1.0.0"
    assert await desk.transfers() == []
    with pytest.raises(UnknownAccount):
        await desk.public().quote(desk.eva.ctx(""), asked)
    with pytest.raises(Forbidden):
        await desk.public().quote(desk.bank.auditor.ctx(""), asked)
    world.clock.move(minutes=5)
    try:
        await desk.tariff(Tier(flat=eur("3.00")))
        order = desk.order("20.00", quote_id=quote.quote_id)
        made = await desk.public().create(desk.jana.ctx(), order)
        assert made.fee == eur("0.20")
        assert made.decisions[1].outcome.endswith("as quoted")
        for who, bad in (
            (desk.jana, desk.order("20.01", quote_id=quote.quote_id)),
            (desk.bank.manager, order),
        ):
            with pytest.raises(v1.QuoteInvalid):
                await desk.public().create(who.ctx(), bad)
        world.clock.move(seconds=1)
        with pytest.raises(v1.QuoteInvalid):
            await desk.public().create(desk.jana.ctx(), order)
        world.clock.move(seconds=-1)
    finally:
        world.clock.move(minutes=-5)
    assert await desk.has(desk.mine) == "79.80"


async def test_amount_and_fee_are_decided_together(world):
    desk = await open_desk(world)
    await desk.tariff(Tier(flat=eur("0.01")))
    with pytest.raises(ledger.InsufficientFunds):
        await desk.public().create(desk.jana.ctx(), desk.order("100.00"))
    assert await desk.has(desk.mine) == "100.00"
    await desk.public().create(desk.jana.ctx(), desk.order("99.99"))
    assert await desk.has(desk.mine) == "0.00"
    assert await desk.findings() == []


@pytest.mark.abuse(8)
async def test_amounts_beyond_what_a_value_carries_are_refused(world):
    desk = await open_desk(world)
    await desk.tariff(Tier(percent="100"))
    with pytest.raises(ledger.AmountTooLarge):
        await desk.public().create(desk.jana.ctx(), desk.order("10000000000000.00"))
    with pytest.raises(ledger.InsufficientFunds):
        await desk.public().create(desk.jana.ctx(), desk.order("5000000000000.00"))
    assert Money(10**15, "EUR") == eur("10000000000000.00")


@pytest.mark.refuses("payments.payment")
@pytest.mark.refuses("payments.activity")
async def test_a_payment_is_shown_to_those_it_concerns(world):
    desk = await open_desk(world)
    made = await desk.public().create(desk.jana.ctx(), desk.order())
    wanted = v1.PaymentId(payment_id=made.id)
    for who in (desk.jana, desk.eva, desk.bank.auditor, desk.bank.manager):
        assert (await desk.public().payment(who.ctx(""), wanted)).id == made.id
        assert (await desk.public().activity(who.ctx(""), wanted)).items
    other = await make_bank(world)
    for who in (somebody(desk.bank.number), other.manager):
        for read in (desk.public().payment, desk.public().activity):
            with pytest.raises(v1.UnknownPayment):
                await read(who.ctx(""), wanted)


async def test_events_name_payments_by_ids_only(world):
    desk = await open_desk(world)
    made = await desk.public().create(desk.jana.ctx(), desk.order(remittance="secret word"))
    await outcome(desk, desk.jana.ctx(), desk.order("900.00"))
    seen, after = [], ""
    while (page := await desk.pay().events(desk.jana.ctx(""), EventQuery(after=after))).events:
        seen += [event for event in page.events if event.tenant == desk.bank.number]
        after = page.next
    assert [event.type for event in seen] == ["payment.booked", "payment.refused"]
    assert seen[0].ids == {
        "payment": str(made.id),
        "debtor": str(desk.mine.id),
        "creditor": str(desk.hers.id),
    }


async def test_the_remittance_lies_nowhere_in_the_clear(direct):
    desk = await open_desk(direct)
    word = "Zwetschgendatschi"
    await desk.public().create(desk.jana.ctx(), desk.order(remittance=word))
    await outcome(desk, desk.jana.ctx(), desk.order("900.00", remittance=word))
    async with direct.process.stores["payments"].tx(desk.bank.number) as tx:
        for table in ("payment", "attempt", "decision", "activity", "command", "event"):
            for row in await tx.fetch(f"SELECT * FROM {table}"):
                assert not any(word.encode() in bytes(v) for v in row if isinstance(v, bytes))
                assert not any(word in v for v in row if isinstance(v, str))
        rows = await tx.fetch("SELECT request, remittance FROM payment")
        assert [(r["request"], r["remittance"] is None) for r in rows] == [(None, False)] * 2


async def test_who_was_forgotten_has_no_remittance_left(direct):
    desk = await open_desk(direct)
    made = await desk.public().create(desk.jana.ctx(), desk.order(remittance="Miete"))
    subject = Subject(subject=desk.jana.principal.party, reason="asked for it")
    await direct.client(Vault).erase(desk.bank.manager.ctx(), subject)
    sealer = direct.process.built["payments"].service.sealer
    sealer._cache.clear()
    seen = await desk.read(made.id)
    assert (seen.state, seen.remittance) == ("booked", None)
    order = desk.order(remittance="Strom")
    later = await desk.public().create(desk.bank.manager.ctx(), order)
    assert (later.state, later.remittance) == ("booked", None)
