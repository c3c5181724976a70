"""`guilder explain`: the fee of a real payment, derived again on a running platform."""

import json

from tests.journeys.bare_hands import guilder
from tests.journeys.test_bare_hands import open_account


def test_a_fee_is_explained_with_real_values(platform):
    bank = platform.machine("nordbank")
    payer = open_account(bank, "Explained", "1000.00")
    payee = open_account(bank, "Other")
    order = {
        "debtor_account": payer["id"],
        "creditor_account": payee["iban"],
        "amount": {"amount": "40.00", "currency": "EUR"},
    }
    made = bank.post("/v1/payments", order)
    fee, rule = made["fee"]["amount"], made["decisions"][1]["outcome"].partition(": ")[2]
    told = guilder("explain", made["id"], data=platform.data).stdout
    assert f"payment {made['id']}: 40.00 EUR, booked, fee {fee} EUR" in told
    assert (
        f"{rule} = {fee} EUR, said by pricing A.1.0.0, binding none, generation 0; asked again"
        " today: the same"
    ) in told
    answer = json.loads(
        guilder("explain", made["id"], "--tenant", "nordbank", "--json", data=platform.data).stdout
    )
    assert answer["explanation"]["verdict"] == "same"
    over_the_api = bank.get(f"/v1/payments/{made['id']}/decisions")["items"]
    assert answer["decisions"] == over_the_api
    assert [d["step"] for d in over_the_api] == [d["step"] for d in made["decisions"]]


def test_what_is_no_payment_is_said_in_a_sentence(platform):
    unknown = "0198c2f6-7a51-7000-8000-000000000000"
    for more in ((), ("--tenant", "nordbank")):
        done = guilder("explain", unknown, *more, data=platform.data, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert f"no tenant has a payment {unknown}" in done.stderr
