"""Blocking, unblocking, closing; and what is left behind when something fails half-way."""

import asyncio

import pytest
from accounts_desk import a_party, an_account, cash_of, change, findings, log_of, move

from guilder.chassis.testing import make_bank, new_id, somebody
from guilder.contracts.accounts import v1
from guilder.contracts.context import Call
from guilder.contracts.errors import Forbidden, Unavailable
from guilder.contracts.ledger import v1 as ledger


class Failing:
    """Stands before the ledger: fails before or after the call, once."""

    def __init__(self, books, name, after):
        self._books, self._name, self._after, self.left = books, name, after, 1

    def __getattr__(self, name):
        real = getattr(self._books, name)
        if name != self._name:
            return real

        async def call(ctx, request):
            if self.left and not self._after:
                self.left -= 1
                raise Unavailable("switched off")
            answer = await real(ctx, request)
            if self.left:
                self.left -= 1
                raise Unavailable("the answer was lost")
            return answer

        return call


@pytest.fixture
def fail(direct, monkeypatch):
    """Make one call to the ledger fail once, before or after its effect."""
    changes = direct.process.built["accounts"].service.changes

    def arm(name, after):
        monkeypatch.setattr(changes, "_books", Failing(changes._books, name, after))

    return arm


async def sweep(world):
    return await world.process.built["accounts"].service.changes.sweep()


async def test_a_blocked_account_lets_nothing_out_and_everything_in(world):
    bank = await make_bank(world)
    made, cash = await an_account(world, bank), await cash_of(world, bank)
    accounts = world.client(v1.Accounts)
    await move(world, bank, cash, made.id, 500)
    assert (await accounts.block(bank.manager.ctx(), change(made))).state == "blocked"
    assert isinstance(await move(world, bank, made.id, cash, 1), ledger.InsufficientFunds)
    await move(world, bank, cash, made.id, 100)
    with pytest.raises(v1.AccountState):
        await accounts.block(bank.manager.ctx(), change(made))
    assert await findings(world, bank) == []
    assert (await accounts.unblock(bank.manager.ctx(), change(made))).state == "open"
    assert isinstance(await move(world, bank, made.id, cash, 600), ledger.Booked)
    with pytest.raises(v1.AccountState):
        await accounts.unblock(bank.manager.ctx(), change(made))
    assert (await accounts.close(bank.manager.ctx(), change(made))).state == "closed"
    assert isinstance(await move(world, bank, cash, made.id, 1), ledger.LedgerAccountClosed)
    for verb in (accounts.block, accounts.unblock, accounts.close):
        with pytest.raises(v1.AccountState):
            await verb(bank.manager.ctx(), change(made))
    assert await findings(world, bank) == []
    assert await log_of(world, bank, made) == [
        "account.opened",
        "account.blocked",
        "account.unblocked",
        "account.closed",
    ]


async def test_an_account_with_money_stays_open(world):
    bank = await make_bank(world)
    made, cash = await an_account(world, bank), await cash_of(world, bank)
    accounts = world.client(v1.Accounts)
    await move(world, bank, cash, made.id, 1)
    with pytest.raises(ledger.LedgerAccountInUse):
        await accounts.close(bank.manager.ctx(), change(made))
    assert await accounts.account(bank.manager.ctx(), v1.AccountId(account_id=made.id)) == made
    await move(world, bank, made.id, cash, 1)
    assert (await accounts.close(bank.manager.ctx(), change(made))).state == "closed"


async def test_changes_raced_against_each_other_leave_state_and_books_agreed(world):
    bank = await make_bank(world)
    made = await an_account(world, bank)
    accounts = world.client(v1.Accounts)
    verbs = [accounts.block, accounts.unblock, accounts.close] * 4
    answers = await asyncio.gather(
        *(verb(bank.manager.ctx(), change(made)) for verb in verbs), return_exceptions=True
    )
    assert any(isinstance(a, v1.Account) for a in answers)
    kinds = (v1.Account, v1.AccountState, v1.AccountChanging)
    assert [a for a in answers if not isinstance(a, kinds)] == []
    assert await findings(world, bank) == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("verb", "call", "state"),
    [("block", "set_floor", "blocked"), ("close", "close_account", "closed")],
)
async def test_what_an_outage_interrupts_its_repeat_completes(
    direct, fail, verb, call, state, after
):
    bank = await make_bank(direct)
    made, accounts = await an_account(direct, bank), direct.client(v1.Accounts)
    ctx = bank.manager.ctx()
    fail(call, after)
    with pytest.raises(Unavailable):
        await getattr(accounts, verb)(ctx, change(made))
    read = v1.AccountId(account_id=made.id)
    assert (await accounts.account(bank.manager.ctx(), read)).state == "open"
    assert await findings(direct, bank) == []  # under way is not wrong
    assert (await getattr(accounts, verb)(ctx, change(made))).state == state
    assert await findings(direct, bank) == []
    assert await log_of(direct, bank, made) == ["account.opened", f"account.{state}"]


async def test_what_nobody_repeats_the_sweep_completes_and_a_late_repeat_finds(direct, fail):
    bank = await make_bank(direct)
    made, accounts = await an_account(direct, bank), direct.client(v1.Accounts)
    ctx = bank.manager.ctx()
    fail("set_floor", True)
    with pytest.raises(Unavailable):
        await accounts.block(ctx, change(made))
    cash = await cash_of(direct, bank)
    assert isinstance(await move(direct, bank, made.id, cash, 1), ledger.InsufficientFunds)
    assert await sweep(direct) >= 1
    read = v1.AccountId(account_id=made.id)
    assert (await accounts.account(bank.manager.ctx(), read)).state == "blocked"
    assert (await accounts.block(ctx, change(made))).state == "blocked"
    assert await log_of(direct, bank, made) == ["account.opened", "account.blocked"]
    assert await findings(direct, bank) == []


async def test_a_change_left_behind_is_completed_before_the_next(direct, fail):
    bank = await make_bank(direct)
    made, accounts = await an_account(direct, bank), direct.client(v1.Accounts)
    ctx = bank.manager.ctx()
    fail("set_floor", False)
    with pytest.raises(Unavailable):
        await accounts.block(bank.manager.ctx(), change(made))
    with pytest.raises(v1.AccountChanging):
        await accounts.unblock(ctx, change(made))
    assert (await accounts.unblock(ctx, change(made))).state == "open"
    assert await findings(direct, bank) == []


async def test_an_opening_left_behind_is_invisible_until_completed(direct, monkeypatch):
    bank = await make_bank(direct)
    holder, accounts = await a_party(direct, bank), direct.client(v1.Accounts)
    changes = direct.process.built["accounts"].service.changes

    async def down(ctx, request):
        raise Unavailable("switched off")

    request, ctx = v1.OpenAccount(holders=[holder], reference="b:7"), bank.manager.ctx()
    with monkeypatch.context() as patch:
        patch.setattr(changes._access, "assign", down, raising=False)
        with pytest.raises(Unavailable):
            await accounts.open(ctx, request)
    assert (await accounts.accounts(bank.manager.ctx(), v1.AccountQuery())).items == []
    assert await findings(direct, bank) == []
    with pytest.raises(v1.AccountReferenceTaken):
        await accounts.open(bank.manager.ctx(), request)
    assert await sweep(direct) >= 1
    (found,) = (await accounts.accounts(bank.manager.ctx(), v1.AccountQuery())).items
    assert await accounts.open(ctx, request) == found
    assert await log_of(direct, bank, found) == ["account.opened"]
    assert await findings(direct, bank) == []


async def test_the_self_check_sees_what_was_damaged(direct):
    bank = await make_bank(direct)
    made = [await an_account(direct, bank) for _ in range(6)]
    store, ctx = direct.process.stores["accounts"], bank.manager.ctx
    books = direct.client(ledger.Ledger)
    place = ledger.OpenAccount(id=new_id(), chart="customer", currency="EUR", floor=0)
    await books.open_accounts([Call(ctx(), place)])
    floor = ledger.SetFloor(account_id=made[0].id, floor=-1)
    await books.set_floor(ctx(), floor)
    await books.close_account(ctx(), ledger.AccountId(account_id=made[1].id))
    async with store.tx(bank.number) as tx:
        update = "UPDATE account SET"
        await tx.execute(f"{update} iban='DE89370400440532013000' WHERE id=$1", made[2].id)
        await tx.execute(f"{update} currency='CZK' WHERE id=$1", made[3].id)
        await tx.execute("DELETE FROM holder WHERE account=$1", made[4].id)
        await tx.execute(
            f"{update} wanted='blocked', change_until='2020-01-01Z' WHERE id=$1", made[5].id
        )
        await tx.execute(
            "INSERT INTO account SELECT tenant, $2, 99, 'DE02100100100006820101', product,"
            " currency, overdraft, state, opened_on, NULL, change FROM account WHERE id=$1",
            made[0].id,
            new_id(),
        )
    assert await findings(direct, bank) == [
        "account-change",
        "account-currency",
        "account-floor",
        "account-holders",
        "account-holders",
        "account-iban",
        "account-iban",
        "account-state",
        "account-without-ledger-account",
        "ledger-account-without-account",
    ]
    async with store.tx(bank.number) as tx:
        await tx.execute("DELETE FROM holder")
        await tx.execute("DELETE FROM account")


@pytest.mark.refuses("accounts.block")
@pytest.mark.refuses("accounts.unblock")
@pytest.mark.refuses("accounts.close")
async def test_only_staff_change_an_accounts_state(world):
    bank = await make_bank(world)
    made, public = await an_account(world, bank), world.public(v1.Accounts)
    owner = somebody(bank.number, party=made.holders[0])
    for who in (owner, somebody(bank.number), bank.auditor):
        for verb in (public.block, public.unblock, public.close):
            with pytest.raises(Forbidden):
                await verb(who.ctx(), change(made))
    read = v1.AccountId(account_id=made.id)
    assert await public.account(owner.ctx(), read) == made
