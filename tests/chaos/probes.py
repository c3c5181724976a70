"""What a customer tries at the public API, and how each attempt is judged."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from guilder.contracts.catalogue import all_contracts
from tests.chaos.bank import Bank, tariff
from tests.journeys.bare_hands import Answer, Client

SLACK_SECONDS = 1.5
"""What a busy machine may add to a deadline."""
NORMAL_SECONDS = 3.0
"""Within this, nobody would call it a failure."""
OUTAGES = ("unavailable", "deadline-exceeded")

Right = Callable[[Answer], bool]


@dataclass(frozen=True)
class Probe:
    """One attempt. `right` says whether an answer is the right one."""

    name: str
    operation: str
    client: Client
    method: str
    path: str
    right: Right
    body: Any = None
    key: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def deadline(self) -> float:
        """Seconds that the operation's contract promises at most."""
        if not self.operation:
            return NORMAL_SECONDS
        contract, _, name = self.operation.partition(".")
        return all_contracts()[contract].operations()[name].deadline_ms / 1000

    def send(self) -> Answer:
        """Try it (again)."""
        return self.client.send(self.method, self.path, self.body, self.key, **self.headers)


@dataclass(frozen=True)
class Tried:
    """A probe, its answer and how long that took."""

    probe: Probe
    answer: Answer
    seconds: float

    @property
    def word(self) -> str:
        """What the customer noticed, in the words of the table; `wrong: …` for anything else."""
        answer, probe = self.answer, self.probe
        if "x-request-id" not in answer.headers:
            return "wrong: no request id"
        if self.seconds > probe.deadline + SLACK_SECONDS:
            return f"wrong: {self.seconds:.1f} s, and the operation may take {probe.deadline:g} s"
        if answer.status in (503, 504):
            told = answer.headers.get("retry-after", "").isdecimal()
            known = answer.json["code"] in OUTAGES
            return "refused" if told and known else f"wrong: {answer.headers} {answer.raw!r}"
        if answer.status == 202 and _state(answer) == "waiting":
            return "waits"
        if probe.right(answer):
            return "works" if self.seconds <= NORMAL_SECONDS else "late"
        return f"wrong: {answer.status} {answer.raw[:300]!r}"


def _state(answer: Answer) -> Any:
    body = answer.json
    return body.get("state") if isinstance(body, dict) else None


def tried(probes: list[Probe]) -> list[Tried]:
    """Try them all at once."""
    with ThreadPoolExecutor(len(probes)) as pool:
        return list(pool.map(_try, probes))


def _try(probe: Probe) -> Tried:
    began = time.monotonic()
    answer = probe.send()
    return Tried(probe, answer, time.monotonic() - began)


def the_same(name: str, value: Any, status: int = 200) -> Right:
    """An answer with a member that has a value."""
    return lambda answer: answer.status == status and answer.json[name] == value


def holds(name: str, status: int = 200) -> Right:
    """An answer with a member that is not empty."""
    return lambda answer: answer.status == status and bool(answer.json[name])


def fresh(bank: Bank) -> list[Probe]:
    """The probes of one round, each with a new key where it takes one."""
    client, mark = bank.client(), uuid4().hex
    paid, account = bank.paid, f"/v1/accounts/{bank.debtor}"
    newcomer, form = bank.newcomer(), urlencode(bank.credentials).encode()
    proposal = bank.propose()

    def probe(
        name: str, operation: str, method: str, path: str, right: Right, **more: Any
    ) -> Probe:
        given = {"client": client, "key": str(uuid4()) if method == "POST" else None} | more
        return Probe(name, operation, method=method, path=path, right=right, **given)

    return [
        probe("health", "", "GET", "/healthz", the_same("status", "ok")),
        probe(
            "sign-in",
            "identity.client_token",
            "POST",
            "/oauth/token",
            holds("access_token"),
            client=Client(bank.api),
            body=form,
            headers={"Content_Type": "application/x-www-form-urlencoded"},
        ),
        probe(
            "pay",
            "payments.create",
            "POST",
            "/v1/payments",
            the_same("state", "booked", 201),
            body=bank.order(),
        ),
        probe(
            "newcomer-pays",
            "payments.create",
            "POST",
            "/v1/payments",
            the_same("state", "booked", 201),
            body=bank.order(),
            client=newcomer,
        ),
        probe(
            "repeat",
            "payments.create",
            "POST",
            "/v1/payments",
            lambda answer: answer.status == 201 and answer.raw == paid.answer.raw,
            body=bank.order(),
            key=paid.key,
        ),
        probe("balance", "accounts.balance", "GET", f"{account}/balance", holds("booked")),
        probe(
            "statement",
            "accounts.transactions",
            "GET",
            f"{account}/transactions?limit=5",
            holds("items"),
        ),
        probe(
            "quote",
            "payments.quote",
            "POST",
            "/v1/payments/quote",
            the_same("fee", {"amount": "0.00", "currency": "EUR"}),
            body=bank.order(),
        ),
        probe(
            "read-payment",
            "payments.payment",
            "GET",
            f"/v1/payments/{paid.answer.json['id']}",
            the_same("state", "booked"),
        ),
        probe(
            "activity",
            "payments.activity",
            "GET",
            f"/v1/payments/{paid.answer.json['id']}/activity",
            holds("items"),
        ),
        probe(
            "mistake",
            "payments.payment",
            "GET",
            f"/v1/payments/{uuid4()}",
            the_same("code", "unknown-payment", 404),
        ),
        probe(
            "read-party",
            "parties.party",
            "GET",
            f"/v1/parties/{bank.party}",
            the_same("name", "Emil Sander"),
        ),
        probe(
            "create-party",
            "parties.create",
            "POST",
            "/v1/parties",
            the_same("reference", mark, 201),
            body={"kind": "person", "name": "Nadia New", "reference": mark},
        ),
        probe(
            "open-account",
            "accounts.open",
            "POST",
            "/v1/accounts",
            the_same("reference", mark, 201),
            body={"holders": [bank.party], "reference": mark},
        ),
        probe(
            "propose",
            "pricing.put_tariff",
            "POST",
            "/v1/tariffs",
            the_same("state", "proposed", 202),
            body=tariff(),
        ),
        probe(
            "approve",
            "access.approve",
            "POST",
            f"/v1/proposals/{proposal}/approval",
            the_same("state", "approved"),
            body={},
            client=bank.approver(),
        ),
        probe("audit", "audit.entries", "GET", "/v1/audit-entries?limit=5", holds("items")),
        probe("inbox", "notifications.inbox", "GET", "/v1/inbox", holds("items")),
        probe("cases", "screening.cases", "GET", "/v1/screening/cases", the_same("next", None)),
        probe("bindings", "registry.bindings", "GET", "/v1/bindings", holds("items")),
    ]
