"""An import into a real platform: cut off anywhere, repeated, never doubled."""

from dataclasses import replace
from datetime import date

import pytest

from guilder.chassis.testing import make_bank
from guilder.contracts.accounts.v1 import AccountQuery, Accounts, BalanceQuery as AccountBalance
from guilder.contracts.context import Context
from guilder.contracts.errors import Unavailable
from guilder.contracts.ledger.v1 import JournalQuery, Ledger
from guilder.contracts.parties.v1 import Parties, PartyQuery
from guilder.importing import run
from guilder.importing.mapping import parse_mapping
from guilder.importing.plan import build_plan
from guilder.importing.run import ImportFailed, run_import
from guilder.importing.source import read_source

MOVES = """Ref,Account,Day,Amount,Bank,B
m3,A-1,2024-03-02,"-4,00",ABC,"9,98"
m1,A-1,2024-03-01,"10,00",,"10,00"
m2,A-1,2024-03-02,"4,00",,"14,00"
m4,A-1,2024-03-03,0,,"9,98"
m5,A-1,2024-03-04,"-20,00",,"-15,02"
"""


class Tools:
    """The operator's tools on a world; the n-th call of any client may be the last."""

    def __init__(self, world, bank, fails_at=None):
        self.world, self.who = world, bank.manager
        self.left = fails_at

    def client(self, contract):
        return Cut(self, self.world.client(contract, "tools"))

    def ctx(self, tenant, key):
        assert tenant == self.who.tenant
        return Context(tenant, self.who.principal, key=key)


class Cut:
    """A client whose platform goes away after so many calls."""

    def __init__(self, tools, client):
        self.tools, self.inner = tools, client

    def __getattr__(self, name):
        method = getattr(self.inner, name)

        async def call(*args):
            if self.tools.left is not None:
                if self.tools.left == 0:
                    raise Unavailable("cut off")
                self.tools.left -= 1
            return await method(*args)

        return call


@pytest.fixture
def plan(other_mapping, other_dir):
    text = other_mapping.replace(
        '"Day"\n', '"Day"\nbalance = { column = "B", tolerance = "0.10" }\n'
    )
    mapping = parse_mapping(text)
    (other_dir / "moves.csv").write_text(MOVES)
    return build_plan(mapping, read_source(mapping, other_dir))


async def counts(world, bank):
    ctx = bank.manager.ctx()
    parties = await world.client(Parties).parties(ctx, PartyQuery())
    accounts = await world.client(Accounts).accounts(ctx, AccountQuery())
    journal = await world.client(Ledger).journal(ctx, JournalQuery())
    return len(parties.items), len(accounts.items), len(journal.items)


async def test_an_import_reconciles_and_shows_the_printed_balances(world, plan):
    bank = await make_bank(world)
    stages = []
    report = await run_import(
        Tools(world, bank), bank.number, plan, lambda *now: stages.append(now)
    )
    assert (report.rows, report.exact, report.rounded, report.reconciled) == (5, 3, 1, 4)
    assert (report.rounding_total, report.suspense_total) == ("0.02", "5.00")
    assert [b.row for b in report.breaks] == ["m5"]
    assert report.differs == []
    assert ("transfers", 6, 6) in stages
    ctx = bank.manager.ctx()
    (account,) = (await world.client(Accounts).accounts(ctx, AccountQuery())).items
    for day, printed in (("2024-03-01", "10.00"), ("2024-03-02", "9.98"), ("2024-03-04", "-15.02")):
        query = AccountBalance(account_id=account.id, value_date=date.fromisoformat(day))
        balance = await world.client(Accounts).balance(ctx, query)
        assert balance.booked.amount == printed


async def test_wherever_it_is_cut_off_the_repeat_doubles_nothing(direct, plan, monkeypatch):
    monkeypatch.setattr(run, "ATTEMPTS", 1)
    bank = await make_bank(direct)
    cuts = 0
    while True:
        try:
            report = await run_import(
                Tools(direct, bank, fails_at=cuts), bank.number, plan, lambda *_: None
            )
            break
        except Unavailable:
            cuts += 1
            assert cuts < 100
    assert cuts >= 5
    assert report.differs == []
    assert await counts(direct, bank) == (1, 1, 6)


async def test_a_row_that_was_changed_in_our_books_is_reported(direct, plan):
    bank = await make_bank(direct)
    tools = Tools(direct, bank)
    await run_import(tools, bank.number, plan, lambda *_: None)
    steps = plan.steps["A-1"]
    plan.steps["A-1"] = (*steps[:-1], type(steps[-1])(*_higher(steps[-1])))
    report = await run_import(tools, bank.number, plan, lambda *_: None)
    assert [d.row for d in report.differs] == ["m5"]


def _higher(step):
    return (
        step.transaction,
        step.rounding_minor,
        step.suspense_minor,
        step.balance_minor + 1,
        step.status,
    )


async def test_a_refused_record_is_named(direct, plan):
    bank = await make_bank(direct)
    other = await make_bank(direct)
    tools = Tools(direct, bank)
    await run_import(tools, bank.number, plan, lambda *_: None)
    changed = tuple(
        replace(t, counter="suspense") if t.external_id == "m1" else t for t in plan.transfers
    )
    object.__setattr__(plan, "transfers", changed)
    with pytest.raises(ImportFailed, match="row m1"):
        await run_import(tools, bank.number, plan, lambda *_: None)
    assert await counts(direct, other) == (0, 0, 0)
