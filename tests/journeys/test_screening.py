"""A payment to somebody who is on a list: held, released or confirmed by two people, by hand."""

from uuid import uuid4

import pytest

from guilder.chassis.testing import soon
from guilder.contracts.screening.v1 import SENTINEL_PERSON
from tests.journeys.test_four_eyes import decided


@pytest.fixture
def nordbank(platform):
    return platform.person("nordbank", "mia"), platform.person("nordbank", "noah")


def listed_account(mia, name):
    """The account of a new customer with this name."""
    customer = mia.post("/v1/parties", {"kind": "person", "name": name})
    return mia.post("/v1/accounts", {"holders": [customer["id"]]})


def held(platform, mia, name):
    """A payment to somebody of this name, its case, and who ordered it with which key."""
    account = listed_account(mia, name)
    order = {
        "debtor_account": platform.demo["nordbank"]["accounts"]["emil current"],
        "creditor_account": account["iban"],
        "amount": {"amount": "7.00", "currency": "EUR"},
    }
    emil, key = platform.person("nordbank", "emil"), str(uuid4())
    payment = emil.post("/v1/payments", order, key, status=202)
    assert (payment["state"], payment["waits_for"]["part"]) == ("waiting", "check")
    assert emil.send("GET", "/v1/screening/cases").status == 403
    lines = mia.get("/v1/screening/cases?state=open&limit=200")["items"]
    (case,) = [line for line in lines if line["payment_id"] == payment["id"]]
    return payment, case["id"], (emil, order, key)


def ends(client, payment):
    """The payment once it has ended by itself."""
    return soon(
        lambda: client.get(f"/v1/payments/{payment['id']}"),
        lambda found: found["state"] in ("booked", "refused"),
    )


@pytest.mark.parametrize("name", [SENTINEL_PERSON.name, "Varnhägen, Zebulon Quilfeather"])
def test_released_by_two_people_the_payment_is_booked(platform, nordbank, name):
    mia, noah = nordbank
    payment, case, _ = held(platform, mia, name)
    told = mia.get(f"/v1/screening/cases/{case}")
    (hit,) = [hit for side in told["sides"] for hit in side["hits"]]
    assert (hit["side"], hit["name"]) == ("payee", SENTINEL_PERSON.name)
    assert "3 of 3 words agree" in hit["why"]
    assert told["screened_by"] == "screening A.1.0.0"
    why = {"reason": "another person of that name"}
    proposal = mia.post(f"/v1/screening/cases/{case}/release", why, status=202)
    own = mia.send("POST", f"/v1/proposals/{proposal['id']}/approval", {}, str(uuid4()))
    assert (own.status, own.json["code"]) == (403, "own-proposal")
    noah.post(f"/v1/proposals/{proposal['id']}/approval", {}, status=200)
    assert decided(noah, proposal)["state"] == "executed"
    paid = ends(mia, payment)
    assert paid["state"] == "booked"
    (step,) = [d for d in paid["decisions"] if d["step"] == "screening"]
    assert (step["by"], step["outcome"]) == (
        "screening A.1.0.0",
        "passed after a check by the bank",
    )
    read = mia.get(f"/v1/screening/cases/{case}")
    assert (read["state"], read["reason"]) == ("released", why["reason"])
    theirs = platform.machine("company-x")
    assert theirs.get("/v1/screening/cases")["items"] == []
    assert theirs.send("GET", f"/v1/screening/cases/{case}").status == 404


def test_confirmed_by_two_people_the_payment_is_refused(platform, nordbank):
    mia, noah = nordbank
    payment, case, (emil, order, key) = held(platform, mia, SENTINEL_PERSON.name)
    balance = emil.get(f"/v1/accounts/{payment['debtor_account']}/balance")
    why = {"reason": "the birth date is the same"}
    proposal = noah.post(f"/v1/screening/cases/{case}/confirmation", why, status=202)
    mia.post(f"/v1/proposals/{proposal['id']}/approval", {}, status=200)
    assert decided(noah, proposal)["state"] == "executed"
    ended = ends(emil, payment)
    assert (ended["state"], ended["refusal"]["code"]) == ("refused", "payment-declined")
    again = emil.send("POST", "/v1/payments", order, key)
    assert (again.status, again.json["code"]) == (422, "payment-declined")
    assert emil.get(f"/v1/accounts/{payment['debtor_account']}/balance") == balance
    soon(
        lambda: mia.get("/v1/audit-entries?limit=200")["items"],
        lambda found: (
            {"case.opened", "case.confirmed"}
            <= {e["operation"] for e in found if e["ids"].get("payment") == payment["id"]}
        ),
    )
