"""Rows of the books as the contract shows them; pure."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from guilder.contracts.errors import InvalidRequest, Problem
from guilder.contracts.ledger import v1
from guilder.contracts.values import MAX_MINOR, Money
from guilder.services.ledger.journal import Row


def money(minor: int, currency: str) -> Money:
    """An amount; AmountTooLarge where it does not fit (a balance on an odd value date)."""
    if abs(minor) > MAX_MINOR:
        raise v1.AmountTooLarge("the balance is larger than one value may be")
    return Money(minor, currency)


def account(row: Any) -> v1.LedgerAccount:
    """An account as it is."""
    return v1.LedgerAccount(
        id=row["id"],
        chart=row["chart"],
        currency=row["currency"],
        floor=row["floor"],
        partner=row["partner"],
        state=row["state"],
    )


def opened(asked: v1.OpenAccount, row: Any) -> v1.LedgerAccount | Problem:
    """An account as it was opened: what the first opening and every repeat answer.

    `row` is what stands under the asked id, or None where nothing could be opened.
    """
    if row is None:
        return InvalidRequest("not a circulating currency", at="$.currency")
    wanted = (asked.chart, asked.currency, asked.partner, asked.floor)
    if (row["chart"], row["currency"], row["partner"], row["opened_floor"]) != wanted:
        return v1.LedgerAccountDiffers(f"ledger account {asked.id}")
    return v1.LedgerAccount(
        id=asked.id,
        chart=asked.chart,
        currency=asked.currency,
        floor=asked.floor,
        partner=asked.partner,
        state="open",
    )


def _meta(row: Row) -> v1.Meta:
    return v1.Meta(payment=row.payment, reverses=row.reverses, row=row.row)


def transfer(row: Row) -> v1.BookedTransfer:
    """A transfer as it stands in the books."""
    return v1.BookedTransfer(
        id=row.id,
        seq=row.seq,
        kind=row.kind,
        debit=row.debit,
        credit=row.credit,
        amount=Money(row.amount, row.currency),
        value_date=row.value_date,
        booked_at=row.booked_at,
        code=row.code,
        pending_id=row.pending_id,
        expires_at=row.expires_at,
        meta=_meta(row),
    )


def entries(rows: Sequence[Row], account_id: UUID, newest: int) -> list[v1.Entry]:
    """Rows, newest first, seen from an account; `newest` is the balance after the first row."""
    found, balance = [], newest
    for row in rows:
        debit = row.debit == account_id
        signed = -row.amount if debit else row.amount
        found.append(
            v1.Entry(
                seq=row.seq,
                transfer=row.id,
                amount=Money(signed, row.currency),
                balance_after=Money(balance, row.currency),
                counter_account=row.credit if debit else row.debit,
                value_date=row.value_date,
                booked_at=row.booked_at,
                code=row.code,
                meta=_meta(row),
            )
        )
        balance -= signed
    return found


def trial_line(row: Any) -> v1.TrialLine:
    """An account's totals."""
    return v1.TrialLine(
        account=account(row),
        debits=row["debits"],
        credits=row["credits"],
        pending_debits=row["pending_debits"],
        pending_credits=row["pending_credits"],
    )
