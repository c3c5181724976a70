"""Hands for the tests of the ledger: a tenant of one's own with accounts in it."""

import itertools
from datetime import date

from guilder.chassis.testing import new_id, somebody
from guilder.contracts.context import Call
from guilder.contracts.errors import Problem
from guilder.contracts.ledger import v1
from guilder.contracts.values import Money

TENANTS = itertools.count(20_000)
DAY = date(2026, 3, 2)


def eur(minor):
    return Money(minor, "EUR")


def move(debit, credit, minor, /, **more):
    given = {"id": new_id(), "value_date": DAY, "code": "payment", "amount": eur(minor)}
    return v1.Transfer(**{**given, "debit": debit, "credit": credit, **more})


def settle(kind, pending_id, **more):
    given = {"id": new_id(), "kind": kind, "value_date": DAY, "code": "payment"}
    return v1.Transfer(**{**given, "pending_id": pending_id, **more})


class Desk:
    """A tenant of its own, and short ways to its books."""

    def __init__(self, world, tenant=None):
        self.world, self.ledger = world, world.client(v1.Ledger)
        self.who = somebody(next(TENANTS) if tenant is None else tenant)
        self.tenant = self.who.tenant

    async def account(self, floor=None, chart="customer", currency="EUR", **more):
        request = v1.OpenAccount(id=new_id(), chart=chart, currency=currency, floor=floor, **more)
        (answer,) = await self.ledger.open_accounts([Call(self.who.ctx(), request)])
        assert not isinstance(answer, Problem), answer.document()
        return answer.id

    async def submit(self, *entries):
        """Entries given as lists of transfers; answers or Problems."""
        calls = [Call(self.who.ctx(), v1.JournalEntry(transfers=list(e))) for e in entries]
        return await self.ledger.submit(calls)

    async def book(self, *transfers):
        """One entry that must be booked."""
        (answer,) = await self.submit(transfers)
        assert not isinstance(answer, Problem), answer.document()
        return answer.transfers

    async def refused(self, *transfers):
        """One entry that must be refused: code and place."""
        (answer,) = await self.submit(transfers)
        assert isinstance(answer, Problem), answer
        return answer.code, answer.at

    async def balance(self, account, **more):
        return await self.ledger.balance(
            self.who.ctx(), v1.BalanceQuery(account_id=account, **more)
        )

    async def booked(self, account, **more):
        return (await self.balance(account, **more)).booked.minor

    async def funded(self, minor, floor=0):
        """An account with money on it, and the cash account it came from."""
        cash, account = await self.account(chart="cash"), await self.account(floor)
        await self.book(move(cash, account, minor))
        return account, cash
