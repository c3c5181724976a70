"""Editions of somebody else are bound as they were tested here, and not otherwise."""

from datetime import timedelta

import pytest
from attested_desk import DIGEST, HOME, OTHER_DIGEST, foreign, lab, manifest
from binding_desk import another_operator, answering, approve, bind, end, history, propose, wish

from guilder.chassis.testing import make_bank, operator
from guilder.chassis.versions import Versions
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import AddressRefused, InvalidRequest
from guilder.contracts.pricing.v1 import Pricing
from guilder.contracts.registry import v1
from guilder.contracts.registry.bindings import ContractVersionEnded
from guilder.services.registry.manifest import NoManifest, Unanswered


async def test_an_edition_that_passed_here_is_bound_as_it_was_tested(world):
    bank = await make_bank(world)
    with lab(world) as here:
        said = await here.attest()
        record = await bind(world, foreign(bank.slug))
    assert (record.edition, record.version, record.address) == ("B", "1.0.0", HOME)
    assert (record.digest, record.attestation) == (DIGEST, said.id)
    assert len(here.says.asked) >= 2, "asked before the proposal, and when it took effect"
    line = next(
        line
        for line in (await whole(world)).bindings
        if (line.tenant, line.contract) == (bank.number, "pricing")
    )
    assert (line.id, line.digest, line.mode, line.share) == (record.id, DIGEST, "live", 100)
    assert (line.begins, line.ends) == (None, None)
    await end(world, record)


async def whole(world):
    answer = await world.client(v1.Registry).directory(operator().ctx(), v1.DirectoryQuery())
    assert answer.whole
    return answer


@pytest.mark.parametrize(
    "written", ["https://Fees.Company-X.example:443/v1", "https://fees.company-x.example/v1/"]
)
async def test_a_url_is_the_same_however_it_is_written(direct, written):
    bank = await make_bank(direct)
    with lab(direct) as here:
        await here.attest(url="https://fees.company-x.example/v1")
        record = await bind(direct, foreign(bank.slug, address=written))
    assert record.address == "https://fees.company-x.example/v1"
    await end(direct, record)


async def refused(world, problem, bank, *, answer=None, ahead=None, changes=None, **attested):
    """Propose what was attested so, after so long, with these changes: it must be refused."""
    with lab(world, answer) as here:
        if attested:
            await here.attest(**attested.get("said", {}))
        if ahead is not None:
            here.world.clock.move(seconds=ahead.total_seconds())
        try:
            with pytest.raises(problem) as raised:
                await propose(world, operator(), foreign(bank.slug, **(changes or {})))
        finally:
            if ahead is not None:
                here.world.clock.move(seconds=-ahead.total_seconds())
    assert (await history(world, tenant=bank.slug)).items == []
    return raised.value


async def test_nothing_new_is_bound_to_a_version_that_has_ended(direct, monkeypatch):
    bank, version = await make_bank(direct), Pricing.contract_version.removesuffix("-draft")
    days = "released=2025-01-01\ndeprecated=2025-06-01\nsunset="
    today = direct.clock.now().date()
    for sunset, ended in ((today, True), (today + timedelta(days=1), False)):
        book = Versions(f'[pricing."{version}"]\n{days}{sunset}\n')
        monkeypatch.setattr("guilder.services.registry.edition.versions", lambda book=book: book)
        if ended:
            problem = await refused(direct, ContractVersionEnded, bank, said={})
            assert f"has ended on {today}" in problem.detail
        else:
            with lab(direct) as here:
                await here.attest()
                await end(direct, await bind(direct, foreign(bank.slug)))


async def test_nothing_is_bound_without_an_attestation_for_exactly_that(world):
    bank = await make_bank(world)
    await refused(world, v1.NoAttestation, bank)
    for said in (
        {"version": "1.0.1"},
        {"edition": "C"},
        {"contract": "screening"},
        {"url": "http://127.0.0.1:4001"},
    ):
        await refused(world, v1.NoAttestation, bank, said=said)


async def test_an_attestation_does_not_last(world):
    bank = await make_bank(world)
    await refused(world, v1.AttestationExpired, bank, said={}, ahead=timedelta(days=31))
    problem = await refused(world, v1.AttestationExpired, bank, said={"suite": "suite-0"})
    assert "a suite that has changed since" in problem.detail


async def test_what_was_written_into_the_database_by_hand_counts_for_nothing(direct):
    bank = await make_bank(direct)
    answer = manifest(digest=OTHER_DIGEST)
    said = {"tamper": OTHER_DIGEST}
    await refused(direct, v1.NoAttestation, bank, answer=answer, said=said)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (manifest(digest=OTHER_DIGEST), v1.DigestChanged),
        (manifest(version="1.0.1"), v1.WrongRelease),
        (manifest(edition="C"), v1.WrongRelease),
        (manifest(contract="screening"), v1.WrongRelease),
        (manifest(contract_version="1.1.0"), v1.WrongRelease),
        (Unanswered("connection refused"), v1.ReleaseUnreachable),
        (NoManifest("status 404"), v1.ReleaseUnreachable),
    ],
)
async def test_what_answers_now_must_be_what_was_tested(world, answer, problem):
    await refused(world, problem, await make_bank(world), answer=answer, said={})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"contract": "payments"}, v1.NotReplaceable),
        ({"contract": "ledger"}, v1.NotBindable),
        ({"contract": "screening", "on_failure": "fallback"}, v1.FallbackImpossible),
        ({"contract": "accounts", "edition": "A", "mode": "canary", "share": 5}, v1.LiveOnly),
        ({"contract": "accounts", "edition": "A", "mode": "shadow"}, v1.LiveOnly),
        ({"mode": "canary"}, InvalidRequest),
        ({"share": 10}, InvalidRequest),
        ({"mode": "shadow", "on_failure": "fallback"}, InvalidRequest),
        ({"address": "http://169.254.169.254"}, AddressRefused),
        ({"address": "http://2130706433"}, AddressRefused),
        ({"address": "unix:/run/b.sock"}, AddressRefused),
        ({"edition": "A", "address": "https://pricing.example"}, InvalidRequest),
        ({"edition": "A", "address": "http://pricing:80/path"}, InvalidRequest),
    ],
)
async def test_what_can_never_be_bound_is_refused(direct, changes, problem):
    with answering(direct) as asked:
        await refused(direct, problem, await make_bank(direct), said={}, changes=changes)
    assert asked == []


async def test_what_changed_between_proposal_and_approval_is_not_bound(world):
    bank, other = await make_bank(world), await another_operator(world)
    with lab(world) as here:
        await here.attest()
        proposal = await propose(world, operator(), foreign(bank.slug))
        here.says.answer = manifest(digest=OTHER_DIGEST)
        done = await approve(world, other, proposal)
    assert (done.state, done.problem) == ("failed", "digest-changed")
    assert (await history(world, tenant=bank.slug)).items == []


# ── shadow ───────────────────────────────────────────────────────────────────────────────────


def beside(tenant, **changes):
    asked = {"tenant": tenant, "contract": "pricing", "edition": "B", "version": "1.0.0"}
    return v1.Shadow(**(asked | {"address": HOME} | changes))


async def test_one_operator_lets_a_shadow_run_that_sees_nothing_personal(world):
    bank = await make_bank(world)
    with lab(world) as here:
        with pytest.raises(v1.NoAttestation):
            await world.public(v1.Registry).shadow(operator().ctx(), beside(bank.slug))
        await here.attest()
        record = await world.public(v1.Registry).shadow(operator().ctx(), beside(bank.slug))
    assert (record.mode, record.approved_by) == ("shadow", None)
    assert record.proposed_by == operator().principal.id
    lines = (await world.public(v1.Registry).bindings(bank.manager.ctx(), Nothing())).items
    assert {line.binding for line in lines} == {None}, "a shadow serves nobody"
    await end(world, record)


async def test_a_shadow_that_sees_names_needs_what_a_binding_needs(world):
    bank = await make_bank(world)
    with lab(world, manifest(contract="screening")) as here:
        await here.attest(contract="screening")
        names = beside(bank.slug, contract="screening")
        with pytest.raises(v1.ApprovalNeeded):
            await world.public(v1.Registry).shadow(operator().ctx(), names)
        assert here.says.asked == []
        record = await bind(world, foreign(bank.slug, contract="screening", mode="shadow"))
    assert record.mode == "shadow"
    assert record.approved_by not in (None, record.proposed_by)
    await end(world, record)


async def test_nobody_alone_has_an_untested_address_called(direct):
    """A release of ours carries no attestation, and is called as one of our own processes."""
    bank = await make_bank(direct)
    with answering(direct) as asked:
        for address in ("http://169.254.169.254:80", "unix:/run/next/pricing.sock"):
            alone = beside(bank.slug, edition="A", version="1.1.0", address=address)
            with pytest.raises(v1.ApprovalNeeded, match="no attestation"):
                await direct.public(v1.Registry).shadow(operator().ctx(), alone)
    assert asked == []


async def test_live_canary_and_shadow_stand_side_by_side(world):
    bank = await make_bank(world)
    with lab(world) as here, answering(world):
        await here.attest()
        live = await bind(world, wish(bank.slug))
        canary = await bind(world, foreign(bank.slug, mode="canary", share=10))
        shadow = await bind(world, foreign(bank.slug, mode="shadow"))
    lines = {
        line.mode: line for line in (await whole(world)).bindings if line.tenant == bank.number
    }
    assert {mode: line.id for mode, line in lines.items()} == {
        "live": live.id,
        "canary": canary.id,
        "shadow": shadow.id,
    }
    assert {mode: line.share for mode, line in lines.items()} == {
        "live": 100,
        "canary": 10,
        "shadow": 100,
    }
    for record in (live, canary, shadow):
        assert record.ended_at is None
        await end(world, record)


# ── what the tables themselves refuse ────────────────────────────────────────────────────────

ROW = {
    "contract": "pricing",
    "edition": "A",
    "on_failure": "closed",
    "during": "tstzrange(now(), NULL)",
    "approved_by": "gen_random_uuid()",
    "mode": "live",
    "share": 100,
}


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"approved_by": "'00000000-0000-0000-0000-000000000001'"}, "four_eyes"),
        ({"approved_by": "NULL"}, "approved"),
        ({"approved_by": "NULL", "mode": "canary", "share": 5}, "approved"),
        ({"mode": "canary"}, "share_of_canary"),
        ({"share": 5}, "share_of_canary"),
        ({"edition": "B"}, "attested"),
        ({"contract": "screening", "on_failure": "fallback"}, "screening_is_closed"),
        ({"mode": "other"}, "known_mode"),
        ({"during": "tstzrange(now(), now() + interval '1 hour')"}, "ended"),
    ],
)
async def test_the_table_refuses_what_no_code_may_write(direct, changes, constraint):
    bank = await make_bank(direct)
    with pytest.raises(Exception, match=f'constraint "{constraint}"'):
        await insert(direct, bank.number, **changes)


async def test_the_table_holds_one_of_each_mode_at_a_time(direct):
    bank = await make_bank(direct)
    await insert(direct, bank.number)
    await insert(direct, bank.number, mode="shadow", approved_by="NULL")
    await insert(direct, bank.number, mode="canary", share=5)
    for mode, share in (("live", 100), ("shadow", 100), ("canary", 5)):
        with pytest.raises(Exception, match="one_of_a_mode_at_a_time"):
            await insert(direct, bank.number, mode=mode, share=share)
    async with direct.process.stores["registry"].tx(PLATFORM) as tx:
        await tx.execute(  # nothing is deleted in life; other tests read the directory
            "UPDATE binding SET during=tstzrange(lower(during), lower(during) + '1 s'::interval),"
            " ended_by=id, ended_generation=generation+1 WHERE number=$1",
            bank.number,
        )


async def insert(world, number, **changes):
    row = ROW | changes
    quoted = {"during", "approved_by", "share"}
    values = ", ".join(str(v) if n in quoted else f"'{v}'" for n, v in row.items())
    async with world.process.stores["registry"].tx(PLATFORM) as tx:
        await tx.execute(
            "INSERT INTO binding (id, number, contract_version, version, address, proposed_by,"
            f" generation, {', '.join(row)}) VALUES (gen_random_uuid(), {number}, '1.0.0', '1.0.0',"
            " 'unix:/x', '00000000-0000-0000-0000-000000000001',"
            f" (SELECT -count(*) - 1 FROM binding WHERE generation < 0), {values})"
        )
