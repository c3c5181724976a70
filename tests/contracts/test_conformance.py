"""Every suite passes against stock, and against a stranger's small edition: signed and unsigned."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn
from starlette.applications import Starlette

import guilder
from guilder.chassis.edition_door import edition_routes, package_digest
from guilder.chassis.outbound import Rules
from guilder.chassis.testing import World
from guilder.chassis.wire import Reply
from guilder.conformance import judge
from guilder.conformance.checks import Broken
from guilder.conformance.promises import speaks
from guilder.conformance.run import SUBJECTS, checks_of, conform, suite_hash
from guilder.conformance.signer import Signer
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.edition import MANIFEST
from tests.editions.faulty import Faulty, serving

SERVICES = Path(guilder.__file__).parent / "services"
LOOPBACK = Rules((ip_network("127.0.0.0/8"),))
SEED = bytes(range(32))
EXAMPLES = 10
STOCK = [name for name in SUBJECTS if (SERVICES / name / "build.py").exists()]
"""Every contract has its stock service (tests/architecture); a branch may be on its way there."""

MODES = {"unsigned": None, "signed": Signer(SEED)}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stock(admin):
    """The services that have a suite, on databases of their own."""
    folder = Path(tempfile.mkdtemp(prefix="gc-"))
    with SUBJECTS["notifications"].ready() as messages:
        host, port = messages.recipients.smtp
        env = {
            "GUILDER_NOTIFICATIONS_SMTP": f"{host}:{port}",
            "GUILDER_NOTIFICATIONS_SMTP_SECURITY": "none",
        }
        world = await World.make(admin, ["vault", *STOCK], folder, env)
        world.clock.at = datetime.now(UTC)  # receipts are judged by the clock in the ids
        yield world, {**SUBJECTS, "notifications": messages}
        await world.close()
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def door(world, name, key):
    """A stock service behind the edition door, over TCP."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    app = Starlette(routes=edition_routes(world.process.endpoints[name], key))
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    serving_it = asyncio.create_task(server._serve(sockets=[listening]))
    while not server.started:  # noqa: ASYNC110  uvicorn offers no event
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/editions/{name}"
    server.should_exit = True
    await serving_it


def broken(report):
    return {one.name: one.detail for one in report.checks if not one.passed and not one.skipped}


def skipped(report):
    return {one.name for one in report.checks if one.skipped}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STOCK)
async def test_stock_passes_its_own_suite(stock, name, mode):
    signer, (world, subjects) = MODES[mode], stock
    async with door(world, name, signer and signer.public_jwk()) as url:
        report = await asyncio.to_thread(
            conform,
            name,
            url,
            LOOPBACK,
            signer=signer,
            examples=EXAMPLES,
            subject=subjects[name],
        )
    assert broken(report) == {}
    assert report.passed
    disclaimed = world.process.endpoints[name].service.disclaims
    assert skipped(report) == {*disclaimed, *([] if signer else ["signatures"])}
    assert report.manifest["edition"] == "A"
    assert report.manifest["digest"] == package_digest()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_strangers_edition_passes(name, mode):
    signer = MODES[mode]
    key = signer and signer.public_jwk()
    with SUBJECTS[name].ready() as subject:
        recipients = getattr(subject, "recipients", None)
        more = {"smtp": recipients.smtp} if recipients else {}
        with serving(name, public_key=key, **more) as url:
            report = conform(name, url, LOOPBACK, signer=signer, examples=EXAMPLES, subject=subject)
    assert broken(report) == {}
    assert report.passed
    assert ("signatures" in skipped(report)) == (signer is None)


@pytest.mark.parametrize(
    ("theirs", "ours", "fits"),
    [
        ("1.0.0", "1.0.0", True),
        ("1.0.0", "1.2.0", True),
        ("1.2.0", "1.0.0", False),
        ("2.0.0", "1.0.0", False),
        ("1.0.0-draft", "1.0.0-draft", True),
        ("1.0.0-draft", "1.0.0", False),
        ("1.0.0", "1.0.0-draft", False),
        ("1.0", "1.0.0", False),
        ("one", "1.0.0", False),
        ("1.0.0-", "1.0.0", False),
    ],
)
def test_which_version_an_edition_may_speak(theirs, ours, fits):
    assert speaks(theirs, ours) is fits


@pytest.mark.parametrize(
    ("disclaims", "why"),
    [(["pricing"], "`disclaims` names pricing"), (["email", "webhook"], "names every channel")],
)
def test_nobody_disclaims_what_he_likes(monkeypatch, disclaims, why):
    name = "notifications" if "email" in disclaims else "pricing"
    said = Faulty.manifest
    more = {"disclaims": [*disclaims, "signatures"]}
    monkeypatch.setattr(Faulty, "manifest", lambda edition: said(edition) | more)
    with serving(name) as url:
        report = conform(name, url, LOOPBACK, examples=1)
    assert not report.passed
    assert why in broken(report)["manifest"]


def test_every_replaceable_contract_has_a_suite():
    replaceable = {
        name
        for name, contract in all_contracts().items()
        if any(operation.replaceable for operation in contract.operations().values())
    }
    assert set(SUBJECTS) == replaceable


@pytest.mark.parametrize("name", SUBJECTS)
def test_checks_have_names_of_their_own_and_sentences(name):
    checks = checks_of(SUBJECTS[name])
    assert len({check.name for check in checks}) == len(checks)
    assert all(check.says and check.fix.endswith(".") for check in checks)


def test_a_suite_has_the_same_hash_until_it_changes():
    hashes = {suite_hash(subject) for subject in SUBJECTS.values()}
    assert len(hashes) == len(SUBJECTS)
    assert hashes == {suite_hash(subject) for subject in SUBJECTS.values()}


def run(*args, allow="127.0.0.0/8"):
    found = subprocess.run(
        [sys.executable, "-m", "guilder.conformance", *args],
        capture_output=True,
        text=True,
        env={"GUILDER_OUTBOUND_ALLOW": allow},
        check=False,
    )
    return found.returncode, found.stdout, found.stderr


def test_the_command_prints_one_object_and_says_by_its_exit_what_came_of_it(tmp_path):
    seed = tmp_path / "seed"
    seed.write_text(SEED.hex())
    key = Signer(SEED).public_jwk()
    with serving("pricing", public_key=key) as url:
        more = ["--examples", "2", "--keys-seed-file", str(seed), "--json"]
        code, out, err = run("pricing", "--url", url, *more)
    assert code == 0, out + err
    report = json.loads(out)
    assert report["passed"]
    assert report["suite"] == suite_hash(SUBJECTS["pricing"])
    assert {"name", "passed", "skipped", "detail", "seconds"} == set(report["checks"][0])
    assert err.count("\n") >= 10
    with serving("pricing", "negative-fee") as url:
        code, out, _ = run("pricing", "--url", url, "--examples", "2")
    assert code == 1
    (wrong,) = [one for one in json.loads(out)["checks"] if not (one["passed"] or one["skipped"])]
    assert wrong["name"] == "invariants"
    for part in ("Asked: ", "Came: ", "negative", "The contract: ", "What to do: "):
        assert part in wrong["detail"]


@pytest.mark.parametrize(
    ("args", "allow", "why"),
    [
        (["pricing", "--url", "http://127.0.0.1:9"], "", "https://"),
        (["pricing", "--url", "https://169.254.169.254/"], "", "public internet"),
        (["ledger", "--url", "http://127.0.0.1:9"], "127.0.0.0/8", "has no suite"),
        (["pricing", "--url", "http://127.0.0.1:9"], "everything", "GUILDER_OUTBOUND_ALLOW"),
        (
            ["pricing", "--url", "http://127.0.0.1:9", "--keys-seed-file", "/dev/null"],
            "127.0.0.0/8",
            "32 bytes",
        ),
    ],
)
def test_what_cannot_be_run_is_no_verdict(args, allow, why):
    code, out, err = run(*args, allow=allow)
    assert (code, out) == (2, "")
    assert why in err


def test_nobody_there_is_a_verdict():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        report = conform("pricing", f"http://127.0.0.1:{free.getsockname()[1]}", LOOPBACK)
    assert list(broken(report)) == ["manifest"]
    assert MANIFEST in next(one.detail for one in report.checks if one.name == "manifest")


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("application/json", True),
        ("Application/JSON; charset=UTF-8", True),
        ("application/json; charset=latin-1", False),
        ("application/json;profile=x", False),
        ("text/html", False),
    ],
)
def test_the_suite_takes_the_content_types_that_the_guard_takes(kind, taken):
    reply = Reply(status=200, headers={"content-type": kind}, parts=[b"{}"])
    if taken:
        assert judge.document(reply, None) == {}
    else:
        with pytest.raises(Broken):
            judge.document(reply, None)
