"""Requests made up from the edition document, by schemathesis: those it allows, and those not."""

import json
from collections.abc import Callable
from typing import Any, Final

import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis.generation import GenerationMode

from guilder.chassis.contract import convert
from guilder.chassis.openapi import edition_document
from guilder.conformance import badinput
from guilder.conformance.checks import Broken
from guilder.conformance.session import TENANTS, Session
from guilder.contracts.declare import Contract
from guilder.contracts.edition import path

STEPS: Final = 20
"""How long one conversation is."""


def steady(examples: int) -> settings:
    """The same cases in every run, none of them shrunk, nothing printed or kept."""
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def _cases(contract: type[Contract], mode: GenerationMode) -> Any:
    """The strategy of an operation's bodies."""
    schema = schemathesis.openapi.from_dict(edition_document(contract))
    (operation,) = contract.replaceable()
    made = schema[path(operation)][operation.method]
    return made.as_strategy(generation_mode=mode)


def each(session: Session, mode: GenerationMode, examples: int, do: Callable[[Any], None]) -> int:
    """Do something with each made-up body; the first that breaks a rule ends it."""
    found: list[Broken] = []
    count = 0

    @steady(examples)
    @given(_cases(session.subject.contract, mode))
    def run(case: Any) -> None:
        nonlocal count
        if found or not isinstance(case.body, dict | list | str | int | None):
            return
        try:
            count += 1
            do(case.body)
        except Broken as error:
            found.append(error)

    run()
    if found:
        raise found[0]
    return count


def positive(session: Session) -> str:
    """Ask what the document allows. Some of it the contract's finer grammar does not: nobody falls
    over that, and the nearest that is allowed is asked as well.
    """
    counts = {True: 0, False: 0}

    def ask(body: Any) -> None:
        tame = [session.subject.tame(item) for item in body["items"]]
        raw_too = session.subject.harmless and tame != body["items"]
        for items in [body["items"], tame] if raw_too else [tame]:
            whole = {"tenant": TENANTS[0], "items": items}
            raw, fine = _json(whole), badinput.allowed(session.operation, whole)
            if raw is not None:
                counts[fine] += 1
                _ask(session, items, raw, fine=fine)

    each(session, GenerationMode.POSITIVE, session.examples, ask)
    return f"{counts[True]} batches answered, {counts[False]} beyond the finer grammar survived"


def _ask(session: Session, items: list[Any], raw: bytes, *, fine: bool) -> None:
    if not fine:
        badinput.must_survive(session, raw)
        return
    requests = [convert(item, session.operation.request) for item in items]
    session.read(TENANTS[0], requests, session.send(session.sent(raw)))


def negative(session: Session) -> int:
    """Ask what the document does not allow."""

    def ask(body: Any) -> None:
        if isinstance(body, dict) and type(body.get("tenant")) is int and body["tenant"] >= 1:
            body = {**body, "tenant": TENANTS[0]}
        body = session.subject.held(body)
        raw = _json(body)
        if raw is None:
            return
        if badinput.allowed(session.operation, body):
            if session.subject.harmless:
                badinput.must_survive(session, raw)
        else:
            badinput.must_refuse(session, raw)

    return each(session, GenerationMode.NEGATIVE, max(session.examples // 2, 1), ask)


def _json(body: Any) -> bytes | None:
    """As bytes, or None for what is no JSON."""
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError):
        return None
