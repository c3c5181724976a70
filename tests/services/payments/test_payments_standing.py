"""Standing orders of another system: recorded once, listed to whom they concern."""

import pytest
from payments_desk import eur, open_desk

from guilder.chassis.testing import new_id
from guilder.contracts.accounts.v1 import UnknownAccount
from guilder.contracts.errors import Forbidden, InvalidRequest, NotFound
from guilder.contracts.ledger.v1 import AmountNotPositive, CurrencyMismatch
from guilder.contracts.payments import v1
from guilder.contracts.values import Money


def order(desk, reference="berka:order:1", amount=None, **more):
    given = {"account_id": desk.mine.id, "creditor_bank": "YZ", "creditor_number": "87144583"}
    money = eur("2452.00") if amount is None else amount
    return v1.RecordStandingOrder(reference=reference, amount=money, **(given | more))


@pytest.mark.refuses("payments.record_standing_order")
async def test_an_order_is_recorded_once_by_account_and_reference(world):
    desk = await open_desk(world)
    manager = desk.bank.manager
    with pytest.raises(Forbidden):
        await desk.public().record_standing_order(desk.jana.ctx(), order(desk))
    made = await desk.public().record_standing_order(manager.ctx(), order(desk, purpose="rent"))
    again = await desk.public().record_standing_order(manager.ctx(), order(desk, purpose="rent"))
    assert (again, made.state) == (made, "recorded")
    with pytest.raises(v1.StandingOrderTaken):
        await desk.public().record_standing_order(manager.ctx(), order(desk, purpose="loan"))
    for bad, problem in (
        (order(desk, account_id=new_id()), UnknownAccount),
        (order(desk, amount=eur("0.00")), AmountNotPositive),
        (order(desk, amount=Money(100, "CZK")), CurrencyMismatch),
    ):
        with pytest.raises(problem):
            await desk.public().record_standing_order(manager.ctx(), bad)
    listed = await desk.public().standing_orders(
        desk.jana.ctx(""), v1.StandingOrderQuery(account_id=desk.mine.id)
    )
    assert listed.items == [made]
    assert await desk.findings() == []


@pytest.mark.refuses("payments.standing_orders")
async def test_orders_are_listed_in_pages_to_those_who_see_the_account(world):
    desk = await open_desk(world)
    made = [
        await desk.pay().record_standing_order(desk.bank.manager.ctx(), order(desk, f"r:{n}"))
        for n in range(5)
    ]
    seen, after = [], None
    while True:
        query = v1.StandingOrderQuery(account_id=desk.mine.id, after=after, limit=2)
        page = await desk.public().standing_orders(desk.jana.ctx(""), query)
        seen += page.items
        if page.next is None:
            break
        after = page.next
    assert sorted(o.reference for o in seen) == [o.reference for o in made]
    with pytest.raises(NotFound):
        await desk.public().standing_orders(
            desk.eva.ctx(""), v1.StandingOrderQuery(account_id=desk.mine.id)
        )
    with pytest.raises(NotFound):
        await desk.public().standing_orders(
            desk.eva.ctx(""), v1.StandingOrderQuery(account_id=new_id())
        )


async def test_a_line_end_is_no_part_of_a_reference(direct):
    from guilder.chassis.contract import convert, plain

    desk = await open_desk(direct)
    for name in ("reference", "creditor_bank", "creditor_number"):
        raw = plain(order(desk))
        raw[name] += "\n"
        with pytest.raises(InvalidRequest):
            convert(raw, v1.RecordStandingOrder)
