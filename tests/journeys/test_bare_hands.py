"""A client with bare hands pays twice and moves money once."""

from uuid import uuid4


def open_account(bank, name, overdraft=None):
    party = bank.post("/v1/parties", {"kind": "person", "name": name})
    body = {"holders": [party["id"]]}
    if overdraft:
        body["overdraft"] = {"amount": overdraft, "currency": "EUR"}
    return bank.post("/v1/accounts", body)


def statement(bank, account):
    items = bank.get(f"/v1/accounts/{account['id']}/transactions")["items"]
    return [(line["amount"]["amount"], line["balance_after"]["amount"]) for line in items]


def test_opens_two_accounts_pays_presses_twice_and_sees_both_statements(platform):
    bank = platform.machine("nordbank")
    ann = open_account(bank, "Ann Example", overdraft="100.00")
    bob = open_account(bank, "Bob Example")
    order = {
        "debtor_account": ann["iban"],
        "creditor_account": bob["id"],
        "amount": {"amount": "12.50", "currency": "EUR"},
        "remittance": "lunch",
    }
    key = str(uuid4())
    first = bank.send("POST", "/v1/payments", order, key)
    again = bank.send("POST", "/v1/payments", order, key)
    assert (first.status, first.json["state"]) == (201, "booked")
    assert "idempotent-replayed" not in first.headers
    assert (again.status, again.raw) == (201, first.raw)
    assert again.headers["idempotent-replayed"] == "true"
    assert statement(bank, ann) == [("-12.50", "-12.50")]
    assert statement(bank, bob) == [("12.50", "12.50")]
    lines = bank.get(f"/v1/payments/{first.json['id']}/activity")["items"]
    assert [line["what"] for line in lines][:1] == ["received"]
    assert "repeated" in [line["what"] for line in lines]


def test_a_quote_is_honoured_and_a_refusal_is_replayed(platform):
    bank = platform.machine("nordbank")
    ann, bob = open_account(bank, "Ann", overdraft="10.00"), open_account(bank, "Bob")
    order = {
        "debtor_account": ann["iban"],
        "creditor_account": bob["iban"],
        "amount": {"amount": "9.00", "currency": "EUR"},
    }
    quote = bank.post("/v1/payments/quote", order, status=200)
    assert quote["decided_by"].startswith("pricing A.")
    paid = bank.post("/v1/payments", {**order, "quote_id": quote["quote_id"]})
    assert paid["fee"] == quote["fee"]
    key = str(uuid4())
    refused = bank.send("POST", "/v1/payments", order, key)
    again = bank.send("POST", "/v1/payments", order, key)
    assert (refused.status, refused.json["code"]) == (422, "insufficient-funds")
    assert again.raw == refused.raw
    assert again.headers["idempotent-replayed"] == "true"
    assert len(statement(bank, ann)) == 1


def test_a_customer_sees_and_moves_only_what_is_his(platform):
    emil = platform.person("nordbank", "emil")
    accounts = platform.demo["nordbank"]["accounts"]
    mine = {account["iban"] for account in emil.get("/v1/accounts")["items"]}
    assert mine == {accounts["emil current"], accounts["emil savings"]}
    order = {
        "debtor_account": accounts["greta current"],
        "creditor_account": accounts["emil current"],
        "amount": {"amount": "1.00", "currency": "EUR"},
    }
    answer = emil.send("POST", "/v1/payments", order, str(uuid4()))
    assert answer.status in (403, 404)
    turned = {
        **order,
        "debtor_account": order["creditor_account"],
        "creditor_account": order["debtor_account"],
    }
    assert emil.post("/v1/payments", turned)["state"] == "booked"


def test_the_other_bank_sees_nothing_of_it(platform):
    theirs = platform.machine("company-x")
    account = platform.demo["nordbank"]["accounts"]["emil current"]
    order = {
        "debtor_account": account,
        "creditor_account": platform.demo["company-x"]["accounts"]["otto current"],
        "amount": {"amount": "1.00", "currency": "EUR"},
    }
    answer = theirs.send("POST", "/v1/payments", order, str(uuid4()))
    assert (answer.status, answer.json["code"]) == (404, "unknown-account")
