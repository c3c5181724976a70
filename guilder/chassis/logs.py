"""The one place where logging is set up: JSON lines on stderr, without personal data.

A line says what happened in a constant text; what belongs to it stands in fields, as names of ours,
numbers and ids. The text of an exception may quote what a person wrote, so it is never printed:
type, place and (of a database's error) the names of code, table and constraint lead to the defect.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO
from uuid import UUID

import asyncpg
import structlog

import guilder
from guilder.chassis.hop import HERE, requests
from guilder.chassis.settings import LogSettings
from guilder.contracts.errors import Problem

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
MAX_FRAMES, MAX_ERRORS = 30, 8
"""The innermost frames of a traceback, and the exceptions behind one another, that are kept."""

_HOUSE = str(Path(guilder.__file__).parent.parent) + "/"
_PACKAGES = "site-packages/"
_IDS = (UUID, datetime, Decimal)

Fields = MutableMapping[str, Any]


def configure(process: str, env: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Send every log of this process, ours and the libraries', to `stream` (stderr)."""
    name = LogSettings.load(env).level.lower()
    if name not in LEVELS:
        raise ValueError(f"the log level {name!r} is none of {', '.join(LEVELS)}")
    level = LEVELS[name]
    structlog.configure(
        processors=[_named(process), _with_errors, structlog.processors.JSONRenderer(_json)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Routed()], level=max(level, logging.INFO), force=True)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    sys.unraisablehook = lambda found: _tell("unraisable error", found.exc_value)
    threading.excepthook = lambda found: _tell("a thread ended", found.exc_value)


def named(error: BaseException) -> str:
    """What an exception is, without its text: `ConnectionRefusedError`, `not-found`, `23505`."""
    if isinstance(error, Problem):
        return error.code
    state = error.sqlstate if isinstance(error, asyncpg.PostgresError) else None
    return f"{type(error).__name__} {state}" if state else type(error).__name__


def _named(process: str) -> Callable[[Any, str, Fields], Fields]:
    """A processor that says when and where something happened, and for which request."""

    def add(_: Any, level: str, fields: Fields) -> Fields:
        service, calls = HERE.get()
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "level": level, "event": fields.pop("event"), "process": process}
        if service:
            line["service"] = service
        if ids := requests(calls):
            line["request"] = " ".join(ids)
        return {**line, **fields}

    return add


def _with_errors(_: Any, __: str, fields: Fields) -> Fields:
    """Replace `exc_info` by what the exception was and where it came from."""
    given = fields.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        fields["errors"] = [_told(one) for one in _behind(error)][:MAX_ERRORS]
    return fields


def _behind(error: BaseException) -> Iterator[BaseException]:
    """An exception, those it came from, and those it holds."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        before = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if before is not None:
            waiting.append(before)


def _told(error: BaseException) -> Fields:
    told: dict[str, Any] = {"error": named(error), "at": _frames(error.__traceback__)}
    if isinstance(error, asyncpg.PostgresError):
        names = ("table_name", "column_name", "constraint_name")
        told |= {name: getattr(error, name) for name in names if getattr(error, name, None)}
    elif isinstance(error, OSError) and error.strerror:
        told["reason"] = error.strerror
    return told


def _frames(trace: TracebackType | None) -> list[str]:
    """`file:line function` of each frame, outermost first: no code, no values."""
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        file = code.co_filename.removeprefix(_HOUSE).rpartition(_PACKAGES)[2]
        found.append(f"{file}:{trace.tb_lineno} {code.co_qualname}")
        trace = trace.tb_next
    return found[-MAX_FRAMES:]


def _json(fields: Fields, **_: Any) -> str:
    return json.dumps(fields, default=lambda v: str(v) if isinstance(v, _IDS) else _kind(v))


def _kind(value: object) -> str:
    """What stands in a line for something that is no plain value: its type alone."""
    return f"<{type(value).__name__}>"


class _Routed(logging.Handler):
    """Takes what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on: the first line of its text, which is the library's own."""
        text = (record.getMessage().splitlines() or [""])[0]
        if record.name == "asyncio":  # goes on with the arguments of the callback
            text = text.partition("callback")[0] + "callback" if "callback" in text else text
        log = structlog.get_logger()
        log.log(record.levelno, text, logger=record.name, exc_info=record.exc_info)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        _tell("the process ended", error)


def _tell(event: str, error: BaseException | None) -> None:
    structlog.get_logger().error(event, exc_info=error)
