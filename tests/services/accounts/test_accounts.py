"""Opening, finding and reading accounts through the contract, in the three modes."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from accounts_desk import a_party, an_account, ask, cash_of, findings, log_of, move
from schwifty import IBAN

from guilder.chassis.contract import convert, read_request
from guilder.chassis.testing import make_bank, new_id, somebody
from guilder.contracts.accounts import v1
from guilder.contracts.context import Call
from guilder.contracts.errors import Forbidden, InvalidRequest, NotFound
from guilder.contracts.ledger.v1 import CurrencyMismatch, InsufficientFunds
from guilder.contracts.parties.v1 import EraseParty, Parties
from guilder.contracts.values import Money


async def test_an_account_is_opened_with_all_that_belongs_to_it(world):
    bank = await make_bank(world)
    jana, eva = await a_party(world, bank), await a_party(world, bank, "Eva")
    accounts = world.client(v1.Accounts)
    request = v1.OpenAccount(
        product="savings", holders=[eva, jana], overdraft=Money(5000, "EUR"), reference="b:1"
    )
    made = await accounts.open(bank.manager.ctx(), request)
    assert (made.state, made.currency, made.holders) == ("open", "EUR", [eva, jana])
    assert made.overdraft == Money(5000, "EUR")
    assert made.opened_on == world.clock.now().date()
    assert IBAN(made.iban, validate_bban=True).country_code == "DE"
    for holder in (jana, eva):
        who, public = somebody(bank.number, party=holder), world.public(v1.Accounts)
        assert await public.account(who.ctx(), v1.AccountId(account_id=made.id)) == made
        assert (await public.accounts(who.ctx(), v1.AccountQuery())).items == [made]
    cash = await cash_of(world, bank)
    assert isinstance(await move(world, bank, made.id, cash, 5001), InsufficientFunds)
    await move(world, bank, made.id, cash, 5000)
    balance = await accounts.balance(bank.manager.ctx(), v1.BalanceQuery(account_id=made.id))
    assert balance.booked == balance.available == Money(-5000, "EUR")
    assert await findings(world, bank) == []
    assert await log_of(world, bank, made) == ["account.opened"]


async def test_numbers_follow_each_other(world):
    bank = await make_bank(world)
    holder = await a_party(world, bank)
    made = [await an_account(world, bank, holder) for _ in range(3)]
    made += await asyncio.gather(*(an_account(world, bank, holder) for _ in range(5)))
    assert sorted(int(IBAN(a.iban).account_code) for a in made) == list(range(1, 9))
    assert len({a.iban[4:12] for a in made}) == 1


async def test_a_day_is_the_tenants_day(direct):
    bank = await make_bank(direct)
    holder, at = await a_party(direct, bank), direct.clock.at
    try:
        direct.clock.at = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)  # past midnight in Berlin
        made = await an_account(direct, bank, holder)
        assert made.opened_on == date(2026, 3, 3)
        with pytest.raises(InvalidRequest):
            await an_account(direct, bank, holder, opened_on=date(2026, 3, 4))
    finally:
        direct.clock.at = at
    old = await an_account(direct, bank, holder, opened_on=date(1993, 1, 5))
    assert old.opened_on == date(1993, 1, 5)


async def test_holders_are_parties_of_this_bank(world):
    bank, other = await make_bank(world), await make_bank(world)
    parties, gone = world.client(Parties), await a_party(world, bank)
    await parties.erase(bank.manager.ctx(), EraseParty(party_id=gone, reason="asked for it"))
    good = await a_party(world, bank)
    for holders in ([new_id()], [await a_party(world, other)], [good, gone], [good, good]):
        with pytest.raises(v1.UnknownHolder):
            await world.client(v1.Accounts).open(
                bank.manager.ctx(), v1.OpenAccount(holders=holders)
            )
    page = await world.client(v1.Accounts).accounts(bank.manager.ctx(), v1.AccountQuery())
    assert page.items == []
    assert await findings(world, bank) == []


async def test_a_reference_is_taken_once_even_in_a_race(world):
    bank, other = await make_bank(world), await make_bank(world)
    holder = await a_party(world, bank)
    answers = await asyncio.gather(
        *(an_account(world, bank, holder, reference="berka:1") for _ in range(4)),
        return_exceptions=True,
    )
    won = [a for a in answers if isinstance(a, v1.Account)]
    assert len(won) == 1
    assert sum(isinstance(a, v1.AccountReferenceTaken) for a in answers) == 3
    await an_account(world, other, reference="berka:1")
    query = v1.AccountQuery(reference="berka:1")
    assert (await world.client(v1.Accounts).accounts(bank.manager.ctx(), query)).items == won
    assert await findings(world, bank) == []  # the losers left nothing in the ledger


@pytest.mark.abuse(10)
@pytest.mark.parametrize("currency", ["XXX", "DEM", "HRK", "eur", "EURO", "ЕUR", ""])
async def test_only_circulating_currencies(world, currency):
    bank = await make_bank(world)
    holder = await a_party(world, bank)
    plain = {"holders": [str(holder)], "currency": currency}
    with pytest.raises(InvalidRequest):  # as a stranger's JSON, by way of the codec
        await world.client(v1.Accounts).open(bank.manager.ctx(), convert(plain, v1.OpenAccount))
    with pytest.raises(InvalidRequest):
        convert(
            {"holders": [str(holder)], "overdraft": {"amount": "1.00", "currency": currency}},
            v1.OpenAccount,
        )


@pytest.mark.abuse(11)
async def test_an_overdraft_is_in_the_accounts_currency_and_not_negative(world):
    bank = await make_bank(world)
    holder = await a_party(world, bank)
    with pytest.raises(CurrencyMismatch):
        await an_account(world, bank, holder, overdraft=Money(100, "CZK"))
    with pytest.raises(CurrencyMismatch):
        await an_account(world, bank, holder, currency="CZK", overdraft=Money(100, "EUR"))
    with pytest.raises(InvalidRequest):
        await an_account(world, bank, holder, overdraft=Money(-1, "EUR"))
    made = await an_account(world, bank, holder, currency="CZK", overdraft=Money(100, "CZK"))
    assert made.currency == "CZK"


@pytest.mark.abuse(35)
@pytest.mark.parametrize("extra", ["tenant", "iban", "state", "role", "approved_by", "id"])
def test_members_that_nobody_asked_for_are_refused(extra):
    with pytest.raises(InvalidRequest):
        convert({"holders": [str(new_id())], extra: "1"}, v1.OpenAccount)


async def test_an_account_is_found_by_id_and_by_iban_however_it_is_typed(world):
    bank = await make_bank(world)
    made = await an_account(world, bank)
    spaced = " ".join(made.iban[i : i + 4] for i in range(0, len(made.iban), 4))
    for text in (str(made.id), str(made.id).upper(), made.iban, spaced, spaced.lower()):
        assert await ask(world, bank.manager, text) == made
    calls = [Call(bank.manager.ctx(), v1.Which(account=t)) for t in (made.iban, "nonsense")]
    one, two = await world.client(v1.Accounts).resolve(calls)
    assert one == made
    assert isinstance(two, v1.BadIban)


@pytest.mark.abuse(63)
async def test_a_bad_iban_is_told_from_an_unknown_one(world):
    bank = await make_bank(world)
    made = await an_account(world, bank)
    iban = made.iban
    assert isinstance(await ask(world, bank.manager, "NL91ABNA0417164300"), v1.UnknownAccount)
    assert isinstance(await ask(world, bank.manager, str(new_id())), v1.UnknownAccount)
    swapped = iban[:-2] + iban[-1] + iban[-2]
    fullwidth = iban[:-1] + chr(ord("０") + int(iban[-1]))
    arabic = iban[:-1] + chr(ord("٠") + int(iban[-1]))
    others = [f"\u202e{iban}", iban + "\u200b", iban.replace("DE", "DЕ"), f"{iban}\n"]
    assert swapped != iban
    for text in [swapped, fullwidth, arabic, *others, iban[:-1], "    ", "0" * 64, "-" * 36]:
        assert isinstance(await ask(world, bank.manager, text), v1.BadIban), text


@pytest.mark.abuse(33)
async def test_another_tenants_account_does_not_exist_here(world):
    bank, other = await make_bank(world), await make_bank(world)
    made, there, missing = await an_account(world, bank), other.manager, new_id()
    public = world.public(v1.Accounts)
    assert isinstance(await ask(world, there, made.iban), v1.UnknownAccount)
    assert isinstance(await ask(world, there, str(made.id)), v1.UnknownAccount)
    filters = v1.AccountQuery(holder=made.holders[0])
    assert (await public.accounts(there.ctx(), filters)).items == []
    told = []
    for account in (made.id, missing):
        for read in (
            public.account(there.ctx(), v1.AccountId(account_id=account)),
            public.balance(there.ctx(), v1.BalanceQuery(account_id=account)),
            public.transactions(there.ctx(), v1.TransactionQuery(account_id=account)),
            public.block(there.ctx(), v1.ChangeState(account_id=account, reason="because")),
        ):
            with pytest.raises(NotFound) as caught:
                await read
            told.append(str(caught.value).replace(str(account), "ID"))
    assert told[:4] == told[4:]
    assert (await ask(world, bank.manager, made.iban)).state == "open"


@pytest.mark.abuse(33)
@pytest.mark.abuse(62)
async def test_a_cursor_is_good_for_its_own_account_alone(world):
    bank, other = await make_bank(world), await make_bank(world)
    made, second = await an_account(world, bank), await an_account(world, bank)
    cash = await cash_of(world, bank)
    for minor in (100, 200, 300):
        await move(world, bank, cash, made.id, minor)
    accounts, ctx = world.client(v1.Accounts), bank.manager.ctx
    seen, cursor = [], None
    while True:
        query = v1.TransactionQuery(account_id=made.id, cursor=cursor, limit=2)
        page = await accounts.transactions(ctx(), query)
        seen += [(t.amount.minor, t.balance_after.minor) for t in page.items]
        if page.next is None:
            break
        cursor = page.next
    assert seen == [(300, 600), (200, 300), (100, 100)]
    assert cursor is not None
    before, mark = cursor.split(".")
    forged = [f"{int(before) + 1}.{mark}", f"-1.{mark}", f"{before}.", "١.", "0", "9" * 60, ""]
    theirs = await an_account(world, other)
    for who, account, text in [
        (bank.manager, second.id, cursor),
        (other.manager, theirs.id, cursor),
        *((bank.manager, made.id, text) for text in forged),
    ]:
        query = v1.TransactionQuery(account_id=account, cursor=text)
        with pytest.raises(InvalidRequest):
            await accounts.transactions(who.ctx(), query)


@pytest.mark.abuse(62)
@pytest.mark.parametrize(
    ("name", "path"), [("accounts", {}), ("transactions", {"account_id": str(new_id())})]
)
@pytest.mark.parametrize("limit", ["0", "-1", "201", "9" * 30, "1e1", "1.0", "٣", "NaN"])
def test_pages_are_bounded(name, path, limit):
    with pytest.raises(InvalidRequest):
        read_request(v1.Accounts.operations()[name], path, [("limit", limit)], b"")


async def test_balances_of_the_past_have_one_moment_of_sane_size(world):
    bank = await make_bank(world)
    made = await an_account(world, bank)
    accounts, now = world.client(v1.Accounts), world.clock.now()
    for wrong in (
        {"booked_at": now, "value_date": now.date()},
        {"booked_at": now.replace(tzinfo=None)},
        {"booked_at": datetime(1, 1, 1, tzinfo=UTC)},
        {"booked_at": datetime(9999, 12, 31, tzinfo=UTC)},
        {"value_date": date(9999, 12, 31)},
        {"value_date": date(1, 1, 1)},
    ):
        query = v1.BalanceQuery(account_id=made.id, **wrong)
        with pytest.raises(InvalidRequest):
            await accounts.balance(bank.manager.ctx(), query)
    await move(world, bank, await cash_of(world, bank), made.id, 700)
    for day, booked in ((now.date(), 700), (now.date() - timedelta(days=1), 0)):
        query = v1.BalanceQuery(account_id=made.id, value_date=day)
        balance = await accounts.balance(bank.manager.ctx(), query)
        assert (balance.booked, balance.held) == (Money(booked, "EUR"), None)


async def test_the_banks_own_ledger_accounts_are_no_accounts(world):
    bank = await make_bank(world)
    cash = await cash_of(world, bank)
    with pytest.raises(v1.UnknownAccount):
        await world.public(v1.Accounts).balance(
            bank.manager.ctx(), v1.BalanceQuery(account_id=cash)
        )


async def test_staff_page_through_all_accounts_and_filter_them(world):
    bank = await make_bank(world)
    shared = await a_party(world, bank)
    made = [await an_account(world, bank, shared) for _ in range(3)] + [
        await an_account(world, bank)
    ]
    public, seen, after = world.public(v1.Accounts), [], None
    while True:
        page = await public.accounts(bank.auditor.ctx(), v1.AccountQuery(after=after, limit=2))
        seen += page.items
        if (after := page.next) is None:
            break
    assert seen == sorted(made, key=lambda a: a.id)
    held = await public.accounts(bank.auditor.ctx(), v1.AccountQuery(holder=shared))
    assert {a.id for a in held.items} == {a.id for a in made[:3]}


@pytest.mark.abuse(34)
@pytest.mark.refuses("accounts.accounts")
@pytest.mark.refuses("accounts.account")
@pytest.mark.refuses("accounts.balance")
@pytest.mark.refuses("accounts.transactions")
async def test_another_partys_account_is_not_found_and_not_listed(world):
    bank = await make_bank(world)
    made, mine = await an_account(world, bank), await an_account(world, bank)
    me, public = somebody(bank.number, party=mine.holders[0]), world.public(v1.Accounts)
    assert (await public.accounts(me.ctx(), v1.AccountQuery())).items == [mine]
    theirs = v1.AccountQuery(holder=made.holders[0])
    assert (await public.accounts(me.ctx(), theirs)).items == []
    assert (await public.accounts(somebody(bank.number).ctx(), v1.AccountQuery())).items == []

    async def refusals(account: UUID):
        told = []
        for read in (
            public.account(me.ctx(), v1.AccountId(account_id=account)),
            public.balance(me.ctx(), v1.BalanceQuery(account_id=account)),
            public.transactions(me.ctx(), v1.TransactionQuery(account_id=account)),
        ):
            with pytest.raises(NotFound) as caught:
                await read
            problem = caught.value
            told.append((problem.code, problem.detail.replace(str(account), "ID")))
        return told

    assert await refusals(made.id) == await refusals(new_id())


@pytest.mark.refuses("accounts.open")
async def test_only_staff_open_accounts(world):
    bank = await make_bank(world)
    holder = await a_party(world, bank)
    request, public = v1.OpenAccount(holders=[holder]), world.public(v1.Accounts)
    for who in (somebody(bank.number), somebody(bank.number, party=holder), bank.auditor):
        with pytest.raises(Forbidden):
            await public.open(who.ctx(), request)
    assert (await public.open(bank.manager.ctx(), request)).holders == [holder]
