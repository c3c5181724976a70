"""The self check finds what does not agree with the books."""

from datetime import timedelta

import pytest
from payments_desk import eur, open_desk

from guilder.chassis.testing import new_id
from guilder.contracts.pricing.v1 import Tier


async def sql(desk, text, *args):
    async with desk.world.process.stores["payments"].tx(desk.bank.number) as tx:
        await tx.execute(text, *args)


@pytest.mark.parametrize(
    ("damage", "found", "repair"),
    [
        (
            "UPDATE payment SET amount=amount+1 WHERE id=$1",
            ["payment-differs-from-books", "payment-not-in-books"],
            "UPDATE payment SET amount=amount-1 WHERE id=$1",
        ),
        (
            "UPDATE payment SET state='refused', refusal_code='x' WHERE id=$1",
            ["refused-but-booked"],
            "UPDATE payment SET state='booked', refusal_code=NULL WHERE id=$1",
        ),
        (
            "UPDATE payment SET tenant=tenant, fee=0 WHERE id=$1",
            ["payment-differs-from-books"],
            "UPDATE payment SET fee=50 WHERE id=$1",
        ),
        (
            "UPDATE payment SET value_date=NULL WHERE id=$1",
            ["payment-incomplete"],
            "UPDATE payment SET value_date='2026-03-02' WHERE id=$1",
        ),
        (
            "UPDATE payment SET reverses=uuidv7() WHERE id=$1",
            ["payment-differs-from-books", "reversal-of-nothing"],
            "UPDATE payment SET reverses=NULL WHERE id=$1",
        ),
    ],
)
async def test_a_changed_payment_is_found(direct, damage, found, repair):
    desk = await open_desk(direct)
    await desk.tariff(Tier(flat=eur("0.50")))
    made = await desk.public().create(desk.jana.ctx(), desk.order("20.00"))
    assert await desk.findings() == []
    await sql(desk, damage, made.id)
    assert set(found) >= {f for f in await desk.findings() if f != "payment-not-in-books"}
    assert set(await desk.findings()) & set(found)
    await sql(desk, repair, made.id)
    assert await desk.findings() == []


async def test_a_payment_without_transfers_and_transfers_without_payment(direct):
    desk = await open_desk(direct)
    made = await desk.public().create(desk.jana.ctx(), desk.order("20.00"))
    lost = new_id()
    await sql(desk, "UPDATE payment SET id=$2 WHERE id=$1", made.id, lost)
    assert await desk.findings() == ["payment-not-in-books", "transfer-without-payment"]
    await sql(desk, "UPDATE payment SET id=$1 WHERE id=$2", made.id, lost)
    assert await desk.findings() == []


async def test_a_payment_that_hangs_is_reported(direct):
    desk = await open_desk(direct)
    made = await desk.public().create(desk.jana.ctx(), desk.order("20.00"))
    await sql(desk, "UPDATE payment SET state='processing', attempts=1000 WHERE id=$1", made.id)
    assert await desk.findings() == []
    old = made.created_at - timedelta(minutes=11)
    await sql(desk, "UPDATE payment SET created_at=$2 WHERE id=$1", made.id, old)
    assert await desk.findings() == ["payment-stuck"]
    await sql(
        desk,
        "UPDATE payment SET state='booked', attempts=1, created_at=$2 WHERE id=$1",
        made.id,
        made.created_at,
    )


async def test_old_quotes_are_forgotten(direct):
    desk = await open_desk(direct)
    service = direct.process.built["payments"].service
    await sql(
        desk,
        "INSERT INTO quote SELECT $1, uuidv7(), uuidv7(), uuidv7(), uuidv7(), 1, 0, 'EUR', 'x', 0,"
        " 'x', $2::timestamptz + make_interval(hours => n) FROM generate_series(-30, 0, 10) n",
        desk.bank.number,
        direct.clock.now(),
    )
    assert await service.forget() >= 1
    async with direct.process.stores["payments"].tx(desk.bank.number) as tx:
        assert await tx.value("SELECT count(*) FROM quote") == 3
