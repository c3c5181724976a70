"""What changed between two documents: each rule by a contract of its own, and mutations judged by
values that jsonschema took before and after.
"""

import copy
import json

import jsonschema
import pytest
from hypothesis import given, settings, strategies as st

from guilder.chassis.changes import changes, enough, part, raised, step, without_wording
from guilder.chassis.openapi import contract_document
from guilder.contracts.pricing.v1 import Pricing

PATH = "/pricing/v1/quotes"


def pricing():
    return json.loads(json.dumps(contract_document(Pricing)))


def quote(document):
    return document["paths"][PATH]["post"]


def schema(document, name):
    return document["components"]["schemas"][name]


def said(document, operation="pricing.quote"):
    return [c for c in changes(pricing(), document) if c.operation == operation]


def breaking(found):
    return "; ".join(change.text for change in found if change.breaks)


def test_the_same_is_no_change():
    assert changes(pricing(), pricing()) == []
    assert step([]) == "none"


def test_wording_is_no_change():
    document = pricing()
    quote(document)["summary"] = "other words"
    schema(document, "Quoted")["description"] = "other words"
    assert changes(pricing(), document) == []
    assert part(document, "editions") == part(pricing(), "editions")


def test_a_member_that_is_called_title_is_no_wording():
    named = {"properties": {"title": {"type": "string", "title": "T"}}, "title": "T"}
    assert without_wording(named) == {"properties": {"title": {"type": "string"}}}


def mutate(change):
    document = pricing()
    change(document)
    return said(document)


def put(name, member, value, *, required=False):
    def change(document):
        schema(document, name)["properties"][member] = value
        if required:
            schema(document, name)["required"].append(member)

    return change


def within(name, member, **more):
    def change(document):
        schema(document, name)["properties"][member].update(more)

    return change


def of_quote(**more):
    return lambda document: quote(document).update(more)


def without(name, member):
    def change(document):
        del schema(document, name)["properties"][member]
        names = schema(document, name).get("required", [])
        schema(document, name)["required"] = [n for n in names if n != member]

    return change


BREAKING = {
    "a new required member of the question": (
        put("Question", "channel", {"type": "string"}, required=True),
        "may be refused: `body.items[].channel`: it must be there",
    ),
    "a narrower enum of the question": (
        within("Question", "product", enum=["current"]),
        "'savings' is not among 'current'",
    ),
    "a wider enum, which editions of before do not know": (
        within("Question", "operation", enum=["book_transfer", "credit_transfer"]),
        "an edition of before may be asked more: `body.items[].operation`: 'credit_transfer'",
    ),
    "another type": (within("Question", "at", format="date"), "format"),
    "a member of the answer that is gone": (
        without("Quoted", "tariff"),
        "`body.items[].answer.tariff` is no longer answered",
    ),
    "a required member of the answer that is gone": (
        without("Quoted", "rule"),
        "`body.items[].answer.rule`",
    ),
    "a required member of the answer that is new": (
        put("Quoted", "why", {"type": "string"}, required=True),
        "an answer of before may be refused: `body.items[].answer.why`",
    ),
    "a wider answer": (within("Quoted", "rule", maxLength=400), "has 300 on one side, 400"),
    "a narrower answer": (within("Quoted", "rule", maxLength=200), "has 200 on one side, 300"),
    "a shorter deadline": (of_quote(**{"x-deadline-ms": 900}), "shorter: 900 ms, and was 1000 ms"),
    "more to see": (
        of_quote(**{"x-sees": ["amount", "at", "operation", "product", "name"]}),
        "more is seen: `name`",
    ),
    "less to see": (of_quote(**{"x-sees": ["amount"]}), "`at` is no longer seen"),
    "a problem with a new status": (
        of_quote(**{"x-problems": {"no-price": 409}}),
        "the problem no-price (409) may be answered",
    ),
    "another name": (of_quote(operationId="pricing.price"), "it was called pricing.quote"),
    "more items than before": (
        lambda document: quote(document)["requestBody"]["content"]["application/json"]["schema"][
            "properties"
        ]["items"].update(maxItems=500),
        "the most items are 256 on one side, 500",
    ),
    "a header that is another": (
        lambda document: quote(document)["responses"]["200"]["headers"]["Guilder-Edition"][
            "schema"
        ].update(pattern="^x$"),
        "header Guilder-Edition",
    ),
}

ADDING = {
    "an optional member of the answer": (
        put("Quoted", "more", {"type": "string"}),
        "`body.items[].answer.more` is answered too",
    ),
    "an optional member within what is seen": (
        lambda document: schema(document, "Question")["properties"]["amount"]["properties"].update(
            scale={"type": "integer"}
        ),
        "`body.items[].amount.scale`",
    ),
    "a longer deadline": (of_quote(**{"x-deadline-ms": 1500}), "longer: 1500 ms"),
}


@pytest.mark.parametrize("name", BREAKING)
def test_what_breaks_is_said_in_a_sentence(name):
    change, text = BREAKING[name]
    document = pricing()
    change(document)
    found = changes(pricing(), document)
    assert text in breaking(found)
    assert step(found) == "major"


@pytest.mark.parametrize("name", ADDING)
def test_what_only_adds_needs_a_minor_version(name):
    change, text = ADDING[name]
    found = mutate(change)
    assert breaking(found) == ""
    assert text in "; ".join(c.text for c in found)
    assert step(found) == "minor"


def test_an_operation_that_is_gone_has_moved_or_is_new():
    document = pricing()
    moved = document["paths"].pop(PATH)
    assert breaking(changes(pricing(), document)) == f"POST {PATH} is gone"
    document["paths"]["/pricing/v1/prices"] = moved
    assert f"POST {PATH} has moved to POST /pricing/v1/prices" in breaking(
        changes(pricing(), document)
    )
    assert [c.breaks for c in changes({**pricing(), "paths": {}}, pricing())] == [False] * 4


def test_clients_may_be_answered_more_and_asked_for_no_more():
    document = pricing()
    schema(document, "Tariff")["properties"]["note"] = {"type": "string"}
    schema(document, "Tariff")["required"].append("note")
    (found,) = {c.breaks for c in said(document, "pricing.tariffs")}
    assert found is False
    schema(document, "PutTariff")["required"].append("operation")
    assert "may be refused: `body.operation`" in breaking(said(document, "pricing.put_tariff"))


def test_a_client_is_told_of_another_right_and_a_new_status():
    document = pricing()
    tariffs = document["paths"]["/v1/tariffs"]["get"]
    tariffs["x-right"] = "operate"
    tariffs["responses"]["409"] = tariffs["responses"]["default"]
    text = breaking(said(document, "pricing.tariffs"))
    assert "the right is operate, and was view" in text
    assert "409 may be answered" in text


@pytest.mark.parametrize(
    ("old", "new", "given"),
    [
        ("1.0.0", "1.0.1", "minor"),
        ("1.0.0", "1.1.0-draft", "minor"),
        ("1.9.0", "1.10.0", "minor"),
        ("1.9.0", "2.0.0-draft", "major"),
        ("1.0.0", "1.0.0", "none"),
        ("1.1.0", "1.0.0", "none"),
        ("1.0.0-draft", "1.0.0-draft", "major"),
    ],
)
def test_which_part_of_a_version_was_raised(old, new, given):
    assert raised(old, new) == given
    assert enough("none", given)
    assert enough("major", given) is (given == "major")


# ── mutations, and a judge that knows nothing of ours ────────────────────────────────────────

EUR = {"amount": "12.50", "currency": "EUR"}
ITEMS = [
    {"operation": "book_transfer", "product": product, "amount": amount, "at": at}
    for product in ("current", "savings")
    for amount in (EUR, {"amount": "0", "currency": "JPY"})
    for at in ("2026-03-02T09:30:00Z",)
]
ANSWERS = [
    {"fee": EUR, "rule": rule, **tariff}
    for rule in ("r", "r" * 300)
    for tariff in ({}, {"tariff": None}, {"tariff": "0192f0c0-0000-7000-8000-000000000000"})
]


def bodies(document):
    """What the document takes of samples: questions and answers."""
    content = quote(document)["requestBody"]["content"]["application/json"]["schema"]
    answer = quote(document)["responses"]["200"]["content"]["application/json"]["schema"]
    asked = [{"tenant": 7, "items": [item]} for item in ITEMS]
    said = [{"items": [{"answer": answer}]} for answer in ANSWERS]
    return [
        [jsonschema.Draft202012Validator(whole).is_valid(sample) for sample in samples]
        for schema, samples in ((content, asked), (answer, said))
        for whole in [{**schema, "components": document["components"]}]
    ]


@st.composite
def mutations(draw):
    """One random change of the types of the question or the answer."""
    document = pricing()
    name = draw(st.sampled_from(["Question", "Quoted"]))
    whole = schema(document, name)
    member = draw(st.sampled_from(sorted(whole["properties"])))
    how = draw(st.sampled_from(["drop", "require", "retype", "enum", "shorter", "add", "close"]))
    if how == "drop":
        del whole["properties"][member]
        whole["required"] = [n for n in whole["required"] if n != member]
    elif how == "require":
        whole["required"] = sorted({*whole["required"], member})
    elif how == "retype":
        kinds = [{"type": "integer"}, {"type": "string"}, {"type": "object"}, {"type": "null"}]
        whole["properties"][member] = draw(st.sampled_from(kinds))
    elif how == "enum":
        values = st.lists(st.sampled_from(["current", "savings", "book_transfer", "r"]), min_size=1)
        whole["properties"][member] = {"enum": sorted(set(draw(values)))}
    elif how == "shorter":
        longest = draw(st.integers(0, 400))
        whole["properties"][member] = {"type": "string", "maxLength": longest}
    elif how == "add":
        whole["properties"]["extra"] = {"type": "string"}
        if draw(st.booleans()):
            whole["required"] = [*whole["required"], "extra"]
    else:
        whole["additionalProperties"] = not whole.get("additionalProperties", True)
    return document


@settings(max_examples=300, deadline=None)
@given(mutations())
def test_whatever_a_sample_notices_was_said_to_break(document):
    """An edition of before and the platform of today, or the other way round: a body that one
    takes and the other refuses is a breaking change.
    """
    if bodies(document) != bodies(pricing()):
        assert breaking(said(document))


@settings(max_examples=100, deadline=None)
@given(mutations())
def test_changes_are_seen_from_both_sides(document):
    there, back = changes(pricing(), document), changes(document, pricing())
    assert bool(there) == bool(back)
    same = without_wording(document) == without_wording(pricing())
    assert not (same and there)
    assert changes(document, copy.deepcopy(document)) == []
