import base64
import os
import socketserver
import tempfile
import threading
import time
import unittest
from uuid import uuid4

MAILS = []


class Office(socketserver.StreamRequestHandler):
    """A small mail server, which refuses whoever is called nobody."""

    def say(self, line):
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self):
        mail = None
        self.say("220 ready")
        for raw in self.rfile:
            line = raw.decode().rstrip("\r\n")
            if mail is not None and line != ".":
                mail.append(line)
            elif mail is not None:
                MAILS.append(mail)
                mail = None
                self.say("250 taken")
            elif line.lower() == "data":
                mail = []
                self.say("354 go on")
            else:
                refused = line.lower().startswith("rcpt to:<nobody@")
                self.say("550 who?" if refused else "250 ok")


office = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Office)
office.daemon_threads = True
threading.Thread(target=office.serve_forever, daemon=True).start()
folder = tempfile.TemporaryDirectory()
os.environ["SMTP_URL"] = f"smtp://127.0.0.1:{office.server_address[1]}"
os.environ["DATA"] = folder.name

from edition import answer_batch  # noqa: E402  (reads its settings when loaded)


def message(**more):
    return {
        "id": str(uuid4()),
        "channel": "email",
        "to": "ada@bank.example",
        "topic": "payment.booked",
        "order": "payment-1",
        "subject": "Bezahlt: fünf Gulden",
        "text": "Your payment was booked.\n.\nThat is all.\n",
        **more,
    }


def deliver(*items, wait=5.0):
    return answer_batch(7, list(items), time.monotonic() + wait)


def code(result):
    return result["problem"]["code"] if "problem" in result else "delivered"


class Deliveries(unittest.TestCase):
    def test_a_message_is_delivered_once_and_a_repeat_gets_the_same_answer(self):
        item = message()
        first = deliver(item)
        self.assertEqual(code(first[0]), "delivered")
        self.assertEqual(deliver(item), first)
        sent = [mail for mail in MAILS if any(item["id"] in line for line in mail)]
        self.assertEqual(len(sent), 1)
        text = base64.b64decode("".join(sent[0][sent[0].index("") + 1 :]))
        self.assertEqual(text.decode(), item["text"])

    def test_the_same_id_with_another_message_is_refused(self):
        item = message()
        deliver(item)
        self.assertEqual(code(deliver({**item, "text": "Another text."})[0]), "message-differs")

    def test_what_never_arrives_is_told_from_what_may_arrive_later(self):
        for to in ("nobody@bank.example", "a@b.example\r\nRCPT", "somebody"):
            self.assertEqual(code(deliver(message(to=to))[0]), "undeliverable", to)
        self.assertEqual(code(deliver(message(channel="webhook"))[0]), "channel-disclaimed")
        self.assertEqual(code(deliver(message(), wait=-1)[0]), "unavailable")

    def test_messages_go_out_in_the_order_of_their_ids(self):
        began = len(MAILS)
        deliver(*(message(id=f"0198c2f6-7a51-7000-8000-00000000000{n}") for n in (3, 2, 1)))
        ids = [line for mail in MAILS[began:] for line in mail if line.startswith("Message-ID")]
        self.assertEqual((len(ids), ids), (3, sorted(ids)))

    def test_a_subject_cannot_add_a_header(self):
        self.assertEqual(
            code(deliver(message(subject="Hello\r\nBcc: all@bank.example"))[0]), "delivered"
        )
        self.assertFalse([line for line in MAILS[-1] if line.startswith("Bcc")])
