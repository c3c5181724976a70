"""The audit through its contract, in the three modes."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from guilder.chassis.testing import new_id, somebody
from guilder.contracts.audit import v1
from guilder.contracts.context import Call
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import Forbidden, InvalidRequest
from guilder.contracts.vault import v1 as vault


def refusal(world, **more):
    filled = {"id": new_id(), "at": world.clock.now(), "operation": "payments.create"}
    return v1.Record(**{**filled, "outcome": "forbidden", "ids": {"payment": "p1"}, **more})


async def record(world, who, *records):
    return await world.client(v1.Audit).record([Call(who.ctx(), r) for r in records])


async def everything(world, who, **query):
    """All pages, newest first."""
    audit, found, before = world.client(v1.Audit), [], None
    while True:
        page = await audit.entries(who.ctx(), v1.AuditQuery(before=before, **query))
        found += page.items
        if page.next is None:
            return found
        before = page.next


async def findings(world, tenant):
    answer = await world.client(v1.Audit).self_check(somebody(tenant).ctx(), Nothing())
    return [f for f in answer.findings if f.tenant == tenant]


async def as_owner(world, admin, tenant, sql, *args):
    """Run SQL that the login role may not run; what somebody with the disk could do."""
    database = world.process.stores["audit"]._connect["database"]
    connection = await asyncpg.connect(**{**admin, "database": database})
    try:
        await connection.execute(sql, *args)
    finally:
        await connection.close()


async def test_entries_stand_in_a_chain_that_a_reader_can_recompute(world):
    who = somebody(4101)
    for _ in range(3):
        await record(world, who, refusal(world), refusal(world))
    entries = await everything(world, who, limit=2)
    assert [e.n for e in entries] == list(range(len(entries), 0, -1))
    previous = v1.START
    for e in reversed(entries):
        content = v1.canonical(
            tenant=4101,
            source=e.source,
            ref=e.ref,
            at=e.at,
            operation=e.operation,
            principal=e.principal,
            outcome=e.outcome,
            request=e.request,
            ids=e.ids,
        )
        previous = v1.entry_hash(previous, e.n, content)
        assert previous.hex() == e.hash


async def test_a_repeated_record_keeps_its_place(world):
    who, one = somebody(4102), refusal(world)
    first, twice = await record(world, who, one, one)
    assert first == twice
    assert await record(world, who, one) == [first]
    other = refusal(world, id=one.id, outcome="not-found")
    (differs,) = await record(world, who, other)
    assert isinstance(differs, v1.RecordDiffers)
    assert [e.ref for e in await everything(world, who)].count(str(one.id)) == 1


async def test_one_bad_record_does_not_hold_up_the_others(world):
    who, now = somebody(4103), world.clock.now()
    good, future, old, naive = await record(
        world,
        who,
        refusal(world),
        refusal(world, at=now + timedelta(minutes=6)),
        refusal(world, at=datetime(1, 1, 1, tzinfo=UTC)),
        refusal(world, at=datetime(2026, 3, 2)),
    )
    assert isinstance(good, v1.Recorded)
    assert all(isinstance(bad, InvalidRequest) for bad in (future, old, naive))


@pytest.mark.parametrize(
    "more",
    [
        {"ids": {"payment": "Zoë"}},
        {"ids": {"payment": "x\x00"}},
        {"ids": {"payment": "x" * 101}},
        {"ids": {str(n): "x" for n in range(21)}},
        {"outcome": "two\nlines"},
    ],
)
async def test_texts_that_are_no_ids_are_refused(direct, more):
    (answer,) = await record(direct, somebody(4103), refusal(direct, **more))
    assert isinstance(answer, InvalidRequest)


async def test_simultaneous_records_leave_no_gap(world):
    who = somebody(4104)
    await asyncio.gather(*(record(world, who, refusal(world)) for _ in range(40)))
    numbers = [e.n for e in await everything(world, who)]
    assert numbers == list(range(len(numbers), 0, -1))
    assert len(numbers) >= 40
    assert not await findings(world, 4104)


async def test_every_event_of_another_service_is_taken_down_once(world):
    who, subject = somebody(4105), new_id()
    await world.client(vault.Vault).erase(who.ctx(), vault.Subject(subject=subject, reason="asked"))
    await world.settle()
    await world.settle()
    found = [e for e in await everything(world, who) if e.ids.get("subject") == str(subject)]
    assert [(e.source, e.operation, e.outcome, e.principal) for e in found] == [
        ("vault", "subject.erased", "done", str(who.principal.id))
    ]


async def test_entries_are_found_by_person_and_operation(world):
    one, other = somebody(4106), somebody(4106)
    await record(world, one, refusal(world), refusal(world, operation="parties.create"))
    await record(world, other, refusal(world))
    assert len(await everything(world, one, principal=one.principal.id)) == 2
    found = await everything(
        world, one, principal=one.principal.id, operation="parties.create", limit=1
    )
    assert [e.operation for e in found] == ["parties.create"]
    assert not await everything(world, somebody(4107), principal=one.principal.id)


@pytest.mark.refuses("audit.entries")
async def test_the_audit_is_not_for_everyone(world):
    with pytest.raises(Forbidden):
        await world.public(v1.Audit).entries(somebody(4108).ctx(), v1.AuditQuery())


async def test_the_login_role_can_neither_change_nor_delete_an_entry(direct):
    who = somebody(4109)
    await record(direct, who, refusal(direct))
    for sql in (
        "UPDATE entry SET outcome='done'",
        "DELETE FROM entry",
        "TRUNCATE entry",
        "DELETE FROM head",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with direct.process.stores["audit"].tx(4109) as tx:
                await tx.execute(sql)


@pytest.mark.parametrize(
    ("sql", "undo", "check"),
    [
        (
            "UPDATE entry SET outcome='done' WHERE n=2",
            "UPDATE entry SET outcome='forbidden'",
            "audit-chain",
        ),
        (
            "UPDATE entry SET ids='{' WHERE n=2",
            """UPDATE entry SET ids='{"payment":"p1"}'""",
            "audit-chain",
        ),
        ("UPDATE entry SET n=9 WHERE n=3", "UPDATE entry SET n=3 WHERE n=9", "audit-gap"),
        ("UPDATE head SET n=4", "UPDATE head SET n=3", "audit-head"),
    ],
)
async def test_a_changed_chain_is_found(direct, admin, sql, undo, check):
    who = somebody(4110)
    entries = await everything(direct, who)
    if not entries:
        await record(direct, who, *(refusal(direct) for _ in range(3)))
    assert not await findings(direct, 4110)

    async def change(text):
        joint = " AND" if "WHERE" in text else " WHERE"
        await as_owner(direct, admin, 4110, f"{text}{joint} tenant=4110")

    await change(sql)
    try:
        assert check in {f.check for f in await findings(direct, 4110)}
    finally:
        await change(undo)
    assert not await findings(direct, 4110)


async def test_a_privilege_on_entries_is_found(direct, admin):
    role = direct.process.stores["audit"]._connect["user"]
    await as_owner(direct, admin, 0, f'GRANT UPDATE (outcome) ON entry TO "{role}"')
    try:
        answer = await direct.client(v1.Audit).self_check(somebody(4111).ctx(), Nothing())
        assert "audit-privileges" in {f.check for f in answer.findings}
    finally:
        await as_owner(direct, admin, 0, f'REVOKE UPDATE (outcome) ON entry FROM "{role}"')
