"""Decisions: the pure rules against an independent table, and through the contract."""

import pytest
from hypothesis import given, strategies as st

from guilder.chassis.batch import one
from guilder.chassis.contract import read_request
from guilder.chassis.testing import Who, new_id, operator, somebody
from guilder.contracts.access import v1
from guilder.contracts.context import PLATFORM, Call, Principal
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import Forbidden, InvalidRequest, NotFound
from guilder.services.access.roles import ROLES, decide

RIGHTS = ("view", "make", "approve", "administer", "operate")
# One line a role, written by hand: v m a d o = the rights above in order.
TABLE = {
    "owner": "vm",
    "signatory": "vm",
    "bookkeeper": "v",
    "manager": "vmad",
    "auditor": "v",
    "operator": "vado",
}
LETTER = dict(zip(RIGHTS, "vmado", strict=True))


@given(st.sets(st.sampled_from(sorted(TABLE))), st.sampled_from(RIGHTS), st.booleans())
def test_a_right_is_held_when_a_role_includes_it(held, right, on_account):
    decision = decide(right, new_id() if on_account else None, held)
    expected = any(LETTER[right] in TABLE[role] for role in held)
    assert decision.allowed == expected
    assert (decision.role in held) == expected
    assert decision.reason.endswith(".")
    assert right in decision.reason


def test_every_role_is_explained():
    assert set(ROLES) == set(TABLE)
    assert all(role.sentence.endswith(".") for role in ROLES.values())


async def may(access, who, right, account=None):
    question = v1.Evaluation(right=right, operation="tests.any", account=account)
    (answer,) = await access.evaluate([Call(who.ctx(), question)])
    return answer


async def give(access, who, role, account=None, subject=None):
    request = v1.GrantRole(subject=subject or who.principal.id, role=role, account=account)
    return await access.assign(somebody(who.tenant).ctx(), request)


async def test_a_role_on_an_account_counts_there_and_nowhere_else(world):
    access, who, account = world.client(v1.Access), somebody(1101), new_id()
    await give(access, who, "owner", account)
    assert (await may(access, who, "make", account)).allowed
    elsewhere = await may(access, who, "view", new_id())
    assert not elsewhere.allowed
    assert elsewhere.reason.startswith("You hold no role on this account")
    assert not (await may(access, who, "view")).allowed
    assert not (await may(access, Who(1102, who.principal), "view", account)).allowed
    lacking = await may(access, who, "administer", account)
    assert "only owner" in lacking.reason
    assert "manager" in lacking.reason


async def test_a_role_of_the_party_counts_for_all_its_logins(world):
    access, party, account = world.client(v1.Access), new_id(), new_id()
    first, second = somebody(1103, party), somebody(1103, party)
    await give(access, first, "signatory", account, subject=party)
    for who in (first, second):
        assert (await may(access, who, "make", account)).role == "signatory"
    assert not (await may(access, somebody(1103), "view", account)).allowed


async def test_a_role_on_the_tenant_covers_every_account(world):
    access, who = world.client(v1.Access), somebody(1104)
    await give(access, who, "auditor")
    assert (await may(access, who, "view", new_id())).allowed
    assert (await may(access, who, "view")).allowed
    for right in ("make", "approve", "administer", "operate"):
        assert not (await may(access, who, right)).allowed


async def test_a_batch_answers_each_call_by_its_own_tenant_and_principal(world):
    access, account = world.client(v1.Access), new_id()
    owner, manager, stranger = somebody(1105), somebody(1106), somebody(1105)
    await give(access, owner, "owner", account)
    await give(access, manager, "manager")
    whos = [owner, stranger, manager, Who(1105, manager.principal), Who(1106, owner.principal)]
    question = v1.Evaluation(right="view", operation="tests.any", account=account)
    answers = await access.evaluate([Call(who.ctx(), question) for who in whos])
    assert [a.allowed for a in answers] == [True, False, True, False, False]


async def test_the_platform_itself_holds_no_right(world):
    access = world.client(v1.Access)
    service = Who(1107, Principal(id=new_id(), kind="service"))
    await give(access, service, "manager")
    assert not (await may(access, service, "view")).allowed
    found = await access.accounts(service.ctx(), v1.AccountQuestion(right="view"))
    assert (found.all, found.accounts) == (False, [])


async def test_a_fresh_platform_has_an_operator(world):
    access = world.client(v1.Access)
    assert (await may(access, operator(), "operate")).allowed
    assert not (await may(access, Who(1108, operator().principal), "view")).allowed
    assert not (await may(access, somebody(PLATFORM), "operate")).allowed


@pytest.mark.parametrize(
    ("role", "on_account"),
    [
        ("owner", False),
        ("signatory", False),
        ("bookkeeper", False),
        ("manager", True),
        ("auditor", True),
        ("operator", False),
    ],
)
async def test_a_role_that_does_not_fit_its_scope_is_refused(world, role, on_account):
    account = new_id() if on_account else None
    with pytest.raises(v1.RoleScope):
        await give(world.client(v1.Access), somebody(1109), role, account)


async def test_a_role_given_twice_is_held_once(world):
    access, who, account = world.client(v1.Access), somebody(1110), new_id()
    first = await give(access, who, "owner", account)
    assert await give(access, who, "owner", account) == first
    listed = await access.grants(who.ctx(), v1.GrantQuery(subject=who.principal.id))
    assert listed.items == [first]


async def test_accounts_come_in_bounded_pages_and_all_of_them_for_a_manager(world):
    access, who = world.client(v1.Access), somebody(1111, new_id())
    mine = sorted([new_id() for _ in range(5)])
    for n, account in enumerate(mine):
        subject = who.principal.party if n % 2 else None
        await give(access, who, "owner", account, subject=subject)
    await give(access, who, "signatory", mine[0])
    looked = new_id()
    await give(access, who, "bookkeeper", looked)
    seen, after = [], None
    for _ in range(4):
        question = v1.AccountQuestion(right="make", after=after, limit=2)
        page = await access.accounts(who.ctx(), question)
        assert not page.all
        seen += page.accounts
        after = page.accounts[-1] if page.accounts else after
    assert seen == mine
    viewed = await access.accounts(who.ctx(), v1.AccountQuestion(right="view"))
    assert viewed.accounts == sorted([*mine, looked])
    await give(access, who, "manager")
    everything = await access.accounts(who.ctx(), v1.AccountQuestion(right="make", after=mine[2]))
    assert (everything.all, everything.accounts) == (True, [])


async def test_a_role_taken_back_counts_no_more_and_can_be_given_again(world):
    access, who = world.client(v1.Access), somebody(1112)
    given_ = await give(access, who, "manager")
    boss = somebody(1112)
    await give(access, boss, "manager")
    request = v1.RevokeRole(grant_id=given_.id, reason="left the bank")
    taken = await world.public(v1.Access).revoke(boss.ctx(), request)
    assert taken.revoked_at is not None
    assert not (await may(access, who, "view")).allowed
    again = v1.RevokeRole(grant_id=given_.id, reason="again")
    assert await access.revoke(boss.ctx(), again) == taken
    assert (await give(access, who, "manager")).id != given_.id
    assert (await may(access, who, "view")).allowed
    with pytest.raises(NotFound):
        await access.revoke(boss.ctx(), v1.RevokeRole(grant_id=new_id(), reason="no such"))


async def test_another_tenants_role_cannot_be_taken_back(world):
    access = world.client(v1.Access)
    given_ = await give(access, somebody(1113), "auditor")
    boss = somebody(1114)
    await give(access, boss, "manager")
    with pytest.raises(NotFound):
        await world.public(v1.Access).revoke(
            boss.ctx(), v1.RevokeRole(grant_id=given_.id, reason="not mine")
        )
    query = v1.GrantQuery(subject=given_.subject)
    assert (await world.public(v1.Access).grants(boss.ctx(), query)).items == []


async def test_roles_in_force_are_listed_in_pages(world):
    access, boss, account = world.client(v1.Access), somebody(1115), new_id()
    await give(access, boss, "manager")
    given_ = [await give(access, somebody(1115), "owner", account) for _ in range(3)]
    seen, after = [], None
    for _ in range(2):
        query = v1.GrantQuery(account=account, after=after, limit=2)
        page = await world.public(v1.Access).grants(boss.ctx(), query)
        seen += page.items
        after = page.next
    assert after is None
    assert sorted(seen, key=lambda g: g.id) == sorted(given_, key=lambda g: g.id) == seen


@pytest.mark.refuses("access.roles")
async def test_roles_are_shown_to_those_who_see_the_tenant(world):
    access, who = world.public(v1.Access), somebody(1116)
    with pytest.raises(Forbidden):
        await access.roles(who.ctx(), Nothing())
    await give(world.client(v1.Access), who, "auditor")
    assert {r.name for r in (await access.roles(who.ctx(), Nothing())).items} == set(TABLE)


@pytest.mark.refuses("access.grants")
@pytest.mark.refuses("access.revoke")
@pytest.mark.refuses("access.grant")
async def test_only_an_administrator_touches_roles(world):
    internal, access, who = world.client(v1.Access), world.public(v1.Access), somebody(1117)
    await give(internal, who, "auditor")
    given_ = await give(internal, somebody(1117), "manager")
    with pytest.raises(Forbidden):
        await access.grants(who.ctx(), v1.GrantQuery())
    with pytest.raises(Forbidden):
        await access.revoke(who.ctx(), v1.RevokeRole(grant_id=given_.id, reason="envy"))
    with pytest.raises(Forbidden):
        await access.grant(who.ctx(), v1.GrantRole(subject=new_id(), role="auditor"))
    assert (await internal.grants(who.ctx(), v1.GrantQuery(subject=given_.subject))).items


@pytest.mark.abuse(34)
async def test_another_partys_account_is_neither_allowed_nor_listed(world):
    access, mine, theirs = world.client(v1.Access), new_id(), new_id()
    me, other = somebody(1118, new_id()), somebody(1118, new_id())
    await give(access, me, "owner", mine, subject=me.principal.party)
    await give(access, other, "owner", theirs, subject=other.principal.party)
    for right in RIGHTS:
        refused = await may(access, me, right, theirs)
        absent = await may(access, me, right, new_id())
        assert not refused.allowed
        assert refused == absent  # the reason does not tell whether the account exists
    listed = await access.accounts(me.ctx(), v1.AccountQuestion(right="view"))
    assert listed.accounts == [mine]
    # Nor through one batch with somebody who may.
    ask = v1.Evaluation(right="view", operation="tests.any", account=theirs)
    answers = await access.evaluate([Call(other.ctx(), ask), Call(me.ctx(), ask)])
    assert [a.allowed for a in answers] == [True, False]


@pytest.mark.abuse(35)
@pytest.mark.parametrize(
    "extra", ["tenant", "approved_by", "granted_by", "approval", "state", "roles", "id"]
)
def test_extra_fields_of_a_role_are_refused(extra):
    operation = v1.Access.operations()["grant"]
    body = f'{{"subject":"{new_id()}","role":"auditor","{extra}":"1"}}'
    with pytest.raises(InvalidRequest):
        read_request(operation, {}, [], body.encode())


@pytest.mark.abuse(35)
@pytest.mark.parametrize("extra", ["decided_by", "state", "hash", "input", "tenant"])
@pytest.mark.parametrize("name", ["approve", "reject"])
def test_extra_fields_of_a_verdict_are_refused(name, extra):
    operation = v1.Access.operations()[name]
    body = f'{{"reason":"fine with me","{extra}":"1"}}'
    with pytest.raises(InvalidRequest):
        read_request(operation, {"proposal_id": str(new_id())}, [], body.encode())


async def test_evaluate_is_one_query_however_long_the_batch(direct, monkeypatch):
    access, who = direct.client(v1.Access), somebody(1119)
    seen = []
    from guilder.chassis.store import Tx

    fetch = Tx.fetch

    async def counted(self, sql, *args):
        seen.append(sql)
        return await fetch(self, sql, *args)

    monkeypatch.setattr(Tx, "fetch", counted)
    question = v1.Evaluation(right="view", operation="tests.any", account=new_id())
    await access.evaluate([Call(who.ctx(), question)] * 100)
    assert len(seen) == 1
    assert not (await one(access.evaluate, who.ctx(), question)).allowed
