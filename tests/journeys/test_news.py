"""A bank's system hears of a payment, signed; a customer sets his address. Over real sockets."""

import email
import re
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from guilder.chassis.testing import soon
from tests.journeys.conftest import demo

GUIDE = (Path(__file__).parents[2] / "docs/guides/webhooks.md").read_text("utf-8")


class Mailbox:
    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content)))
        return "250 taken"


@contextmanager
def receiver():
    """A system of the bank's: what is posted to it, and where it is."""
    posts = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield posts, f"http://127.0.0.1:{server.server_port}/guilder"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
def test_news_reach_the_outside(monkeypatch):
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    smtp = Controller(mailbox, hostname="127.0.0.1", port=port)
    smtp.start()
    monkeypatch.setenv("GUILDER_NOTIFICATIONS_SMTP", f"127.0.0.1:{port}")
    monkeypatch.setenv("GUILDER_NOTIFICATIONS_SMTP_SECURITY", "none")
    monkeypatch.setenv("GUILDER_OUTBOUND_ALLOW", "127.0.0.0/8")
    with receiver() as (posts, url), demo() as platform:
        bank = platform.machine("nordbank")
        made = bank.post("/v1/webhook-endpoints", {"url": url, "topics": ["payment.booked"]})
        accounts = platform.demo["nordbank"]["accounts"]
        order = {
            "debtor_account": accounts["emil current"],
            "creditor_account": accounts["greta current"],
            "amount": {"amount": "1.00", "currency": "EUR"},
        }
        paid = bank.post("/v1/payments", order)
        headers, body = soon(lambda: list(posts), bool)[0]
        assert paid["id"].encode() in body
        recipe = {}
        exec(re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)[1], recipe)  # noqa: S102
        assert recipe["verify"](made["secret"], headers, body, time.time())
        listed = bank.get("/v1/notification-deliveries")["items"]
        assert [line["id"] for line in listed] == [headers["webhook-id"]]

        emil = platform.person("nordbank", "emil")
        emil.post("/v1/email-address", {"address": "emil@example.com"}, status=200)
        ((to, mail),) = soon(lambda: list(mailbox.mails), bool)
        assert to == ["emil@example.com"]
        code = re.search(r"\b\d{8}\b", mail.get_payload())[0]
        emil.post("/v1/email-address/confirmation", {"code": code}, status=200)
        assert emil.get("/v1/email-address")["address"] == "emil@example.com"
    smtp.stop()
