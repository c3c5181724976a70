"""What tests of bindings need: operators, an approved binding, a release that says what it is."""

from contextlib import contextmanager
from datetime import UTC, timedelta

from guilder.chassis.contract import convert, plain
from guilder.chassis.testing import new_id, operator, somebody
from guilder.contracts.access import v1 as access
from guilder.contracts.context import PLATFORM
from guilder.contracts.errors import Problem
from guilder.contracts.registry import v1

ADDRESS = "unix:/run/next/pricing.sock"


def wish(tenant, **changes):
    asked = {"tenant": tenant, "contract": "pricing", "version": "1.1.0", "address": ADDRESS}
    return v1.Bind(**(asked | changes))


async def another_operator(world):
    who = somebody(PLATFORM)
    role = access.GrantRole(subject=who.principal.id, role="operator")
    await world.client(access.Access).assign(who.ctx(), role)
    return who


@contextmanager
def answering(world, said=(("pricing", ("A", "1.1.0")),)):
    """Every address answers so: services with edition and version, or a problem."""
    service = world.process.built["registry"].service
    before, asked = service.ask_release, []

    async def ask(address):
        asked.append(address)
        if isinstance(said, Problem):
            raise said
        return dict(said)

    service.ask_release = ask
    try:
        yield asked
    finally:
        service.ask_release = before


async def propose(world, who, request):
    """Ask from the outside: the answer is the proposal (202)."""
    answer = await world.public(v1.Registry).bind(who.ctx(), request)
    return convert(plain(answer), access.Proposal)


async def approve(world, who, proposal):
    verdict = access.Verdict(proposal_id=proposal.id)
    await world.public(access.Access).approve(who.ctx(), verdict)
    await world.settle()
    query = access.ProposalId(proposal_id=proposal.id)
    return await world.public(access.Access).proposal(who.ctx(), query)


async def bind(world, request):
    """Propose as the first operator, approve as another; the binding made."""
    other = await another_operator(world)
    done = await approve(world, other, await propose(world, operator(), request))
    assert (done.state, done.problem) == ("executed", None)
    (record,) = [r for r in (await history(world)).items if str(r.id) == done.resource]
    return record


async def history(world, **query):
    return await world.public(v1.Registry).binding_history(
        operator().ctx(), v1.BindingQuery(**query)
    )


async def end(world, record, who=None):
    ended = await world.public(v1.Registry).end_binding(
        (who or operator()).ctx(), v1.BindingId(binding_id=record.id)
    )
    await world.settle()
    return ended


async def rollback(world, record):
    done = await world.public(v1.Registry).rollback(
        operator().ctx(), v1.BindingId(binding_id=record.id)
    )
    await world.settle()
    return done


def saying(world, version="1.1.0", contract="pricing"):
    return answering(world, [(contract, ("A", version))])


def soon(world, **ahead):
    return world.clock.now().astimezone(UTC) + timedelta(**ahead)


class Approving(access.Access):
    """Somebody approved everything that is asked after."""

    def __init__(self):
        self.hashes, self.approver = {}, new_id()

    async def approved_input(self, ctx, request):
        return access.ApprovedInput(
            id=request.proposal_id,
            operation="registry.bind",
            input="",
            hash=self.hashes[request.proposal_id],
            state="approved",
            proposer=operator().principal,
            approver=self.approver,
        )
