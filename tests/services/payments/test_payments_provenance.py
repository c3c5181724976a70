"""Where decisions came from, and the fee derived again by whoever decided it."""

from uuid import UUID

import msgspec
import pytest
from payments_desk import eur, open_desk
from test_payments_second_release import LATER, bind, end, second_release

from guilder.chassis.events import SYSTEM
from guilder.chassis.testing import make_bank, new_id, somebody
from guilder.contracts.context import Context
from guilder.contracts.errors import Forbidden
from guilder.contracts.payments import v1
from guilder.contracts.pricing.v1 import Tier

FEE = Tier(percent="0.25", minimum=eur("0.10"))


async def decisions(desk, payment, who=None):
    ctx = (who or desk.bank.auditor).ctx("")
    return (await desk.public().decisions(ctx, v1.PaymentId(payment_id=payment))).items


async def explain(desk, payment, who=None):
    ctx = (who or desk.bank.auditor).ctx("")
    return await desk.public().explanation(ctx, v1.PaymentId(payment_id=payment))


async def test_every_decision_says_who_what_when_and_under_which_binding(world):
    desk = await open_desk(world, "2000.00")
    await desk.tariff(FEE)
    now = world.clock.now()
    made = await desk.public().create(desk.jana.ctx(), desk.order("1000.00"))
    found = await decisions(desk, made.id)
    assert [d.step for d in found] == ["access", "pricing", "screening", "ledger"]
    access, pricing, screening, ledger = found
    assert {(d.edition, d.version, d.binding, d.generation) for d in found} == {
        ("A", "1.0.0", None, 0)
    }
    assert (screening.asked, screening.answered) == ({"at": now.isoformat()}, "clear")
    assert pricing.asked == {
        "operation": "book_transfer",
        "product": "current",
        "amount": "1000.00 EUR",
        "at": now.isoformat(),
    }
    assert pricing.answered == "2.50 EUR: 0.25 % of 1,000.00 EUR, at least 0.10 EUR"
    assert access.asked["account"] == str(desk.mine.id)
    assert (ledger.asked["credit"], ledger.answered) == (str(desk.hers.id), "booked")
    assert all(d.at == now and d.took_us >= 0 for d in found)
    # nothing of it is in the payment itself, nor in its stored answer
    fields = set(msgspec.to_builtins(made.decisions[0]))
    assert fields == {"step", "by", "generation", "outcome"}


async def test_the_fee_is_derived_again_with_real_values(world):
    desk = await open_desk(world, "2000.00")
    await desk.tariff(FEE)
    made = await desk.public().create(desk.jana.ctx(), desk.order("1000.00"))
    world.clock.move(days=1)
    await desk.tariff(Tier(flat=eur("9.00")))  # what costs another fee today
    said = await explain(desk, made.id, desk.jana)
    assert said.sentences == [
        "0.25 % of 1,000.00 EUR, at least 0.10 EUR = 2.50 EUR, said by pricing A.1.0.0, binding"
        " none, generation 0; asked again today: the same"
    ]
    assert (said.verdict, said.fee_again, said.again) == ("same", eur("2.50"), "pricing A.1.0.0")


async def test_a_quoted_fee_is_asked_for_as_it_was_when_it_was_quoted(world):
    desk = await open_desk(world)
    await desk.tariff(FEE)
    quote = await desk.public().quote(
        desk.jana.ctx(),
        v1.QuoteRequest(
            debtor_account=str(desk.mine.id), creditor_account=desk.hers.iban, amount=eur("50.00")
        ),
    )
    at = world.clock.now()
    world.clock.move(minutes=2)
    await desk.tariff(Tier(flat=eur("9.00")))
    order = desk.order("50.00", quote_id=quote.quote_id)
    made = await desk.public().create(desk.jana.ctx(), order)
    (pricing,) = [d for d in await decisions(desk, made.id) if d.step == "pricing"]
    assert (pricing.at, pricing.asked["product"]) == (at, "current")
    said = await explain(desk, made.id)
    assert (said.verdict, said.fee) == ("same", eur("0.13"))
    assert "as quoted = 0.13 EUR" in said.sentences[0]


@pytest.mark.refuses("payments.decisions")
@pytest.mark.refuses("payments.explanation")
async def test_the_creditor_learns_nothing_of_the_fee_and_strangers_nothing_at_all(world):
    desk = await open_desk(world)
    await desk.tariff(FEE)
    made = await desk.public().create(desk.jana.ctx(), desk.order())
    assert await decisions(desk, made.id, desk.eva) == []
    with pytest.raises(Forbidden):
        await explain(desk, made.id, desk.eva)
    other = await make_bank(world)
    for who in (somebody(desk.bank.number), other.manager):
        for read in (decisions, explain):
            with pytest.raises(v1.UnknownPayment):
                await read(desk, made.id, who)
    assert len(await decisions(desk, made.id, desk.jana)) == 4


async def test_the_operators_tools_see_it_and_nobody_else_is_a_service(world):
    desk = await open_desk(world)
    made = await desk.public().create(desk.jana.ctx(), desk.order())
    ctx = Context(tenant=desk.bank.number, principal=SYSTEM, channel="tools")
    said = await desk.pay().explanation(ctx, v1.PaymentId(payment_id=made.id))
    assert said.sentences[0].startswith("free of charge: no tariff is in force = 0.00 EUR")


async def test_a_binding_is_named_and_asked_again_while_it_lasts(world):
    desk = await open_desk(world)
    await desk.tariff(FEE)
    async with second_release(world) as address:
        record = await bind(world, desk, address)
        await world.settle()
        made = await desk.public().create(desk.jana.ctx(), desk.order())
        (pricing,) = [d for d in await decisions(desk, made.id) if d.step == "pricing"]
        assert (pricing.version, pricing.binding, pricing.generation) == (
            "1.1.0",
            record.id,
            record.generation,
        )
        said = await explain(desk, made.id)
        assert (said.verdict, said.again) == ("same", "pricing A.1.1.0")
        assert LATER in said.rule_again
        assert f"binding {record.id}, generation {record.generation}" in said.sentences[0]
        await end(world, record)
        await world.settle()
        said = await explain(desk, made.id)
    assert said.verdict == "unbound"
    assert said.sentences[0].endswith(
        "pricing A.1.1.0 is no longer bound here, pricing A.1.0.0 is: it was not asked again"
    )


async def test_what_a_canary_priced_is_asked_of_the_canary_again(direct):
    desk = await open_desk(direct)
    await desk.tariff(FEE)
    async with second_release(direct) as address:
        while True:  # of a hundred people one is not drawn
            record = await bind(direct, desk, address, mode="canary", share=99)
            await direct.settle()
            made = await desk.public().create(desk.jana.ctx(), desk.order())
            (pricing,) = [d for d in await decisions(desk, made.id) if d.step == "pricing"]
            if pricing.binding == record.id:
                break
            await end(direct, record)
        said = await explain(desk, made.id)
        assert (said.verdict, said.again) == ("same", "pricing A.1.1.0")
        await end(direct, record)
        await direct.settle()


@pytest.mark.parametrize("on_failure", ["closed", "fallback"])
async def test_an_edition_that_is_gone_gives_no_answer_and_a_stand_in_is_said_to_be_one(
    direct, on_failure
):
    desk = await open_desk(direct)
    await desk.tariff(FEE)
    async with second_release(direct) as address:
        record = await bind(direct, desk, address, on_failure=on_failure)
        await direct.settle()
        made = await desk.public().create(desk.jana.ctx(), desk.order())
    said = await explain(desk, made.id)
    assert said.verdict == "silent"
    assert "asked again today it gave no answer" in said.sentences[0]
    if on_failure == "fallback":
        stood_in = await desk.public().create(desk.jana.ctx(), desk.order())
        (pricing,) = [d for d in await decisions(desk, stood_in.id) if d.step == "pricing"]
        assert (pricing.fallback, pricing.version, pricing.binding) == (True, "1.0.0", record.id)
        said = await explain(desk, stood_in.id)
        assert said.verdict == "same"
        assert "in place of the edition that is bound" in said.sentences[0]
    await end(direct, record)
    await direct.settle()


async def rewrite(desk, payment, column, value):
    """Damage a decision, as only somebody in the database could."""
    async with desk.world.process.stores["payments"].tx(desk.bank.number) as tx:
        await tx.execute(
            f"UPDATE decision SET {column}=$3 WHERE tenant=$1 AND payment=$2 AND step='pricing'",
            desk.bank.number,
            payment,
            value,
        )


async def test_another_answer_to_the_same_question_is_said(direct):
    desk = await open_desk(direct)
    await desk.tariff(FEE)
    made = await desk.public().create(desk.jana.ctx(), desk.order("80.00"))
    rule = "0.25 % of 80.00 EUR, at least 0.10 EUR"
    await rewrite(desk, made.id, "outcome", f"0.19 EUR: {rule}")
    said = await explain(desk, made.id)
    assert said.verdict == "different"
    assert said.sentences[0].endswith(f"asked again today: {rule} = 0.20 EUR")
    assert "the fee differs by 0.01 EUR" in said.sentences[1]


async def test_decisions_from_before_say_what_was_not_kept(direct):
    desk = await open_desk(direct)
    made = await desk.public().create(desk.jana.ctx(), desk.order())
    for column in ("product", "at", "took_us"):
        await rewrite(desk, made.id, column, None)
    (pricing,) = [d for d in await decisions(desk, made.id) if d.step == "pricing"]
    assert (pricing.asked, pricing.at, pricing.took_us) == ({}, None, None)
    said = await explain(desk, made.id)
    assert said.verdict == "unrecorded"
    assert "was not kept yet" in said.sentences[0]


async def test_what_nobody_priced_is_explained_too(direct):
    desk = await open_desk(direct)
    made = await desk.public().create(desk.jana.ctx(), desk.order())
    await desk.reverse(made.id)
    said = await explain(desk, (await desk.read(made.id)).reversed_by)
    assert said.verdict == "undecided"
    assert str(made.id) in said.sentences[0]
    nowhere = desk.order(creditor_account=str(new_id()))
    with pytest.raises(v1.UnknownAccount) as refused:
        await desk.public().create(desk.jana.ctx(), nowhere)
    said = await explain(desk, UUID(refused.value.more["payment"]))
    assert "before anybody asked what it costs" in said.sentences[0]
