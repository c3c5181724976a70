"""Company X on a split platform, with an edition of its own that was really tested and can turn."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from guilder.bench.bank import Bank
from guilder.bench.load import Order
from guilder.chassis.testing import soon
from guilder.chassis.wire import Wire
from tests.editions.turning import Child
from tests.journeys.bare_hands import Client, guilder, signed_in
from tests.journeys.conftest import Running, demo

FIRST = "00000000-0000-0000-0000-000000000001"
ELSEWHERE, STOCK = "pricing B.1.0.0", "pricing A.1.0.0"
TENANT, NEIGHBOUR = "company-x", "nordbank"
CURRENCY = {TENANT: "GBP", NEIGHBOUR: "EUR"}
WRONG = ("hangs", "negative-fee", "giant-body", "dies")
"""What an edition does to those who asked it, at its worst."""

MANAGERS = {TENANT: ("xena", "yuri"), NEIGHBOUR: ("mia", "noah")}


@dataclass(frozen=True)
class Flip:
    """One change of who prices: when it was asked for and answered (monotonic), and who does."""

    asked: float
    answered: float
    by: str


@dataclass
class Stage:
    """The platform, the edition, two operators, and what they do with bindings."""

    running: Running
    edition: Child

    @cached_property
    def operators(self) -> tuple[Client, Client]:
        """Two, for four eyes."""
        secret = (self.running.data / "secrets" / "operator.secret").read_text().strip()
        second = json.loads(guilder("operator", "ines", "--json", data=self.running.data).stdout)
        api = self.running.api
        return signed_in(api, FIRST, secret), signed_in(api, second["id"], second["client_secret"])

    def conform(self) -> dict[str, Any]:
        """Have the platform test the edition; the run."""
        argv = ("conform", "pricing", "--url", self.edition.url, "--json")
        run: dict[str, Any] = json.loads(guilder(*argv, data=self.running.data).stdout)
        return run

    @property
    def release(self) -> dict[str, str]:
        """What is bound, as the API takes it."""
        named = {"tenant": TENANT, "contract": "pricing", "edition": "B", "version": "1.0.0"}
        return {**named, "address": self.edition.url}

    def bind(self) -> tuple[str, Flip]:
        """Let the edition price; the binding's id, and when the second operator knew."""
        one, two = self.operators
        proposal = one.post("/v1/bindings", self.release, status=202)
        path = f"/v1/proposals/{proposal['id']}"
        asked = time.monotonic()
        two.post(f"{path}/approval", {}, status=200)
        ended = soon(lambda: two.get(path), lambda found: found["state"] != "approved")
        assert ended["state"] == "executed", ended
        return ended["resource"], Flip(asked, time.monotonic(), ELSEWHERE)

    def roll_back(self, binding: str) -> Flip:
        """Let stock price again."""
        asked = time.monotonic()
        self.operators[0].post(f"/v1/bindings/{binding}/rollback", {}, status=200)
        return Flip(asked, time.monotonic(), STOCK)

    @contextmanager
    def bound(self) -> Iterator[str]:
        """The edition prices for company-x while the block lasts; the binding's id."""
        binding, _ = self.bind()
        time.sleep(1)  # in force everywhere
        try:
            yield binding
        finally:
            self.roll_back(binding)

    def accounts(self, tenant: str) -> list[str]:
        """The ids of the two current accounts of a demo bank, the richer first."""
        bank = self.running.machine(tenant)
        listed = bank.get("/v1/accounts")["items"]
        ids = {account["iban"]: account["id"] for account in listed}
        ibans = self.running.demo[tenant]["accounts"]
        found = [ids[iban] for name, iban in ibans.items() if name.endswith(" current")]
        return sorted(found, key=lambda account: -self.booked(bank, account))

    @contextmanager
    def turned(self, fault: str) -> Iterator[None]:
        """The edition is as bad as that while the block lasts.

        One of WRONG, or any fault of `faulty.py`.
        """
        if fault == "dies":
            self.edition.die()
        else:
            self.edition.turn(fault)
        try:
            yield
        finally:
            if fault == "dies":
                self.edition.rise()
            self.edition.turn(None)

    @contextmanager
    def wrong(self, fault: str) -> Iterator[None]:
        """The edition is as bad as that while the block lasts; then what waited is paid."""
        try:
            with self.turned(fault):
                yield
        finally:
            self.made_up()

    def made_up(self) -> None:
        """What waited for the edition is paid."""
        bank = self.running.machine(TENANT)
        soon(
            lambda: bank.get("/v1/waiting-payments")["items"],
            lambda left: left == [],
            seconds=90,
        )

    async def order(self, tenant: str, rate: float, seconds: float) -> Order:
        """Payments at a rate among accounts of a bank whose overdraft is never used up."""
        facts = {"api": self.running.api, "demo": list(self.running.demo.values())}
        bank = Bank(facts, tenant, CURRENCY[tenant])
        wire = Wire(bank.address)
        token = await bank.token(wire)
        await bank.open_accounts(wire, token, 10)
        wire.close()
        return Order(
            host=bank.address.host,
            port=bank.address.port,
            token=token,
            accounts=bank.accounts,
            currency=bank.currency,
            seconds=seconds,
            warm_seconds=1.0,
            rate=rate,
        )

    @staticmethod
    def booked(bank: Client, account: str) -> int:
        """Balance in minor units."""
        return minor(bank.get(f"/v1/accounts/{account}/balance")["booked"])

    def verified(self) -> list[Any]:
        """What is wrong with the books of all services: nothing."""
        done = guilder("verify", "--json", data=self.running.data, check=False)
        findings: list[Any] = json.loads(done.stdout)["findings"]
        return findings


@contextmanager
def stage() -> Iterator[Stage]:
    """A platform of its own whose operator allows editions on loopback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUILDER_OUTBOUND_ALLOW", "127.0.0.0/8")
        child = Child("pricing")
        try:
            with demo("--split") as running:
                yield Stage(running, child)
        finally:
            child.die()


def minor(money: dict[str, str]) -> int:
    """Minor units of an amount in EUR or GBP."""
    return int(money["amount"].replace(".", ""))


def priced_by(payment: dict[str, Any]) -> str:
    """Who named the fee of a payment."""
    (step,) = [d for d in payment["decisions"] if d["step"] == "pricing"]
    by: str = step["by"]
    return by
