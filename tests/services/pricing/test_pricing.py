"""Pricing through its contract, in the three modes."""

from datetime import timedelta
from uuid import UUID

import pytest

from guilder.chassis.batch import one
from guilder.chassis.contract import plain
from guilder.chassis.testing import make_bank, new_id, somebody
from guilder.contracts.access import v1 as access
from guilder.contracts.context import Call
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import Forbidden, InvalidRequest
from guilder.contracts.pricing import v1
from guilder.contracts.registry.v1 import Bound
from guilder.contracts.values import Money

FREE = v1.Tier()


def flat(minor):
    return v1.Tier(flat=Money(minor, "EUR"))


def put(at, *tiers, product="current", currency="EUR"):
    return v1.PutTariff(product=product, currency=currency, valid_from=at, tiers=list(tiers))


def ask(at, minor=10_000, product="current", currency="EUR"):
    return v1.Question(
        operation="book_transfer", product=product, amount=Money(minor, currency), at=at
    )


async def fee(pricing, who, question):
    (answer,) = await pricing.quote([Call(who.ctx(""), question)])
    return answer.fee.minor


async def test_without_a_tariff_everything_is_free(world):
    pricing, who, at = world.client(v1.Pricing), somebody(71_001), world.clock.now()
    quoted = await one(pricing.quote, who.ctx(""), ask(at))
    assert quoted.fee == Money(0, "EUR")
    assert quoted.tariff is None


async def test_tariffs_count_by_product_currency_tier_and_moment(world):
    number = 71_010 + ("direct", "encoded", "http").index(world.mode)
    pricing, who, at = world.client(v1.Pricing), somebody(number), world.clock.now()
    tiers = (v1.Tier(up_to=Money(100, "EUR"), flat=Money(7, "EUR")), v1.Tier(percent="1.0"))
    first = await pricing.put_tariff(who.ctx(), put(at, *tiers))
    assert first.tiers[1].percent == "1"
    later = await pricing.put_tariff(who.ctx(), put(at + timedelta(days=1), flat(50)))
    questions = [
        ask(at, 100),
        ask(at, 101),
        ask(at, product="savings"),
        ask(at, currency="CZK"),
        ask(at + timedelta(days=1) - timedelta(milliseconds=1)),
        ask(at + timedelta(days=1)),
        ask(at - timedelta(milliseconds=1)),
    ]
    answers = await pricing.quote([Call(who.ctx(""), question) for question in questions])
    assert [a.fee.minor for a in answers] == [7, 1, 0, 0, 100, 50, 0]
    assert [a.tariff for a in answers] == [first.id, first.id, None, None, first.id, later.id, None]
    listed = await pricing.tariffs(who.ctx(""), v1.TariffQuery(limit=1))
    assert len(listed.items) == 1
    rest = await pricing.tariffs(who.ctx(""), v1.TariffQuery(after=listed.next))
    assert {t.id for t in listed.items + rest.items} == {first.id, later.id}
    assert rest.next is None


def bound(tenant, edition, mode="live"):
    return Bound(
        id=new_id(),
        tenant=tenant,
        contract="pricing",
        edition=edition,
        version="1.2.0",
        address="unix:/run/x.sock" if edition == "A" else "https://fees.company-x.example",
        mode=mode,
        on_failure="closed",
        generation=1,
    )


async def test_tariffs_say_who_prices_instead(world):
    pricing, who = world.client(v1.Pricing), somebody(71_015)

    async def priced_by(tenant=who.tenant):
        return (await pricing.tariffs(somebody(tenant).ctx(""), v1.TariffQuery())).priced_by

    assert await priced_by() is None
    bindings, lines = world.process.bindings, []
    for edition, mode, said in (
        ("A", "live", None),  # a release of ours prices by these tariffs
        ("B", "shadow", None),
        ("B", "live", "pricing B.1.2.0"),
    ):
        line = bound(who.tenant, edition, mode)
        bindings.apply([line], lines, whole=False)
        lines = [line.id]
        assert await priced_by() == said
        assert await priced_by(71_016) is None
    bindings.apply([], lines, whole=False)
    assert await priced_by() is None


async def test_of_two_from_the_same_moment_the_later_set_counts(direct):
    pricing, who, at = direct.client(v1.Pricing), somebody(71_020), direct.clock.now()
    for minor in (10, 30, 20):
        await pricing.put_tariff(who.ctx(), put(at + timedelta(hours=1), flat(minor)))
    assert await fee(pricing, who, ask(at + timedelta(hours=1))) == 20


async def test_a_fee_already_asked_for_never_changes(direct):
    pricing, who, then = direct.client(v1.Pricing), somebody(71_021), direct.clock.now()
    await pricing.put_tariff(who.ctx(), put(then, flat(10)))
    direct.clock.move(minutes=10)
    try:
        await pricing.put_tariff(who.ctx(), put(then + timedelta(minutes=5), flat(99)))
        assert await fee(pricing, who, ask(then + timedelta(minutes=6))) == 10
        assert await fee(pricing, who, ask(direct.clock.now())) == 99
    finally:
        direct.clock.move(minutes=-10)


async def test_one_bad_question_does_not_spoil_its_batch_nor_cross_tenants(world):
    pricing, at = world.client(v1.Pricing), world.clock.now()
    mine, other = somebody(71_030), somebody(71_031)
    await pricing.put_tariff(mine.ctx(), put(at, flat(5)))
    answers = await pricing.quote(
        [
            Call(other.ctx(""), ask(at)),
            Call(mine.ctx(""), ask(at.replace(tzinfo=None))),
            Call(mine.ctx(""), ask(at)),
        ]
    )
    assert answers[0].tariff is None
    assert isinstance(answers[1], InvalidRequest)
    assert answers[2].fee == Money(5, "EUR")


async def test_a_bad_tariff_is_refused_and_leaves_nothing(world):
    pricing, who = world.client(v1.Pricing), somebody(71_040)
    with pytest.raises(v1.BadTariff):
        await pricing.put_tariff(who.ctx(), put(world.clock.now(), FREE, FREE))
    assert (await pricing.tariffs(who.ctx(""), v1.TariffQuery())).items == []


async def test_a_damaged_tariff_is_found(direct):
    pricing, who = direct.client(v1.Pricing), somebody(71_050)
    made = await pricing.put_tariff(who.ctx(), put(direct.clock.now(), flat(5)))

    async def found():
        answer = await pricing.self_check(who.ctx(""), Nothing())
        return [f.check for f in answer.findings if f.tenant == 71_050]

    async def damage(maximum):
        async with direct.process.stores["pricing"].tx(71_050) as tx:
            await tx.execute(
                "UPDATE tier SET minimum=9, maximum=$2 WHERE tariff=$1", made.id, maximum
            )

    assert await found() == []
    await damage(1)
    assert await found() == ["tariff"]
    await damage(9)
    assert await found() == []


@pytest.mark.refuses("pricing.put_tariff")
async def test_a_tariff_needs_a_right_and_a_second_person(world):
    bank = await make_bank(world)
    pricing, at = world.public(v1.Pricing), world.clock.now()
    for who in (somebody(bank.number), bank.auditor):
        with pytest.raises(Forbidden):
            await pricing.put_tariff(who.ctx(), put(at, flat(25)))
    proposal = plain(await pricing.put_tariff(bank.manager.ctx(), put(at, flat(25))))
    await world.settle()
    inside = world.client(v1.Pricing)
    assert await fee(inside, bank.manager, ask(at)) == 0
    verdict = access.Verdict(proposal_id=UUID(proposal["id"]))
    approving = world.public(access.Access)
    with pytest.raises(Forbidden):
        await approving.approve(bank.manager.ctx(), verdict)
    await approving.approve(bank.second_manager.ctx(), verdict)
    await world.settle()
    assert await fee(inside, bank.manager, ask(at)) == 25


@pytest.mark.refuses("pricing.tariffs")
async def test_tariffs_are_listed_to_staff_only(world):
    bank = await make_bank(world)
    pricing = world.public(v1.Pricing)
    with pytest.raises(Forbidden):
        await pricing.tariffs(somebody(bank.number).ctx(""), v1.TariffQuery())
    assert (await pricing.tariffs(bank.auditor.ctx(""), v1.TariffQuery())).items == []
