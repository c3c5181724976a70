"""The error tree: what every problem says, and that it survives the way between processes."""

import json

import msgspec
import pytest

from guilder.chassis.contract import encode
from guilder.contracts import errors
from guilder.contracts.catalogue import all_contracts

all_contracts()
PROBLEMS = sorted(
    (kind for kind in errors.CATALOGUE.values() if kind.__module__.startswith("guilder.")),
    key=lambda kind: kind.code,
)


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.code)
def test_a_problem_survives_the_way_between_processes(kind):
    sent = kind("what was wrong", at="$.amount", retry_after=3, resource="1", allow=["GET"])
    read = errors.Problem.restore(json.loads(encode(sent.document())))
    assert type(read) is kind
    assert read.document() == sent.document()
    assert encode(read.document()) == encode(sent.document())


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.code)
def test_a_problem_says_what_was_wrong_and_what_to_do(kind):
    said = kind().document()
    assert set(said) == {"type", "title", "status", "code", "detail", "fix"}
    assert said["type"] == f"/problems/{kind.code}"
    assert 400 <= kind.status <= 599
    assert kind.title
    assert not kind.title.endswith(".")
    assert kind.fix.endswith(".")
    assert kind.fix != errors.Problem.fix
    assert kind.__doc__


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.code)
def test_outages_are_never_final_and_final_is_what_a_repeat_gets(kind):
    outages = (errors.Internal, errors.Unavailable, errors.DeadlineExceeded)
    again = (errors.InFlight, errors.TooManyRequests, errors.KeyReused, errors.Unauthenticated)
    if issubclass(kind, (*outages, *again)) or kind.status >= 500:
        assert not kind.final


def test_two_problems_never_share_a_code():
    with pytest.raises(TypeError, match="not-found"):
        type("Gone", (errors.NotFound,), {"code": "not-found"})
    assert errors.CATALOGUE["not-found"] is errors.NotFound


@pytest.mark.parametrize("members", [{}, {"code": "nobody-knows"}, {"code": None}, {"detail": 5}])
def test_what_is_not_ours_is_an_internal_problem(members):
    read = errors.Problem.restore(members)
    assert type(read) is errors.Internal
    msgspec.json.encode(read.document())
