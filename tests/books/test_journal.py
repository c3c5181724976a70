"""The recount against an oracle that sums from scratch, over any history the ledger could write."""

from collections import Counter
from datetime import UTC, date, datetime
from uuid import UUID

from hypothesis import given, strategies as st

from guilder.books.journal import Recount, Totals
from guilder.contracts.ledger.v1 import BookedTransfer, LedgerAccount, TrialLine
from guilder.contracts.values import Money

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["transfer", "pending", "post", "void", "expire"]),
        st.permutations([1, 2, 3]),
        st.integers(1, 1000),
    ),
    max_size=30,
)


def history(steps):
    """Transfers as a ledger books them: what settles names the oldest hold that is open."""
    booked, waiting = [], []
    for seq, (kind, (debit, credit, _), minor) in enumerate(steps, 1):
        hold = None
        if kind in ("post", "void", "expire"):
            if not waiting:
                continue
            hold = waiting.pop(0)
            debit, credit = hold.debit.int, hold.credit.int
            minor = min(minor, hold.amount.minor) if kind == "post" else hold.amount.minor
        made = BookedTransfer(
            id=UUID(int=1000 + seq),
            seq=seq,
            kind=kind,
            debit=UUID(int=debit),
            credit=UUID(int=credit),
            amount=Money(minor, "EUR"),
            value_date=date(2026, 3, 2),
            booked_at=datetime(2026, 3, 2, tzinfo=UTC),
            code="payment",
            pending_id=hold and hold.id,
        )
        booked.append(made)
        if kind == "pending":
            waiting.append(made)
    return booked


def summed(transfers):
    """Each account's four totals, in the order of a trial line."""
    settled = {t.pending_id for t in transfers}
    totals = Counter()
    for t in transfers:
        if t.kind in ("transfer", "post"):
            totals[t.debit, 0] += t.amount.minor
            totals[t.credit, 1] += t.amount.minor
        if t.kind == "pending" and t.id not in settled:
            totals[t.debit, 2] += t.amount.minor
            totals[t.credit, 3] += t.amount.minor
    return totals


def line(account, totals, more=0):
    place = LedgerAccount(
        id=account, chart="customer", currency="EUR", floor=0, partner="", state="open"
    )
    debits, credits_, held, expected = (totals[account, i] for i in range(4))
    return TrialLine(
        account=place,
        debits=debits + more,
        credits=credits_,
        pending_debits=held,
        pending_credits=expected,
    )


@given(STEPS)
def test_the_recount_agrees_with_sums_from_scratch(steps):
    transfers = history(steps)
    recount = Recount()
    for transfer in transfers:
        recount.take(transfer)
    assert recount.wrong == []
    totals = summed(transfers)
    for n in (1, 2, 3):
        account = UUID(int=n)
        assert recount.differs(line(account, totals), recount.seq, Totals()) is None
        assert recount.differs(line(account, totals, more=1), recount.seq, Totals())
        assert recount.differs(line(account, totals, more=-1), recount.seq, Totals())


def test_a_journal_out_of_order_or_with_a_stray_settlement_is_wrong():
    one, two = history([("pending", (1, 2, 3), 5), ("post", (1, 2, 3), 5)])
    recount = Recount()
    recount.take(two)
    recount.take(one)
    assert len(recount.wrong) == 2
