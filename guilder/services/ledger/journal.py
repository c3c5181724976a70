"""Decides journal entries: pure, without I/O or clock.

`Books` is what the writer loaded: accounts, the transfers already known by the ids in question, and
the pending transfers referred to. `enter` takes one entry after the other, changes the books and
gathers the new rows. An entry takes effect whole or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID, uuid5

from guilder.contracts.errors import InvalidRequest, Problem
from guilder.contracts.ledger import v1
from guilder.contracts.values import MAX_MINOR

MAX_TOTAL = 2**62
"""The largest running total of an account, in minor units."""

FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2200, 12, 31)
MAX_LINKED = 32
_EXPIRY = UUID("0d0a4f6e-51f7-5a0c-8c1b-9b6f0b2c7d11")

Key = tuple[int, UUID]
"""Tenant and id: nothing is ever looked up without its tenant."""


@dataclass(slots=True)
class Account:
    """An account as far as it decides; totals in minor units."""

    currency: str
    floor: int | None = None
    closed: bool = False
    debits: int = 0
    credits: int = 0
    pending_debits: int = 0
    pending_credits: int = 0

    @property
    def booked(self) -> int:
        """Posted credits minus posted debits."""
        return self.credits - self.debits

    @property
    def available(self) -> int:
        """What may still be debited, before the limit."""
        return self.credits - self.debits - self.pending_debits


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending transfer and what became of it."""

    debit: UUID
    credit: UUID
    amount: int
    currency: str
    expires_at: datetime | None
    state: Literal["open", "posted", "voided", "expired"] = "open"

    def is_open(self, at: datetime) -> bool:
        """Whether it still holds; its time counts whether or not the sweep has come by."""
        return self.state == "open" and (self.expires_at is None or at < self.expires_at)


class Row(NamedTuple):
    """A transfer as it is written; the columns of table `transfer`, in order."""

    tenant: int
    seq: int
    id: UUID
    kind: v1.BookedKind
    debit: UUID
    credit: UUID
    amount: int
    currency: str
    value_date: date
    code: v1.TransferCode
    pending_id: UUID | None
    expires_at: datetime | None
    payment: UUID | None
    reverses: UUID | None
    row: str | None
    booked_at: datetime
    d_after: int
    c_after: int


@dataclass
class Books:
    """The part of the books that a batch touches; `rows` gathers what is new."""

    next_seq: int
    accounts: dict[Key, Account] = field(default_factory=dict)
    known: dict[Key, Row] = field(default_factory=dict)
    pendings: dict[Key, Pending] = field(default_factory=dict)
    last_booked: dict[int, datetime] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def moment(self, tenant: int, now: datetime) -> datetime:
        """The booking time: within a tenant it never runs backwards, whatever the clock does."""
        return max(now, self.last_booked.get(tenant, now))


def enter(books: Books, tenant: int, now: datetime, entry: v1.JournalEntry) -> list[Row] | Problem:
    """Book an entry and return its rows (those of the first time, if it is a repeat), or refuse.

    Every transfer runs through the checks in the order in which the contract lists the problems;
    the first failing transfer refuses the entry.
    """
    transfers = entry.transfers
    if not 1 <= len(transfers) <= MAX_LINKED:
        return InvalidRequest(f"an entry has 1 to {MAX_LINKED} transfers", at="$.transfers")
    earlier = _repeated(books, tenant, transfers)
    if earlier is not None:
        return earlier
    step = _Entry(books, tenant, now)
    for i, transfer in enumerate(transfers):
        try:
            step.take(transfer)
        except Problem as problem:
            step.undo()
            problem.at = f"$.transfers[{i}]" + (problem.at or "")
            return problem
    return step.rows


def expire(books: Books, tenant: int, now: datetime) -> list[Row]:
    """Free every pending transfer in the books whose time has passed."""
    step = _Entry(books, tenant, now)
    due = [
        (key[1], hold)
        for key, hold in books.pendings.items()
        if key[0] == tenant and hold.state == "open" and not hold.is_open(now)
    ]
    for pending_id, hold in due:
        origin = books.known[tenant, pending_id]
        transfer = v1.Transfer(
            id=uuid5(_EXPIRY, f"{tenant}|{pending_id}"),
            kind="void",
            value_date=origin.value_date,
            code=origin.code,
            pending_id=pending_id,
            meta=v1.Meta(payment=origin.payment, reverses=origin.reverses),
        )
        step.close(transfer, hold, hold.amount, "expire")
    return step.rows


def _repeated(books: Books, tenant: int, transfers: Sequence[v1.Transfer]) -> list[Row] | None:
    """The rows of an entry whose transfers are all in the books, with this very content."""
    rows = [books.known.get((tenant, transfer.id)) for transfer in transfers]
    found = [row for row in rows if row is not None]
    if len({row.id for row in found}) < len(transfers):
        return None
    same = all(_same(books, row, t) for row, t in zip(found, transfers, strict=True))
    return found if same else None


def _same(books: Books, row: Row, transfer: v1.Transfer) -> bool:
    """Whether a row is what this transfer would have written."""
    life = timedelta(seconds=transfer.timeout_s) if transfer.timeout_s else None
    meta = transfer.meta
    if (row.kind, row.value_date, row.code, row.pending_id) != (
        transfer.kind,
        transfer.value_date,
        transfer.code,
        transfer.pending_id,
    ) or (row.payment, row.reverses, row.row) != (meta.payment, meta.reverses, meta.row):
        return False
    if (row.expires_at - row.booked_at if row.expires_at else None) != life:
        return False
    hold = books.pendings[row.tenant, row.pending_id] if row.pending_id else None
    if hold is None:
        sides, whole = (transfer.debit, transfer.credit), None
    else:
        sides = (transfer.debit or hold.debit, transfer.credit or hold.credit)
        whole = (hold.amount, hold.currency)
    money = (transfer.amount.minor, transfer.amount.currency) if transfer.amount else whole
    return (row.debit, row.credit) == sides and (row.amount, row.currency) == money


class _Entry:
    """One entry on its way into the books; remembers how to take everything back."""

    def __init__(self, books: Books, tenant: int, now: datetime) -> None:
        self.books, self.tenant, self.now = books, tenant, now
        self.at = books.moment(tenant, now)
        self.rows: list[Row] = []
        self._accounts: dict[Key, Account] = {}
        self._pendings: dict[Key, Pending | None] = {}

    def take(self, transfer: v1.Transfer) -> None:
        """Check one transfer and write it, or raise what is wrong with it."""
        hold = None
        if transfer.pending_id is not None:
            hold = self.books.pendings.get((self.tenant, transfer.pending_id))
        _check_shape(transfer, hold)
        if transfer.amount is not None and transfer.amount.minor <= 0:
            raise v1.AmountNotPositive()
        debit_id = transfer.debit or (hold.debit if hold else None)
        credit_id = transfer.credit or (hold.credit if hold else None)
        if debit_id is not None and debit_id == credit_id:
            raise v1.SameAccount()
        sides = [self._account(side) for side in (debit_id, credit_id) if side is not None]
        if any(side.closed for side in sides):
            raise v1.LedgerAccountClosed()
        currency = transfer.amount.currency if transfer.amount else None
        if currency is not None and any(side.currency != currency for side in sides):
            raise v1.CurrencyMismatch()
        if len({side.currency for side in sides}) > 1:
            raise v1.CurrencyMismatch("the two accounts are in different currencies")
        if (self.tenant, transfer.id) in self.books.known:
            raise v1.TransferIdReused(f"transfer {transfer.id} is in the books already")
        if transfer.pending_id is not None:
            self._settle(transfer, hold)
        else:
            self._move(transfer)

    def _account(self, account_id: UUID) -> Account:
        account = self.books.accounts.get((self.tenant, account_id))
        if account is None:
            raise v1.UnknownLedgerAccount(f"no ledger account {account_id}")
        return account

    def _settle(self, transfer: v1.Transfer, hold: Pending | None) -> None:
        """Post or void a pending transfer."""
        if hold is None:
            raise v1.PendingUnknown(f"no pending transfer {transfer.pending_id}")
        if not hold.is_open(self.now):
            state = "expired" if hold.state == "open" else hold.state
            raise v1.PendingClosed(f"the pending transfer is {state}", state=state)
        amount = transfer.amount.minor if transfer.amount else hold.amount
        if amount > hold.amount:
            raise v1.PostAboveHold()
        if transfer.kind == "void":
            self.close(transfer, hold, hold.amount, "void")
            return
        # What is held was granted when it was held: the limit is not asked again.
        debit, credit = self._account(hold.debit), self._account(hold.credit)
        _check_total(debit.debits + amount, credit.credits + amount)
        if credit.booked + amount > MAX_MINOR:
            raise v1.AmountTooLarge("the credit account's balance would be too large")
        self._touch(hold.debit).debits += amount
        self._touch(hold.credit).credits += amount
        self.close(transfer, hold, amount, "post")

    def _move(self, transfer: v1.Transfer) -> None:
        """Write a plain or a pending transfer."""
        assert transfer.debit  # _check_shape saw to it
        assert transfer.credit
        assert transfer.amount
        debit, credit = self._account(transfer.debit), self._account(transfer.credit)
        amount = transfer.amount.minor
        if debit.floor is not None and debit.available - amount < debit.floor:
            raise v1.InsufficientFunds()
        if debit.available - amount < -MAX_MINOR:
            raise v1.AmountTooLarge("the debit account's balance would be too large")
        expires_at = None
        if transfer.kind == "pending":
            _check_total(debit.pending_debits + amount, credit.pending_credits + amount)
            if debit.pending_debits + amount > MAX_MINOR:
                raise v1.AmountTooLarge("the debit account's holds would be too large")
            self._touch(transfer.debit).pending_debits += amount
            self._touch(transfer.credit).pending_credits += amount
            if transfer.timeout_s is not None:
                expires_at = self.at + timedelta(seconds=transfer.timeout_s)
            hold = Pending(
                transfer.debit, transfer.credit, amount, transfer.amount.currency, expires_at
            )
            self._hold(transfer.id, hold)
        else:
            _check_total(debit.debits + amount, credit.credits + amount)
            if credit.booked + amount > MAX_MINOR:
                raise v1.AmountTooLarge("the credit account's balance would be too large")
            self._touch(transfer.debit).debits += amount
            self._touch(transfer.credit).credits += amount
        sides = (transfer.debit, transfer.credit)
        self._write(transfer, transfer.kind, sides, amount, transfer.amount.currency, expires_at)

    def close(
        self,
        transfer: v1.Transfer,
        hold: Pending,
        amount: int,
        kind: Literal["post", "void", "expire"],
    ) -> None:
        """Free a pending transfer wholly and write how it ended."""
        assert transfer.pending_id is not None  # callers looked it up
        self._touch(hold.debit).pending_debits -= hold.amount
        self._touch(hold.credit).pending_credits -= hold.amount
        state: Literal["posted", "voided", "expired"] = (
            "posted" if kind == "post" else "voided" if kind == "void" else "expired"
        )
        self._hold(transfer.pending_id, replace(hold, state=state))
        self._write(transfer, kind, (hold.debit, hold.credit), amount, hold.currency, None)

    def _write(
        self,
        transfer: v1.Transfer,
        kind: v1.BookedKind,
        sides: tuple[UUID, UUID],
        amount: int,
        currency: str,
        expires_at: datetime | None,
    ) -> None:
        books, meta = self.books, transfer.meta
        row = Row(
            tenant=self.tenant,
            seq=books.next_seq,
            id=transfer.id,
            kind=kind,
            debit=sides[0],
            credit=sides[1],
            amount=amount,
            currency=currency,
            value_date=transfer.value_date,
            code=transfer.code,
            pending_id=transfer.pending_id,
            expires_at=expires_at,
            payment=meta.payment,
            reverses=meta.reverses,
            row=meta.row,
            booked_at=self.at,
            d_after=books.accounts[self.tenant, sides[0]].debits,
            c_after=books.accounts[self.tenant, sides[1]].credits,
        )
        books.next_seq += 1
        books.rows.append(row)
        books.known[self.tenant, row.id] = row
        self.rows.append(row)

    def _touch(self, account_id: UUID) -> Account:
        key = (self.tenant, account_id)
        account = self.books.accounts[key]
        if key not in self._accounts:
            self._accounts[key] = replace(account)
        return account

    def _hold(self, pending_id: UUID, hold: Pending) -> None:
        key = (self.tenant, pending_id)
        self._pendings.setdefault(key, self.books.pendings.get(key))
        self.books.pendings[key] = hold

    def undo(self) -> None:
        """Put everything back as it was before the entry."""
        self.books.accounts |= self._accounts
        for key, hold in self._pendings.items():
            if hold is None:
                del self.books.pendings[key]
            else:
                self.books.pendings[key] = hold
        for row in self.rows:
            self.books.rows.pop()
            del self.books.known[self.tenant, row.id]
        self.books.next_seq -= len(self.rows)


def _check_shape(transfer: v1.Transfer, hold: Pending | None) -> None:
    """Refuse what no state of the books could make right."""
    settles = transfer.kind in ("post", "void")
    if transfer.id.version != 7:
        raise InvalidRequest("the id of a transfer is a UUIDv7", at=".id")
    if not FIRST_DAY <= transfer.value_date <= LAST_DAY:
        raise InvalidRequest(f"value dates lie in {FIRST_DAY}..{LAST_DAY}", at=".value_date")
    if settles != (transfer.pending_id is not None):
        raise InvalidRequest("`post` and `void` name a pending_id, others none", at=".pending_id")
    if transfer.timeout_s is not None and transfer.kind != "pending":
        raise InvalidRequest("only a pending transfer has a timeout", at=".timeout_s")
    for name in ("debit", "credit", "amount"):
        if not settles and getattr(transfer, name) is None:
            raise InvalidRequest(f"`{name}` is needed", at=f".{name}")
    if hold is None:
        return
    for name in ("debit", "credit"):
        if getattr(transfer, name) not in (None, getattr(hold, name)):
            raise InvalidRequest(f"`{name}` is not that of the pending transfer", at=f".{name}")
    part = transfer.amount is not None and transfer.amount.minor != hold.amount
    if transfer.kind == "void" and part:
        raise InvalidRequest("a void frees the whole amount; leave it out", at=".amount")


def _check_total(debits: int, credits_: int) -> None:
    if max(debits, credits_) > MAX_TOTAL:
        raise v1.AmountTooLarge()
