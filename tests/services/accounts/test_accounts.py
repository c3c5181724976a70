"""Accounts through their contract, in the three modes."""

from datetime import UTC, date, datetime, timedelta

import pytest
from schwifty import IBAN

from guilder.chassis.testing import make_bank, new_id, somebody
from guilder.contracts.accounts import v1
from guilder.contracts.context import Call
from guilder.contracts.declare import EventQuery, Nothing
from guilder.contracts.errors import Forbidden, InvalidRequest, NotFound
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.parties.v1 import CreateParty, EraseParty, Parties
from guilder.contracts.values import Money


async def a_party(world, bank, name="Jana"):
    request = CreateParty(kind="person", name=name)
    return (await world.client(Parties).create(bank.manager.ctx(), request)).id


async def an_account(world, bank, holder=None, **more):
    holder = holder or await a_party(world, bank)
    request = v1.OpenAccount(holders=[holder], **more)
    return await world.client(v1.Accounts).open(bank.manager.ctx(), request)


async def ask(world, who, text):
    (answer,) = await world.client(v1.Accounts).resolve([Call(who.ctx(), v1.Which(account=text))])
    return answer


async def pay_in(world, bank, account, minor):
    """Book money from the bank's cash to the account."""
    books, ctx = world.client(ledger.Ledger), bank.manager.ctx
    cash = ledger.internal_account(bank.number, "cash", "EUR")
    place = ledger.OpenAccount(id=cash, chart="cash", currency="EUR")
    await books.open_accounts([Call(ctx(), place)])
    return await move(world, bank, cash, account.id, minor)


async def move(world, bank, debit, credit, minor):
    transfer = ledger.Transfer(
        id=new_id(),
        debit=debit,
        credit=credit,
        amount=Money(minor, "EUR"),
        value_date=world.clock.now().date(),
        code="cash",
    )
    call = Call(bank.manager.ctx(), ledger.JournalEntry(transfers=[transfer]))
    (answer,) = await world.client(ledger.Ledger).submit([call])
    return answer


async def findings(world, bank):
    checked = await world.client(v1.Accounts).self_check(bank.manager.ctx(), Nothing())
    return sorted(f.check for f in checked.findings if f.tenant == bank.number)


def change(account):
    return v1.ChangeState(account_id=account.id, reason="asked for it")


async def test_an_account_is_opened_with_all_that_belongs_to_it(world):
    bank = await make_bank(world)
    jana, eva = await a_party(world, bank), await a_party(world, bank, "Eva")
    accounts = world.client(v1.Accounts)
    request = v1.OpenAccount(
        product="savings", holders=[eva, jana], overdraft=Money(5000, "EUR"), reference="b:1"
    )
    made = await accounts.open(bank.manager.ctx(), request)
    assert (made.state, made.currency, made.holders) == ("open", "EUR", [eva, jana])
    assert made.opened_on == date(2026, 3, 2)
    parsed = IBAN(made.iban, validate_bban=True)
    assert parsed.country_code == "DE"
    for holder in (jana, eva):
        who = somebody(bank.number, party=holder)
        public = world.public(v1.Accounts)
        assert await public.account(who.ctx(), v1.AccountId(account_id=made.id)) == made
        page = await public.accounts(who.ctx(), v1.AccountQuery())
        assert page.items == [made]
    balance = await accounts.balance(bank.manager.ctx(), v1.BalanceQuery(account_id=made.id))
    assert (balance.booked, balance.available) == (Money(0, "EUR"), Money(0, "EUR"))
    assert await findings(world, bank) == []


async def test_numbers_follow_each_other_and_pass_every_check(world):
    bank = await make_bank(world)
    made = [await an_account(world, bank) for _ in range(3)]
    assert [int(IBAN(a.iban).account_code) for a in made] == [1, 2, 3]
    assert all(a.iban[4:12] == made[0].iban[4:12] for a in made)
