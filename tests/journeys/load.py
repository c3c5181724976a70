"""Steady traffic at the public door, from programs that keep their connections and never repeat."""

import json
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from uuid import uuid4


@dataclass
class Seen:
    """How one request ended; `status` 0 = no answer."""

    what: str
    status: int
    body: Any
    seconds: float
    at: float
    key: str


@dataclass
class Load:
    """`rate` requests a second, every other one a payment, until the block ends."""

    api: str
    token: str
    debtor: str
    creditor: str
    rate: float = 50.0
    connections: int = 10
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(n,)) for n in range(self.connections)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> list[Seen]:
        """What did not get the answer that it must get on a quiet day."""
        return [seen for seen in self.seen if seen.status not in (200, 201)]

    def payments(self) -> list[str]:
        """The ids of the payments that were acknowledged as booked."""
        return [s.body["id"] for s in self.seen if s.what == "pay" and s.status == 201]

    def _run(self, n: int) -> None:
        every = self.connections / self.rate
        connection = HTTPConnection(self.api.removeprefix("http://"), timeout=30)
        start, count = time.monotonic() + n / self.rate, 0
        while not self._end.wait(max(0.0, start + count * every - time.monotonic())):
            count += 1
            what = ("pay", "balance", "pay", "statement")[count % 4]
            began = time.monotonic()
            key = str(uuid4())
            status, body = self._one(connection, what, key)
            self.seen.append(Seen(what, status, body, time.monotonic() - began, began, key))
        connection.close()

    @property
    def order(self) -> dict[str, Any]:
        """What each payment orders; under the key that `Seen` has."""
        amount = {"amount": "0.01", "currency": "EUR"}
        return {
            "debtor_account": self.debtor,
            "creditor_account": self.creditor,
            "amount": amount,
        }

    def _one(self, connection: HTTPConnection, what: str, key: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            if what == "pay":
                more = {"Content-Type": "application/json", "Idempotency-Key": key}
                connection.request("POST", "/v1/payments", json.dumps(self.order), headers | more)
            else:
                tail = "balance" if what == "balance" else "transactions?limit=5"
                connection.request("GET", f"/v1/accounts/{self.debtor}/{tail}", headers=headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as error:
            connection.close()
            return 0, repr(error)
