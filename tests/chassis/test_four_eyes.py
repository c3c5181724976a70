"""Four eyes from the outside to the effect: proposed, approved by another, executed as hashed.

`access.grant` is the command: a real one, executed by the follower of access' own log.
"""

import asyncio
import json

import msgspec
import pytest

from guilder.chassis.contract import convert, plain
from guilder.chassis.events import SYSTEM
from guilder.chassis.testing import Who, new_id, somebody
from guilder.contracts.access import v1
from guilder.contracts.context import Call
from guilder.contracts.errors import Forbidden, KeyReused


async def manager(world, tenant, party=None):
    who = somebody(tenant, party)
    role = v1.GrantRole(subject=who.principal.id, role="manager")
    await world.client(v1.Access).assign(who.ctx(), role)
    return who


async def ask(world, who, request, key=None):
    """Grant from the outside: the answer is the proposal (202), whatever the road."""
    answer = await world.public(v1.Access).grant(who.ctx(key), request)
    return convert(plain(answer), v1.Proposal)


async def decide(world, who, proposal, verb="approve"):
    verdict = v1.Verdict(proposal_id=proposal.id, reason="as agreed")
    return await getattr(world.public(v1.Access), verb)(who.ctx(), verdict)


async def read(world, who, proposal):
    request = v1.ProposalId(proposal_id=proposal.id)
    return await world.public(v1.Access).proposal(who.ctx(), request)


async def sees(world, tenant, subject):
    """Whether a login of this party sees the tenant."""
    question = v1.Evaluation(right="view", operation="tests.any")
    who = somebody(tenant, subject)
    (answer,) = await world.client(v1.Access).evaluate([Call(who.ctx(), question)])
    return answer.allowed


def auditor():
    return v1.GrantRole(subject=new_id(), role="auditor")


async def test_a_proposal_is_answered_in_the_same_bytes_whatever_the_road(world):
    maker = await manager(world, 1300)
    call = Call(maker.ctx(), auditor())
    road = world.road("access", "gateway")
    (outcome,) = await road.send(v1.Access.operations()["grant"], [call])
    assert outcome.status == 202
    assert list(json.loads(outcome.body())) == list(v1.Proposal.__struct_fields__)


async def test_a_change_takes_effect_when_somebody_else_has_approved_it(world):
    tenant, wanted = 1301, auditor()
    maker, checker = await manager(world, tenant), await manager(world, tenant)
    proposal = await ask(world, maker, wanted)
    assert (proposal.operation, proposal.state) == ("access.grant", "proposed")
    await world.settle()
    assert not await sees(world, tenant, wanted.subject)
    assert (await decide(world, checker, proposal)).state == "approved"
    assert not await sees(world, tenant, wanted.subject)
    await world.settle()
    assert await sees(world, tenant, wanted.subject)
    done = await read(world, maker, proposal)
    assert (done.state, done.problem) == ("executed", None)
    query = v1.GrantQuery(subject=wanted.subject)
    (role,) = (await world.public(v1.Access).grants(checker.ctx(), query)).items
    assert done.resource == str(role.id)
    assert role.granted_by == maker.principal.id


async def test_a_rejected_change_never_takes_effect(world):
    tenant, wanted = 1302, auditor()
    maker, checker = await manager(world, tenant), await manager(world, tenant)
    proposal = await ask(world, maker, wanted)
    assert (await decide(world, checker, proposal, "reject")).state == "rejected"
    await world.settle()
    assert not await sees(world, tenant, wanted.subject)
    assert (await read(world, maker, proposal)).state == "rejected"


@pytest.mark.abuse(36)
async def test_the_proposer_cannot_approve_by_any_of_his_logins(world):
    tenant, wanted, party = 1303, auditor(), new_id()
    maker, second = await manager(world, tenant, party), await manager(world, tenant, party)
    proposal = await ask(world, maker, wanted)
    for who in (maker, second):
        with pytest.raises(v1.OwnProposal):
            await decide(world, who, proposal)
    await world.settle()
    assert not await sees(world, tenant, wanted.subject)


async def test_nobody_proposes_or_approves_a_role_for_himself(world):
    tenant, party = 1304, new_id()
    maker, checker = await manager(world, tenant, party), await manager(world, tenant)
    for subject in (maker.principal.id, party):
        with pytest.raises(Forbidden):
            await ask(world, maker, v1.GrantRole(subject=subject, role="auditor"))
    theirs = v1.GrantRole(subject=checker.principal.id, role="auditor")
    proposal = await ask(world, maker, theirs)
    with pytest.raises(Forbidden):
        await decide(world, checker, proposal)
    assert (await read(world, maker, proposal)).state == "proposed"


async def test_what_could_never_be_given_is_refused_before_anybody_reads_it(world):
    maker = await manager(world, 1305)
    for request in (
        v1.GrantRole(subject=new_id(), role="owner"),
        v1.GrantRole(subject=new_id(), role="manager", account=new_id()),
        v1.GrantRole(subject=new_id(), role="operator"),
    ):
        with pytest.raises(v1.RoleScope):
            await ask(world, maker, request)
    listed = await world.public(v1.Access).proposals(maker.ctx(), v1.ProposalQuery())
    assert not [p for p in listed.items if p.proposed_by == maker.principal.id]


async def test_a_repeated_request_is_the_same_proposal(world):
    maker, wanted, key = await manager(world, 1306), auditor(), str(new_id())
    first = await ask(world, maker, wanted, key)
    assert await ask(world, maker, wanted, key) == first
    with pytest.raises(KeyReused):
        await ask(world, maker, auditor(), key)


async def test_an_approval_repeated_after_the_end_changes_nothing(world):
    tenant, wanted, key = 1307, auditor(), str(new_id())
    maker, checker = await manager(world, tenant), await manager(world, tenant)
    proposal = await ask(world, maker, wanted)
    verdict = v1.Verdict(proposal_id=proposal.id)
    approve = world.public(v1.Access).approve
    first = await approve(checker.ctx(key), verdict)
    await world.settle()
    assert await approve(checker.ctx(key), verdict) == first
    with pytest.raises(v1.ProposalClosed):
        await approve(checker.ctx(), verdict)


async def executor(world):
    (found,) = [f for f in world.process.built["access"].followers if f.feed == "access:executor"]
    return found


async def test_following_the_log_again_executes_nothing_again(world):
    tenant, wanted = 1308, auditor()
    maker, checker = await manager(world, tenant), await manager(world, tenant)
    proposal = await ask(world, maker, wanted)
    await decide(world, checker, proposal)
    await world.settle()
    done = await read(world, maker, proposal)
    query = v1.GrantQuery(subject=wanted.subject)
    (role,) = (await world.client(v1.Access).grants(checker.ctx(), query)).items
    revoke = v1.RevokeRole(grant_id=role.id, reason="no longer needed")
    await world.public(v1.Access).revoke(checker.ctx(), revoke)
    async with world.process.stores["access"].tx(tenant) as tx:  # as if its key had been forgotten
        await tx.execute("DELETE FROM command WHERE key=$1", f"proposal:{proposal.id}")
    follower = await executor(world)

    async def nothing(tx):
        return None

    await follower.rebuild(nothing)
    assert await read(world, maker, proposal) == done
    assert not await sees(world, tenant, wanted.subject)


async def test_a_crash_between_effect_and_report_ends_in_one_effect(world, monkeypatch):
    tenant, wanted = 1309, auditor()
    maker, checker = await manager(world, tenant), await manager(world, tenant)
    proposal = await ask(world, maker, wanted)
    await decide(world, checker, proposal)
    service = world.process.built["access"].service

    async def crash(ctx, request):
        raise OSError("the process died here")

    with monkeypatch.context() as patch:
        patch.setattr(service, "executed", crash)
        await world.settle()
    assert await sees(world, tenant, wanted.subject)
    assert (await read(world, maker, proposal)).state == "approved"
    for sweep in world.process.built["access"].sweeps:
        await sweep.work()
    assert (await read(world, maker, proposal)).state == "executed"
    query = v1.GrantQuery(subject=wanted.subject)
    assert len((await world.client(v1.Access).grants(checker.ctx(), query)).items) == 1


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE proposal SET input = input || '\\x00' WHERE id=$1",
        "UPDATE proposal SET hash = '\\x00' WHERE id=$1",
        "UPDATE proposal SET operation = 'access.revoke' WHERE id=$1",
        "UPDATE proposal p SET input = o.input FROM proposal o WHERE p.id=$1 AND o.id<>$1"
        " AND o.proposed_by = p.proposed_by",
    ],
)
@pytest.mark.abuse(38)
async def test_a_changed_input_is_never_executed(world, tamper):
    tenant, wanted, other = 1310, auditor(), auditor()
    maker, checker = await manager(world, tenant), await manager(world, tenant)
    proposal = await ask(world, maker, wanted)
    await ask(world, maker, other)
    await decide(world, checker, proposal)
    async with world.process.stores["access"].tx(tenant) as tx:
        assert await tx.execute(tamper, proposal.id)
    await world.settle()
    assert not await sees(world, tenant, wanted.subject)
    assert not await sees(world, tenant, other.subject)
    query = v1.ProposalQuery(state="failed")
    listed = await world.public(v1.Access).proposals(checker.ctx(), query)
    (failed,) = [p for p in listed.items if p.id == proposal.id]
    assert failed.problem == "proposal-input-changed"
    async with world.process.stores["access"].tx(tenant) as tx:  # else `self_check` tells, rightly
        await tx.execute("DELETE FROM proposal")


async def test_nobody_takes_the_key_of_a_proposal_in_advance(world):
    """A stranger may name his key as he likes: it is never one of the platform's own."""
    tenant, wanted = 1315, auditor()
    maker, checker = await manager(world, tenant), await manager(world, tenant)
    proposal = await ask(world, maker, wanted)
    await ask(world, maker, auditor(), f"proposal:{proposal.id}")
    await decide(world, checker, proposal)
    await world.settle()
    assert (await read(world, maker, proposal)).state == "executed"
    assert await sees(world, tenant, wanted.subject)


async def test_a_key_used_otherwise_fails_the_proposal_and_blocks_nobody(world):
    tenant = 1311
    maker, checker = await manager(world, tenant), await manager(world, tenant)
    blocked, fine = auditor(), auditor()
    first, second = await ask(world, maker, blocked), await ask(world, maker, fine)
    taken = f"proposal:{first.id}"
    with pytest.raises(Forbidden):  # from inside, without an approval: stored under the key
        await world.client(v1.Access).grant(maker.ctx(taken), auditor())
    for proposal in (first, second):
        await decide(world, checker, proposal)
    await world.settle()
    assert (await read(world, maker, first)).problem == "idempotency-key-reused"
    assert (await read(world, maker, second)).state == "executed"
    assert await sees(world, tenant, fine.subject)


async def test_a_role_is_not_given_without_an_approval(world):
    tenant, wanted = 1312, auditor()
    maker, checker = await manager(world, tenant), await manager(world, tenant)
    access = world.client(v1.Access)
    with pytest.raises(Forbidden):
        await access.grant(maker.ctx(), wanted)
    proposal = await ask(world, maker, wanted)
    for claimed in (new_id(), proposal.id):
        with pytest.raises(Forbidden):
            await access.grant(maker.ctx(approval=claimed), wanted)
    assert not await sees(world, tenant, wanted.subject)
    assert not await sees(world, 1313, wanted.subject)
    await decide(world, checker, proposal, "reject")


async def test_two_approvers_at_once_execute_once(world):
    tenant, wanted = 1314, auditor()
    maker = await manager(world, tenant)
    checkers = [await manager(world, tenant) for _ in range(3)]
    proposal = await ask(world, maker, wanted)
    answers = await asyncio.gather(
        *(decide(world, who, proposal) for who in checkers), return_exceptions=True
    )
    assert sum(isinstance(a, v1.Proposal) for a in answers) == 1
    assert sum(isinstance(a, v1.ProposalClosed) for a in answers) == 2
    await world.settle()
    query = v1.GrantQuery(subject=wanted.subject)
    page = await world.client(v1.Access).grants(maker.ctx(), query)
    assert len(page.items) == 1
    platform = Who(tenant, SYSTEM)
    handed = await world.client(v1.Access).approved_input(
        platform.ctx(), v1.ProposalId(proposal_id=proposal.id)
    )
    assert msgspec.json.decode(handed.input)["subject"] == str(wanted.subject)
