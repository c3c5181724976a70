"""Documents are valid OpenAPI 3.1, and say of an edition what is really sent and answered."""

import json
from datetime import UTC, datetime
from typing import Annotated

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from guilder.chassis.contract import plain
from guilder.chassis.openapi import contract_document, edition_document, openapi
from guilder.contracts import edition
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.context import Context
from guilder.contracts.declare import (
    Answer,
    Answers,
    Batch,
    Contract,
    Nothing,
    Personal,
    Request,
    operation,
)
from guilder.contracts.errors import Refused
from guilder.contracts.pricing import v1 as pricing
from guilder.contracts.values import Money


class TooOld(Refused):
    """Made up for this test."""

    code = "test-too-old"
    title = "Too old"


class Ask(Request, frozen=True, kw_only=True):
    """A question of which an edition sees a part."""

    amount: Money
    name: Annotated[str, msgspec.Meta(max_length=9), Personal()]
    note: str = ""


class Said(Answer, frozen=True, kw_only=True):
    """An answer."""

    score: Annotated[int, msgspec.Meta(ge=0, le=9)]


class Kept(Answer, frozen=True, kw_only=True):
    """What only clients read."""

    text: str


class Scores(Contract, name="scores", version="1.0.0", kind="decision"):
    """Made up for this test: one operation for editions, one for clients, one for the house."""

    @operation(
        "POST /scores",
        command=False,
        replaceable=True,
        deadline_ms=70,
        sees=("amount", "note"),
        problems=(TooOld,),
    )
    async def score(self, calls: Batch[Ask]) -> Answers[Said]:
        """Score."""
        raise NotImplementedError

    @operation("GET /kept", public=True, may="view")
    async def kept(self, ctx: Context, request: Nothing) -> Kept:
        """Read."""
        raise NotImplementedError

    @operation("POST /inside")
    async def inside(self, ctx: Context, request: Ask) -> Kept:
        """Only our own services call this."""
        raise NotImplementedError


EVERY = [*all_contracts().values(), Scores]


@pytest.mark.parametrize("contract", EVERY, ids=lambda c: c.contract_name)
def test_every_document_is_openapi_3_1(contract):
    for document in (
        edition_document(contract),
        contract_document(contract),
        contract_document(contract, house=True),
    ):
        OpenAPIV31SpecValidator(json.loads(json.dumps(document))).validate()


def test_the_document_of_the_one_api_is_openapi_3_1():
    document = openapi(list(all_contracts().values()), "Guilder", "1")
    OpenAPIV31SpecValidator(json.loads(json.dumps(document))).validate()


def test_the_validator_would_object():
    document = edition_document(Scores)
    document["paths"]["/scores/v1/scores"]["post"]["responses"] = {"200": {}}
    with pytest.raises(Exception, match="description"):
        OpenAPIV31SpecValidator(json.loads(json.dumps(document))).validate()


def test_an_edition_is_told_what_it_serves_and_nothing_else():
    document = edition_document(Scores)
    assert set(document["paths"]) == {edition.MANIFEST, "/scores/v1/scores"}
    described = document["paths"]["/scores/v1/scores"]["post"]
    assert described["x-deadline-ms"] == 70
    assert described["x-sees"] == ["amount", "note"]
    assert described["x-problems"] == {"test-too-old": 422}
    assert described["responses"]["200"]["headers"][edition.EDITION]["required"] is True
    assert "Kept" not in document["components"]["schemas"]


def test_what_a_version_promises_is_what_editions_and_clients_see():
    paths = {house: set(contract_document(Scores, house=house)["paths"]) for house in (False, True)}
    assert paths[False] == {edition.MANIFEST, "/scores/v1/scores", "/v1/kept"}
    assert paths[True] - paths[False] == {
        "/scores/inside",
        "/scores/events",
        "/scores/self-check",
    }


def asked(document, body, path="/scores/v1/scores"):
    """Whether the document takes a batch."""
    content = document["paths"][path]["post"]["requestBody"]["content"]
    return takes(document, content["application/json"]["schema"], body)


def said(document, body, path="/scores/v1/scores"):
    """Whether the document takes an answer to a batch."""
    content = document["paths"][path]["post"]["responses"]["200"]["content"]
    return takes(document, content["application/json"]["schema"], body)


def takes(document, schema, body):
    whole = {**schema, "components": document["components"]}
    return jsonschema.Draft202012Validator(whole).is_valid(json.loads(json.dumps(body)))


EUR = {"amount": "1.00", "currency": "EUR"}


def test_a_batch_holds_one_tenant_and_only_what_is_seen():
    document = edition_document(Scores)
    good = {"tenant": 7, "items": [{"amount": EUR, "note": "n"}, {"amount": EUR}]}
    assert asked(document, good)
    for wrong in (
        {"tenant": 7, "items": []},
        {"tenant": 7, "items": [{"amount": EUR}] * (edition.MOST_ITEMS + 1)},
        {"tenant": 0, "items": [{"amount": EUR}]},
        {"items": [{"amount": EUR}]},
        {"tenant": 7, "items": [{"amount": EUR, "name": "Ada"}]},
        {"tenant": 7, "items": [{"amount": EUR}], "more": 1},
    ):
        assert not asked(document, wrong), wrong


def test_an_item_is_an_answer_or_a_problem():
    document = edition_document(Scores)
    problem = TooOld("as it is").document()
    assert said(document, {"items": [{"answer": {"score": 9}}, {"problem": problem}]})
    for wrong in (
        {"items": [{"answer": {"score": 10}}]},
        {"items": [{"answer": {"score": 1}, "problem": problem}]},
        {"items": [{}]},
        {"items": [{"problem": {"code": "alone"}}]},
        [{"answer": {"score": 1}}],
    ):
        assert not said(document, wrong), wrong


def test_what_the_platform_writes_for_pricing_is_what_the_document_says():
    document = edition_document(pricing.Pricing)
    (path,) = set(document["paths"]) - {edition.MANIFEST}
    assert path == edition.path(pricing.Pricing.operations()["quote"]) == "/pricing/v1/quotes"
    question = pricing.Question(
        operation="book_transfer",
        product="current",
        amount=Money(1250, "EUR"),
        at=datetime(2026, 3, 2, tzinfo=UTC),
    )
    assert asked(document, {"tenant": 7, "items": [plain(question)]}, path)
    quoted = pricing.Quoted(fee=Money(0, "EUR"), rule="free")
    assert said(document, {"items": [{"answer": plain(quoted)}]}, path)
