"""Webhooks: registered, signed, posted, refused, disabled; none reaches our own networks."""

import asyncio
import json

import pytest
from outside import Endpoint

from guilder.chassis.contract import convert, plain
from guilder.chassis.outbound import Outbound, Rules
from guilder.chassis.testing import make_bank, new_id, somebody
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import AddressRefused, Forbidden, InvalidRequest
from guilder.contracts.notifications.webhooks import (
    RegisterWebhook,
    RotateWebhook,
    TooManyWebhooks,
    UnknownWebhook,
    WebhookId,
    WebhookTaken,
)
from guilder.services.notifications import webhooks


async def test_what_is_queued_is_posted_signed_and_counted_as_sent(desk, endpoint):
    made = await desk.register(endpoint)
    delivery = await desk.queue(made, about=new_id())
    await desk.engine.round()
    ((line, headers, body),) = endpoint.posts
    assert line == "POST /events HTTP/1.1"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == str(delivery)
    assert int(headers["webhook-timestamp"]) == int(desk.clock.now().timestamp())
    assert headers["webhook-signature"].startswith("v1,")
    assert json.loads(body)["type"] == "payment.booked"
    read = await desk.read(delivery)
    assert (read.state, read.attempts, read.by) == ("sent", 1, "notifications A.1.0.0")
    assert [line.what for line in read.log] == ["queued", "sent"]
    assert read.reference == "http 200"


@pytest.mark.parametrize(
    ("status", "headers", "why"),
    [
        (500, {}, "http-5xx"),
        (404, {}, "http-4xx"),
        (302, {"Location": "http://127.0.0.1:1/other"}, "http-3xx"),
        (429, {"Retry-After": "600"}, "http-4xx"),
    ],
)
async def test_what_is_not_taken_is_tried_again_until_it_is(
    direct_desk, endpoint, status, headers, why
):
    desk = direct_desk
    made = await desk.register(endpoint)
    endpoint.status, endpoint.headers = status, headers
    delivery = await desk.queue(made)
    await desk.engine.round()
    read = await desk.read(delivery)
    assert (read.state, read.why, read.attempts) == ("queued", why, 1)
    waits = (read.next_at - desk.clock.now()).total_seconds()
    assert waits == 600 if "Retry-After" in headers else 5 <= waits <= 10
    assert (await desk.endpoint(made.id)).failing_since == desk.clock.now()
    endpoint.status, endpoint.headers = 204, {}
    await desk.later(seconds=waits - 1)
    assert len(endpoint.posts) == 1
    await desk.later(seconds=2)
    assert endpoint.ids == [str(delivery)] * 2
    assert (await desk.read(delivery)).state == "sent"
    assert (await desk.endpoint(made.id)).failing_since is None


async def test_nobody_there_and_nobody_answering_are_tried_again(
    direct_desk, endpoint, monkeypatch
):
    monkeypatch.setattr("guilder.services.notifications.carrier.CARRY_S", 0.2)
    desk = direct_desk
    made = await desk.register(endpoint)
    endpoint.hangs = asyncio.Event()
    delivery = await desk.queue(made)
    await desk.engine.round()
    assert (await desk.read(delivery)).why == "timeout"
    endpoint.hangs.set()
    gone = Endpoint()
    gone.url = "http://127.0.0.1:9/events"
    delivery = await desk.queue(await desk.register(gone))
    await desk.engine.round()
    assert (await desk.read(delivery)).why == "connection"


async def test_an_answer_without_end_is_cut_short(direct_desk, endpoint):
    endpoint.body = b"x" * 50_000
    made = await direct_desk.register(endpoint)
    delivery = await direct_desk.queue(made)
    await direct_desk.engine.round()
    assert (await direct_desk.read(delivery)).why == "connection"


async def test_whoever_says_that_he_is_gone_is_asked_no_more(direct_desk, endpoint):
    desk = direct_desk
    made = await desk.register(endpoint)
    endpoint.status = 410
    first, second = [await desk.queue(made, order="one") for _ in range(2)]
    await desk.engine.round()
    assert [(await desk.read(d)).state for d in (first, second)] == ["gone", "gone"]
    assert endpoint.ids == [str(first)]
    assert (await desk.endpoint(made.id)).disabled_at == desk.clock.now()
    (told,) = await desk.inbox()
    assert (told.topic, told.about) == ("webhook.disabled", made.id)
    assert "410" in told.text


async def test_days_of_failure_disable_an_endpoint_and_tell_the_tenant(direct_desk, endpoint):
    desk = direct_desk
    made = await desk.register(endpoint)
    endpoint.status = 503
    await desk.queue(made)
    await desk.engine.round()
    since = desk.clock.now()
    for _ in range(5):
        assert (await desk.endpoint(made.id)).disabled_at is None
        await desk.queue(made, order=str(new_id()))
        await desk.later(days=1)
    line = await desk.endpoint(made.id)
    assert line.disabled_at is not None
    assert (line.disabled_at - since).days == 5
    assert [m.topic for m in await desk.inbox()] == ["webhook.disabled"]
    assert {d.state for d in await desk.listed()} <= {"gone", "failed"}
    endpoint.status = 200
    asked = WebhookId(endpoint_id=made.id)
    again = await desk.public().enable_webhook(desk.bank.manager.ctx(), asked)
    assert (again.disabled_at, again.failing_since) == (None, None)
    delivery = await desk.queue(made)
    await desk.engine.round()
    assert (await desk.read(delivery)).state == "sent"


async def test_a_secret_is_rotated_with_an_overlap(direct_desk, endpoint):
    desk = direct_desk
    made = await desk.register(endpoint)
    asked = RotateWebhook(endpoint_id=made.id, overlap_hours=2)
    turned = await desk.public().rotate_webhook(desk.bank.manager.ctx(), asked)
    assert turned.secret != made.secret
    assert turned.secret.startswith("whsec_")
    for _ in range(2):
        await desk.queue(made, order=str(new_id()))
        await desk.engine.round()
        desk.clock.move(hours=2)
    counts = [len(h["webhook-signature"].split(" ")) for _, h, _ in endpoint.posts]
    assert counts == [2, 1]


async def test_a_secret_is_shown_once_and_stored_sealed(desk, endpoint):
    made = await desk.register(endpoint)
    shown = await desk.endpoint(made.id)
    assert "secret" not in plain(shown)
    async with desk.world.process.stores["notifications"].tx(desk.tenant) as tx:
        row = await tx.row("SELECT * FROM webhook WHERE id=$1", made.id)
        answers = await tx.fetch("SELECT answer FROM command")
    stored = [bytes(row["secret"]), *(bytes(a["answer"]) for a in answers)]
    assert not [s for s in stored if made.secret.removeprefix("whsec_").encode() in s]


async def test_a_url_has_one_endpoint_and_a_tenant_twenty(direct_desk, endpoint, monkeypatch):
    desk = direct_desk
    await desk.register(endpoint)
    with pytest.raises(WebhookTaken):
        await desk.register(endpoint)
    monkeypatch.setattr(webhooks, "MOST", 1)
    other = Endpoint()
    other.url = "http://127.0.0.1:9/other"
    with pytest.raises(TooManyWebhooks):
        await desk.register(other)


async def test_what_is_removed_gets_nothing_more(desk, endpoint):
    made = await desk.register(endpoint)
    delivery = await desk.queue(made)
    asked = WebhookId(endpoint_id=made.id)
    await desk.public().remove_webhook(desk.bank.manager.ctx(), asked)
    await desk.engine.round()
    assert endpoint.posts == []
    assert (await desk.read(delivery)).state == "gone"
    with pytest.raises(UnknownWebhook):
        await desk.public().remove_webhook(desk.bank.manager.ctx(), asked)
    assert (await desk.register(endpoint)).id != made.id  # the URL is free again


INWARD = [
    "http://127.0.0.1/x",
    "https://127.0.0.1/x",
    "https://127.1/x",
    "https://2130706433/x",
    "https://0x7f000001/x",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://169.254.169.254/latest/meta-data",
    "https://[fd00:ec2::254]/x",
    "https://10.0.0.1/x",
    "https://user@example.com/x",
    "ftp://example.com/x",
    "https://localhost/x",
]


@pytest.mark.abuse(61)
@pytest.mark.parametrize("url", INWARD)
async def test_an_address_inside_is_not_registered(direct_desk, url):
    desk = direct_desk
    desk.service.rules = Rules()
    asked = RegisterWebhook(url=url, topics=["payment.booked"])
    with pytest.raises(AddressRefused) as refused:
        await desk.public().register_webhook(desk.bank.manager.ctx(), asked)
    assert refused.value.at == "$.url"
    listed = await desk.public().webhooks(desk.bank.manager.ctx(), Nothing())
    assert listed.items == []


@pytest.mark.abuse(61)
async def test_a_name_that_leads_inside_later_is_not_posted_to(direct_desk, endpoint):
    """DNS rebinding: public when it is registered, loopback at each send."""
    desk = direct_desk
    port = endpoint.url.rpartition(":")[2].partition("/")[0]
    leads = {"now": "93.184.215.14"}

    async def resolve(host, port):
        return [leads["now"]]

    desk.service.rules, desk.service.resolve = Rules(), resolve
    desk.service.stock._outbound = Outbound(Rules(), resolve)
    made = Endpoint()
    made.url = f"https://hooks.example.com:{port}/events"
    registered = await desk.register(made)
    leads["now"] = "127.0.0.1"
    delivery = await desk.queue(registered)
    await desk.engine.round()
    read = await desk.read(delivery)
    assert (read.state, read.why) == ("failed", "address-refused")
    assert endpoint.posts == []


@pytest.mark.abuse(61)
async def test_a_redirect_is_not_followed(direct_desk, endpoint):
    async with Endpoint().serving() as inside:
        endpoint.status, endpoint.headers = 307, {"Location": inside.url}
        made = await direct_desk.register(endpoint)
        await direct_desk.queue(made)
        await direct_desk.engine.round()
        assert len(endpoint.posts) == 1
        assert inside.posts == []


def _calls(desk, id_):
    ctx_of = lambda who: who.ctx()  # noqa: E731
    public, url = desk.public(), "http://127.0.0.1:9/x"
    return {
        "register_webhook": lambda who: public.register_webhook(
            ctx_of(who), RegisterWebhook(url=url, topics=["payment.booked"])
        ),
        "webhooks": lambda who: public.webhooks(ctx_of(who), Nothing()),
        "rotate_webhook": lambda who: public.rotate_webhook(
            ctx_of(who), RotateWebhook(endpoint_id=id_)
        ),
        "enable_webhook": lambda who: public.enable_webhook(
            ctx_of(who), WebhookId(endpoint_id=id_)
        ),
        "remove_webhook": lambda who: public.remove_webhook(
            ctx_of(who), WebhookId(endpoint_id=id_)
        ),
    }


@pytest.mark.refuses("notifications.register_webhook")
@pytest.mark.refuses("notifications.webhooks")
@pytest.mark.refuses("notifications.rotate_webhook")
@pytest.mark.refuses("notifications.enable_webhook")
@pytest.mark.refuses("notifications.remove_webhook")
@pytest.mark.abuse(33)
async def test_only_staff_has_to_do_with_webhooks_and_only_with_its_own(desk, endpoint):
    made = await desk.register(endpoint)
    calls = _calls(desk, made.id)
    for call in calls.values():
        with pytest.raises(Forbidden):
            await call(somebody(desk.tenant, party=new_id()))
    for name in set(calls) - {"webhooks"}:
        with pytest.raises(Forbidden):
            await calls[name](desk.bank.auditor)
    other = (await make_bank(desk.world)).manager
    assert (await calls["webhooks"](other)).items == []
    for name in ("rotate_webhook", "enable_webhook", "remove_webhook"):
        with pytest.raises(UnknownWebhook):
            await calls[name](other)
    assert (await desk.endpoint(made.id)).removed_at is None


def test_a_topic_that_is_not_there_is_refused():
    with pytest.raises(InvalidRequest):
        convert({"url": "https://example.com/x", "topics": ["party.created"]}, RegisterWebhook)
