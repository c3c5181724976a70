"""What another process answered, read into outcomes.

A service that talks nonsense is an outage of that service, and no defect of its caller.
"""

import json
from dataclasses import replace
from typing import Any

import msgspec
import structlog

from guilder.chassis.contract import convert, decode
from guilder.chassis.serve import Outcome
from guilder.contracts.declare import Operation
from guilder.contracts.errors import InvalidRequest, Problem, Unavailable

log = structlog.get_logger()

UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
    msgspec.MsgspecError,
    InvalidRequest,
)
"""What reading an answer raises that its contract does not allow."""


def batch_outcomes(operation: Operation, raw: bytes, count: int) -> list[Outcome]:
    """Read the answers to a batch, one outcome for each of its `count` calls."""
    try:
        outcomes = [_read_item(operation, item) for item in json.loads(raw)["items"]]
        if len(outcomes) != count:
            raise ValueError(f"{count} calls got {len(outcomes)} answers")
    except UNREADABLE as error:
        wrong = _unreadable(operation, error)
        return [replace(wrong) for _ in range(count)]
    return outcomes


def _read_item(operation: Operation, item: Any) -> Outcome:
    status = item["status"]
    if "problem" in item:
        return Outcome(problem=_read_problem(operation, item["problem"], status), status=status)
    return Outcome(convert(item["answer"], operation.answer), status=status)


def read_outcome(
    operation: Operation, status: int, body: bytes, replayed: bool, *, proposed: bool = False
) -> Outcome:
    """Read the answer to one call; `proposed`: where it is 202, a proposal was made."""
    try:
        if status >= 400:
            problem = _read_problem(operation, json.loads(body), status)
            return Outcome(problem=problem, replayed=replayed, raw=body, status=status)
        if status == 202 and proposed:
            return Outcome(json.loads(body), raw=body, status=status)
        answer = decode(body, operation.answer)
    except UNREADABLE as error:
        return _unreadable(operation, error)
    return Outcome(answer, replayed=replayed, raw=body, status=status)


def _read_problem(operation: Operation, members: Any, status: int) -> Problem:
    """The problem of an answer; ValueError for what none of our doors says.

    A refusal that a newer release has added is passed on as it is, and stops whoever must know it.
    """
    problem = Problem.restore(members)
    if problem.code != members["code"] and 400 <= status < 500:
        return Unavailable(f"{operation.id} refuses with {members['code']!r}, unknown here")
    known = problem.code == members["code"] and problem.status == status
    if not known or not isinstance(problem.retry_after, int | None):
        raise ValueError(f"{members['code']!r} is no problem with status {status}")
    return problem


def _unreadable(operation: Operation, error: Exception) -> Outcome:
    log.warning("unreadable", operation=operation.id, error=type(error).__name__)
    problem = Unavailable(f"{operation.contract} does not answer as it should", retry_after=1)
    return Outcome(problem=problem, status=problem.status)
