"""`guilder service new`: what it writes runs, tests itself and passes the suite as it is."""

import json
import shutil
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from click.testing import CliRunner

from guilder.cli import main
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.edition import MANIFEST
from guilder.scaffold.render import LANGUAGES, TEMPLATES, contracts
from tests.editions.running import BUILD, KEY, ROOT, free_port, own_tests, running, suite, unkept

EVERY = [(contract, language) for language in LANGUAGES for contract in contracts()]
MESSAGE = {
    "id": str(UUID("01a2a000-0000-7000-8000-000000000001")),
    "channel": "email",
    "to": "ada@bank.example",
    "topic": "payment.booked",
    "order": "payment-1",
    "subject": "Booked",
    "text": "Your payment was booked.",
}
DELIVERIES = "/notifications/v1/deliveries"


def new(*args):
    return CliRunner().invoke(main, ["service", "new", *args])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A scaffold that is built, with the command that starts it; each once."""
    known = {}

    def make(contract, language):
        if (contract, language) not in known:
            folder = tmp_path_factory.mktemp("scaffolds") / f"own-{contract}"
            result = new(contract, "--lang", language, str(folder))
            assert result.exit_code == 0, result.output
            known[contract, language] = folder, BUILD[language](folder)
        return known[contract, language]

    return make


def test_every_contract_that_can_be_replaced_has_a_scaffold_in_every_language():
    replaceable = {
        name
        for name, contract in all_contracts().items()
        if any(operation.replaceable for operation in contract.operations().values())
    }
    assert replaceable == set(contracts())
    for language in LANGUAGES:
        there = {path.name for path in (TEMPLATES / language).iterdir() if path.is_dir()}
        assert there == {"base", *contracts()}


@pytest.mark.slow
@pytest.mark.parametrize(("contract", "language"), EVERY)
def test_it_tests_itself_and_passes_the_suite(made, contract, language):
    folder, command = made(contract, language)
    assert own_tests(language, folder) >= 5
    relay = f"127.0.0.1:{free_port()}"  # where the suite takes mail, to see what arrives
    with running(command, folder, SMTP_URL=f"smtp://{relay}") as edition:
        report = suite(contract, edition, GUILDER_CONFORMANCE_SMTP=relay)
        assert edition.stop() == 0
    assert unkept(report) == []
    assert report["passed"]
    manifest = report["manifest"]
    assert manifest["contract_version"] == all_contracts()[contract].contract_version
    assert (manifest["edition"], manifest["version"]) == ("B", "1.0.0")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_message_goes_out_once_though_the_process_is_killed_in_between(made, language, tmp_path):
    folder, command = made("notifications", language)
    settings = {"DATA": str(tmp_path / "data"), "SMTP_URL": ""}
    with running(command, folder, **settings) as edition:
        first = edition.ask(DELIVERIES, MESSAGE).answers
        edition.process.send_signal(signal.SIGKILL)
        edition.process.wait(10)
    with running(command, folder, **settings) as edition:
        assert edition.ask(DELIVERIES, MESSAGE).answers == first
        other = edition.ask(DELIVERIES, {**MESSAGE, "text": "Another text."}).document["items"][0]
        assert other["problem"]["code"] == "message-differs"
        webhook = {**MESSAGE, "id": MESSAGE["id"][:-1] + "2", "channel": "webhook"}
        refused = edition.ask(DELIVERIES, webhook).document["items"][0]
        assert refused["problem"]["code"] == "channel-disclaimed"
    (mail,) = (tmp_path / "data" / "outbox").iterdir()
    assert "ada@bank.example" in mail.read_text()
    assert "ada@bank.example" not in "".join(edition.log)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_under_way_when_it_is_asked_to_end_is_answered(made, language):
    folder, command = made("pricing", language)
    path, body = "/pricing/v1/quotes", b'{"tenant": 7, "items": [1]}'
    with running(command, folder) as edition:
        authority = urlsplit(edition.url).netloc
        idle, asked = HTTPConnection(authority, timeout=10), HTTPConnection(authority, timeout=10)
        idle.request("GET", MANIFEST)
        idle.getresponse().read()  # kept alive, as the platform keeps its connections
        asked.putrequest("POST", path)
        signed = KEY.sign("POST", authority, path, body, int(time.time()))
        for name, value in {**signed, "Content-Type": "application/json"}.items():
            asked.putheader(name, value)
        asked.putheader("Content-Length", str(len(body)))
        asked.endheaders(body[:5])
        edition.get(MANIFEST)  # so it has taken the other connection's beginning before
        edition.process.send_signal(signal.SIGTERM)
        while not any('"stopping"' in line for line in edition.log):
            assert edition.process.poll() is None
            time.sleep(0.01)
        asked.send(body[5:])
        answer = asked.getresponse()
        assert (answer.status, len(json.loads(answer.read())["items"])) == (200, 1)
        assert edition.process.wait(8) == 0  # the idle connection keeps nobody


def test_the_python_ones_have_strict_types(made, tmp_path):
    for contract in contracts():
        folder, _ = made(contract, "python")
        command = [sys.executable, "-m", "mypy", "--strict", "serve.py", "edition.py"]
        command += ["--cache-dir", str(tmp_path)]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    result = new("pricing", "--lang", "go", "--name", "own", str(tmp_path))
    assert result.exit_code == 1
    assert "is not empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_json_names_the_files_and_what_comes_next(tmp_path):
    folder = tmp_path / "x"
    args = ["pricing", "--lang", "typescript", "--edition", "C", "--name", "our-pricing"]
    made = json.loads(new(*args, "--json", str(folder)).stdout)
    written = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert set(made["files"]) == written
    assert {"package-lock.json", ".gitignore", "src/edition.ts"} <= written
    assert made["next"][0] == f"cd {folder}"
    assert json.loads((folder / "package.json").read_text())["guilder"]["edition"] == "C"
    assert not any("__" in line for line in (folder / "README.md").read_text().splitlines())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--edition", "A"),
        ("--edition", "b"),
        ("--edition", "BB"),
        ("--name", "../x"),
        ("--name", "Ü"),
        ("--name", "a" * 64),
    ],
)
def test_a_letter_or_a_name_that_cannot_be_is_refused(tmp_path, option, value):
    folder = tmp_path / "own"
    result = new("pricing", "--lang", "go", option, value, str(folder))
    assert (result.exit_code, folder.exists()) == (2, False)


def test_the_templates_are_part_of_what_is_installed(tmp_path):
    """A wheel without them would have a command that writes nothing."""
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__", "node_modules", "*.egg-info")
    shutil.copytree(ROOT / "guilder", source / "guilder", ignore=ignore)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-c", "from setuptools import setup; setup()", "-q", "build"]
    command += ["--build-lib", str(tmp_path / "built")]
    ran = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2_000:]
    there = tmp_path / "built" / "guilder" / "scaffold" / "templates"
    wanted = {str(p.relative_to(TEMPLATES)) for p in TEMPLATES.rglob("*") if p.is_file()}
    built = {str(p.relative_to(there)) for p in there.rglob("*") if p.is_file()}
    assert {name for name in wanted if "__pycache__" not in name} == built
