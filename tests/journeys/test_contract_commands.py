"""`guilder contract …` as a person and as a program reads it."""

import json

import pytest
from click.testing import CliRunner

from guilder.cli import main
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.pricing.v1 import Pricing


def run(*argv, status=0):
    done = CliRunner().invoke(main, ["contract", *argv])
    assert done.exit_code == status, done.output
    return done.output


@pytest.fixture
def files(tmp_path):
    """Write the present document of pricing, changed, under a version; its path."""

    def write(version, change=lambda document: None):
        document = json.loads(run("openapi", "pricing", "--json"))
        document["info"]["version"] = version
        change(document)
        path = tmp_path / f"{version}.json"
        path.write_text(json.dumps(document))
        return str(path)

    return write


def shorter(document):
    document["components"]["schemas"]["Quoted"]["properties"]["rule"]["maxLength"] = 100


def longer(document):
    document["components"]["schemas"]["Quoted"]["properties"]["why"] = {"type": "string"}


def test_contracts_are_listed_with_what_is_replaceable():
    listed = {line["name"]: line for line in json.loads(run("list", "--json"))}
    assert set(listed) == set(all_contracts())
    assert listed["pricing"]["replaceable"] == ["quote"]
    assert listed["pricing"]["version"] == Pricing.contract_version
    assert listed["ledger"]["replaceable"] == []
    for line in listed.values():
        assert all(set(life) >= {"released", "deprecated", "sunset"} for life in line["versions"])
    assert "replaceable: quote" in run("list")


def test_the_same_document_promises_the_same(files):
    before = files("1.0.0")
    assert "promise the same" in run("diff", before, before)
    found = json.loads(run("diff", before, before, "--json"))
    assert (found["changes"], found["needed"], found["enough"]) == ([], "none", True)


def test_a_breaking_change_needs_a_major_version(files):
    before, minor = files("1.0.0"), files("1.1.0", shorter)
    told = run("diff", before, minor, status=1)
    assert "BREAKS pricing.quote: an answer of before may be refused" in told
    assert "a major version is needed, and 1.0.0 → 1.1.0 is none" in told
    found = json.loads(run("diff", before, minor, "--json", status=1))
    assert (found["needed"], found["raised"], found["enough"]) == ("major", "minor", False)
    major = files("2.0.0", shorter)
    assert "1.0.0 → 2.0.0 will do" in run("diff", before, major)


def test_an_addition_needs_a_minor_version_and_breaks_nothing(files):
    before = files("1.0.0")
    for version in ("1.0.0-draft", "1.1.0"):
        found = json.loads(run("diff", before, files(version, longer), "--json"))
        assert (found["breaking"], found["needed"]) == (0, "minor")


def test_the_code_is_what_a_file_is_compared_with(files):
    path = files("1.0.0", longer)
    (only,) = json.loads(run("diff", path, "--json", status=1))["changes"]
    assert only["text"] == "`body.items[].answer.why` is no longer answered"
    assert "promise the same" in run("diff", "pricing", "pricing")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["diff", "nothing.json"], "is no file"),
        (["diff", "pricing@9.9.9"], "there is no pricing 9.9.9"),
        (["diff", "README.md"], "is no OpenAPI document"),
    ],
)
def test_what_is_no_document_is_said_in_a_sentence(argv, said):
    assert said in run(*argv, status=2)
