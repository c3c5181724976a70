"""One sender of payments over raw sockets: cheap, in a process of its own.

With a rate it is an open loop: every request has a scheduled moment and its latency counts from
that moment, however late the sender or a free connection was (no coordinated omission). Without a
rate it is a closed loop: each connection sends its next request when it has its answer.

`python -m guilder.bench.load` reads an `Order` as JSON and prints a `Tally`.
"""

import asyncio
import random
import sys
import time
from collections import Counter, deque

import msgspec
import uvloop

SHED = (429, 503)
PAUSE_SECONDS = 0.05
"""A closed-loop client that was refused waits so long."""
GRACE_SECONDS = 20.0
"""After the last send, so long is waited for answers."""


class Order(msgspec.Struct, frozen=True):
    """What to send, where to."""

    host: str
    port: int
    token: str
    accounts: list[str]
    currency: str
    seconds: float
    warm_seconds: float = 2.0
    """Sent, but not counted: connections open, caches fill, limits settle."""
    rate: float = 0.0
    """Requests a second; 0 = closed loop."""
    connections: int = 32


class Tally(msgspec.Struct, frozen=True):
    """What came back for the requests of the counted time; latencies in milliseconds."""

    sent: int
    accepted: int
    """Booked."""
    refused: dict[str, int]
    """429 and 503, by status and code."""
    other: dict[str, int]
    """Anything else, by status; `none` = no answer."""
    without_retry_after: int
    accepted_ms: list[float]
    """Sorted."""
    refused_p99_ms: float
    seconds: float
    cpu_share: float
    """Of one core, spent by this sender."""
    send_lag_p99_ms: float
    """How late behind its schedule the sender itself was."""

    @property
    def goodput(self) -> float:
        """Accepted requests a second."""
        return self.accepted / self.seconds


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self, sender: "Sender") -> None:
        """Answers go to the sender."""
        self._sender, self._buffer = sender, b""
        self.due, self.busy = 0.0, False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def send(self, due: float) -> None:
        """Send a payment that was due then."""
        self.due, self.busy = due, True
        self.transport.write(self._sender.payment())

    def data_received(self, data: bytes) -> None:
        """Wait for the whole answer; what comes unasked (408 before an idle end) is none."""
        if not self.busy:
            return
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        head = head.lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self._buffer = b""
        self._sender.answered(self, int(head[9:12]), head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer that does not come any more."""
        self._sender.lost(self)


class Sender:
    """All connections of an order, and what they saw."""

    def __init__(self, order: Order) -> None:
        """`run` does the work."""
        self._order, self._random = order, random.Random()
        self._idle: deque[Connection] = deque()
        self._queue: deque[float] = deque()
        self._open = 0
        self._in_flight = 0
        self._from = self._until = 0.0
        self._accepted: list[float] = []
        self._shed: list[float] = []
        self._lag: list[float] = []
        self._refused: Counter[str] = Counter()
        self._other: Counter[str] = Counter()
        self._bare = 0
        self._head = (
            f"POST /v1/payments HTTP/1.1\r\nHost: guilder\r\nAuthorization: Bearer {order.token}"
            "\r\nContent-Type: application/json\r\nIdempotency-Key: "
        )

    async def run(self) -> Tally:
        """Send everything, wait for the answers."""
        order = self._order
        first = min(order.connections, 32) if order.rate else order.connections
        await asyncio.gather(*(self._connect() for _ in range(first)))
        begun = time.monotonic()
        self._from = begun + order.warm_seconds
        self._until = self._from + order.seconds
        cpu = time.process_time()
        if order.rate:
            await self._on_schedule(begun)
        else:
            for connection in list(self._idle):
                self._next(connection)
            await asyncio.sleep(self._until - time.monotonic())
        spent, took = time.process_time() - cpu, time.monotonic() - begun
        until = time.monotonic() + GRACE_SECONDS
        while (self._in_flight or self._queue) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return self._tally(spent / took)

    def payment(self) -> bytes:
        """A request of its own key."""
        debtor, creditor = self._random.sample(self._order.accounts, 2)
        cents = self._random.randint(100, 50_000)
        body = (
            f'{{"debtor_account":"{debtor}","creditor_account":"{creditor}",'
            f'"amount":{{"amount":"{cents // 100}.{cents % 100:02}",'
            f'"currency":"{self._order.currency}"}},'
            '"remittance":"bench"}'
        )
        key = self._random.getrandbits(128)
        return f"{self._head}{key:032x}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    def answered(self, connection: Connection, status: int, head: bytes, body: bytes) -> None:
        """Count, and use the connection again."""
        self._in_flight -= 1
        connection.busy = False
        if self._from <= connection.due < self._until:
            self._count(time.monotonic() - connection.due, status, head, body)
        if b"\r\nconnection: close" in head:
            return  # `lost` comes
        if self._order.rate:
            if self._queue:
                self._send(connection, self._queue.popleft())
            else:
                self._idle.append(connection)
        elif status in SHED:
            asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._next, connection)
        else:
            self._next(connection)

    def lost(self, connection: Connection) -> None:
        """A closed connection is replaced when it is needed."""
        self._open -= 1
        self._in_flight -= connection.busy
        if connection.busy and self._from <= connection.due < self._until:
            self._other["none"] += 1
        if connection in self._idle:
            self._idle.remove(connection)

    def _count(self, took: float, status: int, head: bytes, body: bytes) -> None:
        if status == 201:
            self._accepted.append(took)
        elif status in SHED:
            self._shed.append(took)
            code = msgspec.json.decode(body)["code"]
            self._refused[f"{status} {code}"] += 1
            self._bare += b"\r\nretry-after: " not in head
        else:
            self._other[str(status)] += 1

    async def _connect(self) -> None:
        self._open += 1
        loop, order = asyncio.get_running_loop(), self._order
        _, made = await loop.create_connection(lambda: Connection(self), order.host, order.port)
        self._idle.append(made)
        if self._order.rate and self._queue:
            self._send(self._idle.pop(), self._queue.popleft())

    def _next(self, connection: Connection) -> None:
        now = time.monotonic()
        if now < self._until and not connection.transport.is_closing():
            self._send(connection, now)

    def _send(self, connection: Connection, due: float) -> None:
        if self._from <= due < self._until:
            self._lag.append(time.monotonic() - due)
        self._in_flight += 1
        connection.send(due)

    async def _on_schedule(self, begun: float) -> None:
        due, connecting = begun, set()
        while due < self._until:
            now = time.monotonic()
            while due <= now and due < self._until:
                if self._idle:
                    self._send(self._idle.pop(), due)
                else:
                    self._queue.append(due)
                    if self._open < self._order.connections:
                        task = asyncio.create_task(self._connect())
                        connecting.add(task)
                        task.add_done_callback(connecting.discard)
                due += self._random.expovariate(self._order.rate)
            await asyncio.sleep(max(0.001, due - time.monotonic()))

    def _tally(self, cpu_share: float) -> Tally:
        shed, lag = sorted(self._shed), sorted(self._lag)
        unsent = sum(self._from <= due for due in self._queue)
        answered = len(self._accepted) + len(shed) + self._other.total()
        self._other["none"] += unsent + max(0, len(lag) - answered)  # still waiting at the end
        return Tally(
            sent=len(lag) + unsent,
            accepted=len(self._accepted),
            refused=dict(self._refused),
            other=dict(+self._other),
            without_retry_after=self._bare,
            accepted_ms=[round(1000 * took, 1) for took in sorted(self._accepted)],
            refused_p99_ms=percentile(shed, 0.99) * 1000,
            seconds=self._order.seconds,
            cpu_share=round(cpu_share, 3),
            send_lag_p99_ms=round(percentile(lag, 0.99) * 1000, 1),
        )


def percentile(values: list[float], share: float) -> float:
    """Of sorted values; 0 when there are none."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


async def send(order: Order) -> Tally:
    """Carry out an order in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "guilder.bench.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(msgspec.json.encode(order))
    if process.returncode:
        raise RuntimeError(f"a sender ended with {process.returncode}")
    return msgspec.json.decode(out, type=Tally)


def main() -> None:
    """One order from the standard input."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(Sender(order).run())))


if __name__ == "__main__":
    main()
