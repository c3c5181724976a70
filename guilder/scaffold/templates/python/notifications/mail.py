"""Hands mail over: by SMTP where `SMTP_URL` is set, else into a folder, to look at."""

import smtplib
import ssl
import time
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from problems import Problem, unavailable


def undeliverable(detail: str) -> Problem:
    """The address never takes it, so it is not tried again."""
    fix = "Correct the address; this message is not tried again."
    return Problem("undeliverable", 422, "This address never takes the message", detail, fix)


def compose(sender: str, to: str, reference: str, subject: str, text: str) -> EmailMessage:
    """A mail; `reference` becomes its Message-ID, the same at a repeat."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"] = sender, to, reference
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Subject"] = "".join(c if c.isprintable() else " " for c in subject)
    mail.set_content(text, cte="base64")
    return mail


def send(url: str | None, folder: Path, mail: EmailMessage, deadline: float) -> None:
    """Hand a mail over by `deadline` (of time.monotonic).

    `url` is `smtp://host:25` (a relay of one's own network) or `smtps://user:password@host:465`.
    """
    if url is None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / f"{mail['Message-ID'].strip('<>')}.eml").write_bytes(bytes(mail))
        return
    try:
        _by_smtp(url, mail, max(0.1, deadline - time.monotonic()))
    except smtplib.SMTPAuthenticationError:
        raise unavailable("the login is refused") from None  # ours to mend: not the message's fault
    except smtplib.SMTPRecipientsRefused as error:
        raise _refusal(next(iter(error.recipients.values()))[0]) from None
    except smtplib.SMTPResponseException as error:
        raise _refusal(error.smtp_code) from None
    except (OSError, smtplib.SMTPException):
        raise unavailable("the mail server does not answer") from None


def _by_smtp(url: str, mail: EmailMessage, seconds: float) -> None:
    target = urlsplit(url)
    host = target.hostname or ""
    if target.scheme == "smtps":
        context = ssl.create_default_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, target.port or 465, timeout=seconds, context=context
        )
    else:
        server = smtplib.SMTP(host, target.port or 25, timeout=seconds)
    try:
        if target.username and target.scheme == "smtps":
            server.login(unquote(target.username), unquote(target.password or ""))
        server.send_message(mail)
        with suppress(OSError, smtplib.SMTPException):  # the mail is taken, however we part
            server.quit()
    finally:
        server.close()


def _refusal(code: int) -> Problem:
    # The server's own words may hold the address: only the code is passed on.
    kind = undeliverable if code >= 500 else unavailable
    return kind(f"the mail server answers {code}")
