"""What needs a second person: a tariff, a reversal, a role."""

from datetime import UTC, datetime, timedelta

import pytest

from guilder.chassis.testing import soon


def decided(client, proposal):
    """The proposal once its command has run (the service follows access' log)."""
    return soon(
        lambda: client.get(f"/v1/proposals/{proposal['id']}"),
        lambda found: found["state"] in ("executed", "failed"),
    )


@pytest.fixture
def nordbank(platform):
    return platform.person("nordbank", "mia"), platform.person("nordbank", "noah")


def test_a_tariff_needs_two_people_and_concerns_one_bank(platform, nordbank):
    mia, noah = nordbank
    begins = datetime.now(UTC) + timedelta(seconds=1)
    tariff = {
        "product": "savings",
        "currency": "EUR",
        "valid_from": begins.isoformat(),
        "tiers": [{"percent": "0.5", "minimum": {"amount": "0.20", "currency": "EUR"}}],
    }
    proposal = mia.post("/v1/tariffs", tariff, status=202)
    assert proposal["state"] == "proposed"
    own = mia.send("POST", f"/v1/proposals/{proposal['id']}/approval", {}, "own")
    assert (own.status, own.json["code"]) == (403, "own-proposal")
    assert mia.get("/v1/tariffs?product=savings")["items"] == []
    noah.post(f"/v1/proposals/{proposal['id']}/approval", {}, status=200)
    done = decided(noah, proposal)
    assert done["state"] == "executed", done
    (set_,) = mia.get("/v1/tariffs?product=savings")["items"]
    assert set_["id"] == done["resource"]
    accounts = platform.demo["nordbank"]["accounts"]
    order = {
        "debtor_account": accounts["emil savings"],
        "creditor_account": accounts["greta current"],
        "amount": {"amount": "100.00", "currency": "EUR"},
    }
    quote = soon(
        lambda: mia.post("/v1/payments/quote", order, status=200),
        lambda found: found["fee"]["amount"] != "0.00",
    )
    assert quote["fee"]["amount"] == "0.50"
    theirs = platform.machine("company-x").get("/v1/tariffs")["items"]
    assert theirs == []


def test_a_reversal_needs_two_people_and_happens_once(platform, nordbank):
    mia, noah = nordbank
    accounts = platform.demo["nordbank"]["accounts"]
    order = {
        "debtor_account": accounts["greta current"],
        "creditor_account": accounts["emil current"],
        "amount": {"amount": "33.00", "currency": "EUR"},
    }
    paid = mia.post("/v1/payments", order)
    why = {"reason": "paid by mistake"}
    first = mia.post(f"/v1/payments/{paid['id']}/reversal", why, status=202)
    second = mia.post(f"/v1/payments/{paid['id']}/reversal", why, status=202)
    for proposal in (first, second):
        noah.post(f"/v1/proposals/{proposal['id']}/approval", {}, status=200)
    states = {decided(noah, first)["state"], decided(noah, second)["state"]}
    assert states == {"executed", "failed"}
    back = mia.get(f"/v1/payments/{paid['id']}")["reversed_by"]
    reversal = mia.get(f"/v1/payments/{back}")
    assert (reversal["reverses"], reversal["amount"]) == (paid["id"], paid["amount"])
    assert reversal["debtor_account"] == paid["creditor_account"]


def test_a_rejected_proposal_changes_nothing(platform, nordbank):
    mia, noah = nordbank
    person = mia.post("/v1/people", {"login": "temp"})
    grant = {"subject": person["id"], "role": "auditor"}
    proposal = mia.post("/v1/role-grants", grant, status=202)
    said = {"reason": "not in my branch"}
    noah.post(f"/v1/proposals/{proposal['id']}/rejection", said, status=200)
    late = noah.send("POST", f"/v1/proposals/{proposal['id']}/approval", {}, "late")
    assert (late.status, late.json["code"]) == (409, "proposal-closed")
    assert mia.get(f"/v1/role-grants?subject={person['id']}")["items"] == []
