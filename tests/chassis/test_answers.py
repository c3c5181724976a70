"""What another process answers is read strictly: nonsense is its outage, never our defect."""

import json
from uuid import uuid4

import pytest

from guilder.chassis.answers import batch_outcomes, read_outcome
from guilder.contracts.errors import NotFound, TooManyRequests, Unavailable
from guilder.contracts.parties.v1 import Parties

OPERATIONS = Parties.operations()
PARTY = {"id": str(uuid4()), "kind": "person"}


def problem(**members):
    return json.dumps(NotFound("no party").document() | members).encode()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"{"),
        (200, b"\xff"),
        (200, b"[]"),
        (200, b"null"),
        (200, b'{"id": 7}'),
        (204, b""),
        (302, b"moved"),
        (500, b"<html>"),
        (502, b'{"title": "Bad Gateway", "status": 502}'),
        (500, b'{"code": "no-such-code"}'),
        (404, b"nobody"),
        (404, b"[1]"),
        (404, b"{}"),
        (500, problem()),
        (404, problem(retry_after="soon")),
        (404, b"[" * 100_000),
    ],
)
async def test_an_answer_that_cannot_be_read_is_an_outage(status, body):
    outcome = read_outcome(OPERATIONS["party"], status, body, False)
    assert (outcome.status, outcome.problem.code) == (503, "unavailable")
    assert outcome.problem.retry_after == 1
    assert outcome.raw is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"items": 7}',
        b'{"items": []}',
        b'{"items": [7, 8]}',
        b'{"items": [{}, {}]}',
        json.dumps({"items": [{"status": 200, "answer": PARTY}]}).encode(),
        json.dumps({"items": [{"status": 200, "answer": PARTY}] * 3}).encode(),
        json.dumps({"items": [{"status": 200, "answer": {"id": 7}}] * 2}).encode(),
        json.dumps({"items": [{"status": 500, "problem": {"code": "what"}}] * 2}).encode(),
        json.dumps({"items": [{"status": 404, "problem": "what"}] * 2}).encode(),
    ],
)
async def test_a_batch_that_cannot_be_read_is_an_outage_for_everyone_in_it(body):
    outcomes = batch_outcomes(OPERATIONS["known"], body, 2)
    assert [(o.status, o.problem.code) for o in outcomes] == [(503, "unavailable")] * 2


async def test_answers_and_problems_are_read_as_they_were_written():
    items = [{"status": 200, "answer": PARTY}, {"status": 404, "problem": json.loads(problem())}]
    known, missing = batch_outcomes(
        OPERATIONS["known"], json.dumps({"items": items}).encode(), len(items)
    )
    assert (known.status, str(known.answer.id)) == (200, PARTY["id"])
    assert isinstance(missing.problem, NotFound)
    busy = TooManyRequests("slower", retry_after=7)
    read = read_outcome(OPERATIONS["party"], 429, json.dumps(busy.document()).encode(), False)
    assert (type(read.problem), read.problem.retry_after) == (TooManyRequests, 7)


async def test_a_refusal_of_a_newer_release_is_passed_on_and_stops_its_caller():
    body = problem(code="not-invented-yet", status=422)
    outcome = read_outcome(OPERATIONS["party"], 422, body, False)
    assert (outcome.status, outcome.body()) == (422, body)
    assert isinstance(outcome.problem, Unavailable)
