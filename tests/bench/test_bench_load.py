"""What sends payments at a rate: it counts answers to what it sent, and nothing else."""

import asyncio
from contextlib import suppress

from guilder.bench import load

UNASKED = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
BOOKED = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}"


async def test_an_answer_that_nobody_asked_for_is_none(monkeypatch):
    """A server may say 408 to a connection that is idle; nothing is waited for after it."""
    monkeypatch.setattr(load, "GRACE_SECONDS", 3600.0)

    async def serve(reader, writer):
        writer.write(UNASKED)
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b'"bench"}'):  # how a payment of the bench ends
                writer.write(BOOKED)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    order = load.Order(
        host=host,
        port=port,
        token="t",
        accounts=["a", "b"],
        currency="EUR",
        seconds=0.3,
        warm_seconds=0.1,
        rate=100.0,
    )
    async with asyncio.timeout(20):
        tally = await load.Sender(order).run()
    server.close()
    assert tally.sent == tally.accepted > 0
    assert (tally.other, tally.refused) == ({}, {})
