"""Editions that really run: bound, called through the guard, compared, and ended when they fail."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

from attested_desk import foreign, lab
from binding_desk import bind, end, rollback

from guilder.chassis.batch import answered
from guilder.chassis.outbound import Outbound, Rules
from guilder.chassis.signature import SigningKey
from guilder.chassis.testing import make_bank, operator, somebody
from guilder.contracts.context import Call
from guilder.contracts.pricing import v1 as pricing
from guilder.contracts.registry import v1
from guilder.contracts.values import Money
from guilder.services.registry.manifest import AskEdition
from tests.editions.faulty import Faulty, Running

HERE = Rules((ip_network("127.0.0.0/8"),))


@contextmanager
def running(world, fault=None):
    """An edition on this machine that was attested, and may be reached; its manifest and URL."""
    edition = Faulty("pricing", fault)
    served, before = Running(edition), world.process.editions._out.rules
    world.process.editions.allow(HERE)
    out = Outbound(HERE)
    try:
        with lab(world) as here:
            ask = AskEdition(out, SigningKey(b"k" * 32))
            here.service.editions = replace(here.service.editions, ask=ask)
            yield here, edition.manifest(), served.url
    finally:
        served.stop()
        out.close()
        world.process.editions.allow(before)


async def bound(world, bank, at, **changes):
    """Attest and bind what runs there."""
    here, said, url = at
    names = ("contract_version", "edition", "version", "digest")
    kept = {name: said[name] for name in names}
    await here.attest(url=url, **kept)
    release = {name: said[name] for name in ("edition", "version")}
    return await bind(world, foreign(bank.slug, address=url, **release, **changes))


async def charge(world, bank):
    """Stock asks for a quarter of a percent, at least ten cents, as the edition does."""
    tier = pricing.Tier(percent="0.25", minimum=Money(10, "EUR"))
    tariff = pricing.PutTariff(
        product="current",
        currency="EUR",
        valid_from=world.clock.now() + timedelta(seconds=1),
        tiers=[tier],
    )
    await world.client(pricing.Pricing).put_tariff(bank.manager.ctx(), tariff)


def question(world, minor):
    return pricing.Question(
        operation="book_transfer",
        product="current",
        amount=Money(minor, "EUR"),
        at=world.clock.now() + timedelta(seconds=2),
    )


def payments(world):
    """Pricing as payments reaches it: by the bindings of its process."""
    return world.process.calls("payments").client(pricing.Pricing)


async def report(world, record):
    query = v1.BindingId(binding_id=record.id)
    return await world.public(v1.Registry).report(operator().ctx(), query)


async def test_prove_1_two_tenants_ask_the_same_and_each_gets_the_fee_of_its_own_edition(world):
    bank, neighbour = await make_bank(world), await make_bank(world)
    with running(world) as at:
        record = await bound(world, bank, at)
        calls = [
            Call(somebody(who.number).ctx(""), question(world, 100_000))
            for who in (bank, neighbour, bank)
        ]
        fees = [answer.fee.minor for answer in await payments(world).quote(calls)]
        assert fees == [250, 0, 250]
        ctx = somebody(bank.number).ctx("")
        _, by = await answered(payments(world).quote, ctx, question(world, 100_000))
        assert (by.label, by.id) == (f"pricing B.{record.version}", record.id)
        listed = await world.client(pricing.Pricing).tariffs(ctx, pricing.TariffQuery())
        assert listed.priced_by == by.label
        await world.settle()
        assert (await report(world, record)).failures == {}
        assert (await rollback(world, record)).restored is None
        answer, by = await answered(payments(world).quote, ctx, question(world, 100_000))
        assert (answer.fee.minor, by.label) == (0, "pricing A.1.0.0")


async def test_prove_3_one_batch_with_two_tenants_obeys_each_tenants_own_binding(world):
    bank, neighbour = await make_bank(world), await make_bank(world)
    turns = [bank, neighbour, neighbour, bank] * 5
    with running(world) as at:
        await bound(world, bank, at)
        calls = [
            Call(somebody(who.number).ctx(""), question(world, 1_000 * (n + 4)))
            for n, who in enumerate(turns)
        ]
        answers = await payments(world).quote(calls)
    fees = [answer.fee.minor for answer in answers]
    theirs = [(call.request.amount.minor + 200) // 400 for call in calls]  # at least 10
    assert min(theirs) == 10
    assert fees == [fee if who is bank else 0 for who, fee in zip(turns, theirs, strict=True)]


async def test_a_shadow_that_is_a_cent_off_is_found_and_serves_nobody(world):
    bank = await make_bank(world)
    await charge(world, bank)
    with running(world, "one-cent") as at:
        record = await bound(world, bank, at, mode="shadow")
        for minor in (1_000, 100_000, 250_000):
            ctx = somebody(bank.number).ctx("")
            answer, by = await answered(payments(world).quote, ctx, question(world, minor))
            assert (answer.fee.minor, by.label) == (max(10, minor // 400), "pricing A.1.0.0")
        await world.settle()
        found = await report(world, record)
        await end(world, record)
    assert (found.compared, found.equal, found.dropped) == (3, 0, 0)
    fee = next(line for line in found.differences if line.field == "fee")
    assert (fee.count, fee.currency, abs(float(fee.total))) == (3, "EUR", 0.03)
    assert fee.least == fee.most
    assert "3 of 3 answers differ" in found.advice


async def test_a_canary_that_answers_nonsense_is_taken_away_by_itself(world):
    bank = await make_bank(world)
    await charge(world, bank)
    with running(world, "negative-fee") as at:
        record = await bound(world, bank, at, mode="canary", share=99, on_failure="fallback")
        for _ in range(12):  # of a hundred principals one is not drawn
            ctx = somebody(bank.number).ctx("")
            answer, _ = await answered(payments(world).quote, ctx, question(world, 100_000))
            assert answer.fee.minor == 250, "nobody pays a lie"
        await world.settle()  # told; and heard of with the next directory
        await world.settle()
        found = await report(world, record)
    assert found.binding.ended_reason == "burnt"
    assert found.failures["untruthful"] == 5, "then the circuit is open"
    assert set(found.failures) <= {"untruthful", "open-circuit"}
    assert found.fallbacks >= 5
    ctx = somebody(bank.number).ctx("")
    _, by = await answered(payments(world).quote, ctx, question(world, 100_000))
    assert (by.label, by.address) == ("pricing A.1.0.0", None)
