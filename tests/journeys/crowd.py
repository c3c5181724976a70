"""Many clients at once, each on a connection of its own, whose payments are kept by their keys."""

import asyncio
import json
import random
import threading
import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from guilder.chassis.wire import Address, Wire

PAUSE_S = 1.0
"""Between an answer and the client's next payment, on average: some sixty payments a second of 64,
which two shared cores can make, for overload is another test's subject."""

SHED = (503, "overloaded")
"""The gateway took nothing in and says when to come back; a client does, with the same key."""

AGAIN = 16
"""Keys that are pressed again at once."""


@dataclass(frozen=True)
class Paid:
    """A payment and how it ended; `status` 0 = no answer."""

    teller: "Teller"
    key: str
    order: dict[str, Any]
    began: float
    ended: float
    status: int
    body: Any
    shed: int = 0
    """How often the gateway told it to come back first; `began` is the last time."""


@dataclass(frozen=True)
class Teller:
    """Who pays from where to where."""

    tenant: str
    token: str
    debtor: str
    creditor: str
    currency: str

    def order(self) -> dict[str, Any]:
        """A payment of a few units."""
        cents = random.randint(100, 900)
        return {
            "debtor_account": self.debtor,
            "creditor_account": self.creditor,
            "amount": {"amount": f"{cents // 100}.{cents % 100:02}", "currency": self.currency},
        }

    async def pay(self, wire: Wire, key: str, order: dict[str, Any]) -> Paid:
        """Once, under this key."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        began = time.monotonic()
        try:
            reply = await wire.request("POST", "/v1/payments", headers, json.dumps(order).encode())
            status, body = reply.status, json.loads(reply.body)
        except (OSError, ValueError) as error:
            status, body = 0, repr(error)
        return Paid(self, key, order, began, time.monotonic(), status, body)


class Crowd:
    """Pays while the block lasts, in a thread of its own."""

    def __init__(self, api: str, tellers: list[Teller]) -> None:
        """A client for each teller."""
        host, _, port = api.removeprefix("http://").partition(":")
        self._address, self._tellers = Address(host=host, port=int(port)), tellers
        self._end = threading.Event()
        self.paid: list[Paid] = []

    def __enter__(self) -> "Crowd":
        """Begin."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let payments under way end."""
        self._end.set()
        self._thread.join()

    async def _all(self) -> None:
        await asyncio.gather(*(self._one(teller) for teller in self._tellers))

    async def _one(self, teller: Teller) -> None:
        wire = Wire(self._address)
        while not self._end.is_set():
            await asyncio.sleep(random.uniform(0, 2 * PAUSE_S))
            self.paid.append(await _until_taken(teller, wire, str(uuid4()), teller.order()))
        wire.close()

    def press_again(self) -> list[tuple[Paid, Paid]]:
        """Every payment with what its key answers now."""
        return asyncio.run(self._again())

    async def _again(self) -> list[tuple[Paid, Paid]]:
        left, found = list(self.paid), []

        async def press() -> None:
            wire = Wire(self._address)
            while left:
                one = left.pop()
                found.append(
                    (one, await _until_taken(one.teller, wire, one.key, one.order, outages=True))
                )
            wire.close()

        await asyncio.gather(*(press() for _ in range(AGAIN)))
        return found


async def _until_taken(
    teller: Teller, wire: Wire, key: str, order: dict[str, Any], *, outages: bool = False
) -> Paid:
    """Press the same key until the gateway takes it in; with `outages`, until it is answered.

    With those also where somebody presses more often than he may (429): all keys at once do.
    """
    shed = 0
    while True:
        paid = await teller.pay(wire, key, order)
        later = outages and paid.status in (429, 503)
        if not later and (paid.status != SHED[0] or paid.body["code"] != SHED[1]):
            return replace(paid, shed=shed)
        shed += 1
        await asyncio.sleep(random.uniform(0.5, 1.5))
