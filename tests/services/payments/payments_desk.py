"""A bank with two customers and money, and what the tests ask of it."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from guilder.chassis.contract import plain
from guilder.chassis.testing import Bank, Who, make_bank, new_id, somebody
from guilder.contracts.access import v1 as access
from guilder.contracts.accounts import v1 as accounts
from guilder.contracts.context import Call
from guilder.contracts.declare import Nothing
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.parties.v1 import CreateParty, Parties
from guilder.contracts.payments import v1
from guilder.contracts.pricing import v1 as pricing
from guilder.contracts.values import Money


def eur(text):
    return Money.parse(text, "EUR")


@dataclass
class Desk:
    """Jana holds `mine` with 100.00 EUR, Eva holds `hers`, empty."""

    world: object
    bank: Bank
    jana: Who
    eva: Who
    mine: accounts.Account
    hers: accounts.Account

    def pay(self):
        return self.world.client(v1.Payments)

    def public(self):
        return self.world.public(v1.Payments)

    def order(self, amount="12.50", **more):
        given = {"debtor_account": str(self.mine.id), "creditor_account": self.hers.iban} | more
        return v1.CreatePayment(amount=eur(amount), **given)

    async def tariff(self, *tiers):
        put = pricing.PutTariff(
            product="current",
            currency="EUR",
            valid_from=self.world.clock.now(),
            tiers=list(tiers),
        )
        await self.world.client(pricing.Pricing).put_tariff(self.bank.manager.ctx(), put)

    async def has(self, account):
        query = ledger.BalanceQuery(account_id=getattr(account, "id", account))
        books = self.world.client(ledger.Ledger)
        return (await books.balance(self.bank.manager.ctx(""), query)).booked.amount

    async def transfers(self):
        """All transfers of the bank that name a payment."""
        page = await self.world.client(ledger.Ledger).journal(
            self.bank.manager.ctx(""), ledger.JournalQuery()
        )
        return [t for t in page.items if t.meta.payment is not None]

    async def activity(self, payment):
        found = await self.pay().activity(
            self.bank.auditor.ctx(""), v1.PaymentId(payment_id=payment)
        )
        return [line.what for line in found.items]

    async def read(self, payment, who=None):
        ctx = (who or self.bank.auditor).ctx("")
        return await self.public().payment(ctx, v1.PaymentId(payment_id=payment))

    async def findings(self):
        checked = await self.pay().self_check(self.bank.manager.ctx(""), Nothing())
        return sorted({f.check for f in checked.findings if f.tenant == self.bank.number})

    async def propose_reversal(self, payment):
        """The id of a proposal, made by one manager and approved by the other."""
        request = v1.Reverse(payment_id=payment, reason="sent twice by mistake")
        proposal = plain(await self.public().reverse(self.bank.manager.ctx(), request))
        found = UUID(proposal["id"])
        await self.world.public(access.Access).approve(
            self.bank.second_manager.ctx(), access.Verdict(proposal_id=found)
        )
        return found

    async def reverse(self, payment):
        """The proposal as it is after it was executed."""
        found = await self.propose_reversal(payment)
        await self.world.settle()
        return await self.world.client(access.Access).proposal(
            self.bank.manager.ctx(""), access.ProposalId(proposal_id=found)
        )

    async def block(self, account, name="block"):
        change = accounts.ChangeState(account_id=account.id, reason="asked for it")
        change_state = getattr(self.world.client(accounts.Accounts), name)
        await change_state(self.bank.manager.ctx(), change)


async def a_customer(world, bank, name):
    party = await world.client(Parties).create(
        bank.manager.ctx(), CreateParty(kind="person", name=name)
    )
    return somebody(bank.number, party=party.id)


async def an_account(world, bank, who, **more):
    request = accounts.OpenAccount(holders=[who.principal.party], **more)
    return await world.client(accounts.Accounts).open(bank.manager.ctx(), request)


async def fund(world, bank, account, amount):
    """Book money from the bank's cash."""
    books = world.client(ledger.Ledger)
    cash = ledger.internal_account(bank.number, "cash", amount.currency)
    place = ledger.OpenAccount(id=cash, chart="cash", currency=amount.currency)
    await books.open_accounts([Call(bank.manager.ctx(), place)])
    transfer = ledger.Transfer(
        id=new_id(),
        debit=cash,
        credit=account.id,
        amount=amount,
        value_date=world.clock.now().date(),
        code="cash",
    )
    entry = ledger.JournalEntry(transfers=[transfer])
    (answer,) = await books.submit([Call(bank.manager.ctx(), entry)])
    assert isinstance(answer, ledger.Booked), answer


async def open_desk(world, amount="100.00"):
    bank = await make_bank(world)
    jana, eva = await asyncio.gather(
        a_customer(world, bank, "Jana"), a_customer(world, bank, "Eva")
    )
    mine = await an_account(world, bank, jana)
    hers = await an_account(world, bank, eva)
    await fund(world, bank, mine, eur(amount))
    return Desk(world, bank, jana, eva, mine, hers)
