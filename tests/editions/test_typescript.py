"""Company X's pricing in TypeScript, by its own runtime."""

import json
import os
import shutil
import subprocess

import pytest

from guilder.chassis.contract import convert
from guilder.chassis.signature import SigningKey
from guilder.contracts.edition import MANIFEST
from guilder.contracts.pricing import v1
from tests.editions.running import (
    EDITIONS,
    build_typescript,
    own_tests,
    running,
    suite,
    unkept,
)

QUOTES = "/pricing/v1/quotes"
MONDAY, SATURDAY = "2026-03-02T12:00:00Z", "2026-03-07T12:00:00Z"


def asked(amount="1000.00", currency="EUR", at=MONDAY):
    money = {"amount": amount, "currency": currency}
    return {"operation": "book_transfer", "product": "current", "amount": money, "at": at}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("company-x") / "pricing"
    ignore = shutil.ignore_patterns("node_modules", "dist")
    shutil.copytree(EDITIONS / "pricing-typescript", folder, ignore=ignore)
    build_typescript(folder)
    return folder


COMMAND = ["node", "dist/src/main.js"]


@pytest.fixture(scope="module")
def edition(folder):
    with running(COMMAND, folder) as edition:
        yield edition


def test_its_own_tests_pass(folder):
    assert own_tests("typescript", folder) >= 10


def test_it_passes_the_suite(edition):
    report = suite("pricing", edition)
    assert unkept(report) == []
    assert report["passed"]
    assert report["manifest"]["digest"] == edition.digest


def test_it_says_what_it_is(edition):
    manifest = edition.get(MANIFEST)
    assert (manifest.document["contract"], manifest.document["edition"]) == ("pricing", "B")
    banner = f"pricing B.{manifest.document['version']} {edition.digest}"
    assert manifest.headers["Guilder-Edition"] == banner
    assert edition.ask(QUOTES, asked()).headers["Guilder-Edition"] == banner


def test_its_fees_are_company_xs_and_keep_the_contract(edition):
    items = [asked(), asked(at=SATURDAY), asked("1.00", "CHF"), asked("43750.01")]
    answers = edition.ask(QUOTES, *items).answers
    assert [a["fee"]["amount"] for a in answers] == ["0.60", "0.30", "0.00", "35.00"]
    for item, answer in zip(items, answers, strict=True):
        quoted = convert(answer, v1.Quoted)
        assert list(v1.faults(convert(item, v1.Question), quoted)) == []


def test_only_the_platform_is_answered(edition):
    assert edition.ask(QUOTES, asked(), key=None).status == 401
    stranger = edition.ask(QUOTES, asked(), key=SigningKey(b"\x01" * 32))
    assert (stranger.status, stranger.code) == (401, "unauthenticated")


def test_another_price_list_is_another_digest(folder, edition, tmp_path):
    copy = tmp_path / "dearer"
    shutil.copytree(folder, copy, symlinks=True)
    tariff = json.loads((copy / "tariff.json").read_text())
    tariff["weekend"]["discount_percent"] = "40"
    (copy / "tariff.json").write_text(json.dumps(tariff))
    with running(COMMAND, copy) as dearer:
        assert dearer.digest != edition.digest
    with running(COMMAND, folder) as again:
        assert again.digest == edition.digest


def test_it_ends_when_asked_and_logs_a_line_a_request(folder):
    with running(COMMAND, folder) as edition:
        edition.ask(QUOTES, asked(), asked("oops"), tenant=9)
        assert edition.stop() == 0
    lines = [json.loads(line) for line in edition.log]
    answered = next(line for line in lines if line["event"] == "answered")
    assert (answered["tenant"], answered["items"], answered["problems"]) == (9, 2, 1)
    assert "oops" not in "".join(edition.log)


def test_without_keys_it_serves_its_own_machine_alone(folder):
    env = {"HOST": "0.0.0.0", "PORT": "0", "PATH": os.environ["PATH"]}
    ran = subprocess.run(COMMAND, cwd=folder, env=env, capture_output=True, check=False, timeout=30)
    assert ran.returncode != 0
    assert b"GUILDER_EDITION_KEYS" in ran.stderr
