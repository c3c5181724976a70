"""Four eyes through the contract: who may decide, once, in time, and on what was proposed."""

import asyncio
import hashlib
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from guilder.chassis.events import SYSTEM
from guilder.chassis.testing import MODES, Who, new_id, somebody
from guilder.contracts.access import v1
from guilder.contracts.context import Principal
from guilder.contracts.declare import EventQuery, Nothing
from guilder.contracts.errors import Forbidden, InvalidRequest, NotFound

TEXT = '{"secret":"Kovářová"}'


def wish(text=TEXT, operation="pricing.set_tariff"):
    hashed = hashlib.sha256(operation.encode() + b"\n" + text.encode()).hexdigest()
    return v1.Propose(operation=operation, input=text, hash=hashed)


async def manager(world, tenant, party=None):
    who = somebody(tenant, party)
    role = v1.GrantRole(subject=who.principal.id, role="manager")
    await world.client(v1.Access).assign(who.ctx(), role)
    return who


def verdict(proposal, reason=None):
    return v1.Verdict(proposal_id=proposal.id, reason=reason)


def platform(tenant):
    return Who(tenant, SYSTEM)


async def read(world, who, proposal):
    return await world.public(v1.Access).proposal(
        who.ctx(None), v1.ProposalId(proposal_id=proposal.id)
    )


async def test_a_proposal_is_approved_by_somebody_else(world):
    access = world.client(v1.Access)
    maker, checker = await manager(world, 1201), await manager(world, 1201)
    proposal = await access.propose(maker.ctx(), wish())
    assert (proposal.state, proposal.input) == ("proposed", None)
    approved = await world.public(v1.Access).approve(checker.ctx(), verdict(proposal, "looks fine"))
    assert (approved.state, approved.decided_by) == ("approved", checker.principal.id)
    for who in (maker, checker):
        seen = await read(world, who, proposal)
        assert (seen.input, seen.reason, seen.state) == (TEXT, "looks fine", "approved")
    question = v1.ProposalId(proposal_id=proposal.id)
    handed = await access.approved_input(platform(1201).ctx(), question)
    assert (handed.input, handed.hash) == (TEXT, wish().hash)
    assert handed.proposer == maker.principal


@pytest.mark.abuse(36)
async def test_nobody_decides_on_his_own_not_even_by_another_login(world):
    party = new_id()
    access, public = world.client(v1.Access), world.public(v1.Access)
    maker, second = await manager(world, 1202, party), await manager(world, 1202, party)
    robot = Who(1202, Principal(id=new_id(), kind="client", party=party))
    role = v1.GrantRole(subject=robot.principal.id, role="manager")
    await access.assign(robot.ctx(), role)
    proposal = await access.propose(maker.ctx(), wish())
    for who in (maker, second, robot):
        with pytest.raises(v1.OwnProposal):
            await public.approve(who.ctx(), verdict(proposal))
        with pytest.raises(v1.OwnProposal):
            await public.reject(who.ctx(), verdict(proposal, "changed my mind"))
    assert (await read(world, maker, proposal)).state == "proposed"


async def test_two_logins_without_a_party_are_two_people(world):
    maker, checker = await manager(world, 1203), await manager(world, 1203)
    proposal = await world.client(v1.Access).propose(maker.ctx(), wish())
    assert (await world.public(v1.Access).approve(checker.ctx(), verdict(proposal))).decided_by


async def test_a_rejection_says_why_and_is_in_the_log(world):
    access, public = world.client(v1.Access), world.public(v1.Access)
    maker, checker = await manager(world, 1204), await manager(world, 1204)
    proposal = await access.propose(maker.ctx(), wish())
    with pytest.raises(InvalidRequest):
        await public.reject(checker.ctx(), verdict(proposal))
    rejected = await public.reject(checker.ctx(), verdict(proposal, "too expensive"))
    assert (rejected.state, rejected.reason) == ("rejected", "too expensive")
    with pytest.raises(v1.ProposalClosed):
        await public.approve(checker.ctx(), verdict(proposal))
    with pytest.raises(v1.ProposalClosed):
        await access.approved_input(platform(1204).ctx(), v1.ProposalId(proposal_id=proposal.id))
    assert await log_of(world, proposal) == ["proposal.proposed", "proposal.rejected"]


async def log_of(world, proposal):
    seen, after = [], ""
    while True:
        page = await world.client(v1.Access).events(
            platform(0).ctx(), EventQuery(after=after, limit=500)
        )
        if not page.events:
            return seen
        seen += [e.type for e in page.events if e.ids.get("proposal") == str(proposal.id)]
        after = page.next


async def test_of_many_who_decide_at_once_one_wins(world):
    maker = await manager(world, 1205)
    checkers = [await manager(world, 1205) for _ in range(4)]
    public = world.public(v1.Access)
    proposal = await world.client(v1.Access).propose(maker.ctx(), wish())
    verbs = [public.approve, public.reject, public.approve, public.reject]
    answers = await asyncio.gather(
        *(
            verb(who.ctx(), verdict(proposal, "because"))
            for verb, who in zip(verbs, checkers, strict=True)
        ),
        return_exceptions=True,
    )
    won = [a for a in answers if isinstance(a, v1.Proposal)]
    assert len(won) == 1
    assert sum(isinstance(a, v1.ProposalClosed) for a in answers) == 3
    seen = await read(world, maker, proposal)
    assert (seen.state, seen.decided_by) == (won[0].state, won[0].decided_by)
    assert await log_of(world, proposal) == ["proposal.proposed", f"proposal.{won[0].state}"]


async def test_a_proposal_expires_on_its_instant(world):
    access, public = world.client(v1.Access), world.public(v1.Access)
    tenant = 12060 + MODES.index(world.mode)
    maker, checker = await manager(world, tenant), await manager(world, tenant)
    proposal = await access.propose(maker.ctx(), wish())
    in_time = await access.propose(maker.ctx(), wish('{"n":2}'))
    assert proposal.expires_at == proposal.proposed_at + timedelta(days=7)
    try:
        world.clock.move(days=7, microseconds=-1)
        assert (await public.approve(checker.ctx(), verdict(in_time))).state == "approved"
        world.clock.move(microseconds=1)
        with pytest.raises(v1.ProposalClosed, match="expired"):
            await public.approve(checker.ctx(), verdict(proposal))
        assert (await read(world, maker, proposal)).state == "expired"
        listed = await public.proposals(checker.ctx(), v1.ProposalQuery(state="expired", limit=1))
        assert [p.id for p in listed.items] == [proposal.id]
        assert await world.process.built["access"].service.expire() >= 1
        assert (await log_of(world, proposal))[-1] == "proposal.expired"
    finally:
        world.clock.move(days=-7)
    assert (await read(world, maker, proposal)).state == "expired"


async def test_the_end_is_recorded_once(world):
    access = world.client(v1.Access)
    maker, checker = await manager(world, 1207), await manager(world, 1207)
    proposal = await access.propose(maker.ctx(), wish())
    done = v1.Executed(proposal_id=proposal.id, resource="made-this")
    with pytest.raises(v1.ProposalClosed):
        await access.executed(platform(1207).ctx(), done)
    await access.approve(checker.ctx(), verdict(proposal))
    ended = await access.executed(platform(1207).ctx(), done)
    assert (ended.state, ended.resource) == ("executed", "made-this")
    failed = v1.Executed(proposal_id=proposal.id, problem="refused")
    with pytest.raises(v1.ProposalClosed):
        await access.executed(platform(1207).ctx(), failed)
    assert (await read(world, maker, proposal)).state == "executed"


async def test_proposals_are_listed_newest_first_in_pages(world):
    tenant = 12080 + MODES.index(world.mode)
    maker, checker = await manager(world, tenant), await manager(world, tenant)
    made = []
    for n in range(5):
        text = f'{{"n":{n}}}'
        made.append(await world.client(v1.Access).propose(maker.ctx(), wish(text)))
    await world.client(v1.Access).approve(checker.ctx(), verdict(made[2]))
    seen, after = [], None
    for _ in range(3):
        query = v1.ProposalQuery(after=after, limit=2)
        page = await world.public(v1.Access).proposals(checker.ctx(), query)
        seen += page.items
        after = page.next
    assert after is None
    assert [p.id for p in seen] == sorted((m.id for m in made), reverse=True)
    assert all(p.input is None and p.reason is None for p in seen)
    query = v1.ProposalQuery(state="approved")
    approved = await world.public(v1.Access).proposals(checker.ctx(), query)
    assert [p.id for p in approved.items] == [made[2].id]


@pytest.mark.refuses("access.proposals")
@pytest.mark.refuses("access.proposal")
@pytest.mark.refuses("access.approve")
@pytest.mark.refuses("access.reject")
async def test_who_may_not_approve_neither_sees_nor_decides(world):
    access, public = world.client(v1.Access), world.public(v1.Access)
    maker, auditor = await manager(world, 1209), somebody(1209)
    foreign = await manager(world, 1210)
    role = v1.GrantRole(subject=auditor.principal.id, role="auditor")
    await access.assign(auditor.ctx(), role)
    proposal = await access.propose(maker.ctx(), wish())
    with pytest.raises(Forbidden):
        await public.proposals(auditor.ctx(), v1.ProposalQuery())
    for verb in (public.approve, public.reject):
        with pytest.raises(Forbidden):
            await verb(auditor.ctx(), verdict(proposal, "let me"))
        with pytest.raises(NotFound):
            await verb(foreign.ctx(), verdict(proposal, "let me"))
    for who in (auditor, foreign, somebody(1209)):
        with pytest.raises(NotFound) as refused:
            await read(world, who, proposal)
        with pytest.raises(NotFound) as absent:
            await public.proposal(who.ctx(), v1.ProposalId(proposal_id=new_id()))
        assert type(refused.value) is type(absent.value)
    assert (await read(world, maker, proposal)).state == "proposed"


async def test_a_hash_of_something_else_is_refused(world):
    asked = wish()
    request = v1.Propose(operation=asked.operation, input='{"n":1}', hash=asked.hash)
    with pytest.raises(InvalidRequest):
        await world.client(v1.Access).propose(somebody(1211).ctx(), request)


async def test_what_people_wrote_is_sealed_at_rest(direct):
    access = direct.client(v1.Access)
    maker, checker = await manager(direct, 1212), await manager(direct, 1212)
    proposal = await access.propose(maker.ctx(), wish())
    await access.approve(checker.ctx(), verdict(proposal, "Kovářová asked"))
    role = await access.assign(maker.ctx(), v1.GrantRole(subject=new_id(), role="auditor"))
    await access.revoke(maker.ctx(), v1.RevokeRole(grant_id=role.id, reason="Kovářová left"))
    async with direct.process.stores["access"].tx(1212) as tx:
        for table in ("proposal", "role_grant", "command", "event"):
            for row in await tx.fetch(f"SELECT * FROM {table}"):
                for value in row.values():
                    raw = value if isinstance(value, bytes) else str(value).encode()
                    assert "Kovářová".encode() not in raw


async def findings(world, tenant):
    answer = await world.client(v1.Access).self_check(platform(0).ctx(), Nothing())
    return {f.check for f in answer.findings if f.tenant == tenant}


@pytest.mark.parametrize(
    ("expected", "constraint", "damage"),
    [
        ("proposal-own", "four_eyes", "UPDATE proposal SET decided_by = proposed_by"),
        (
            "proposal-undecided",
            "decided",
            "UPDATE proposal SET decided_by = NULL, decided_at = NULL",
        ),
        ("proposal-late", None, "UPDATE proposal SET decided_at = expires_at"),
        ("proposal-input", None, "UPDATE proposal SET input = input || '\\x00'"),
        ("proposal-input", None, "UPDATE proposal SET hash = '\\x00'"),
        ("proposal-end", "failed_why", "UPDATE proposal SET problem = 'x'"),
        ("grant-scope", "role_scope", "UPDATE role_grant SET account = id"),
        ("grant-scope", "role_platform", "UPDATE role_grant SET role = 'operator'"),
        ("grant-scope", "role_known", "UPDATE role_grant SET role = 'king'"),
        ("grant-approval", None, "UPDATE role_grant SET proposal = id"),
        ("grant-revocation", "role_revoked", "UPDATE role_grant SET revoked_at = now()"),
    ],
)
async def test_damage_is_refused_by_the_table_or_found(direct, admin, expected, constraint, damage):
    tenant = 1213
    access = direct.client(v1.Access)
    maker, checker = await manager(direct, tenant), await manager(direct, tenant)
    proposal = await access.propose(maker.ctx(), wish())
    await access.approve(checker.ctx(), verdict(proposal))
    assert await findings(direct, tenant) == set()
    if constraint:
        with pytest.raises(asyncpg.CheckViolationError, match=constraint):
            async with direct.process.stores["access"].tx(tenant) as tx:
                await tx.execute(damage)
    async with without(constraint, damage.split()[1], direct, admin) as owner:
        await owner.execute(f"{damage} WHERE tenant = {tenant}")
        try:
            assert expected in await findings(direct, tenant)
        finally:
            await owner.execute(f"DELETE FROM proposal WHERE tenant = {tenant}")
            await owner.execute(f"DELETE FROM role_grant WHERE tenant = {tenant}")


@asynccontextmanager
async def without(constraint, table, world, admin):
    """A connection of the superuser, who has dropped the constraint meanwhile."""
    database = world.process.stores["access"]._connect["database"]
    owner = await asyncpg.connect(**{**admin, "database": database})
    try:
        if not constraint:
            yield owner
            return
        text = await owner.fetchval(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname=$1", constraint
        )
        await owner.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
        try:
            yield owner
        finally:
            await owner.execute(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {text}")
    finally:
        await owner.close()


async def test_a_role_is_proposed_on_accounts_that_exist_here_alone(world):
    access, public = world.client(v1.Access), world.public(v1.Access)
    maker, account, elsewhere = await manager(world, 1290), new_id(), new_id()
    for tenant, opened in ((1290, account), (1291, elsewhere)):
        owner = v1.GrantRole(subject=new_id(), role="owner", account=opened)
        await access.assign(somebody(tenant).ctx(), owner)
    for unknown in (new_id(), elsewhere):
        wanted = v1.GrantRole(subject=new_id(), role="signatory", account=unknown)
        with pytest.raises(NotFound):
            await public.grant(maker.ctx(), wanted)
    wanted = v1.GrantRole(subject=new_id(), role="signatory", account=account)
    await public.grant(maker.ctx(), wanted)
    listed = await public.proposals(maker.ctx(None), v1.ProposalQuery())
    assert len([p for p in listed.items if p.proposed_by == maker.principal.id]) == 1
