"""What the tests of accounts do again and again."""

from guilder.chassis.testing import new_id
from guilder.contracts.accounts import v1
from guilder.contracts.context import Call
from guilder.contracts.declare import EventQuery, Nothing
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.parties.v1 import CreateParty, Parties
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


async def cash_of(world, bank):
    """The bank's cash in its ledger, without a floor."""
    cash = ledger.internal_account(bank.number, "cash", "EUR")
    place = ledger.OpenAccount(id=cash, chart="cash", currency="EUR")
    await world.client(ledger.Ledger).open_accounts([Call(bank.manager.ctx(), place)])
    return cash


async def findings(world, bank):
    checked = await world.client(v1.Accounts).self_check(bank.manager.ctx(), Nothing())
    return sorted(f.check for f in checked.findings if f.tenant == bank.number)


async def log_of(world, bank, account):
    seen, after = [], ""
    while True:
        query = EventQuery(after=after, limit=500)
        page = await world.client(v1.Accounts).events(bank.manager.ctx(), query)
        if not page.events:
            return seen
        seen += [e.type for e in page.events if e.ids == {"account": str(account.id)}]
        after = page.next


def change(account):
    return v1.ChangeState(account_id=account.id, reason="asked for it")
