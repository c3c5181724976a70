"""Payments: what an order must fulfil, the transfers it becomes, how the attempt goes on.

No I/O, no clock. States: processing → booked | refused, or → waiting → booked | refused; nothing
leaves booked or refused.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from guilder.chassis.token import LIFETIME
from guilder.contracts.accounts.v1 import Account
from guilder.contracts.errors import Problem
from guilder.contracts.ledger import v1 as ledger
from guilder.contracts.payments import v1
from guilder.contracts.values import MAX_MINOR, Money, derived

WORK_SECONDS: dict["Cause", float] = {"order": 4.0, "repeat": 2.0, "sweep": 10.0}
"""How long an attempt may ask others; then the payment waits, and whoever ordered it is told so.
Much shorter than the lease, so that two do not work at once."""

LONGEST = max(WORK_SECONDS.values())

SETTLING = timedelta(seconds=10)
"""How long nobody tries again after a question to the ledger was given up: mostly it is settled
there by then."""

FENCE = timedelta(seconds=LIFETIME + ledger.BOOKED_WITHIN + 10)
"""How long a question to the ledger that was given up may still take effect there, wherever it was
held up: its call token has run out by then, and what was begun with it has ended. Until then the
payment may end as booked, never as refused."""

BACKOFF = timedelta(seconds=600)
"""The longest pause between two attempts of the sweep after a defect of ours."""

DEFECT_PAUSE = timedelta(seconds=60)
"""The same where a payment waits for a part that answers with a defect."""

OUTAGE_PAUSE = timedelta(seconds=3)
"""The same while a part does not answer at all: soon after it does, the payment ends."""

CHECK_PAUSE = timedelta(minutes=5)
"""The same while a person of the bank looks at it: the decision itself takes it up at once."""

MAX_ATTEMPTS = 300
"""After so many attempts that ended with a defect of ours only a repeat of the order, or a person,
goes on. A payment that waits is tried for ever."""

ATTEMPTS_KEPT = 50
"""Of a payment that waits long, so many attempts are kept; all are counted."""

STUCK = timedelta(minutes=10)
"""How long a payment may be processing before the self check reports it."""

WAITS_LONG, HELD_LONG = timedelta(hours=4), timedelta(hours=24)
"""The same for one that waits for a part to answer, and for the end of planned maintenance."""

CHECKED_LONG = timedelta(days=5)
"""The same for one that a person of the bank is to look at."""

QUOTE_HOLDS = timedelta(minutes=5)
REPEATS_SHOWN = 20
MAX_REMITTANCE = 140

Cause = Literal["order", "repeat", "sweep"]


class Said(v1.Decided, frozen=True, kw_only=True):
    """A decision with what it came from, for provenance; clients of a payment see the rest.

    `at` is when it was asked for, `product` what pricing was asked about.
    """

    binding: UUID | None = None
    at: datetime | None = None
    took_us: int | None = None
    product: str | None = None

    def shown(self) -> v1.Decided:
        """Without it."""
        return v1.Decided(
            step=self.step, by=self.by, generation=self.generation, outcome=self.outcome
        )


def screened(by: str, generation: int, outcome: str) -> Said:
    """What screening decided, as it was kept."""
    return Said(step="screening", by=by, generation=generation, outcome=outcome)


AS_QUOTED = ", as quoted"
"""Stands behind the rule of a fee that holds because it was quoted."""


def priced(fee: Money, rule: str) -> str:
    """What pricing decided: `2.50 EUR: 0.25 % of 1,000.00 EUR`."""
    return f"{fee}: {rule}"


def read_priced(outcome: str, currency: str) -> tuple[Money, str]:
    """Fee and rule of what pricing decided."""
    fee, _, rule = outcome.partition(": ")
    return Money.parse(fee.split(" ")[0], currency), rule


_SILENT: dict[v1.Part, str] = {
    "accounts": "the accounts do not answer",
    "access": "who may pay from the account cannot be asked",
    "pricing": "what it costs cannot be asked",
    "parties": "who pays whom cannot be asked",
    "screening": "the check that every payment has to pass cannot be asked",
    "check": "the bank checks it",
    "registry": "the bank's calendar cannot be asked",
    "vault": "the keys that protect its text cannot be had",
    "ledger": "the books do not answer",
    "maintenance": "planned maintenance is going on",
}

_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
_HIDDEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
"""Characters that show nothing although their category is a letter's, a mark's or a symbol's."""


@dataclass
class Attempt:
    """One attempt at a payment: what is known so far. Whatever ends it writes all of this."""

    id: UUID
    created_at: datetime
    resumed: bool
    subject: UUID
    """Whose key seals the remittance."""
    reverses: UUID | None = None
    debtor: UUID | None = None
    creditor: UUID | None = None
    fee: Money | None = None
    remittance: str | None = None
    n: int = 1
    """How often it has been tried."""
    sealed: bytes | None = None
    """The remittance, sealed before the ledger is asked: afterwards nothing may be in the way."""
    asking: v1.Part = "accounts"
    """Who is being asked: what the payment waits for where no answer comes."""
    hold: UUID | None = None
    """The planned maintenance at whose end it goes on."""
    allowed: bool = False
    """Until here the principal may know nothing of the accounts."""
    asked_ledger: bool = False
    """From here on the money may have moved, whatever else happens."""
    unsettled: datetime | None = None
    """When an attempt before asked the ledger and got no answer; until FENCE has passed since and
    the books were read again, nothing may end as refused."""
    decisions: list["Said"] = field(default_factory=list)
    screened: "Said | None" = None
    """That screening let it through; once the ledger was asked, nobody is asked again."""
    lines: list[tuple[datetime, v1.What, str]] = field(default_factory=list)

    def go_on(self, left: Any) -> None:
        """Take over what attempts before left; one that left no word may have asked as well."""
        self.n = left["n"] or self.n
        broken_at = left["broken_at"]
        asked = [left["asked_at"], broken_at and broken_at + timedelta(seconds=LONGEST)]
        self.unsettled = max((at for at in asked if at is not None), default=None)
        if left["screened_by"] is not None:
            kept = (left[f"screened_{name}"] for name in ("by", "generation", "outcome"))
            self.screened = screened(*kept)

    def settled(self, looked_at: datetime) -> None:
        """The books hold nothing: when that is said late enough, nothing can come any more."""
        if self.unsettled is not None and looked_at >= self.unsettled + FENCE:
            self.unsettled = None

    def say(self, at: datetime, what: v1.What, detail: str) -> None:
        """Note a line of the activity."""
        self.lines.append((at, what, detail))

    def decide(self, decided: "Said", at: datetime, what: v1.What | None = None) -> None:
        """Note a decision, and a line of the activity if it is worth one."""
        self.decisions.append(decided)
        if what is not None:
            self.say(at, what, decided.outcome)

    def settle(self, booked: Sequence[ledger.BookedTransfer]) -> ledger.BookedTransfer:
        """Take over what is in the books; the transfer of the amount."""
        by_id = {transfer.id: transfer for transfer in booked}
        first, second = by_id[derived(self.id, 1)], by_id.get(derived(self.id, 2))
        self.debtor, self.creditor = first.debit, first.credit
        fee = second.amount if second else Money(0, first.amount.currency)
        self.fee = -fee if self.reverses and fee.minor else fee
        return first

    def answer(self, first: ledger.BookedTransfer) -> v1.Payment:
        """The payment as it is when it has just been booked."""
        return v1.Payment(
            id=self.id,
            state="booked",
            debtor_account=self.debtor,
            creditor_account=self.creditor,
            amount=first.amount,
            fee=self.fee,
            remittance=self.remittance,
            created_at=self.created_at,
            booked_at=first.booked_at,
            value_date=first.value_date,
            reverses=self.reverses,
            reversed_by=None,
            refusal=None,
            decisions=[said.shown() for said in self.decisions],
        )


def read(
    row: Any, remittance: str | None, decisions: list[v1.Decided], *, whole: bool
) -> v1.Payment:
    """The payment that a row holds; not `whole` = what the creditor's side may see."""
    refusal = None
    if row["refusal_code"] is not None:
        refusal = v1.Refusal(code=row["refusal_code"], detail=row["refusal_detail"])
    fee = Money(row["fee"], row["currency"]) if whole and row["fee"] is not None else None
    return v1.Payment(
        id=row["id"],
        state=row["state"],
        debtor_account=row["debtor"],
        creditor_account=row["creditor"],
        amount=Money(row["amount"], row["currency"]),
        fee=fee,
        remittance=remittance,
        created_at=row["created_at"],
        booked_at=row["booked_at"],
        value_date=row["value_date"],
        reverses=row["reverses"],
        reversed_by=row["reversed_by"],
        refusal=refusal,
        decisions=decisions if whole else [],
        waits_for=waits_for(row),
    )


def waits_for(row: Any) -> v1.WaitsFor | None:
    """Why a payment waits, what happens next and what is sure about the money; None = it ended."""
    if row["since"] is None:
        return None
    part: v1.Part = row["part"]
    after = row["hold"] or part == "check"
    again = "it goes on by itself afterwards" if after else "it is tried again by itself"
    known = "nothing has been moved yet"
    if row["asked_at"] is not None:
        known = "the money may have been moved already, and is never moved twice"
    return v1.WaitsFor(
        part=part,
        since=row["since"],
        moved="nothing" if row["asked_at"] is None else "unknown",
        detail=f"{_SILENT[part]}; {again}; {known}",
        window=row["hold"],
    )


def clean(text: str | None) -> str | None:
    """The remittance in NFC; BadRemittance where a reader could be deceived."""
    if text is None:
        return None
    text = unicodedata.normalize("NFC", text)
    if len(text) > MAX_REMITTANCE:
        raise v1.BadRemittance(
            f"the text is longer than {MAX_REMITTANCE} characters", at="$.remittance"
        )
    if any(_hidden(character) for character in text):
        raise v1.BadRemittance(at="$.remittance")
    return text


def _hidden(character: str) -> bool:
    selector = "\ufe00" <= character <= "\ufe0f" or character >= "\U000e0000"
    category = unicodedata.category(character) in _HIDDEN_CATEGORIES and character != " "
    return category or selector or character in _HIDDEN


def check(amount: Money, debtor: Account, creditor: Account) -> None:
    """Raise the first refusal that needs nobody else's word."""
    if amount.minor <= 0:
        raise ledger.AmountNotPositive(at="$.amount")
    for account in (debtor, creditor):
        if account.currency != amount.currency:
            raise ledger.CurrencyMismatch(at="$.amount.currency")
    if debtor.id == creditor.id:
        raise ledger.SameAccount(at="$.creditor_account")
    if debtor.state != "open":
        raise v1.AccountBlocked(at="$.debtor_account")
    if creditor.state == "closed":  # a blocked account may still be paid into
        raise v1.AccountBlocked(at="$.creditor_account")


def total(amount: Money, fee: Money) -> Money:
    """What the debtor is debited in all; AmountTooLarge where no value can carry it."""
    if amount.minor + fee.minor > MAX_MINOR:
        raise ledger.AmountTooLarge(at="$.amount")
    return amount + fee


def legs(
    attempt: Attempt, sides: tuple[UUID, UUID], amount: Money, fee: Money, fees: UUID, on: date
) -> list[ledger.Transfer]:
    """The linked transfers of a payment from `sides[0]` to `sides[1]`, and of its fee if any.

    Of a reversal, `fee` is negative: it goes back from the bank's fees to the creditor.
    """
    meta = ledger.Meta(payment=attempt.id, reverses=attempt.reverses)
    payer = (fees, sides[1]) if fee.minor < 0 else (sides[0], fees)
    code: ledger.TransferCode = "reversal" if attempt.reverses else "payment"
    moves = [(sides, amount, code)]
    if fee.minor:
        moves.append((payer, -fee if fee.minor < 0 else fee, code if attempt.reverses else "fee"))
    return [
        ledger.Transfer(
            id=derived(attempt.id, n),
            debit=debit,
            credit=credit,
            amount=moved,
            value_date=on,
            code=of_code,
            meta=meta,
        )
        for n, ((debit, credit), moved, of_code) in enumerate(moves, 1)
    ]


def refusal(problem: Problem) -> Problem:
    """What the ledger refused, said in the words of a payment, without its balances."""
    if isinstance(problem, ledger.LedgerAccountClosed):
        return v1.AccountBlocked()
    if isinstance(problem, ledger.InsufficientFunds):
        return ledger.InsufficientFunds("the account to be debited does not have this much")
    if isinstance(problem, ledger.AmountTooLarge):
        return ledger.AmountTooLarge(at="$.amount")
    return problem


def pause(attempts: int, most: timedelta = BACKOFF) -> timedelta:
    """How long the sweep waits after the n-th attempt: doubling seconds, at most `most`."""
    return min(timedelta(seconds=2 ** min(attempts, 12)), most)
