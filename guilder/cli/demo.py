"""The demo: two banks, a handful of people and accounts. Seeding it again changes nothing."""

from datetime import date
from typing import Any
from uuid import UUID

import msgspec

from guilder.cli.platform import Platform
from guilder.cli.tenants import create
from guilder.contracts.access.v1 import Access, GrantRole
from guilder.contracts.accounts.v1 import Account, Accounts, OpenAccount
from guilder.contracts.context import Call
from guilder.contracts.errors import Problem
from guilder.contracts.identity.v1 import CreateClient, CreatePerson, Identity
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.parties.v1 import CreateParty, Parties
from guilder.contracts.registry.v1 import CreateTenant
from guilder.contracts.values import Money


class Customer(msgspec.Struct, frozen=True):
    """Somebody to seed: login, name, kind, and the opening deposit per product in minor units."""

    login: str
    name: str
    kind: Any
    deposits: dict[Any, int]


class Bank(msgspec.Struct, frozen=True):
    """A tenant to seed."""

    tenant: CreateTenant
    managers: tuple[str, str]
    auditor: str
    customers: tuple[Customer, ...]


BANKS = (
    Bank(
        CreateTenant(
            slug="nordbank",
            name="Nordbank",
            country="DE",
            bank_code="99990001",
            bic="NRDKDEFF",
            currency="EUR",
            zone="Europe/Berlin",
            holiday_calendar="DE",
        ),
        ("mia", "noah"),
        "ada",
        (
            Customer("emil", "Emil Sander", "person", {"current": 250_000, "savings": 1_000_000}),
            Customer("greta", "Greta Lind", "person", {"current": 80_000}),
        ),
    ),
    Bank(
        CreateTenant(
            slug="company-x",
            name="Company X",
            country="GB",
            bank_code="CMPX909090",
            bic="CMPXGB2L",
            currency="GBP",
            zone="Europe/London",
            holiday_calendar="GB",
        ),
        ("xena", "yuri"),
        "zoe",
        (
            Customer("otto", "Otto Payne", "person", {"current": 120_000}),
            Customer("acme", "Acme Tools Ltd", "organisation", {"current": 5_000_000}),
        ),
    ),
)


class Seeded(msgspec.Struct, frozen=True):
    """What the demo made, for whoever wants to try it. Secrets of a demo, not of a bank."""

    tenant: str
    client_id: str
    client_secret: str
    people: dict[str, str]
    """Login → what they may do."""
    accounts: dict[str, str]
    """`login product` → IBAN."""


async def seed(platform: Platform) -> list[Seeded]:
    """Make both banks."""
    return [await _bank(platform, bank) for bank in BANKS]


async def _bank(platform: Platform, bank: Bank) -> Seeded:
    tenant = (await create(platform, bank.tenant, bank.managers)).number
    identity, access = platform.client(Identity), platform.client(Access)
    people = dict.fromkeys(bank.managers, "manager")
    auditor = await identity.create_person(
        platform.ctx(tenant, f"demo:{bank.auditor}"), CreatePerson(login=bank.auditor)
    )
    await access.assign(
        platform.ctx(tenant, "demo:auditor"), GrantRole(subject=auditor.id, role="auditor")
    )
    people[bank.auditor] = "auditor"
    machine = await identity.create_client(
        platform.ctx(tenant, "demo:client"), CreateClient(name="branch system")
    )
    await access.assign(
        platform.ctx(tenant, "demo:client:manager"), GrantRole(subject=machine.id, role="manager")
    )
    accounts: dict[str, str] = {}
    for customer in bank.customers:
        for account in await _customer(platform, tenant, customer):
            accounts[f"{customer.login} {account.product}"] = account.iban
        people[customer.login] = "customer"
    return Seeded(bank.tenant.slug, str(machine.id), machine.client_secret, people, accounts)


async def _customer(platform: Platform, tenant: int, customer: Customer) -> list[Account]:
    key = f"demo:{customer.login}"
    party = await platform.client(Parties).create(
        platform.ctx(tenant, f"{key}:party"),
        CreateParty(kind=customer.kind, name=customer.name, reference=key),
    )
    await platform.client(Identity).create_person(
        platform.ctx(tenant, f"{key}:person"), CreatePerson(login=customer.login, party=party.id)
    )
    opened = []
    for product, deposit in customer.deposits.items():
        step = f"{key}:{product}"
        account = await platform.client(Accounts).open(
            platform.ctx(tenant, step),
            OpenAccount(product=product, holders=[party.id], reference=step),
        )
        await _deposit(platform, tenant, account, deposit)
        opened.append(account)
    return opened


async def _deposit(platform: Platform, tenant: int, account: Account, minor: int) -> None:
    """Pay cash into a new account; the transfer's id comes from the account's."""
    client = platform.client(ledger.Ledger)
    cash = ledger.internal_account(tenant, "cash", account.currency)
    ctx = platform.ctx(tenant, f"demo:cash:{account.id}")
    opening = ledger.OpenAccount(id=cash, chart="cash", currency=account.currency)
    transfer = ledger.Transfer(
        id=UUID(int=account.id.int ^ 1),
        debit=cash,
        credit=account.id,
        amount=Money(minor, account.currency),
        value_date=max(account.opened_on, date(2000, 1, 1)),
        code="cash",
    )
    entry = ledger.JournalEntry(transfers=[transfer])
    answers = [
        *await client.open_accounts([Call(ctx, opening)]),
        *await client.submit([Call(ctx, entry)]),
    ]
    for answer in answers:
        if isinstance(answer, Problem):
            raise answer
