"""The registry through its contract, in the three modes."""

import asyncio
import secrets

import msgspec
import pytest

from guilder.chassis.testing import Who, bank_code, make_bank, operator, somebody
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import EventQuery, Nothing
from guilder.contracts.errors import Forbidden, InvalidRequest, KeyReused, Refused
from guilder.contracts.registry import v1
from guilder.services.registry import binding_store


def asked(**changes) -> v1.CreateTenant:
    fresh = {
        "slug": f"t-{secrets.token_hex(5)}",
        "name": "A bank",
        "country": "DE",
        "bank_code": bank_code(),
        "bic": "GULDDE99XXX",
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "holiday_calendar": "DE-BE",
    }
    return v1.CreateTenant(**(fresh | changes))


async def test_a_tenant_is_found_by_slug_and_by_number(world):
    registry, who = world.client(v1.Registry), operator()
    request = asked()
    made = await registry.create_tenant(who.ctx(), request)
    assert made.number >= 1
    assert made.state == "open"
    same = {name: getattr(made, name) for name in request.__struct_fields__}
    assert same == msgspec.structs.asdict(request)
    assert await registry.tenant(who.ctx(), v1.WhichTenant(slug=request.slug)) == made
    elsewhere = somebody(made.number)
    found = await registry.tenant_by_number(elsewhere.ctx(), v1.TenantNumber(number=made.number))
    assert found == made
    listed = (await registry.tenants(who.ctx(), Nothing())).items
    assert made in listed
    assert [t.slug for t in listed] == sorted(t.slug for t in listed)


async def test_numbers_are_never_shared(world):
    registry, who = world.client(v1.Registry), operator()
    numbers = [(await registry.create_tenant(who.ctx(), asked())).number for _ in range(3)]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("number", [-1, 0, 2**31 - 1, 2**31, 2**63])
async def test_numbers_without_a_tenant_are_unknown(world, number):
    with pytest.raises(v1.UnknownTenant):
        await world.client(v1.Registry).tenant_by_number(
            operator().ctx(), v1.TenantNumber(number=number)
        )


async def test_a_slug_without_a_tenant_is_unknown(world):
    with pytest.raises(v1.UnknownTenant):
        await world.client(v1.Registry).tenant(operator().ctx(), v1.WhichTenant(slug="nowhere"))


async def test_slug_and_bank_code_belong_to_one_tenant(world):
    registry, who = world.client(v1.Registry), operator()
    first = asked()
    ctx = who.ctx()
    made = await registry.create_tenant(ctx, first)
    assert await registry.create_tenant(ctx, first) == made
    with pytest.raises(KeyReused):
        await registry.create_tenant(ctx, asked())
    with pytest.raises(v1.TenantExists):
        await registry.create_tenant(who.ctx(), asked(slug=first.slug))
    with pytest.raises(v1.TenantExists):
        await registry.create_tenant(who.ctx(), asked(bank_code=first.bank_code))
    with pytest.raises(v1.TenantExists):
        await registry.create_tenant(who.ctx(), asked(slug="platform"))


@pytest.mark.parametrize(
    ("changes", "problem", "at"),
    [
        ({"currency": "DEM"}, InvalidRequest, "$.currency"),
        ({"zone": "Europe/Berlin2"}, InvalidRequest, "$.zone"),
        ({"zone": "../../etc/passwd"}, InvalidRequest, "$.zone"),
        ({"zone": "localtime"}, InvalidRequest, "$.zone"),
        ({"zone": "Europe"}, InvalidRequest, "$.zone"),
        ({"holiday_calendar": "XX"}, InvalidRequest, "$.holiday_calendar"),
        ({"holiday_calendar": "DE-XX"}, InvalidRequest, "$.holiday_calendar"),
        ({"bic": "GULDCZ99"}, InvalidRequest, "$.bic"),
        ({"name": "Bank\r\nSet-Cookie: a"}, InvalidRequest, "$.name"),
        ({"name": "Bank\u202ekcab"}, InvalidRequest, "$.name"),
        ({"name": "Bank\u2028"}, InvalidRequest, "$.name"),
        ({"bank_code": "999"}, Refused, "$.bank_code"),
        ({"bank_code": "9999999A"}, Refused, "$.bank_code"),
        ({"bank_code": "37040044"}, v1.RealBankCode, "$.bank_code"),
        ({"bic": "COBADEFF"}, v1.RealBankCode, "$.bic"),
        ({"country": "US", "bic": "GULDUS99"}, v1.CountryWithoutIban, "$.country"),
        ({"country": "ZZ", "bic": "GULDZZ99"}, v1.CountryWithoutIban, "$.country"),
    ],
)
async def test_wrong_particulars_are_refused(direct, changes, problem, at):
    registry, request = direct.client(v1.Registry), asked(**changes)
    with pytest.raises(problem) as refused:
        await registry.create_tenant(operator().ctx(), request)
    assert refused.value.at == at
    with pytest.raises(v1.UnknownTenant):
        await registry.tenant(operator().ctx(), v1.WhichTenant(slug=request.slug))


@pytest.mark.parametrize("slug", ["Nordbank", "n", "nord bank", "nord\n", "nörd", "x" * 32, "1a"])
async def test_odd_slugs_are_refused_at_the_door(world, slug):
    if world.mode == "direct":
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"slug": slug}, v1.WhichTenant)
        return
    with pytest.raises(InvalidRequest):
        await world.client(v1.Registry).tenant(operator().ctx(), v1.WhichTenant(slug=slug))


async def test_a_creation_is_in_the_log_once(world):
    registry, who = world.client(v1.Registry), operator()
    made = await registry.create_tenant(who.ctx(), asked())
    seen, after = [], ""
    while (page := await registry.events(who.ctx(), EventQuery(after=after))).events:
        seen += [e for e in page.events if e.ids.get("number") == str(made.number)]
        after = page.next
    assert [(e.type, e.tenant, e.principal) for e in seen] == [
        ("tenant.created", PLATFORM, str(who.principal.id))
    ]


async def test_bindings_name_every_contract_once_with_the_stock_edition(world):
    lines = (await world.client(v1.Registry).bindings(somebody(1).ctx(), Nothing())).items
    names = [line.contract for line in lines]
    assert names == sorted(set(names))
    assert {"registry", "identity", "access", "vault", "ledger", "payments"} <= set(names)
    assert {(line.edition, line.version) for line in lines} == {("A", "1.0.0")}


async def test_only_the_platform_creates_tenants_even_for_another_service(world):
    with pytest.raises(Forbidden):
        await world.client(v1.Registry).create_tenant(somebody(1).ctx(), asked())


async def test_the_self_check_finds_a_changed_tenant(direct):
    registry, who, store = direct.client(v1.Registry), operator(), direct.process.stores["registry"]
    made = await registry.create_tenant(who.ctx(), asked())
    change = "UPDATE directory SET zone=$2 WHERE number=$1"

    async def findings():
        report = await registry.self_check(who.ctx(), Nothing())
        return [f.check for f in report.findings if f.tenant == made.number]

    assert await findings() == []
    async with store.tx(PLATFORM) as tx:
        await tx.execute(change, made.number, "Mars/Olympus")
    assert await findings() == ["tenant"]
    async with store.tx(PLATFORM) as tx:
        await tx.execute(change, made.number, made.zone)


async def test_rows_are_the_platforms_alone(direct):
    made = await direct.client(v1.Registry).create_tenant(operator().ctx(), asked())
    async with direct.process.stores["registry"].tx(made.number) as tx:
        assert await tx.value("SELECT count(*) FROM directory") == 0


OPERATIONS = {
    "create_tenant": asked,
    "tenants": Nothing,
    "tenant": lambda: v1.WhichTenant(slug="nowhere"),
}


@pytest.mark.refuses("registry.create_tenant")
@pytest.mark.refuses("registry.tenants")
@pytest.mark.refuses("registry.tenant")
@pytest.mark.parametrize("name", OPERATIONS)
async def test_only_operators_of_the_platform_may(world, name):
    bank = await make_bank(world)
    registry = world.public(v1.Registry)
    for who in (somebody(PLATFORM), somebody(bank.number), bank.manager, bank.auditor):
        with pytest.raises(Forbidden):
            await getattr(registry, name)(who.ctx(), OPERATIONS[name]())
    assert (await registry.tenants(operator().ctx(), Nothing())).items


@pytest.mark.refuses("registry.bindings")
async def test_bindings_are_for_those_who_may_view(world):
    bank = await make_bank(world)
    registry = world.public(v1.Registry)
    with pytest.raises(Forbidden):
        await registry.bindings(somebody(bank.number).ctx(), Nothing())
    stranger = Who(bank.number + 1, bank.manager.principal)
    with pytest.raises(Forbidden):
        await registry.bindings(stranger.ctx(), Nothing())
    assert (await registry.bindings(bank.auditor.ctx(), Nothing())).items


async def change(world):
    """Something that every process must know has changed."""
    async with world.process.stores["registry"].tx(PLATFORM) as tx:
        number = await binding_store.next_generation(tx)
        tx.emit(operator().ctx(), "tests.changed")
    return number


async def test_the_directory_answers_at_once_to_whoever_knows_another_generation(world):
    registry, ctx = world.client(v1.Registry), operator().ctx()
    number = await change(world)
    for known in (-1, number - 1, number + 1):
        query = v1.DirectoryQuery(known=known, wait_ms=30_000)
        async with asyncio.timeout(5):
            assert (await registry.directory(ctx, query)).generation == number


async def test_the_directory_waits_for_the_next_generation(world):
    registry, ctx = world.client(v1.Registry), operator().ctx()
    number = await change(world)
    quiet = await registry.directory(ctx, v1.DirectoryQuery(known=number, wait_ms=50))
    assert quiet == v1.Directory(generation=number, bindings=[], whole=False)
    query = v1.DirectoryQuery(known=number, wait_ms=20_000)
    waiting = asyncio.create_task(registry.directory(ctx, query))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert await change(world) == number + 1
    async with asyncio.timeout(5):
        assert (await waiting).generation == number + 1


async def test_changes_are_counted_one_after_the_other(direct):
    numbers = await asyncio.gather(*(change(direct) for _ in range(8)))
    assert sorted(numbers) == list(range(min(numbers), min(numbers) + 8))
