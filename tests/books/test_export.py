"""Exports, recomputed by a parser of this test's own and by the programs they are made for."""

import re
import shutil
import subprocess
from collections import defaultdict
from datetime import date
from decimal import Decimal

import pytest

from guilder.books.export import export
from guilder.books.forms import amount
from guilder.chassis.testing import make_bank, new_id, somebody
from guilder.contracts.accounts.v1 import Accounts, OpenAccount
from guilder.contracts.context import Call
from guilder.contracts.errors import InvalidRequest
from guilder.contracts.ledger import v1
from guilder.contracts.parties.v1 import CreateParty, Parties
from guilder.contracts.values import Money

PROGRAMS = {"hledger": ("hledger", "check", "-f"), "beancount": ("bean-check",)}


class Books:
    """A tenant with a little of everything that the ledger can do."""

    def __init__(self, world, bank):
        self.ledger, self.bank, self.who = world.client(v1.Ledger), bank, somebody(bank.number)
        self.accounts = {}

    async def open(self, name, chart, currency, partner="", own=True):
        id_ = v1.internal_account(self.bank.number, chart, currency, partner) if own else new_id()
        asked = v1.OpenAccount(id=id_, chart=chart, currency=currency, partner=partner)
        (answer,) = await self.ledger.open_accounts([Call(self.who.ctx(), asked)])
        assert isinstance(answer, v1.LedgerAccount), answer
        self.accounts[name] = id_

    async def move(self, debit, credit, amount, currency="EUR", day="2026-03-02", **more):
        money = None if amount is None else Money.parse(amount, currency)
        filled = {"id": new_id(), "value_date": date.fromisoformat(day), "code": "payment", **more}
        sides = {"debit": self.accounts.get(debit), "credit": self.accounts.get(credit)}
        asked = v1.Transfer(amount=money, **sides, **filled)
        entry = v1.JournalEntry(transfers=[asked])
        (answer,) = await self.ledger.submit([Call(self.who.ctx(), entry)])
        assert isinstance(answer, v1.Booked), answer
        return asked.id

    async def fill(self):
        for name in ("ann", "bob"):
            await self.open(name, "customer", "EUR", own=False)
        await self.open("cho", "customer", "JPY", own=False)
        for currency in ("EUR", "JPY"):
            await self.open(f"cash-{currency}", "cash", currency)
        await self.open("fees", "fees", "EUR")
        await self.open("clearing", "clearing", "EUR", "AB")
        await self.open("any clearing", "clearing", "EUR")
        await self.open("other clearing", "clearing", "EUR", "AB", own=False)
        await self.open("idle", "suspense", "EUR")
        await self.move("cash-EUR", "ann", "100.00", code="cash", day="1998-12-31")
        await self.move("ann", "bob", "12.50", meta=v1.Meta(payment=new_id()))
        await self.move("ann", "fees", "0.01", code="fee")
        await self.move("bob", "clearing", "7.07", code="clearing", day="2026-03-05")
        await self.move("clearing", "other clearing", "1", code="clearing")
        await self.move("cash-JPY", "cho", "1200", "JPY", code="cash", meta=v1.Meta(row="t:17"))
        hold = await self.move("ann", "bob", "5.00", kind="pending", timeout_s=600)
        await self.move(None, None, "3.21", kind="post", pending_id=hold)
        gone = await self.move("ann", "bob", "5.00", kind="pending", timeout_s=600)
        await self.move(None, None, None, kind="void", pending_id=gone)
        await self.move("ann", "bob", "9.99", kind="pending", timeout_s=600)

    async def balances(self):
        """Debits minus credits, as the ledger answers them one by one."""
        found = {}
        for id_ in self.accounts.values():
            answer = await self.ledger.balance(self.who.ctx(), v1.BalanceQuery(account_id=id_))
            booked = answer.booked
            found[id_] = (-Decimal(booked.amount), booked.currency)
        return found


@pytest.fixture
async def books(direct):
    made = Books(direct, await make_bank(direct))
    await made.fill()
    return made


async def written(world, tenant, program):
    lines = []
    done = await export(world.client, tenant, program, lines.append)
    return "\n".join(lines) + "\n", done


def recount(text):
    """Sums of postings by account and currency: indented lines that end in `amount CURRENCY`."""
    found = defaultdict(Decimal)
    for name, number, currency in re.findall(
        r"^ {2,4}([A-Z][\w:-]+)  (-?[\d.]+) ([A-Z]{3})$", text, re.M
    ):
        found[name, currency] += Decimal(number)
    return found


def asserted(text):
    """Balances that the file claims, in either form."""
    hledger = re.findall(r"^ +([A-Z][\w:-]+)  0[.0]* [A-Z]{3} = (-?[\d.]+) ([A-Z]{3})$", text, re.M)
    bean = re.findall(r"^\S+ balance ([A-Z][\w:-]+)  (-?[\d.]+) ~ 0 ([A-Z]{3})$", text, re.M)
    return {(name, currency): Decimal(number) for name, number, currency in hledger + bean}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_an_export_recomputes_to_the_ledgers_own_balances(direct, books, program):
    text, done = await written(direct, books.bank.number, program)
    counted, claimed = recount(text), asserted(text)
    assert done.transfers == 7
    assert done.accounts == len(books.accounts) == len(claimed)
    assert {key: counted[key] for key in claimed} == claimed
    real = sorted((number, currency) for number, currency in (await books.balances()).values())
    assert sorted((number, key[1]) for key, number in claimed.items()) == real
    by_id = {str(i).upper(): v for i, v in (await books.balances()).items()}
    for (name, currency), number in claimed.items():
        if name.startswith("Liabilities:Customers:"):
            assert (number, currency) == by_id[name.rpartition(":")[2]]
    assert "1200 JPY" in text
    assert "1998-12-31" in text
    assert "5.00 EUR" not in text  # holds are no postings


@pytest.mark.parametrize("program", PROGRAMS)
async def test_the_program_itself_accepts_an_export_and_refuses_a_cent_too_much(
    direct, books, program, tmp_path
):
    command = PROGRAMS[program]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (Debian package {program})")
    text, _ = await written(direct, books.bank.number, program)

    def run(content):
        path = tmp_path / f"books.{program}"
        path.write_text(content)
        return subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)

    accepted = run(text)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert not accepted.stderr
    for claim in ("-84.28", "-1200"):  # ann's balance and cho's, one minor unit off
        head, found, tail = text.rpartition(claim)
        assert found
        assert run(f"{head}{claim[:-1]}{int(claim[-1]) + 1}{tail}").returncode != 0


@pytest.mark.parametrize("program", PROGRAMS)
async def test_an_export_names_ibans_and_no_people(direct, program):
    bank = await make_bank(direct)
    asked = CreateParty(kind="person", name="Zora Quill")
    party = await direct.client(Parties).create(bank.manager.ctx(), asked)
    opened = OpenAccount(holders=[party.id])
    account = await direct.client(Accounts).open(bank.manager.ctx(), opened)
    text, _ = await written(direct, bank.number, program)
    assert account.iban in text
    assert "Quill" not in text


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_bank_without_a_transfer_can_be_exported(direct, program):
    bank = await make_bank(direct)
    text, done = await written(direct, bank.number, program)
    assert done.transfers == done.accounts == 0
    assert bank.slug in text


async def test_an_unknown_program_is_refused(direct):
    with pytest.raises(InvalidRequest, match="hledger"):
        await written(direct, 1, "ledger-cli")


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (-1, "EUR", "-0.01 EUR"),
        (0, "EUR", "0.00 EUR"),
        (-1200, "JPY", "-1200 JPY"),
        (1, "KWD", "0.001 KWD"),
        (10**19 + 5, "EUR", "100000000000000000.05 EUR"),
    ],
)
def test_amounts_are_exact(minor, currency, text):
    assert amount(minor, currency) == text
