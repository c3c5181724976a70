"""E-mail over a real mail server: written, handed over, refused; and people's own addresses."""

import asyncio
import re
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from uuid import UUID

import pytest
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, strategies as st
from outside import MailServer, mailer

from guilder.chassis.contract import convert
from guilder.chassis.testing import new_id, operator, somebody
from guilder.contracts.context import Principal
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import Forbidden, InvalidRequest, TooManyRequests, Unavailable
from guilder.contracts.notifications import v1
from guilder.contracts.notifications.addresses import (
    AddressUnknown,
    ChooseTopics,
    CodeWrong,
    ConfirmEmail,
    MailNotOffered,
    SetEmail,
)
from guilder.contracts.notifications.v1 import Undeliverable
from guilder.contracts.vault.v1 import Subject, Vault
from guilder.services.notifications import delivery_store
from guilder.services.notifications.mail import compose
from guilder.services.notifications.settings import NotificationsSettings


async def test_a_mail_arrives_as_it_was_meant(desk, smtp):
    asked = desk.message(subject="Grüße aus Köln", text="Zeile 1 – ä\n" + "lang " * 300)
    (made,) = await desk.deliver(asked)
    (mail,) = smtp.mails
    assert mail["To"] == "jana@example.com"
    assert mail["From"] == "bank@example.org"
    assert mail["Subject"] == asked.subject
    assert mail["Message-ID"] == f"<{asked.id}@example.org>"
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().rstrip("\r\n").replace("\r\n", "\n") == asked.text
    assert smtp.envelopes[0].rcpt_tos == ["jana@example.com"]
    assert smtp.envelopes[0].content.isascii()
    assert made == v1.Delivered(id=asked.id, at=desk.clock.now(), reference="Taken as 42")


class Planning:
    """Instead of running statements, notes how they would be run."""

    def __init__(self, tx):
        self.at, self._tx, self.plans = tx.at, tx, []

    async def value(self, sql, *args):
        lines = await self._tx.fetch(f"EXPLAIN {sql}", *args)
        self.plans.append("\n".join(line[0] for line in lines))
        return 0

    execute = value


async def test_nobody_goes_through_all_deliveries_of_a_tenant(direct):
    async with direct.process.stores["notifications"].tx(7) as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")  # as with many of them
        plans = Planning(tx)
        await delivery_store.codes_since(plans, 7, new_id(), tx.at)
        await delivery_store.give_up(plans, 7, new_id())
    codes, _, sealed = plans.plans
    assert " delivery_code " in codes, codes
    assert " delivery_sealed " in sealed, sealed


async def test_a_repeat_is_recognised_and_another_message_under_its_id_refused(desk, smtp):
    asked = desk.message()
    (first,) = await desk.deliver(asked)
    other = desk.message(id=asked.id, to="eva@example.com")
    desk.clock.move(minutes=5)
    again, differs = await desk.deliver(asked, other)
    assert again == first
    assert isinstance(differs, v1.MessageDiffers)
    assert len(smtp.mails) == 1


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"to": "jana@example.com\r\nBcc: eva@example.com"}, Undeliverable),
        ({"to": "jana@example.com, eva@example.com"}, Undeliverable),
        ({"to": "Jana <jana@example.com>"}, Undeliverable),
        ({"to": "jana"}, Undeliverable),
        ({"subject": "Hello\r\nBcc: eva@example.com"}, InvalidRequest),
        ({"subject": "Hel\u202elo"}, InvalidRequest),
        ({"text": "a\x00b"}, InvalidRequest),
        ({"text": "a\rb"}, InvalidRequest),
        ({"id": UUID("2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d")}, InvalidRequest),
        ({"channel": "webhook", "to": "https://example.com/x"}, InvalidRequest),
    ],
)
@pytest.mark.abuse(59)
async def test_nothing_can_be_smuggled_into_a_mail(direct_desk, smtp, changes, kind):
    (refused,) = await direct_desk.deliver(direct_desk.message(**changes))
    assert isinstance(refused, kind)
    assert smtp.mails == []


@given(st.text(min_size=3, max_size=200), st.text(min_size=3, max_size=200))
def test_a_mail_has_the_headers_it_was_given_and_no_others(subject, text):
    names = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type"]
    names += ["Content-Transfer-Encoding", "MIME-Version"]
    at = datetime(2026, 3, 2, tzinfo=UTC)
    try:
        made = compose("bank@example.org", "jana@example.com", new_id(), at, subject, text)
        raw = made.as_bytes()
    except (ValueError, UnicodeError):  # a line break, or half a character: refused, not written
        return
    head = raw.partition(b"\r\n\r\n")[0].decode("ascii")
    assert sorted(re.findall(r"^([!-9;-~]+):", head, re.MULTILINE)) == sorted(names)


@pytest.mark.parametrize(
    ("said", "kind", "why"),
    [
        ({"rcpt": "450 try later"}, Unavailable, "smtp-4xx"),
        ({"data": "451 try later"}, Unavailable, "smtp-4xx"),
        ({"rcpt": "550 no such user"}, Undeliverable, "smtp-5xx"),
        ({"data": "554 not this"}, Undeliverable, "smtp-5xx"),
    ],
)
async def test_what_a_server_refuses_for_now_is_tried_again_and_what_for_good_is_not(
    direct_desk, smtp, said, kind, why
):
    for name, value in said.items():
        setattr(smtp, name, value)
    (refused,) = await direct_desk.deliver(direct_desk.message())
    assert isinstance(refused, kind)
    assert refused.more["kind"] == why


@pytest.mark.parametrize("does", ["closes", "hangs", "says nonsense", "is not there"])
async def test_a_server_that_is_broken_costs_one_attempt(direct_desk, monkeypatch, does):
    monkeypatch.setattr("guilder.services.notifications.carrier.CARRY_S", 0.3)
    over = asyncio.Event()

    async def serve(reader, writer):
        if does == "hangs":
            await over.wait()
        if does == "says nonsense":
            writer.write(b"\x16\x03\x01 what\r\n")
            with suppress(OSError):
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if does == "is not there":
        server.close()
        await server.wait_closed()
    direct_desk.service.stock.mailer = mailer(port)
    (refused,) = await direct_desk.deliver(direct_desk.message())
    over.set()
    server.close()
    assert isinstance(refused, Unavailable)
    assert refused.more["kind"] in {"timeout", "connection", "smtp-4xx", "smtp-5xx"}
    if does == "hangs":
        assert refused.more["kind"] == "timeout"


async def test_a_reference_never_holds_the_address(direct_desk, smtp):
    smtp.data = "250 Queued for JANA@example.com"
    (made,) = await direct_desk.deliver(direct_desk.message())
    assert made.reference is None


def certificate(folder):
    """A certificate for 127.0.0.1 that signs itself; the paths of it and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return files


async def test_starttls_and_a_login_are_used(direct_desk, tmp_path):
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    seen = []

    def login(server, session, envelope, mechanism, data):
        seen.append((data.login, data.password))
        return AuthResult(success=data.password == b"secret", handled=False)

    secret = tmp_path / "password"
    secret.write_text("secret\n")
    more = {"smtp_security": "starttls", "smtp_ca": str(cert), "smtp_user": "bank"}
    more |= {"smtp_password_file": str(secret)}
    demands = {"tls_context": context, "require_starttls": True, "auth_required": True}
    async with MailServer().serving(authenticator=login, **demands) as server:
        direct_desk.service.stock.mailer = mailer(server.port, **more)
        (made,) = await direct_desk.deliver(direct_desk.message())
        assert made.reference == "Taken as 42"
        assert seen == [(b"bank", b"secret")]
        secret.write_text("wrong")
        direct_desk.service.stock.mailer = mailer(server.port, **more)
        (refused,) = await direct_desk.deliver(direct_desk.message())
        assert (refused.code, refused.more["kind"]) == ("unavailable", "smtp-login")
        more["smtp_ca"] = ""  # signed by somebody unknown
        direct_desk.service.stock.mailer = mailer(server.port, **more)
        (refused,) = await direct_desk.deliver(direct_desk.message())
        assert (refused.code, refused.more["kind"]) == ("unavailable", "tls")
        assert len(server.mails) == 1


async def test_starttls_is_demanded(direct_desk, smtp):
    """A server, or somebody in between, that does not offer it gets no mail."""
    direct_desk.service.stock.mailer = mailer(smtp.port, smtp_security="starttls")
    (refused,) = await direct_desk.deliver(direct_desk.message())
    assert isinstance(refused, Unavailable)
    assert smtp.mails == []


async def test_without_a_mail_server_nothing_is_lost(direct_desk):
    direct_desk.service.stock.mailer = None
    (refused,) = await direct_desk.deliver(direct_desk.message())
    assert (refused.code, refused.more["kind"]) == ("unavailable", "mail-not-offered")


@pytest.mark.parametrize(
    "wrong",
    [{"smtp": "host"}, {"smtp_security": "maybe"}, {"sender": "x"}, {"attempts": 0}],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValueError, match="GUILDER_NOTIFICATIONS_"):
        NotificationsSettings(**wrong)


# ── people's own addresses ───────────────────────────────────────────────────────────────────


async def test_an_address_is_used_only_when_it_is_confirmed(desk, smtp):
    who = somebody(desk.tenant, party=new_id())
    state = await desk.public().set_email(who.ctx(), SetEmail(address="jana@example.com"))
    assert (state.id, state.confirmed_at) == (who.principal.id, None)
    await desk.engine.round()
    (mail,) = smtp.mails
    code = re.search(r"\b\d{8}\b", mail.get_content())[0]
    own = await desk.public().email(who.ctx(), Nothing())
    assert (own.address, own.pending) == (None, "jana@example.com")
    confirmed = await desk.public().confirm_email(who.ctx(), ConfirmEmail(code=code))
    assert confirmed.confirmed_at == desk.clock.now()
    own = await desk.public().email(who.ctx(), Nothing())
    assert (own.address, own.pending) == ("jana@example.com", None)
    await desk.queue(who, text="Now it does")
    await desk.engine.round()
    assert [m.get_content().strip() for m in smtp.mails[1:]] == ["Now it does"]


async def test_a_confirmed_address_stays_until_the_next_is_confirmed(direct_desk, smtp):
    desk = direct_desk
    who = await desk.person(smtp)
    desk.clock.move(minutes=2)
    await desk.public().set_email(who.ctx(), SetEmail(address="new@example.com"))
    own = await desk.public().email(who.ctx(), Nothing())
    assert (own.address, own.pending) == ("jana@example.com", "new@example.com")
    await desk.queue(who, text="Still there")
    await desk.engine.round()
    assert {m["To"] for m in smtp.mails if "Still" in m.get_content()} == {"jana@example.com"}


async def test_a_code_counts_an_hour_and_five_tries(direct_desk, smtp):
    desk, public = direct_desk, direct_desk.public()
    who = somebody(desk.tenant)
    await public.set_email(who.ctx(), SetEmail(address="jana@example.com"))
    await desk.engine.round()
    code = re.search(r"\b\d{8}\b", smtp.mails[-1].get_content())[0]
    wrong = f"{(int(code) + 1) % 10**8:08}"
    for _ in range(5):
        with pytest.raises(CodeWrong):
            await public.confirm_email(who.ctx(), ConfirmEmail(code=wrong))
    with pytest.raises(CodeWrong):
        await public.confirm_email(who.ctx(), ConfirmEmail(code=code))
    desk.clock.move(minutes=2)
    await public.set_email(who.ctx(), SetEmail(address="jana@example.com"))
    await desk.engine.round()
    code = re.search(r"\b\d{8}\b", smtp.mails[-1].get_content())[0]
    desk.clock.move(hours=1)
    with pytest.raises(CodeWrong):
        await public.confirm_email(who.ctx(), ConfirmEmail(code=code))
    assert (await public.email(who.ctx(), Nothing())).address is None


async def test_nobody_is_flooded_with_codes(direct_desk):
    desk, public = direct_desk, direct_desk.public()
    who = somebody(desk.tenant)
    asked = SetEmail(address="stranger@example.com")
    await public.set_email(who.ctx(), asked)
    with pytest.raises(TooManyRequests):
        await public.set_email(who.ctx(), asked)
    for _ in range(4):
        desk.clock.move(minutes=2)
        await public.remove_email(who.ctx(), Nothing())
        await public.set_email(who.ctx(), asked)
    desk.clock.move(minutes=2)
    with pytest.raises(TooManyRequests):
        await public.set_email(who.ctx(), asked)


async def test_nor_by_who_asks_many_times_at_once(direct_desk):
    public, who = direct_desk.public(), somebody(direct_desk.tenant)
    asked = [SetEmail(address=f"stranger{n}@example.com") for n in range(8)]
    done = await asyncio.gather(
        *(public.set_email(who.ctx(), one) for one in asked), return_exceptions=True
    )
    assert sum(isinstance(one, TooManyRequests) for one in done) == 7


async def test_what_one_does_not_want_is_not_sent_and_removal_ends_it(direct_desk, smtp):
    desk, public = direct_desk, direct_desk.public()
    who = await desk.person(smtp)
    chosen = await public.choose_topics(who.ctx(), ChooseTopics(unsubscribed=["payment.booked"]))
    assert chosen.unsubscribed == ["payment.booked"]
    delivery = await desk.queue(who)
    await public.remove_email(who.ctx(), Nothing())
    await desk.engine.round()
    assert len(smtp.mails) == 1
    assert (await desk.read(delivery)).state == "gone"
    with pytest.raises(AddressUnknown):
        await public.email(who.ctx(), Nothing())


async def test_an_erasure_takes_the_address_and_what_was_to_go_there(direct_desk, smtp):
    desk = direct_desk
    who, other = await desk.person(smtp), await desk.person(smtp, "eva@example.com")
    sent = await desk.queue(who)
    await desk.engine.round()
    waits = await desk.queue(who)
    erase = Subject(subject=who.principal.party, reason="asked for it")
    await desk.world.client(Vault).erase(operator().ctx(), erase)  # of another tenant: nothing
    ctx = somebody(desk.tenant).ctx()
    await desk.world.client(Vault).erase(ctx, erase)
    await desk.world.settle()
    await desk.engine.round()
    assert [(await desk.read(d)).state for d in (sent, waits)] == ["sent", "gone"]
    with pytest.raises(AddressUnknown):
        await desk.public().email(who.ctx(), Nothing())
    async with desk.world.process.stores["notifications"].tx(desk.tenant) as tx:
        rows = await tx.fetch("SELECT sealed, person FROM delivery WHERE sealed IS NOT NULL")
    assert {row["person"] for row in rows} == {other.principal.party}
    assert (await desk.public().email(other.ctx(), Nothing())).address == "eva@example.com"


@pytest.mark.refuses("notifications.email")
@pytest.mark.refuses("notifications.set_email")
@pytest.mark.refuses("notifications.confirm_email")
@pytest.mark.refuses("notifications.choose_topics")
@pytest.mark.refuses("notifications.remove_email")
@pytest.mark.abuse(34)
async def test_an_address_is_nobody_elses_business(desk, smtp):
    who, public = await desk.person(smtp), desk.public()
    for other in (desk.bank.manager, somebody(desk.tenant), operator()):
        with pytest.raises(AddressUnknown):
            await public.email(other.ctx(), Nothing())
        with pytest.raises(AddressUnknown):
            await public.confirm_email(other.ctx(), ConfirmEmail(code="12345678"))
        with pytest.raises(AddressUnknown):
            await public.choose_topics(other.ctx(), ChooseTopics(unsubscribed=[]))
        with pytest.raises(AddressUnknown):
            await public.remove_email(other.ctx(), Nothing())
    machine = type(who)(desk.tenant, Principal(id=new_id(), kind="client"))
    with pytest.raises(Forbidden):
        await public.set_email(machine.ctx(), SetEmail(address="m@example.com"))
    assert (await public.email(who.ctx(), Nothing())).address == "jana@example.com"


async def test_without_a_mail_server_no_address_is_taken(direct_desk):
    direct_desk.service.stock.mailer = None
    who = somebody(direct_desk.tenant)
    with pytest.raises(MailNotOffered):
        await direct_desk.public().set_email(who.ctx(), SetEmail(address="jana@example.com"))


@pytest.mark.parametrize(
    "address",
    [
        *("jana", "jana@localhost", "a b@example.com", "a@example.com\n", "a@b@example.com"),
        *('"x"@e.com', "jana@exämple.com", "jana@example.com,eva@example.com", "a@[127.0.0.1]"),
    ],
)
def test_what_is_not_one_plain_address_is_refused(address):
    with pytest.raises(InvalidRequest):
        convert({"address": address}, SetEmail)
