"""Logs: JSON lines that say what happened, where and for which request, and quote nobody."""

import asyncio
import logging
import sys
import threading
import warnings

import asyncpg
import msgspec
import pytest
import structlog

from guilder.chassis.logs import configure, named
from guilder.chassis.serve import Endpoint
from guilder.chassis.testing import somebody
from guilder.contracts.context import Call
from guilder.contracts.declare import EventPage, EventQuery
from guilder.contracts.errors import Refused
from guilder.contracts.vault.v1 import Vault

SECRET = "Ottilie Zwirner"


def test_a_line_says_when_where_and_what(lines):
    structlog.get_logger().warning("feed", feed="payments", events=3)
    found = lines.last
    assert found.pop("time").endswith("+00:00")
    wanted = {"level": "warning", "event": "feed", "process": "host", "feed": "payments"}
    assert found == {**wanted, "events": 3}


@pytest.mark.abuse(59)
def test_a_line_stays_one_line(lines):
    structlog.get_logger().info("x", name="a\r\nb\u2028c\x1b[31m")
    assert len(lines.getvalue().splitlines()) == 1
    assert lines.last["name"] == "a\r\nb\u2028c\x1b[31m"


@pytest.mark.parametrize(("level", "shown"), [("debug", 3), ("INFO", 2), ("error", 1)])
def test_the_level_is_a_setting(lines, level, shown):
    configure("host", {"GUILDER_LOG_LEVEL": level}, lines)
    log = structlog.get_logger()
    log.debug("a")
    log.info("b")
    log.error("c")
    assert len(lines.read_all()) == shown


def test_a_level_that_does_not_exist_is_said():
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        configure("host", {"GUILDER_LOG_LEVEL": "loud"})


class Broken(Vault):
    """Fails while it holds somebody's name."""

    def __init__(self, error):
        self._error = error

    async def events(self, ctx, request):
        name = SECRET
        raise self._error from ValueError(f"{name} is not valid")


def unique():
    error = asyncpg.UniqueViolationError(f'duplicate key value violates "x": {SECRET}')
    error.detail = f"Key (name)=({SECRET}) already exists."
    error.table_name, error.constraint_name = "party", "party_name_key"
    return error


async def serve(service, request="0123456789abcdef0123456789abcdef"):
    endpoint, who = Endpoint(service, None), somebody(1)
    calls = [Call(msgspec.structs.replace(who.ctx(), request=request), EventQuery())]
    return await endpoint.dispatch(endpoint.operations["events"], "tests", calls)


async def test_a_defect_leads_to_its_place_and_quotes_nobody(lines):
    (outcome,) = await serve(Broken(unique()))
    assert outcome.problem.code == "internal"
    assert SECRET not in lines.getvalue() + str(outcome.problem.document())
    found = lines.last
    assert (found["level"], found["event"], found["service"]) == ("error", "defect", "vault")
    assert found["request"] == "0123456789abcdef0123456789abcdef"
    assert found["operation"] == "vault.events"
    first, cause = found["errors"]
    assert first["error"] == "UniqueViolationError 23505"
    assert (first["table_name"], first["constraint_name"]) == ("party", "party_name_key")
    assert cause["error"] == "ValueError"
    assert first["at"][-1].startswith("tests/chassis/test_logs.py:")
    assert first["at"][-1].endswith(" Broken.events")


async def test_an_outage_is_one_short_line(lines):
    await serve(Broken(ConnectionRefusedError(111, SECRET)))
    found = lines.last
    assert (found["event"], found["error"]) == ("unavailable", "ConnectionRefusedError")
    assert "errors" not in found
    assert SECRET not in lines.getvalue()


async def test_lines_of_a_service_name_the_request_they_are_for(lines):
    class Talking(Vault):
        async def events(self, ctx, request):
            await asyncio.sleep(0)
            structlog.get_logger().info("x", mine=ctx.request)
            return EventPage(events=[], next="")

    ids = [f"{n:032x}" for n in range(1, 9)]
    await asyncio.gather(*(serve(Talking(), request) for request in ids))
    found = lines.read_all()
    assert {line["request"] for line in found} == set(ids)
    assert all(line["request"] == line["mine"] for line in found)
    structlog.get_logger().info("outside")
    assert "request" not in lines.last


def test_libraries_log_into_the_same_lines(lines):
    try:
        raise KeyError(SECRET)
    except KeyError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    found = lines.last
    assert (found["logger"], found["level"]) == ("uvicorn.error", "error")
    assert found["event"] == "Exception in ASGI application"
    assert found["errors"][0]["error"] == "KeyError"
    assert SECRET not in lines.getvalue()
    logging.getLogger("uvicorn.error").debug("noise")
    assert lines.last == found


async def test_what_the_event_loop_tells_quotes_nobody(lines):
    def fail(name):
        raise KeyError(name)

    async def fail_alone():
        raise KeyError(SECRET)

    loop = asyncio.get_running_loop()
    loop.call_soon(fail, SECRET)
    task = loop.create_task(fail_alone())
    await asyncio.sleep(0.01)
    del task
    found = lines.read_all()
    assert {line["event"] for line in found} == {
        "Exception in callback",
        "Task exception was never retrieved",
    }
    assert SECRET not in lines.getvalue()


def test_what_nobody_caught_quotes_nobody(lines):
    try:
        raise ExceptionGroup(SECRET, [KeyError(SECRET), OSError(2, "No such file", SECRET)])
    except ExceptionGroup as error:
        sys.excepthook(type(error), error, error.__traceback__)
    kinds = [told["error"] for told in lines.last["errors"]]
    assert kinds == ["ExceptionGroup", "KeyError", "FileNotFoundError"]
    thread = threading.Thread(target=lambda: {}[SECRET])
    thread.start()
    thread.join()
    assert lines.last["event"] == "a thread ended"
    warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert SECRET not in lines.getvalue()


def test_a_chain_of_exceptions_is_bounded(lines):
    error = ValueError("0")
    for n in range(100):
        error, before = ValueError(str(n)), error
        error.__cause__ = before
    error.__cause__.__context__ = error  # and may go round
    structlog.get_logger().error("x", exc_info=error)
    assert len(lines.last["errors"]) == 8


def test_what_is_no_plain_value_is_named_by_its_type_alone(lines):
    class Party:
        def __repr__(self):
            return SECRET

    structlog.get_logger().info("x", party=Party(), of=[Party()])
    assert (lines.last["party"], lines.last["of"]) == ("<Party>", ["<Party>"])


def test_an_error_is_named_without_its_text():
    assert named(Refused(SECRET)) == "refused"
    assert named(unique()) == "UniqueViolationError 23505"
    assert named(KeyError(SECRET)) == "KeyError"
