"""The ledger through its contract, in the three modes."""

from ledger_desk import eur, move

from guilder.chassis.testing import new_id
from guilder.contracts.context import Call
from guilder.contracts.ledger import v1


async def test_money_moves_from_one_account_to_the_other(desk):
    account, cash = await desk.funded(1_000)
    other = await desk.account(0)
    (booked,) = await desk.book(move(account, other, 250))
    assert (booked.debit, booked.credit, booked.amount) == (account, other, eur(250))
    balance = await desk.balance(account)
    assert (balance.booked, balance.held, balance.available) == (eur(750), eur(0), eur(750))
    assert await desk.booked(other) == 250
    assert await desk.booked(cash) == -1_000


async def test_opening_twice_answers_alike_and_other_properties_are_refused(desk):
    request = v1.OpenAccount(id=new_id(), chart="clearing", currency="CZK", partner="AB", floor=0)
    other = v1.OpenAccount(id=request.id, chart="cash", currency="CZK", partner="AB", floor=0)
    calls = [Call(desk.who.ctx(), r) for r in (request, request, other)]
    first, again, differs = await desk.ledger.open_accounts(calls)
    assert first == again
    assert first.state == "open"
    assert isinstance(differs, v1.LedgerAccountDiffers)
    await desk.ledger.set_floor(desk.who.ctx(), v1.SetFloor(account_id=request.id, floor=-5))
    (later,) = await desk.ledger.open_accounts([Call(desk.who.ctx(), request)])
    assert later == first
