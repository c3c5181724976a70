"""E-mail: how a message is written, and how it is handed to the mail server."""

import asyncio
import ssl
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import aiosmtplib

from guilder.contracts.errors import Problem, Unavailable
from guilder.contracts.notifications.v1 import Undeliverable
from guilder.services.notifications.settings import NotificationsSettings

TIMEOUT_S: Final = 8.0
"""For each answer of the server; the whole ends with the deadline of `deliver`."""

AT_ONCE: Final = 16
"""Connections to the server at a time: many servers refuse more from one client."""

POLICY: Final = policy.SMTP.clone(cte_type="7bit", max_line_length=76)
"""Lines end in CRLF, everything is ASCII on the way; a header with a line break is refused."""

_AGAIN: Final = 60
"""Seconds after which a server that says 4xx is asked again at the earliest: it counts tries."""


def compose(
    sender: str, to: str, message: UUID, at: datetime, subject: str, text: str
) -> EmailMessage:
    """Write a mail; its Message-ID is the message's id, the same whenever it is sent again."""
    made = EmailMessage(policy=POLICY)
    made["From"], made["To"], made["Subject"] = sender, to, subject
    made["Date"] = format_datetime(at)
    made["Message-ID"] = f"<{message}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(text + "\n", charset="utf-8", cte="quoted-printable")
    return made


class Mailer:
    """Hands mail to the operator's server, a connection for each."""

    def __init__(self, settings: NotificationsSettings) -> None:
        """Reads the password's file and the certificates once."""
        self.sender = settings.sender
        host, _, port = settings.smtp.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._security, self._user = settings.smtp_security, settings.smtp_user or None
        secret = settings.smtp_password_file
        self._password = Path(secret).read_text("utf-8").strip() if secret else None
        self._room, self._tls = asyncio.Semaphore(AT_ONCE), None
        if self._security != "none":
            self._tls = ssl.create_default_context(cafile=settings.smtp_ca or None)

    async def send(self, to: str, mail: EmailMessage) -> str:
        """Hand one over; what the server said. Problems say whether another try is worth it."""
        try:
            async with self._room, self._server() as server:
                _, said = await server.sendmail(self.sender, [to], mail.as_bytes())
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _problem(error) from None
        return said

    def _server(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            use_tls=self._security == "tls",
            start_tls=self._security == "starttls",
            tls_context=self._tls,
            timeout=TIMEOUT_S,
            local_hostname=self.sender.rpartition("@")[2],
        )


def _problem(error: Exception) -> Problem:
    """What a failure means: of the recipient or the mail, of our login, or of the server."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return _outage("smtp-login")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        of_mail = isinstance(
            error,
            aiosmtplib.SMTPRecipientRefused
            | aiosmtplib.SMTPSenderRefused
            | aiosmtplib.SMTPDataError,
        )
        if of_mail and error.code >= 500:
            return Undeliverable(f"the mail server answers {error.code}", kind="smtp-5xx")
        return _outage("smtp-4xx" if error.code < 500 else "smtp-5xx")
    if isinstance(error, TimeoutError | aiosmtplib.SMTPTimeoutError):
        return _outage("timeout")
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return _outage("tls")
    return _outage("connection")


def _outage(kind: str) -> Problem:
    again = _AGAIN if kind == "smtp-4xx" else None
    return Unavailable("the mail server takes nothing now", kind=kind, retry_after=again)
