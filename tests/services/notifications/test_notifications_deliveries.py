"""The engine: order, pauses, leases, crashes, replay, and who delivers in stock's place."""

import asyncio
import shutil
import tempfile
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings, strategies as st
from outside import Endpoint, open_desk
from starlette.applications import Starlette

from guilder.chassis.call import callers
from guilder.chassis.metrics import ProcessMetrics
from guilder.chassis.process import Built, Process
from guilder.chassis.serve import service_routes
from guilder.chassis.testing import CALL_KEYS, make_bank, new_id, somebody
from guilder.contracts.declare import Event
from guilder.contracts.errors import Forbidden, NotFound, Problem, Unavailable
from guilder.contracts.notifications import v1
from guilder.contracts.notifications.deliveries import (
    DeliveryId,
    DeliveryQuery,
    NotReplayable,
    UnknownDelivery,
)
from guilder.contracts.notifications.webhooks import WebhookId
from guilder.contracts.registry.v1 import Bound
from guilder.contracts.values import uuid7
from guilder.services.notifications import delivery_store, engine as engines
from guilder.services.notifications.delivery import (
    LEASE,
    LONGEST_PAUSE,
    Verdict,
    copy_id,
    event_id,
    judge,
    pause,
)

AT = datetime(2026, 3, 2, tzinfo=UTC)


# ── pauses and ids ───────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 2**122), st.integers(1, 1000))
def test_a_pause_grows_threefold_up_to_the_longest(bits, attempt):
    delivery = UUID(int=bits)
    whole = min(10 * 3 ** min(attempt - 1, 50), 6 * 3600)
    assert whole / 2 <= pause(delivery, attempt).total_seconds() <= whole
    assert pause(delivery, attempt) == pause(delivery, attempt) <= LONGEST_PAUSE


def test_what_failed_together_does_not_come_back_together():
    pauses = {pause(new_id(), 5) for _ in range(50)}
    assert len(pauses) == 50


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=20), st.uuids(version=4), st.booleans())
def test_copies_keep_the_order_of_messages(millis, recipient, same):
    moments = sorted(set(millis))
    messages = [uuid7(AT + timedelta(milliseconds=m)) for m in moments]
    copies = [copy_id(message, recipient) for message in messages]
    assert copies == sorted(copies)
    assert all(copy.version == 7 for copy in copies)
    assert copies == [copy_id(message, recipient) for message in messages]
    assert len({*copies, *(copy_id(m, new_id()) for m in messages)}) == 2 * len(messages)


def an_event(type_, **ids):
    ids = {"payment": str(UUID(int=7)), **ids}
    return Event(position="1.1", type=type_, at=AT, tenant=7, principal="x", request="", ids=ids)


def test_what_happens_to_a_payment_keeps_its_order_where_the_clock_stands():
    types = ["payment.waiting", "payment.booked", "payment.reversed"]
    ids = [event_id(an_event(type_)) for type_ in types]
    assert ids == sorted(ids)
    assert ids == [event_id(an_event(type_)) for type_ in types]
    assert event_id(an_event("payment.booked", by="y")) != ids[1]


@pytest.mark.parametrize(
    ("problem", "state", "why"),
    [
        (v1.Undeliverable("x"), "failed", "undeliverable"),
        (v1.Undeliverable("x", kind="recipient-gone"), "gone", "recipient-gone"),
        (v1.MessageDiffers("x"), "failed", "message-differs"),
        (Unavailable("x"), "queued", "unavailable"),
        (Unavailable("x", kind="smtp-4xx"), "queued", "smtp-4xx"),
        (Unavailable("x", kind="jana@example.com"), "queued", "unavailable"),
    ],
)
def test_outages_are_tried_again_and_refusals_are_final(problem, state, why):
    assert (judge(problem).state, judge(problem).why) == (state, why)
    assert judge(Problem.restore(problem.document())) == judge(problem)


# ── order and pauses against a naive model ───────────────────────────────────────────────────

DELIVERY = st.fixed_dictionaries(
    {
        "endpoint": st.integers(0, 1),
        "order": st.integers(0, 2),
        "at": st.integers(0, 3),
        "fails": st.integers(0, 3),
    }
)


class Model:
    """What must be posted when: a list that is gone through again and again, second by second."""

    def __init__(self, lines, most):
        self.lines = [dict(line, tries=0, due=0.0, ended=False) for line in lines]
        self.most = most

    def step(self, now):
        """The attempts made at a moment, until nothing is due: indexes of the lines."""
        made = []
        while True:
            heads = {}
            for n, line in enumerate(self.lines):
                if not line["ended"] and line["at"] * 5 <= now:
                    heads.setdefault((line["endpoint"], line["order"]), n)
            due = [n for n in heads.values() if self.lines[n]["due"] <= now]
            if not due:
                return made
            for n in due:
                made.append(n)
                line = self.lines[n]
                line["tries"] += 1
                if line["tries"] > line["fails"] or line["tries"] == self.most:
                    line["ended"] = True
                else:
                    line["due"] = now + pause(line["id"], line["tries"]).total_seconds()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(DELIVERY, min_size=1, max_size=7))
async def test_order_and_pauses_are_those_of_the_model(direct, lines):
    lines = sorted(lines, key=lambda line: line["at"])  # ids are in the order of time
    async with open_desk(direct) as desk, Endpoint().serving() as one, Endpoint().serving() as two:
        doors = one, two
        made = [await desk.register(door) for door in doors]
        start, most = desk.clock.now(), 3
        answers = {}
        desk.service.settings = type(desk.service.settings)(attempts=most)

        async def post(url, headers, body):
            number = lines_of[headers["webhook-id"]]
            seen.append(number)
            answers[number] = answers.get(number, 0) + 1
            if answers[number] <= lines[number]["fails"]:
                raise Unavailable("the endpoint answers 503", kind="http-5xx")
            return 200

        carrier, seen, lines_of = desk.service.stock, [], {}
        before, carrier._status = carrier._status, post
        try:
            for n, line in enumerate(lines):
                line["id"] = uuid7(start + timedelta(seconds=5 * line["at"], milliseconds=n))
                lines_of[str(line["id"])] = n
            model, queued = Model(lines, most), 0
            for second in range(0, 200, 5):
                desk.clock.at = start + timedelta(seconds=second)
                while queued < len(lines) and lines[queued]["at"] * 5 <= second:
                    line = lines[queued]
                    more = {"id": line["id"], "order": str(line["order"])}
                    await desk.queue(made[line["endpoint"]], **more)
                    queued += 1
                seen.clear()
                await desk.engine.round()
                assert sorted(seen) == sorted(model.step(second))
        finally:
            carrier._status = before
        states = [(await desk.read(line["id"])).state for line in lines]
        assert states == ["failed" if line["fails"] >= most else "sent" for line in lines]


async def test_the_next_of_an_order_waits_until_the_one_before_ended(direct_desk, endpoint):
    desk = direct_desk
    made = await desk.register(endpoint)
    endpoint.status = 500
    first, second = [await desk.queue(made, order="one") for _ in range(2)]
    await desk.engine.round()
    other = await desk.queue(made, order="two")
    await desk.engine.round()
    assert endpoint.ids == [str(first), str(other)]
    endpoint.status = 200
    await desk.later(seconds=11)
    assert endpoint.ids.index(str(second)) > endpoint.ids.index(str(first), 2)
    assert {(await desk.read(d)).state for d in (first, second, other)} == {"sent"}


async def test_attempts_are_bounded(direct_desk, endpoint):
    desk = direct_desk
    desk.service.settings = type(desk.service.settings)(attempts=3, disable_days=60)
    made = await desk.register(endpoint)
    endpoint.status = 500
    delivery = await desk.queue(made)
    for _ in range(5):
        await desk.later(hours=6)
    read = await desk.read(delivery)
    assert (read.state, read.attempts, read.why) == ("failed", 3, "http-5xx")
    assert [line.what for line in read.log] == ["queued", "tried", "tried", "failed"]
    assert len(endpoint.posts) == 3


async def test_who_hangs_keeps_nobody_else_waiting(direct_desk, endpoint):
    desk = direct_desk
    async with Endpoint().serving() as stuck:
        stuck.hangs = asyncio.Event()
        held, made = await desk.register(stuck), await desk.register(endpoint)
        for n in range(30):
            await desk.queue(held, order=f"o{n}")
        running = asyncio.create_task(desk.engine.round())
        async with asyncio.timeout(5):
            await stuck.reached.wait()
            await desk.queue(made)
            await endpoint.reached.wait()
        assert len(stuck.posts) <= engines.EACH
        stuck.hangs.set()
        await running
    assert len(stuck.posts) == 30


async def test_a_mail_server_that_hangs_keeps_no_webhook_waiting(direct_desk, smtp, endpoint):
    desk = direct_desk
    made, who = await desk.register(endpoint), await desk.person(smtp)
    smtp.reached.clear()
    smtp.hangs = asyncio.Event()
    mail = await desk.queue(who)
    running = asyncio.create_task(desk.engine.round())
    async with asyncio.timeout(5):
        await smtp.reached.wait()
        post = await desk.queue(made)
        await endpoint.reached.wait()
    assert (await desk.read(mail)).state == "queued"
    smtp.hangs.set()
    await running
    assert [(await desk.read(d)).state for d in (mail, post)] == ["sent", "sent"]


async def test_two_processes_send_each_delivery_once(direct_desk, endpoint):
    desk = direct_desk
    made = await desk.register(endpoint)
    sent = [await desk.queue(made, order=f"o{n % 4}") for n in range(20)]
    parts = desk.engine
    other = engines.Engine(
        parts.store, parts._client, parts._stock, "x", parts._sealer, parts._patience
    )
    await asyncio.gather(parts.round(), other.round())
    assert sorted(endpoint.ids) == sorted(map(str, sent))


async def test_what_waits_and_what_fails_is_measured(direct_desk, endpoint):
    desk = direct_desk

    def measured():
        families = ProcessMetrics(desk.world.process).collect()
        ours = [f for f in families if f.name.startswith("guilder_notifications_")]
        return {
            (sample.name, sample.labels.get("kind")): sample.value
            for family in ours
            for sample in family.samples
        }

    await desk.engine.look()
    before = measured()
    endpoint.status = 500
    await desk.queue(await desk.register(endpoint))
    await desk.engine.round()
    desk.clock.move(seconds=7)
    await desk.engine.look()
    after = measured()

    def grew(name, kind=None):
        return after[name, kind] - before.get((name, kind), 0)

    assert grew("guilder_notifications_failures_total", "http-5xx") == 1
    assert grew("guilder_notifications_attempts_total") == 1
    assert grew("guilder_notifications_queued") == 1
    assert after["guilder_notifications_oldest_seconds", None] >= 7


# ── crashes ──────────────────────────────────────────────────────────────────────────────────


async def test_a_crash_after_the_lease_sends_it_later_under_its_id(direct_desk, endpoint):
    desk = direct_desk
    made = await desk.register(endpoint)
    delivery = await desk.queue(made)
    assert [taken[1] for taken in await desk.engine._take()] == [delivery]  # and then it is gone
    desk.engine._busy.clear()
    await desk.engine.round()
    assert endpoint.posts == []  # it is leased
    await desk.later(seconds=LEASE.total_seconds() + 1)
    assert endpoint.ids == [str(delivery)]
    read = await desk.read(delivery)
    assert (read.state, read.attempts) == ("sent", 2)


async def test_a_crash_between_sending_and_writing_sends_the_same_id_again(
    direct_desk, endpoint, monkeypatch
):
    """Neither the receipt nor the outcome is written: the other side sees one id twice."""
    desk = direct_desk
    made = await desk.register(endpoint)
    delivery = await desk.queue(made)
    crashes = []

    async def dies(tx, *rest):
        crashes.append(rest)
        raise ConnectionResetError("died after the post")

    with monkeypatch.context() as patched:
        patched.setattr(delivery_store, "add_receipt", dies)
        patched.setattr(delivery_store, "settle", dies)
        await desk.engine.round()
    assert len(crashes) == 2
    assert (await desk.read(delivery)).state == "queued"
    await desk.later(seconds=LEASE.total_seconds() + 1)
    assert endpoint.ids == [str(delivery)] * 2
    assert (await desk.read(delivery)).state == "sent"


async def test_a_crash_after_the_receipt_sends_nothing_again(direct_desk, endpoint, monkeypatch):
    desk = direct_desk
    made = await desk.register(endpoint)
    delivery = await desk.queue(made)

    async def dies(tx, *rest):
        raise ConnectionResetError("died after the receipt")

    with monkeypatch.context() as patched:
        patched.setattr(delivery_store, "settle", dies)
        await desk.engine.round()
    await desk.later(seconds=LEASE.total_seconds() + 1)
    assert endpoint.ids == [str(delivery)]
    assert (await desk.read(delivery)).state == "sent"


async def test_who_lost_the_lease_writes_no_outcome(direct_desk, endpoint):
    desk = direct_desk
    delivery = await desk.queue(await desk.register(endpoint))
    await desk.engine._take()
    desk.engine._busy.clear()
    async with desk.engine.store.tx(desk.tenant) as tx:
        row = await delivery_store.find(tx, desk.tenant, delivery)
    desk.clock.move(seconds=LEASE.total_seconds() + 1)
    await desk.engine._take()
    desk.engine._busy.clear()
    async with desk.engine.store.tx(desk.tenant) as tx:
        assert not await delivery_store.settle(tx, row, Verdict("failed", "timeout"), tx.at)
    assert (await desk.read(delivery)).state == "queued"


async def test_a_delivery_that_ends_every_process_is_given_up(direct_desk, endpoint):
    desk = direct_desk
    desk.service.settings = type(desk.service.settings)(attempts=2)
    delivery = await desk.queue(await desk.register(endpoint))
    for _ in range(2):
        assert await desk.engine._take()
        desk.engine._busy.clear()
        desk.clock.move(seconds=LEASE.total_seconds() + 1)
    await desk.engine.round()
    read = await desk.read(delivery)
    assert (read.state, read.why) == ("failed", "interrupted")
    assert endpoint.posts == []


# ── replay, list, tidy ───────────────────────────────────────────────────────────────────────


async def replay(desk, delivery, who=None):
    asked = DeliveryId(delivery_id=delivery)
    return await desk.public().replay((who or desk.bank.manager).ctx(), asked)


async def test_what_failed_is_replayed_under_its_id(desk, endpoint):
    made = await desk.register(endpoint)
    delivery = await desk.queue(made)
    async with desk.engine.store.tx(desk.tenant) as tx:
        await tx.execute("UPDATE delivery SET state='failed', attempts=3, ended_at=$1", tx.at)
    replayed = await replay(desk, delivery)
    assert (replayed.id, replayed.state) == (delivery, "queued")
    with pytest.raises(NotReplayable):
        await replay(desk, delivery)
    await desk.engine.round()
    assert endpoint.ids == [str(delivery)]
    assert [x.what for x in (await desk.read(delivery)).log] == ["queued", "replayed", "sent"]


async def test_what_was_sent_is_sent_again_under_a_new_id(desk, endpoint):
    made = await desk.register(endpoint)
    delivery = await desk.queue(made)
    await desk.engine.round()
    replayed = await replay(desk, delivery)
    assert (replayed.replays, replayed.state) == (delivery, "queued")
    assert replayed.id != delivery
    await desk.engine.round()
    assert endpoint.ids == [str(delivery), str(replayed.id)]
    assert len({body for _, _, body in endpoint.posts}) == 1


async def test_it_is_sent_again_once_however_many_ask_at_once(direct_desk, endpoint):
    desk = direct_desk
    delivery = await desk.queue(await desk.register(endpoint))
    await desk.engine.round()
    done = await asyncio.gather(*(replay(desk, delivery) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(one, NotReplayable) for one in done) == 5
    await desk.engine.round()
    assert len(endpoint.posts) == 2
    await replay(desk, delivery)  # it has arrived: whoever lost it may have it once more
    await desk.engine.round()
    assert len(endpoint.posts) == 3


async def test_what_was_refused_for_good_is_sent_again_under_a_new_id(desk, smtp):
    who = await desk.person(smtp)
    smtp.rcpt = "550 no such user"
    delivery = await desk.queue(who)
    await desk.engine.round()
    assert (await desk.read(delivery)).why == "smtp-5xx"
    smtp.rcpt = "250 OK"
    replayed = await replay(desk, delivery)
    assert replayed.replays == delivery
    await desk.engine.round()
    assert (await desk.read(replayed.id)).state == "sent"
    assert (await desk.read(delivery)).state == "failed"


async def test_what_is_told_at_once_is_delivered_once_and_in_order(desk, smtp):
    messages = [desk.message(order="one", text=f"number {n}") for n in range(5)]
    messages = [
        msgspec.structs.replace(m, id=uuid7(AT + timedelta(seconds=n)))
        for n, m in enumerate(messages)
    ]
    turned = [messages[n] for n in (3, 0, 4, 1, 2, 0)]
    answers = await asyncio.gather(*(desk.deliver(*turned) for _ in range(3)))
    assert answers[0] == answers[1] == answers[2]
    assert [a.id for a in answers[0]] == [m.id for m in turned]
    assert [m.get_content().strip() for m in smtp.mails] == [f"number {n}" for n in range(5)]


async def test_what_comes_after_an_outage_waits(direct_desk, smtp):
    desk = direct_desk
    smtp.data = "451 later"
    first = desk.message(order="one", id=uuid7(AT))
    second = desk.message(order="one", id=uuid7(AT + timedelta(seconds=1)))
    other = desk.message(order="one", to="eva@example.com")
    answers = await desk.deliver(second, other, first)
    assert [a.code for a in answers] == ["unavailable"] * 3
    assert len(smtp.tried) == 2


async def test_what_is_refused_for_good_is_not_tried_again(direct_desk, smtp):
    smtp.rcpt = "550 no such user"
    asked = direct_desk.message()
    (first,), (again,) = [await direct_desk.deliver(asked) for _ in range(2)]
    assert isinstance(first, v1.Undeliverable)
    assert (again.code, again.more) == (first.code, first.more)
    assert len(smtp.tried) == 1


async def test_what_has_no_recipient_is_not_replayed(direct_desk, endpoint):
    desk = direct_desk
    made = await desk.register(endpoint)
    delivery = await desk.queue(made)
    endpoint.status = 410
    await desk.engine.round()
    with pytest.raises(NotReplayable):
        await replay(desk, delivery)
    endpoint.status = 200
    again = WebhookId(endpoint_id=made.id)
    await desk.public().enable_webhook(desk.bank.manager.ctx(), again)
    replayed = await replay(desk, delivery)
    await desk.engine.round()
    assert (await desk.read(replayed.id)).state == "sent"
    await desk.public().remove_webhook(desk.bank.manager.ctx(), again)
    with pytest.raises(NotReplayable):
        await replay(desk, delivery)


async def test_deliveries_are_listed_and_filtered(desk, endpoint):
    made, about = await desk.register(endpoint), new_id()
    sent = [await desk.queue(made, order=f"o{n}", about=about) for n in range(3)]
    await desk.engine.round()
    endpoint.status = 500
    waits = await desk.queue(made)
    await desk.engine.round()
    assert [d.id for d in await desk.listed()] == sorted([*sent, waits], reverse=True)
    assert [d.id for d in await desk.listed(state="queued")] == [waits]
    assert {d.id for d in await desk.listed(about=about)} == set(sent)
    assert await desk.listed(channel="email") == []
    assert await desk.listed(recipient=new_id()) == []
    first = await desk.public().deliveries(desk.bank.auditor.ctx(), DeliveryQuery(limit=2))
    rest = DeliveryQuery(limit=2, before=first.next)
    second = await desk.public().deliveries(desk.bank.auditor.ctx(), rest)
    seen = [d.id for page in (first, second) for d in page.items]
    assert seen == sorted([*sent, waits], reverse=True)
    assert second.next is None


async def test_what_ended_long_ago_is_forgotten(direct_desk, endpoint):
    desk = direct_desk
    made = await desk.register(endpoint)
    old = await desk.queue(made)
    await desk.engine.round()
    desk.clock.move(days=29)
    await desk.service.tidy()
    assert (await desk.read(old)).state == "sent"
    new = await desk.queue(made)
    await desk.engine.round()
    desk.clock.move(days=2)
    await desk.service.tidy()
    with pytest.raises(UnknownDelivery):
        await desk.read(old)
    assert (await desk.read(new)).state == "sent"
    async with desk.engine.store.tx(desk.tenant) as tx:
        assert await tx.value("SELECT count(*) FROM receipt") == 1
        assert await tx.value("SELECT count(*) FROM delivery_line") == 1


@pytest.mark.refuses("notifications.deliveries")
@pytest.mark.refuses("notifications.delivery")
@pytest.mark.refuses("notifications.replay")
@pytest.mark.abuse(33)
async def test_only_staff_sees_deliveries_and_only_its_own(desk, endpoint):
    delivery = await desk.queue(await desk.register(endpoint))
    asked, public = DeliveryId(delivery_id=delivery), desk.public()
    nobody = somebody(desk.tenant, party=new_id())
    with pytest.raises(Forbidden):
        await public.deliveries(nobody.ctx(), DeliveryQuery())
    with pytest.raises(Forbidden):
        await public.delivery(nobody.ctx(), asked)
    for who in (nobody, desk.bank.auditor):
        with pytest.raises(Forbidden):
            await public.replay(who.ctx(), asked)
    other = (await make_bank(desk.world)).manager
    assert (await public.deliveries(other.ctx(), DeliveryQuery())).items == []
    for operation in (public.delivery, public.replay):
        with pytest.raises(NotFound):
            await operation(other.ctx(), asked)


# ── who delivers ─────────────────────────────────────────────────────────────────────────────


class Postman(v1.Notifications):
    """Another release that delivers: what it takes, and how it answers."""

    release = "1.1.0"

    def __init__(self):
        self.took, self.answer = [], None

    async def deliver(self, calls):
        self.took += [(call.ctx.tenant, call.request) for call in calls]
        return [
            self.answer or v1.Delivered(id=c.request.id, at=AT, reference="by hand") for c in calls
        ]

    async def self_check(self, ctx, request):
        raise NotImplementedError


@asynccontextmanager
async def bound(desk):
    """The tenant's deliveries go to a postman of its own, over a socket."""
    folder, postman = Path(tempfile.mkdtemp(prefix="gp-")), Postman()
    world = desk.world
    process = Process(
        {"notifications": lambda parts: Built(postman)},
        {"notifications": world.process.stores["notifications"]._connect},
        folder,
        world.clock,
        {},
        far=world.road,
        keys=CALL_KEYS,
    )
    await process.start(background=False)
    routes = service_routes(process.endpoints["notifications"], CALL_KEYS, callers("notifications"))
    path = folder / "p.sock"
    config = uvicorn.Config(
        Starlette(routes=routes), uds=str(path), log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110  uvicorn offers no event
        await asyncio.sleep(0.005)
    line = Bound(
        id=new_id(),
        tenant=desk.tenant,
        contract="notifications",
        edition="A",
        version="1.1.0",
        address=f"unix:{path}",
        on_failure="closed",
        generation=7,
    )
    world.process.bindings.replace([line])
    try:
        yield postman
    finally:
        world.process.bindings.replace([])
        server.should_exit = True
        await serving
        await process.stop()
        shutil.rmtree(folder)


async def test_whoever_is_bound_delivers_in_stocks_place(desk, endpoint):
    async with bound(desk) as postman:
        delivery = await desk.queue(await desk.register(endpoint))
        await desk.engine.round()
        read = await desk.read(delivery)
    assert endpoint.posts == []
    ((tenant, taken),) = postman.took
    assert (tenant, taken.id, taken.to) == (desk.tenant, delivery, endpoint.url)
    assert (read.state, read.by, read.reference) == (
        "sent",
        "notifications A.1.1.0",
        "by hand",
    )


@pytest.mark.parametrize(
    ("answer", "state", "why"),
    [
        (Unavailable("down"), "queued", "unavailable"),
        (v1.Undeliverable("no such person"), "failed", "undeliverable"),
    ],
)
async def test_its_outage_is_tried_again_and_its_refusal_is_final(
    direct_desk, endpoint, answer, state, why
):
    desk = direct_desk
    async with bound(desk) as postman:
        postman.answer = answer
        delivery = await desk.queue(await desk.register(endpoint))
        await desk.engine.round()
        read = await desk.read(delivery)
        assert (read.state, read.why, read.by) == (state, why, "notifications A.1.1.0")
        postman.answer = None
        await desk.later(seconds=11)
        assert (await desk.read(delivery)).state == ("sent" if state == "queued" else "failed")
    assert endpoint.posts == []


async def test_what_it_disclaims_stock_delivers(desk, endpoint):
    async with bound(desk) as postman:
        postman.answer = v1.ChannelDisclaimed("no webhooks here")
        delivery = await desk.queue(await desk.register(endpoint))
        await desk.engine.round()
        read = await desk.read(delivery)
    assert endpoint.ids == [str(delivery)]
    assert (read.state, read.by) == ("sent", "notifications A.1.0.0")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"id": UUID(int=1)}, "receipt is for"),
        ({"at": datetime(2001, 1, 1, tzinfo=UTC)}, "no moment"),
        ({"at": datetime(2029, 1, 1, tzinfo=UTC)}, "no moment"),
        ({"at": datetime(2026, 3, 2)}, "no zone"),
        ({"reference": "a\nb"}, "cannot be shown"),
        ({"reference": "to Jana@Example.com"}, "address"),
    ],
)
def test_a_receipt_that_cannot_be_is_named(changes, fault):
    asked = v1.Deliver(
        id=uuid7(AT),
        channel="email",
        to="jana@example.com",
        topic="maintenance.72h",
        order="x",
        subject="Soon",
        text="It begins",
    )
    made = v1.Delivered(**({"id": asked.id, "at": AT, "reference": "42"} | changes))
    found = list(v1.faults(asked, made))
    assert (len(found) == 0) if not fault else (len(found) == 1 and fault in found[0])
