"""Two versions of a contract served at once: an edition of the older one, over real HTTP."""

import json

import msgspec
import pytest
from guarded import ASKED, QUOTE, STOCK, Guarded, Noting, bound, edition, failures

from guilder.chassis import versions as module
from guilder.chassis.openapi import contract_document
from guilder.contracts.pricing.v1 import Pricing
from guilder.contracts.values import Money

PRESENT = Pricing.contract_version.removesuffix("-draft")


def before(change):
    """The document of a version before the present one."""
    document = json.loads(json.dumps(contract_document(Pricing)))
    change(document)
    return document


@pytest.fixture
def was(monkeypatch):
    """Say what pricing 0.9.0 was."""

    def say(change):
        kept = before(change)
        monkeypatch.setattr(module, "frozen", lambda n, v: kept if v == "0.9.0" else None)
        module.older.cache_clear()

    yield say
    module.older.cache_clear()


def forget(name, *members):
    def change(document):
        schema = document["components"]["schemas"][name]
        for member in members:
            del schema["properties"][member]
        schema["required"] = [n for n in schema["required"] if n not in members]

    return change


async def test_an_edition_of_the_older_version_is_asked_only_what_it_knows(was):
    was(forget("Question", "at"))
    with edition(kind=Noting) as running:
        guarded = Guarded()
        guarded.bind(
            bound(running, 7, contract_version="0.9.0"),
            bound(running, 8, contract_version=PRESENT),
        )
        for tenant in (7, 8):  # both are served at once, by one process
            await guarded.ask(tenant)
    old, new = (body["items"][0] for body in running.edition.bodies)
    assert set(new) - set(old) == {"at"}
    assert set(new) == {"operation", "product", "amount", "at"}


async def test_an_older_edition_answers_what_it_knew_and_nothing_newer(was):
    with edition() as running:
        for members, good in (((), True), (("rule",), False)):
            was(forget("Quoted", *members))
            guarded = Guarded()
            guarded.bind(bound(running, contract_version="0.9.0"))
            (outcome,) = await guarded.ask(7)
            assert (outcome.problem is None) is good
            assert failures(guarded) == ({} if good else {"broken": 1})


async def test_an_operation_younger_than_the_edition_is_answered_by_stock(was):
    was(lambda document: document["paths"].pop("/pricing/v1/quotes"))
    with edition() as running:
        guarded = Guarded()
        guarded.bind(bound(running, contract_version="0.9.0"))
        request = msgspec.structs.replace(ASKED, amount=Money(1, "EUR"))
        (outcome,) = await guarded.ask(7, operation=QUOTE, request=request)
    assert outcome.answer == STOCK
    assert outcome.by.label == "pricing A.1.0.0"
