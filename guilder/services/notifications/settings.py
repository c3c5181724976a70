"""Settings of notifications."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Final

from guilder.chassis.settings import BadSetting, Settings, setting

SECURITY: Final = ("starttls", "tls", "none")


@dataclass(frozen=True)
class NotificationsSettings(Settings):
    """By which server mail leaves, how often what fails is tried, how long it is remembered."""

    PREFIX: ClassVar[str] = "GUILDER_NOTIFICATIONS_"

    smtp: str = setting("", "the mail server as `host:port`; empty = no e-mail is sent")
    smtp_security: str = setting(
        "starttls", "`starttls` (demanded, never skipped), `tls` (from the first byte) or `none`"
    )
    smtp_ca: str = setting(
        "",
        "a PEM file of the authority that signed its certificate; empty = whom the system trusts",
    )
    smtp_user: str = setting("", "the login at the mail server; empty = none")
    smtp_password_file: str = setting("", "a private file that holds its password; empty = none")
    sender: str = setting("noreply@guilder.invalid", "the address that mail comes from")
    attempts: int = setting(12, "how often a delivery is tried before it has failed, 1 to 30")
    keep_days: int = setting(30, "how long ended deliveries and receipts are kept, 1 to 400 days")
    disable_days: int = setting(
        5, "a webhook endpoint that takes nothing for so long is disabled, 1 to 60 days"
    )

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        bounds = {"attempts": 30, "keep_days": 400, "disable_days": 60}
        for name, high in bounds.items():
            if not 1 <= getattr(self, name) <= high:
                raise BadSetting(f"{self.PREFIX}{name.upper()} must be 1 to {high}")
        if self.smtp_security not in SECURITY:
            raise BadSetting(f"{self.PREFIX}SMTP_SECURITY must be one of {', '.join(SECURITY)}")
        host, _, port = self.smtp.rpartition(":")
        if self.smtp and not (host and port.isdecimal() and 0 < int(port) < 65536):
            raise BadSetting(f"{self.PREFIX}SMTP={self.smtp!r} is not of the form host:port")
        local, _, domain = self.sender.rpartition("@")
        if not (local and domain and self.sender.isascii() and " " not in self.sender):
            raise BadSetting(f"{self.PREFIX}SENDER={self.sender!r} is no plain e-mail address")

    @property
    def keep(self) -> timedelta:
        """How long ended deliveries are kept."""
        return timedelta(days=self.keep_days)

    @property
    def patience(self) -> timedelta:
        """How long an endpoint may take nothing."""
        return timedelta(days=self.disable_days)
