"""Decisions on entries held against a naive oracle that keeps lists and sums them anew."""

import copy
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings, strategies as st

from guilder.contracts.errors import Problem
from guilder.contracts.ledger import v1
from guilder.contracts.values import MAX_MINOR, Money
from guilder.services.ledger import journal
from guilder.services.ledger.journal import Account, Books

T, START, DAY = 7, datetime(2026, 3, 2, tzinfo=UTC), date(2026, 3, 2)


def uid(n):
    return UUID(int=(n << 96) | (7 << 76) | (2 << 62))


# index -> currency, floor, closed
CHART = {
    1: ("EUR", 0, False),
    2: ("EUR", -50, False),
    3: ("EUR", None, False),
    4: ("CZK", None, False),
    5: ("EUR", None, True),
    6: ("EUR", 0, False),
}


class Oracle:
    """Everything ever booked in a list; every question is answered by walking it."""

    def __init__(self):
        self.lines = []  # dicts: id, kind, debit, credit, amount, currency, request, expires
        self.ended = {}  # pending id -> how

    def line(self, transfer_id):
        return next((x for x in self.lines if x["id"] == transfer_id), None)

    def totals(self, account):
        debits = credits_ = held_debits = held_credits = 0
        for x in self.lines:
            if x["kind"] in ("transfer", "post"):
                debits += x["amount"] * (x["debit"] == account)
                credits_ += x["amount"] * (x["credit"] == account)
            elif x["kind"] == "pending" and x["id"] not in self.ended:
                held_debits += x["amount"] * (x["debit"] == account)
                held_credits += x["amount"] * (x["credit"] == account)
        return debits, credits_, held_debits, held_credits

    def meaning(self, t):
        """What a request would write, with the gaps filled from the hold."""
        hold = self.line(t.pending_id) if t.pending_id else None
        if hold is not None and hold["kind"] != "pending":
            hold = None
        money = (t.amount.minor, t.amount.currency) if t.amount else None
        if hold is not None:
            money = money or (hold["amount"], hold["currency"])
            return t.kind, hold["debit"], hold["credit"], money, t.pending_id, t.code, t.timeout_s
        return t.kind, t.debit, t.credit, money, t.pending_id, t.code, t.timeout_s

    def enter(self, now, transfers):
        ids = [t.id for t in transfers]
        if len(set(ids)) == len(ids):
            lines = [self.line(i) for i in ids]
            if all(lines) and all(
                x["meaning"] == self.meaning(t) for x, t in zip(lines, transfers, strict=True)
            ):
                return ids
        kept = copy.deepcopy((self.lines, self.ended))
        for i, t in enumerate(transfers):
            code = self.one(now, t)
            if code:
                self.lines, self.ended = kept
                return code, f"$.transfers[{i}]"
        return ids

    def one(self, now, t):
        hold = self.line(t.pending_id) if t.pending_id else None
        if hold is not None and hold["kind"] != "pending":
            hold = None
        if t.amount is not None and t.amount.minor <= 0:
            return "amount-not-positive"
        debit, credit = (hold["debit"], hold["credit"]) if hold else (t.debit, t.credit)
        if debit is not None and debit == credit:
            return "same-account"
        chart = {uid(n): entry for n, entry in CHART.items()}
        sides = [s for s in (debit, credit) if s is not None]
        if any(s not in chart for s in sides):
            return "unknown-ledger-account"
        if any(chart[s][2] for s in sides):
            return "ledger-account-closed"
        currencies = {chart[s][0] for s in sides} | ({t.amount.currency} if t.amount else set())
        if sides and len(currencies) > 1:
            return "currency-mismatch"
        if self.line(t.id):
            return "transfer-id-reused"
        expires = None
        if t.kind in ("post", "void"):
            if hold is None:
                return "pending-unknown"
            if t.pending_id in self.ended or (hold["expires"] and hold["expires"] <= now):
                return "pending-closed"
            amount = t.amount.minor if t.amount else hold["amount"]
            if amount > hold["amount"]:
                return "post-above-hold"
            currency = hold["currency"]
        else:
            amount, currency = t.amount.minor, t.amount.currency
            d, c, held, _ = self.totals(debit)
            floor = chart[debit][1]
            if floor is not None and c - d - held - amount < floor:
                return "insufficient-funds"
            if t.kind == "pending" and t.timeout_s:
                expires = now + timedelta(seconds=t.timeout_s)
        line = {"id": t.id, "kind": t.kind, "debit": debit, "credit": credit, "amount": amount}
        line |= {"currency": currency, "expires": expires, "meaning": self.meaning(t)}
        self.lines.append(line)
        if t.kind in ("post", "void"):
            self.ended[t.pending_id] = t.kind
        return None

    def expire(self, now):
        for x in self.lines:
            timed = x["kind"] == "pending" and x["expires"] is not None
            if timed and x["id"] not in self.ended and x["expires"] <= now:
                self.ended[x["id"]] = "expire"


GOOD = [uid(n) for n in (3, 1, 2, 6)]
PAIRS = st.sampled_from([(a, b) for a in GOOD for b in GOOD if a != b])
HOLDS = st.sampled_from([uid(n) for n in (1, 2, 3)])
IDS = st.integers(4, 40).map(uid)
AMOUNTS = st.sampled_from([1, 5, 20, 50, 60])
FAULTS = st.sampled_from(["none"] * 12 + ["zero", "czk", "account", "same", "hold", "id"])


@st.composite
def transfers(draw):
    """Mostly sound, with few ids, so that repeats and settlements meet what is there."""
    kind = draw(st.sampled_from(["post", "pending", "transfer", "void", "pending", "post"]))
    fault = draw(FAULTS)
    ids = IDS if kind != "pending" or fault == "id" else HOLDS
    given_ = {"id": draw(ids), "kind": kind, "value_date": DAY, "code": "payment"}
    amount = Money(0 if fault == "zero" else draw(AMOUNTS), "CZK" if fault == "czk" else "EUR")
    if kind in ("post", "void"):
        given_["pending_id"] = draw(IDS if fault == "hold" else HOLDS)
        if kind == "post" and draw(st.booleans()):
            given_["amount"] = amount
        return v1.Transfer(**given_)
    if kind == "pending":
        given_["timeout_s"] = draw(st.sampled_from([None, 1, 30]))
    debit, credit = draw(PAIRS)
    if fault == "account":
        credit = draw(st.sampled_from([4, 5, 8]).map(uid))
    sides = {"debit": debit, "credit": debit if fault == "same" else credit}
    return v1.Transfer(**given_, **sides, amount=amount)


ENTRIES = st.lists(transfers(), min_size=1, max_size=3)
SINGLES = st.lists(transfers(), min_size=1, max_size=1)
AGAIN = st.tuples(st.just("again"), st.lists(st.integers(0, 30), min_size=1, max_size=3))
"""Transfers sent before, alone or put together anew."""
EVENTS = st.one_of(
    SINGLES, SINGLES, ENTRIES, AGAIN, st.just("expire"), st.sampled_from([1, 1, 29, 30])
)


def fresh_books():
    accounts = {(T, uid(n)): Account(c, floor, closed) for n, (c, floor, closed) in CHART.items()}
    return Books(next_seq=1, accounts=accounts)


def check_totals(books, oracle):
    for (_, account_id), account in books.accounts.items():
        found = (account.debits, account.credits, account.pending_debits, account.pending_credits)
        assert found == oracle.totals(account_id)


@settings(max_examples=2_500, deadline=None)
@given(st.lists(EVENTS, min_size=4, max_size=14))
def test_decisions_and_totals_are_those_of_the_oracle(events):
    books, oracle, now = fresh_books(), Oracle(), START
    events = [[plain(20, 3, 1, 60), plain(21, 3, 6, 60)], *events]
    sent = []
    for event in events:
        if isinstance(event, tuple):
            event = [sent[n % len(sent)] for n in event[1]]
        if isinstance(event, int):
            now += timedelta(seconds=event)
        elif event == "expire":
            journal.expire(books, T, now)
            oracle.expire(now)
        else:
            sent += event
            answer = journal.enter(books, T, now, v1.JournalEntry(transfers=event))
            expected = oracle.enter(now, event)
            if isinstance(answer, Problem):
                assert (answer.code, answer.at) == expected
            else:
                assert [row.id for row in answer] == expected
        check_totals(books, oracle)
    posted = [row for row in books.rows if row.kind in ("transfer", "post")]
    assert [row.seq for row in books.rows] == list(range(1, len(books.rows) + 1))
    for row in books.rows:
        upto = [r for r in posted if r.seq <= row.seq]
        assert row.d_after == sum(r.amount for r in upto if r.debit == row.debit)
        assert row.c_after == sum(r.amount for r in upto if r.credit == row.credit)


@settings(max_examples=300, deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=10))
def test_a_repeat_of_everything_changes_nothing(entries):
    books = fresh_books()
    entered = [v1.JournalEntry(transfers=e) for e in entries]
    first = [journal.enter(books, T, START, e) for e in entered]
    booked = [(e, a) for e, a in zip(entered, first, strict=True) if not isinstance(a, Problem)]
    before = copy.deepcopy((books.accounts, books.rows, books.next_seq))
    for entry, answer in booked:
        assert journal.enter(books, T, START, entry) == answer
    assert (books.accounts, books.rows, books.next_seq) == before


def plain(n, debit, credit, minor, **more):
    given_ = {"id": uid(n), "value_date": DAY, "code": "payment", "amount": Money(minor, "EUR")}
    return v1.Transfer(**{**given_, "debit": uid(debit), "credit": uid(credit), **more})


def decide(books, *entry, now=START):
    return journal.enter(books, T, now, v1.JournalEntry(transfers=list(entry)))


def test_a_total_never_passes_two_to_the_62():
    books = fresh_books()
    near = 2**62 - 10
    for n in (3, 6):
        account = books.accounts[T, uid(n)]
        account.debits = account.credits = near
    assert isinstance(decide(books, plain(1, 3, 6, 11)), v1.AmountTooLarge)
    assert isinstance(decide(books, plain(1, 3, 6, 11, kind="pending")), list)
    post = v1.Transfer(id=uid(2), kind="post", pending_id=uid(1), value_date=DAY, code="payment")
    assert isinstance(decide(books, post), v1.AmountTooLarge)
    assert isinstance(decide(books, plain(3, 3, 6, 10)), list)
    assert books.accounts[T, uid(3)].debits == 2**62


def test_a_balance_never_passes_what_one_value_can_carry():
    books = fresh_books()
    assert isinstance(decide(books, plain(1, 3, 6, MAX_MINOR)), list)
    assert isinstance(decide(books, plain(2, 3, 6, 1)), v1.AmountTooLarge)
    assert isinstance(decide(books, plain(2, 3, 6, 1, kind="pending")), v1.AmountTooLarge)
    assert isinstance(decide(books, plain(3, 6, 3, 1)), list)


def test_problems_come_in_the_order_of_the_contract():
    """Each entry has every later fault too; the earliest of the contract's list is told."""
    books = fresh_books()
    decide(books, plain(1, 3, 1, 5), plain(2, 1, 6, 5, kind="pending"))
    wrong = {"id": uid(1), "value_date": DAY, "code": "payment"}

    def code(**more):
        answer = decide(books, v1.Transfer(**{**wrong, **more}))
        assert isinstance(answer, Problem)
        return answer.code

    unknown, closed, czk = uid(8), uid(5), Money(5, "CZK")
    assert code(debit=unknown, credit=unknown, amount=Money(0, "CZK")) == "amount-not-positive"
    assert code(debit=unknown, credit=unknown, amount=czk) == "same-account"
    assert code(debit=closed, credit=unknown, amount=czk) == "unknown-ledger-account"
    assert code(debit=closed, credit=uid(4), amount=Money(5, "EUR")) == "ledger-account-closed"
    assert code(debit=uid(1), credit=uid(6), amount=czk) == "currency-mismatch"
    assert code(debit=uid(1), credit=uid(6), amount=Money(99, "EUR")) == "transfer-id-reused"
    assert code(kind="post", pending_id=uid(7)) == "transfer-id-reused"
    wrong["id"] = uid(9)
    assert code(kind="post", pending_id=uid(7)) == "pending-unknown"
    assert code(kind="post", pending_id=uid(2), amount=Money(6, "EUR")) == "post-above-hold"
    many = Money(MAX_MINOR, "EUR")
    assert code(debit=uid(1), credit=uid(6), amount=many) == "insufficient-funds"
    listed = [p.code for p in v1.Ledger.operations()["submit"].problems]
    assert listed.index("pending-closed") < listed.index("post-above-hold")


def test_a_booking_time_never_runs_backwards():
    books = fresh_books()
    (first,) = decide(books, plain(1, 3, 6, 5))
    books.last_booked[T] = first.booked_at
    (second,) = decide(books, plain(2, 3, 6, 5), now=START - timedelta(days=1))
    assert second.booked_at == first.booked_at
