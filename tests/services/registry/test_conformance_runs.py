"""Conformance runs: asked for by operators, done by a child, ended by whoever holds the lease."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from edition_desk import DIGEST, SEED, SUITE, Edition, ask, attested, read, run, trial, until

from guilder.chassis.contract import convert
from guilder.chassis.testing import make_bank, new_id, operator, somebody
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import EventQuery
from guilder.contracts.errors import AddressRefused, Forbidden, InvalidRequest, KeyReused
from guilder.contracts.registry import v1
from guilder.services.registry import conformance, manifest


async def test_a_run_that_passes_makes_an_attestation(world, tmp_path):
    with trial(world, tmp_path):
        async with Edition().serving() as edition:
            asked = await ask(world, edition.url + "/")
            assert (asked.state, asked.checks, asked.edition) == ("running", [], None)
            assert await world.process.built["registry"].service.work()
            done = await read(world, asked)
            (line,) = [a for a in await attested(world) if a.run == done.id]
    assert (done.state, done.reason, done.url) == ("passed", None, edition.url)
    names = [(check.name, check.passed) for check in done.checks]
    assert names == [("identity", True), ("schema", True), ("steady", True)]
    assert done.checks[1].milliseconds == 250
    assert (done.edition, done.version, done.digest) == ("B", "1.0.0", DIGEST)
    assert (done.suite, done.disclaims, done.attestation) == (SUITE, ["load"], line.id)
    assert (line.edition, line.version, line.url) == ("B", "1.0.0", edition.url)
    assert (line.digest, line.suite, line.contract_version) == (DIGEST, SUITE, "1.0.0")
    assert (line.disclaims, line.standing) == (["load"], "fresh")
    assert (line.expires_at - line.finished_at).days == 7
    assert (edition.asked, edition.signed) == (3, 2), "once before, once the suite, once after"


async def test_a_run_that_fails_says_which_check_and_attests_nothing(world, tmp_path):
    more = (
        "checks.append({'name': 'one \\x1b[2Jcent', 'passed': False, 'skipped': False,"
        " 'detail': 'x' * 5000, 'seconds': 1.0}); passed = False"
    )
    with trial(world, tmp_path, more):
        async with Edition().serving() as edition:
            done = await run(world, edition)
            made = [a for a in await attested(world) if a.run == done.id]
    assert (done.state, done.attestation, made) == ("failed", None, [])
    (wrong,) = [check for check in done.checks if not check.passed]
    assert wrong.name == "one  [2Jcent", "nothing that steers a terminal"
    assert len(wrong.detail) == 1000


async def test_what_was_skipped_is_told_and_does_not_fail(direct, tmp_path):
    more = (
        "checks.append({'name': 'load', 'passed': False, 'skipped': True,"
        " 'detail': 'disclaimed', 'seconds': 0})"
    )
    with trial(direct, tmp_path, more):
        async with Edition().serving() as edition:
            done = await run(direct, edition)
    assert done.state == "passed"
    assert [check.name for check in done.checks if check.skipped] == ["load"]


async def test_a_suite_that_contradicts_its_checks_does_not_pass(direct, tmp_path):
    with trial(direct, tmp_path, "checks[0]['passed'] = False"):
        async with Edition().serving() as edition:
            done = await run(direct, edition)
    assert (done.state, done.attestation) == ("failed", None)


async def test_the_same_key_asks_for_one_run(world, tmp_path):
    key = str(new_id())
    with trial(world, tmp_path):
        async with Edition().serving() as edition:
            first = await ask(world, edition.url, key=key)
            again = await ask(world, edition.url, key=key)
            with pytest.raises(KeyReused):
                await ask(world, edition.url, key=key, edition="C")
            assert await world.process.built["registry"].service.work()
            assert not await world.process.built["registry"].service.work()
    assert again.id == first.id


@pytest.mark.parametrize(
    ("said", "wanted", "fault"),
    [
        ({}, "C", "it says that it is B.1.0.0, not C"),
        ({}, "B.1.0.1", "it says that it is B.1.0.0, not B.1.0.1"),
        ({"contract": "screening"}, None, "it is an edition of screening, not of pricing"),
        ({"edition": "A"}, None, "A is the platform's own edition"),
        ({"version": "1.0"}, None, "its version is not of the form 1.0.0"),
        ({"digest": "md5:1"}, None, "Expected `str` matching regex"),
        ({"edition": "BB"}, None, "Expected `str` matching regex"),
    ],
)
async def test_what_is_there_is_what_was_asked_for(direct, tmp_path, said, wanted, fault):
    with trial(direct, tmp_path, "raise SystemExit(9)"):
        async with Edition(**said).serving() as edition:
            done = await run(direct, edition, edition=wanted)
    assert (done.state, done.attestation) == ("failed", None)
    (check,) = done.checks
    assert check.name == "identity"
    assert fault in check.detail


@pytest.mark.parametrize("wanted", ["B", "B.1.0.0"])
async def test_who_names_the_edition_gets_it(direct, tmp_path, wanted):
    with trial(direct, tmp_path):
        async with Edition().serving() as edition:
            assert (await run(direct, edition, edition=wanted)).state == "passed"


@pytest.mark.parametrize("when", [2, 3])
async def test_an_edition_that_changes_during_the_run_fails(direct, tmp_path, when):
    """The suite saw another build than was there before, or than is there after."""
    other = {"digest": "sha256:" + "00" * 32}
    with trial(direct, tmp_path):
        async with Edition().serving() as edition:
            edition.after = {when: other}
            done = await run(direct, edition)
    assert (done.state, done.attestation) == ("failed", None)
    (wrong,) = [check for check in done.checks if not check.passed]
    assert wrong.name == "steady"
    assert "sha256:0000" in wrong.detail
    assert done.digest == DIGEST


async def test_an_edition_that_is_gone_after_the_run_fails(direct, tmp_path):
    with trial(direct, tmp_path):
        async with Edition().serving() as edition:
            asked = await ask(direct, edition.url)
            work = asyncio.create_task(direct.process.built["registry"].service.work())
            await until(lambda: asyncio.sleep(0, edition.asked == 2))
            edition.status = 503
            await work
            done = await read(direct, asked)
    assert done.state == "failed"
    assert done.checks[-1].detail.endswith("is answered with status 503")


@pytest.mark.parametrize(
    ("status", "raw", "said"),
    [
        (404, b"", "is answered with status 404"),
        (301, b"", "is answered with status 301"),
        (200, b"<html>", "not JSON"),
        (200, b"[]", "Expected `object`"),
        (200, b'{"contract":"pricing","contract":"x"}', "twice"),
    ],
)
async def test_who_does_not_say_what_it_is_fails(direct, tmp_path, status, raw, said):
    with trial(direct, tmp_path):
        async with Edition().serving() as edition:
            edition.status, edition.raw = status, raw
            done = await run(direct, edition)
    assert done.state == "failed"
    assert said in done.checks[0].detail


async def test_where_nothing_listens_the_run_is_broken(direct, tmp_path):
    with trial(direct, tmp_path):
        async with Edition().serving() as edition:
            pass
        done = await run(direct, edition)
    assert (done.state, done.checks) == ("broken", [])
    assert done.reason.startswith("it cannot be asked")


async def test_an_edition_that_hangs_breaks_only_its_run(direct, tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "ASK_S", 0.2)
    with trial(direct, tmp_path):
        async with Edition().serving() as edition:
            edition.hangs = True
            done = await run(direct, edition)
    assert (done.state, done.reason) == ("broken", "no answer within 0.2 s")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("time.sleep(600)", "it was not over after 2 s"),
        ("os.kill(os.getpid(), 9)", "it was ended by SIGKILL"),
        ("say('install guilder[conform]'); sys.exit(2)", "install guilder[conform]"),
        ("say('\\x07' * 3); sys.exit(3)", "schema: passed"),
        ("print('no JSON'); sys.exit(0)", "what it said cannot be read"),
        ("checks.clear()", "it has judged nothing"),
        ("contract = 'x'", "it has judged nothing"),
        ("os.write(1, b' ' * 5_000_000)", "it says too much"),
        ("print(json.dumps({})); sys.exit(1)", "what it said cannot be read"),
        ("x = b'.' * 400_000_000", "MemoryError"),
    ],
    ids=[
        "hangs",
        "killed",
        "cannot",
        "bell",
        "no-json",
        "no-checks",
        "other-contract",
        "talks",
        "empty",
        "memory",
    ],
)
async def test_a_suite_that_says_nothing_of_the_edition_is_broken(direct, tmp_path, more, reason):
    limits = {"memory": 200 * 1024 * 1024} if reason == "MemoryError" else {}
    limits |= {"seconds": 2.0} if "600" in more else {}
    crashing = f"try:\n    {more}\nexcept MemoryError: say('MemoryError'); sys.exit(2)"
    with trial(direct, tmp_path, crashing, **limits):
        async with Edition().serving() as edition:
            done = await run(direct, edition)
    assert (done.state, done.attestation) == ("broken", None)
    assert reason in done.reason


async def test_a_suite_learns_no_secret_of_ours_but_the_key_it_signs_with(direct, tmp_path):
    more = (
        "checks[0]['detail'] = ' '.join(sorted(os.environ)) + ' ' + seed.hex()"
        " + ' ' + ' '.join(os.listdir('.'))"
    )
    with trial(direct, tmp_path, more):
        async with Edition().serving() as edition:
            done = await run(direct, edition)
    told = "GUILDER_CONFORMANCE_SMTP GUILDER_OUTBOUND_ALLOW HOME PATH TMPDIR"
    seen = done.checks[1].detail.replace("LC_CTYPE ", "")  # Python's own
    assert seen == f"{told} {SEED.hex()}"


@pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux says so")
async def test_nothing_that_a_suite_starts_is_more_than_the_suite(direct, tmp_path):
    more = "checks[0]['detail'] = open('/proc/self/status').read()"
    with trial(direct, tmp_path, more):
        async with Edition().serving() as edition:
            done = await run(direct, edition)
    assert "NoNewPrivs: 1" in done.checks[1].detail


async def test_how_far_it_is_can_be_read_meanwhile(direct, tmp_path):
    gate = tmp_path / "gate"
    more = f"say('half-way')\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    with trial(direct, tmp_path, more):
        async with Edition().serving() as edition:
            asked = await ask(direct, edition.url)
            work = asyncio.create_task(direct.process.built["registry"].service.work())

            async def half_way():
                now = await read(direct, asked)
                return now if now.progress[-1:] == ["half-way"] else None

            seen = await until(half_way)
            gate.touch()
            await work
            done = await read(direct, asked)
    assert (seen.state, seen.edition) == ("running", "B")
    assert (done.state, done.progress) == ("passed", ["schema: passed", "half-way"])


def waits(folder: Path) -> str:
    return f"open({str(folder / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"


async def pid_of(folder: Path) -> int:
    path = folder / "pid"

    async def written():
        return path.exists() and path.read_text()

    return int(await until(written))


async def test_who_leaves_ends_the_suite_and_another_goes_on_at_once(direct, tmp_path):
    async with Edition().serving() as edition:
        with trial(direct, tmp_path, waits(tmp_path)) as service:
            asked = await ask(direct, edition.url)
            work = asyncio.create_task(service.work())
            pid = await pid_of(tmp_path)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            assert not psutil.pid_exists(pid)
            assert (await read(direct, asked)).state == "running"
        with trial(direct, tmp_path) as service:
            assert await service.work()
            assert (await read(direct, asked)).state == "passed"


async def test_who_dies_leaves_the_run_to_another_and_cannot_end_it_any_more(direct, tmp_path):
    """The first worker stands still beyond its lease, as a frozen process would."""
    async with Edition().serving() as edition:
        with trial(direct, tmp_path, waits(tmp_path)) as service:
            asked = await ask(direct, edition.url)
            first = asyncio.create_task(service.work())
            pid = await pid_of(tmp_path)
            assert not await service.work(), "the lease holds"
            direct.clock.move(seconds=31)
            second = asyncio.create_task(service.work())
            assert await first is True, "it sees that another has taken over"
            assert not psutil.pid_exists(pid)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
        assert (await read(direct, asked)).state == "running"
        with trial(direct, tmp_path) as service:
            assert await service.work()
            assert (await read(direct, asked)).state == "passed"


async def test_a_run_whose_workers_die_again_and_again_is_broken(direct, tmp_path):
    async with Edition().serving() as edition:
        with trial(direct, tmp_path, waits(tmp_path)) as service:
            asked = await ask(direct, edition.url)
            for _ in range(conformance.MOST_ATTEMPTS):
                (tmp_path / "pid").unlink(missing_ok=True)
                work = asyncio.create_task(service.work())
                await pid_of(tmp_path)
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
            assert await service.work()
            done = await read(direct, asked)
    assert (done.state, done.reason) == ("broken", "whoever worked on it died, 3 times")


@pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux ties a child to its parent")
async def test_a_killed_registry_leaves_no_suite_behind(tmp_path):
    """A process of its own runs a suite, and is killed without a word."""
    script = tmp_path / "suite.py"
    script.write_text(f"import os, time\n{waits(tmp_path)}\n")
    program = (
        "import asyncio, sys\n"
        "from guilder.services.registry.suite import Limits, Suite\n"
        f"suite = Suite({{}}, b'', Limits(), (sys.executable, {str(script)!r}))\n"
        "asyncio.run(suite.run('pricing', 'http://x', print))\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    child = psutil.Process(await pid_of(tmp_path))
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    await asyncio.to_thread(child.wait, 10)


async def test_runs_and_attestations_are_in_the_log(direct, tmp_path):
    with trial(direct, tmp_path):
        async with Edition().serving() as edition:
            done = await run(direct, edition)
    registry, seen, after = direct.client(v1.Registry), [], ""
    while (page := await registry.events(operator().ctx(), EventQuery(after=after))).events:
        seen += [e for e in page.events if e.ids.get("run") == str(done.id)]
        after = page.next
    kinds = ["conformance-run.begun", "conformance-run.ended", "attestation.signed"]
    assert [e.type for e in seen] == kinds
    assert seen[0].principal == str(operator().principal.id)
    assert seen[1].ids["state"] == "passed"
    assert seen[2].ids["attestation"] == str(done.attestation)


# ── what is refused ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "https://127.0.0.1",
        "https://169.254.169.254/latest",
        "https://[::1]:8443",
        "https://[::ffff:127.0.0.1]",
        "https://2130706433",
        "https://0x7f.1",
        "https://10.0.0.1",
        "http://example.com",
        "https://user@example.com",
        "https://example.com?x=1",
        "file:///etc/passwd",
        "gopher://example.com",
        "https://example.com/../x",
    ],
)
@pytest.mark.abuse(61)
async def test_an_address_that_nobody_may_choose_is_refused(world, url):
    """The registry as it is built: nothing but the public internet is allowed."""
    with pytest.raises(AddressRefused) as refused:
        await ask(world, url)
    assert refused.value.at == "$.url"
    assert not await world.process.built["registry"].service.work(), "nothing waits"


@pytest.mark.abuse(61)
async def test_a_name_that_leads_inside_is_refused_when_it_is_looked_up(direct, tmp_path):
    async def inside(host, port):
        return ["10.0.0.7"]

    with trial(direct, tmp_path) as service:
        service.editions.ask._outbound._resolve = inside
        asked = await ask(direct, "https://editions.company-x.example")
        assert await service.work()
        done = await read(direct, asked)
    assert done.state == "broken"
    assert "not on the public internet" in done.reason


@pytest.mark.parametrize(
    ("contract", "problem"), [("catering", v1.UnknownContract), ("ledger", v1.NotReplaceable)]
)
async def test_only_what_is_replaceable_is_run(world, contract, problem):
    with pytest.raises(problem):
        await ask(world, "https://example.com", contract=contract)


@pytest.mark.parametrize("edition", ["b", "B.1", "B.1.0", "B.1.0.0.0", "B.01.0.0", "B\n", ""])
def test_an_edition_is_named_as_everywhere(edition):
    asked = {"contract": "pricing", "url": "https://example.com", "edition": edition}
    with pytest.raises(InvalidRequest):
        convert(asked, v1.Conform)


async def test_too_many_waiting_runs_are_refused(direct, monkeypatch):
    monkeypatch.setattr(conformance, "MOST_RUNNING", 0)
    with pytest.raises(v1.TooManyRuns):
        await ask(direct, "https://example.com")


async def test_an_unknown_run_is_not_found(world):
    with pytest.raises(v1.UnknownRun):
        await world.public(v1.Registry).conformance_run(operator().ctx(), v1.RunId(run_id=new_id()))


OPERATIONS = {
    "conform": v1.Conform(contract="pricing", url="https://example.com"),
    "conformance_run": v1.RunId(run_id=new_id()),
    "attestations": v1.AttestationQuery(),
}


@pytest.mark.refuses("registry.conform")
@pytest.mark.refuses("registry.conformance_run")
@pytest.mark.refuses("registry.attestations")
@pytest.mark.parametrize("name", OPERATIONS)
async def test_only_operators_of_the_platform_have_editions_tested(world, name):
    bank = await make_bank(world)
    registry = world.public(v1.Registry)
    for who in (somebody(PLATFORM), somebody(bank.number), bank.manager, bank.auditor):
        with pytest.raises(Forbidden):
            await getattr(registry, name)(who.ctx(), OPERATIONS[name])
    assert not await world.process.built["registry"].service.work(), "nothing waits"


@pytest.mark.parametrize("name", OPERATIONS)
async def test_nor_does_another_service_for_a_tenant(world, name):
    bank = await make_bank(world)
    with pytest.raises(Forbidden):
        await getattr(world.client(v1.Registry), name)(bank.manager.ctx(), OPERATIONS[name])
