"""The screening in Go, by its own runtime."""

import json
import shutil

import pytest

from guilder.chassis.contract import convert, plain
from guilder.contracts.screening import v1
from tests.editions.running import EDITIONS, GO, build_go, own_tests, run, running, suite, unkept

CHECKS = "/screening/v1/checks"
AT = "2026-03-02T12:00:00Z"
NOBODY = {"kind": "person", "name": "Ottoberta Flumm", "country": "GB", "birth_date": None}


def asked(payer=NOBODY, payee=NOBODY):
    return {"payer": payer, "payee": payee, "at": AT}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("go") / "screening"
    shutil.copytree(EDITIONS / "screening-go", folder)
    build_go(folder)
    return folder


@pytest.fixture(scope="module")
def edition(folder):
    with running(["./edition"], folder) as edition:
        yield edition


def test_its_own_tests_pass(folder):
    assert own_tests("go", folder) >= 8


def test_the_seeds_of_its_fuzz_tests_run(folder):
    text = run(["go", "test", "-count=1", "-run", "Fuzz", "-v", "./..."], folder, **GO)
    seeds = [path.name for path in (folder / "testdata" / "fuzz").glob("*/*")]
    assert len(seeds) > 10
    assert [name for name in seeds if f"/{name} " not in text] == []


def test_it_passes_the_suite_and_disclaims_nothing(edition):
    report = suite("screening", edition)
    assert unkept(report) == []
    assert report["passed"]
    assert report["manifest"]["disclaims"] == []


@pytest.mark.parametrize("side", ["payer", "payee"])
def test_the_names_that_every_edition_reports_are_hits(edition, side):
    for sentinel in v1.SENTINELS:
        item = asked(**{side: plain(sentinel)})
        (answer,) = edition.ask(CHECKS, item).answers
        assert answer["verdict"] == "hit"
        assert [hit["side"] for hit in answer["hits"]] == [side]
        assert list(v1.faults(convert(item, v1.Check), convert(answer, v1.Checked))) == []


def test_its_own_list_and_a_reason_for_every_hit(edition):
    listed = {"kind": "person", "name": "Oystein Brondbjaerg Vasholm", "birth_date": "1964-02-29"}
    (answer,) = edition.ask(CHECKS, asked(payee=listed)).answers
    (hit,) = answer["hits"]
    assert (hit["list"], hit["entry"]) == ("Company list", "C-102")
    assert "date of birth is the same" in hit["why"]
    assert answer["basis"] == "Company list of 2026-11-01, 5 entries"
    other = {**listed, "birth_date": "1999-02-28"}
    assert edition.ask(CHECKS, asked(payee=other)).answers[0]["verdict"] == "clear"


def test_another_list_is_read_at_the_start_and_is_no_other_program(folder, edition, tmp_path):
    entry = {"id": "N-1", "kind": "person", "names": ["Ottoberta Flumm"]}
    listed = {"list": "Other", "as_of": "2026-12-01", "entries": [entry]}
    path = tmp_path / "other.json"
    path.write_text(json.dumps(listed))
    with running(["./edition"], folder, LIST=str(path)) as other:
        (answer,) = other.ask(CHECKS, asked()).answers
        assert len(answer["hits"]) == 2
        assert answer["basis"].startswith("Other of 2026-12-01")
        assert other.digest == edition.digest


def test_only_the_platform_is_answered_and_no_name_is_logged(folder):
    with running(["./edition"], folder) as edition:
        assert edition.ask(CHECKS, asked(), key=None).status == 401
        edition.ask(CHECKS, asked(), asked(payer=plain(v1.SENTINEL_PERSON)), {"payer": "Flumm"})
        assert edition.stop() == 0
    text = "".join(edition.log)
    assert '"problems":1' in text
    assert not any(word in text for word in ("Flumm", "Varnhagen", "1951"))
