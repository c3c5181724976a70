"""A bank on a split platform, with a door in front of every service."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from guilder.cli.platform import Platform, with_platform
from guilder.contracts.access.v1 import Access, GrantRole
from guilder.contracts.context import Call
from guilder.contracts.identity.v1 import CreateClient, Identity
from guilder.contracts.notifications.v1 import Notifications, Post
from guilder.contracts.values import uuid7
from tests.chaos.doors import Doors
from tests.journeys.bare_hands import Answer, Client, guilder, signed_in
from tests.journeys.conftest import Running


@dataclass(frozen=True)
class Paid:
    """A payment that was made in quiet times."""

    key: str
    answer: Answer


class Bank:
    """What the probes need of nordbank."""

    def __init__(self, running: Running, doors: Doors, newcomers: int) -> None:
        """Every cell needs managers whom no process has met yet: `newcomers` in all."""
        self.running, self.api, self.doors = running, running.api, doors
        names = services_of(running.data)
        guilder("restart", *names, data=running.data)  # so that nobody passes by a door
        demo = running.demo["nordbank"]
        self.credentials = {
            "grant_type": "client_credentials",
            "client_id": demo["client_id"],
            "client_secret": demo["client_secret"],
        }
        self._machine = self._client(demo["client_id"], demo["client_secret"])
        self._strangers = with_platform(running.data, False, lambda p: _managers(p, newcomers + 1))
        with_platform(running.data, False, _message)
        self._approver = self._client(*self._strangers.pop())
        found = self._machine.get("/v1/accounts?limit=200")["items"]
        by_iban = {account["iban"]: account for account in found}
        debtor, creditor = (by_iban[demo["accounts"][f"{n} current"]] for n in ("emil", "greta"))
        self.debtor, self.creditor, self.party = debtor["id"], creditor["id"], debtor["holders"][0]
        key = str(uuid4())
        self.paid = Paid(key, self._machine.send("POST", "/v1/payments", self.order(), key))
        self.before = self.received()
        self.paid_for: dict[str, Any] = {}
        """Every payment that was told to be booked, with the probe that ordered it."""

    def _client(self, client_id: str, secret: str) -> Client:
        return signed_in(self.api, client_id, secret)

    def client(self) -> Client:
        """The bank's own system, which has been at work all the time."""
        return self._machine

    def approver(self) -> Client:
        """Somebody else, who may approve what that proposes."""
        return self._approver

    def newcomer(self) -> Client:
        """A client that has just signed in and was never seen before."""
        return self._client(*self._strangers.pop())

    def order(self) -> dict[str, Any]:
        """One cent from one customer to another."""
        amount = {"amount": "0.01", "currency": "EUR"}
        return {"debtor_account": self.debtor, "creditor_account": self.creditor, "amount": amount}

    def propose(self) -> str:
        """A proposal that waits for its approval."""
        return self._machine.post("/v1/tariffs", tariff(), status=202)["id"]

    def approved(self) -> list[dict[str, Any]]:
        """The newest proposals that were approved, and what became of them."""
        found = self._machine.get("/v1/proposals?limit=200")["items"]
        return [proposal for proposal in found if proposal["state"] not in ("proposed", "expired")]

    def received(self) -> int:
        """Cents on the account that is paid to."""
        balance = self._machine.get(f"/v1/accounts/{self.creditor}/balance")
        return int(balance["booked"]["amount"].replace(".", ""))


def services_of(data: Path) -> dict[str, str]:
    """Where each service of a running platform listens."""
    sockets = json.loads((data / "run" / "ready.json").read_text())["sockets"]
    return {name: path for name, path in sockets.items() if name != "gateway"}


def tariff() -> dict[str, Any]:
    """A tariff that costs nobody anything."""
    return {
        "product": "savings",
        "currency": "EUR",
        "valid_from": datetime.now(UTC).isoformat(),
        "tiers": [{"percent": "0"}],
    }


async def _message(platform: Platform) -> None:
    """Something to read for everybody in the bank."""
    tenant = (await platform.tenant("nordbank")).number
    message = Post(
        id=uuid7(datetime.now(UTC)), topic="bank.hello", subject="Hello", text="All is well."
    )
    call = Call(platform.ctx(tenant), message)
    assert [answer.id for answer in await platform.client(Notifications).post([call])]


async def _managers(platform: Platform, count: int) -> list[tuple[str, str]]:
    """Id and secret of new machine clients that may do everything in the bank."""
    tenant = (await platform.tenant("nordbank")).number
    identity, access = platform.client(Identity), platform.client(Access)
    made = []
    for n in range(count):
        client = await identity.create_client(
            platform.ctx(tenant), CreateClient(name=f"branch {n}")
        )
        grant = GrantRole(subject=client.id, role="manager")
        await access.assign(platform.ctx(tenant), grant)
        made.append((str(client.id), client.client_secret))
    return made
