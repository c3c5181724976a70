"""A tenant's own edition delivers: behind the guard, over HTTP, in stock's place."""

from contextlib import contextmanager

import pytest
from outside import LOOPBACK

from guilder.chassis.outbound import Rules
from guilder.chassis.signature import SigningKey
from guilder.chassis.testing import CALL_KEYS, new_id
from guilder.contracts.registry.v1 import Bound
from tests.editions.faulty import Faulty, Running


@contextmanager
def edition(desk, fault=None, smtp=None):
    """Edition B of the tenant, right or wrong; it hands mail to `smtp`, or disclaims it."""
    key = SigningKey.of(CALL_KEYS).public_jwk()
    more = {} if smtp is None else {"smtp": ("127.0.0.1", smtp.port)}
    running = Running(Faulty("notifications", fault, public_key=key, **more))
    line = Bound(
        id=new_id(),
        tenant=desk.tenant,
        contract="notifications",
        edition="B",
        version="1.0.0",
        address=running.url,
        digest=running.edition.digest,
        on_failure="closed",
        generation=7,
    )
    process = desk.world.process
    process.editions.allow(LOOPBACK)
    process.bindings.replace([line])
    try:
        yield running.edition
    finally:
        process.bindings.replace([])
        process.editions.allow(Rules())
        running.stop()


async def test_the_tenants_edition_delivers_in_stocks_place(direct_desk, smtp):
    desk = direct_desk
    who = await desk.person(smtp)
    with edition(desk, smtp=smtp) as made:
        delivery = await desk.queue(who, text="From the edition")
        await desk.engine.round()
    mail = smtp.mails[-1]
    assert (mail["From"], mail["To"]) == ("bank@company-x.example", "jana@example.com")
    read = await desk.read(delivery)
    assert (read.state, read.by) == ("sent", "notifications B.1.0.0")
    assert made.calls == 1


async def test_what_the_edition_disclaims_stock_delivers(direct_desk, smtp):
    desk = direct_desk
    who = await desk.person(smtp)
    with edition(desk) as made:
        delivery = await desk.queue(who, text="From stock")
        await desk.engine.round()
    assert smtp.mails[-1]["From"] == "bank@example.org"
    read = await desk.read(delivery)
    assert (read.state, read.by) == ("sent", "notifications A.1.0.0")
    assert made.calls == 1


@pytest.mark.parametrize("fault", ["errors", "echoes-personal", "other-id", "stale-digest"])
async def test_what_is_no_receipt_is_an_outage_and_tried_again(direct_desk, smtp, fault):
    desk = direct_desk
    who = await desk.person(smtp)
    with edition(desk, fault, smtp):
        delivery = await desk.queue(who)
        await desk.engine.round()
        read = await desk.read(delivery)
        assert (read.state, read.why, read.by) == (
            "queued",
            "unavailable",
            "notifications B.1.0.0",
        )
    await desk.later(seconds=11)  # after the rollback
    read = await desk.read(delivery)
    assert (read.state, read.by, read.attempts) == ("sent", "notifications A.1.0.0", 2)
