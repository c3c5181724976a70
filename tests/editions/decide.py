"""What the small edition of `faulty.py` decides, per contract; right unless a fault says so."""

import asyncio
import http.client
import json
import random
import smtplib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from guilder.chassis.contract import plain
from guilder.contracts.errors import Refused
from guilder.contracts.notifications.v1 import (
    ChannelDisclaimed,
    Deliver,
    MessageDiffers,
    Undeliverable,
)
from guilder.contracts.pricing.v1 import Question, cap
from guilder.contracts.screening.v1 import (
    SENTINEL_ORGANISATION,
    SENTINEL_PERSON,
    Check,
    Side,
)
from guilder.contracts.values import CURRENCIES, MAX_MINOR, Money


class Decision(Protocol):
    """The part of an edition that knows its trade."""

    disclaims: Sequence[str]

    async def answer(self, tenant: int, questions: list[Any]) -> list[Any]:
        """One plain answer or Problem per question, in order."""
        ...

    def fallback(self) -> Any:
        """An answer of the right shape to whatever was asked."""
        ...


class Prices:
    """A quarter of a percent, half up, at least ten minor units, at most the contract's cap."""

    disclaims = ()

    def __init__(self, fault: str | None = None, *, healthy: int = 40, **_: Any) -> None:
        """`healthy` calls are answered well before `turns-bad` turns."""
        self.fault, self.healthy = fault, healthy
        self.calls = 0
        self.before: tuple[int, Money] | None = None
        self.seen: set[str] = set()
        self.tenants: set[int] = set()

    async def answer(self, tenant: int, questions: list[Question]) -> list[Any]:
        """Quote."""
        self.calls += 1
        answers = [self._quote(tenant, n, asked) for n, asked in enumerate(questions)]
        if questions:
            self.before = tenant, questions[-1].amount
        return answers

    def fallback(self) -> Any:
        """No fee."""
        return {"fee": {"amount": "0.00", "currency": "EUR"}, "rule": "free", "tariff": None}

    def _quote(self, tenant: int, n: int, asked: Question) -> Any:
        amount, fault = asked.amount, self.fault
        if fault == "refuses-valid" and amount.minor > 0:
            return Refused("we do not price this")
        if fault == "overflows" and amount.minor >= MAX_MINOR:
            return Refused("too large a number for us")
        if fault == "two-tenants":
            self.tenants.add(tenant)
            if len(self.tenants) > 2:
                return Refused("we have room for two")
        minor = max((abs(amount.minor) + 200) // 400, 10)
        minor = min(minor + self._more(n, asked), cap(amount).minor)
        currency = amount.currency
        if fault == "negative-fee" or (fault == "turns-bad" and self.calls > self.healthy):
            minor = -minor
        elif fault == "huge-fee":
            minor = 10**9 * 10 ** CURRENCIES[currency]
        elif fault == "wrong-currency":
            currency = "USD" if currency == "EUR" else "EUR"
        rule = "a quarter of a percent, at least ten"
        if fault == "control-characters":
            rule += "\u202e\x1b[2J"
        elif fault == "leaks-tenant" and self.before and self.before[0] != tenant:
            rule += f"; the one before paid {self.before[1].amount}"
        fee: Any = plain(Money(minor, currency))
        if fault == "float-amount":
            fee["amount"] = float(fee["amount"])
        elif fault == "too-many-decimals":
            fee["amount"] += "0" if "." in fee["amount"] else ".00"
        return {"fee": fee, "rule": rule, "tariff": None}

    def _more(self, n: int, asked: Question) -> int:
        """What is charged besides, in minor units."""
        key = str(plain(asked))
        again = key in self.seen
        self.seen.add(key)
        return {
            "one-cent": 1,
            "nondeterministic": random.randrange(50),
            "remembers": -1 if again else 0,
            "forgets-zone": asked.at.hour,
            "batch-discount": -min(n, 5),
        }.get(self.fault or "", 0)


class Screens:
    """A list of two: the sentinels of the contract."""

    def __init__(self, fault: str | None = None, **_: Any) -> None:
        """Finds exact words alone, so it disclaims the rest."""
        self.fault = fault
        boasts = {"exact-only": "fuzzy-names", "ignores-birth": "birth-dates"}.get(fault or "")
        self.disclaims = [one for one in ("fuzzy-names", "birth-dates") if one != boasts]
        self.before: tuple[int, str] | None = None

    async def answer(self, tenant: int, questions: list[Check]) -> list[Any]:
        """Check."""
        answers = [self._check(tenant, asked) for asked in questions]
        if questions:
            self.before = tenant, questions[-1].payer.name
        return answers

    def fallback(self) -> Any:
        """Nothing found."""
        return {"verdict": "clear", "hits": [], "basis": "a list of two"}

    def _check(self, tenant: int, asked: Check) -> Any:
        if self.fault == "refuses-valid":
            return Refused("we do not check this")
        sides = {"payer": asked.payer, "payee": asked.payee}
        hits = [self._hit(name, side) for name, side in sides.items() if self._listed(side)]
        basis = "a list of two, as of 2026-01-01"
        if self.fault == "control-characters":
            basis += "\u2028"
        elif self.fault == "echoes-personal":
            basis += f", for {asked.payer.name}"
        elif self.fault == "leaks-tenant" and self.before and self.before[0] != tenant:
            basis += f", after {self.before[1]}"
        elif self.fault == "nondeterministic":
            basis += f", run {random.randrange(10**6)}"
        verdict = "hit" if hits else "clear"
        if self.fault == "verdict-without-hits":
            hits, verdict = [], "hit"
        return {"verdict": verdict, "hits": hits, "basis": basis}

    def _listed(self, side: Side) -> bool:
        if self.fault == "hits-everybody":
            return True
        known = {SENTINEL_ORGANISATION.name: "organisation"}
        if self.fault != "misses-name":
            known[SENTINEL_PERSON.name] = "person"
        names = {" ".join(name.casefold().split()): kind for name, kind in known.items()}
        return names.get(" ".join(side.name.casefold().split())) == side.kind

    def _hit(self, name: str, side: Side) -> dict[str, Any]:
        return {
            "side": name,
            "list": "a list of two",
            "entry": "1" if side.kind == "person" else "2",
            "name": SENTINEL_PERSON.name if side.kind == "person" else SENTINEL_ORGANISATION.name,
            "score": 100,
            "why": "the very name",
        }


class Delivers:
    """Mail over a relay, webhooks straight away; what was done is kept in memory."""

    def __init__(
        self, fault: str | None = None, *, smtp: tuple[str, int] | None = None, **_: Any
    ) -> None:
        """`smtp` is the relay; without one it offers no mail."""
        self.fault, self.smtp = fault, smtp
        self.disclaims = () if smtp else ("email",)
        self.known: dict[tuple[int, Any], tuple[Deliver, Any]] = {}
        self.one_by_one = asyncio.Lock()

    async def answer(self, tenant: int, questions: list[Deliver]) -> list[Any]:
        """Deliver, in the order of the ids."""
        key = (lambda pair: 0) if self.fault == "out-of-order" else (lambda pair: pair[1].id)
        found: dict[int, Any] = {}
        async with self.one_by_one:
            for n, asked in sorted(enumerate(questions), key=key):
                found[n] = await self._once(tenant, asked)
        return [found[n] for n in range(len(questions))]

    def fallback(self) -> Any:
        """A receipt for nothing."""
        return {"id": str(UUID(int=0)), "at": datetime.now(UTC).isoformat(), "reference": None}

    async def _once(self, tenant: int, asked: Deliver) -> Any:
        if self.fault == "refuses-valid":
            return Refused("we do not deliver this")
        if asked.channel in self.disclaims:
            return ChannelDisclaimed("no mail here")
        before, answer = self.known.get((tenant, asked.id), (asked, None))
        if before != asked:
            return MessageDiffers("another message has this id")
        if answer is None or self.fault == "delivers-twice":
            first, answer = answer, await self._deliver(asked)
            answer = first or answer
            self.known[tenant, asked.id] = asked, answer
        return answer

    async def _deliver(self, asked: Deliver) -> Any:
        send = self._mail if asked.channel == "email" else self._post
        tries = {"delivers-nothing": 0, "retries-forever": 3}.get(self.fault or "", 1)
        for _ in range(tries):
            if await asyncio.to_thread(send, asked):
                break
        else:
            if tries:
                return Undeliverable("takes nothing")
        made = UUID(int=asked.id.int ^ 1) if self.fault == "other-id" else asked.id
        reference = f"to {asked.to}" if self.fault == "echoes-personal" else "250 taken"
        return {"id": str(made), "at": datetime.now(UTC).isoformat(), "reference": reference}

    def _mail(self, asked: Deliver) -> bool:
        assert self.smtp is not None
        if self.fault == "smuggles-headers":
            return self._raw_mail(asked)
        mail = EmailMessage()
        mail["To"], mail["From"] = asked.to, "bank@company-x.example"
        mail["Subject"] = " ".join(asked.subject.split())
        mail.set_content(asked.text)
        try:
            with smtplib.SMTP(*self.smtp, timeout=5) as relay:
                relay.send_message(mail)
        except smtplib.SMTPRecipientsRefused:
            return False
        return True

    def _raw_mail(self, asked: Deliver) -> bool:
        text = f"To: {asked.to}\r\nSubject: {asked.subject}\r\n\r\n{asked.text}"
        try:
            with smtplib.SMTP(*self.smtp, timeout=5) as relay:
                relay.sendmail("bank@company-x.example", asked.to, text.encode())
        except smtplib.SMTPRecipientsRefused:
            return False
        return True

    def _post(self, asked: Deliver) -> bool:
        to = urlsplit(asked.to)
        text = asked.text
        if self.fault == "rewrites":
            text = json.dumps(json.loads(text), indent=1)
        connection = http.client.HTTPConnection(to.netloc, timeout=5)
        try:
            kind = {"Content-Type": "application/json"}
            connection.request("POST", to.path, text.encode(), kind)
            return connection.getresponse().status < 400
        finally:
            connection.close()


DECISIONS: dict[str, Callable[..., Decision]] = {
    "pricing": Prices,
    "screening": Screens,
    "notifications": Delivers,
}
