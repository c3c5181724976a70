"""The journal, counted again: every account's totals from the transfers alone. Pure."""

from dataclasses import dataclass
from uuid import UUID

from guilder.contracts.ledger.v1 import BookedTransfer, TrialLine

POSTED = ("transfer", "post")
"""Kinds of transfers that move money; the others hold it or let it go."""


@dataclass
class Totals:
    """What moved on an account, in minor units."""

    debits: int = 0
    credits: int = 0
    pending_debits: int = 0
    pending_credits: int = 0
    touched: int = 0
    """Seq of the last transfer on it."""


class Recount:
    """Totals of every account, as the journal says, and what the journal itself has wrong."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        self.seq = 0
        self.transfers = 0
        self.accounts: dict[tuple[UUID, str], Totals] = {}
        self.wrong: list[str] = []
        self._open: dict[UUID, BookedTransfer] = {}

    def take(self, transfer: BookedTransfer) -> None:
        """Count the next transfer."""
        if transfer.seq <= self.seq:
            self.wrong.append(f"transfer {transfer.id} stands at {transfer.seq}, out of order")
        self.seq = transfer.seq
        self.transfers += 1
        debit, credit = self._sides(transfer)
        minor = transfer.amount.minor
        if transfer.kind in POSTED:
            debit.debits += minor
            credit.credits += minor
        if transfer.kind == "pending":
            self._open[transfer.id] = transfer
            debit.pending_debits += minor
            credit.pending_credits += minor
        elif transfer.kind != "transfer":
            self._settle(transfer)

    def _sides(self, transfer: BookedTransfer) -> tuple[Totals, Totals]:
        currency = transfer.amount.currency
        debit = self.accounts.setdefault((transfer.debit, currency), Totals())
        credit = self.accounts.setdefault((transfer.credit, currency), Totals())
        debit.touched = credit.touched = transfer.seq
        return debit, credit

    def _settle(self, transfer: BookedTransfer) -> None:
        """Let go what the pending transfer held."""
        held = self._open.pop(transfer.pending_id, None) if transfer.pending_id else None
        if held is None:
            self.wrong.append(f"transfer {transfer.id} settles a hold that is not open")
            return
        debit, credit = self._sides(held)
        debit.pending_debits -= held.amount.minor
        credit.pending_credits -= held.amount.minor
        debit.touched = credit.touched = transfer.seq

    def differs(self, line: TrialLine, after: int, low: Totals) -> str | None:
        """How a line read between `low` (at seq `after`) and now differs from both, or None.

        Totals of posted transfers only grow, so a line in between must lie between; where nothing
        was booked meanwhile it must be equal.
        """
        now = self.accounts.get((line.account.id, line.account.currency), Totals())
        said = (line.debits, line.credits, line.pending_debits, line.pending_credits)
        counted = (now.debits, now.credits, now.pending_debits, now.pending_credits)
        if now.touched <= after:
            fits = said == counted
        else:
            fits = low.debits <= line.debits <= now.debits
            fits = fits and low.credits <= line.credits <= now.credits
        if fits:
            return None
        return f"ledger account {line.account.id} says {said}, its transfers say {counted}"
