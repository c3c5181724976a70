"""A plan is the same each time, adds up, and carries no free text."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from hypothesis import given, strategies as st

from guilder.importing.mapping import parse_mapping
from guilder.importing.plan import Plan, build_plan
from guilder.importing.source import read_source
from guilder.importing.stable import stable_uuid7

MOVES = """Ref,Account,Day,Amount,Bank,B
m3,A-1,2024-03-02,"-4,00",ABC,"9,98"
m1,A-1,2024-03-01,"10,00",,"10,00"
m2,A-1,2024-03-02,"4,00",,"14,00"
m4,A-1,2024-03-03,0,,"9,98"
m5,A-1,2024-03-04,"-20,00",,"-15,02"
"""


def _plan(mapping: str, directory: Path, namespace: str | None = None) -> Plan:
    read = parse_mapping(
        mapping.replace('"Day"\n', '"Day"\nbalance = { column = "B", tolerance = "0.10" }\n')
    )
    (directory / "moves.csv").write_text(MOVES)
    return build_plan(read, read_source(read, directory), namespace)


def test_rounding_and_suspense_follow_their_row(other_mapping: str, other_dir: Path) -> None:
    plan = _plan(other_mapping, other_dir)
    seen = [(t.external_id, t.counter, t.direction, t.amount_minor) for t in plan.transfers]
    assert seen == [
        ("m1", "cash", "credit", 1000),
        ("m2", "cash", "credit", 400),
        ("m3", "clearing:ABC", "debit", 400),
        ("m3+rounding", "rounding", "debit", 2),
        ("m5", "cash", "debit", 2000),
        ("m5+suspense", "suspense", "debit", 500),
    ]
    assert [t.order for t in plan.transfers] == list(range(6))
    assert plan.transfers[3].value_date == date(2024, 3, 2)
    assert plan.counters() == ("cash", "clearing:ABC", "rounding", "suspense")


def test_the_summary_counts_every_row_and_hides_nothing(
    other_mapping: str, other_dir: Path
) -> None:
    summary = _plan(other_mapping, other_dir).summary
    assert (summary.rows, summary.exact, summary.rounded) == (5, 3, 1)
    assert summary.reconciled == 4  # the row of zero counts, though it is not sent
    assert (summary.rounding_total_abs_minor, summary.suspense_total_abs_minor) == (2, 500)
    assert summary.negative_balances == 1
    (found,) = summary.breaks
    assert (found.external_id, found.expected_minor, found.printed_minor) == ("m5", -1002, -1502)


def test_printed_balance_is_the_last_of_the_day(other_mapping: str, other_dir: Path) -> None:
    plan = _plan(other_mapping, other_dir)
    days = [date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 2), date(2030, 1, 1)]
    assert [plan.printed_balance("A-1", day) for day in days] == [0, 1000, 998, -1502]
    assert plan.printed_balance("none", days[0]) == 0


def test_a_repeat_plans_the_same_and_another_namespace_other_ids(
    other_mapping: str, other_dir: Path
) -> None:
    one, two = _plan(other_mapping, other_dir), _plan(other_mapping, other_dir)
    assert one == two
    other = _plan(other_mapping, other_dir, "other-bank")
    assert not {t.id for t in one.transfers} & {t.id for t in other.transfers}
    account = one.accounts[0]
    ids = {one.party_id("1"), one.account_id(account), one.record_id("holder", "1")}
    ids |= {one.record_id("standing_order", "1")} | {t.id for t in one.transfers}
    assert len(ids) == 4 + len(one.transfers)


def test_without_printed_balances_rows_are_unchecked(other_mapping: str, other_dir: Path) -> None:
    read = parse_mapping(other_mapping)
    plan = build_plan(read, read_source(read, other_dir))
    assert (plan.summary.unchecked, plan.summary.reconciled, plan.summary.breaks) == (3, 0, ())
    assert [t.amount_minor for t in plan.transfers] == [123450, 7]


@given(st.text(max_size=20), st.text(max_size=20), st.dates(date(1970, 1, 1), date(2200, 1, 1)))
def test_stable_ids_are_uuid7_of_their_day(space: str, name: str, on: date) -> None:
    made = stable_uuid7(space, name, on)
    assert made == stable_uuid7(space, name, on)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    clock = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=made.int >> 80)
    assert clock == datetime(on.year, on.month, on.day, tzinfo=UTC)
    assert made != stable_uuid7(space, name + "x", on)


def test_stable_ids_stay_what_they_were() -> None:
    # a changed derivation would import everything a second time
    made = stable_uuid7("berka/transfer", "695247", date(1993, 1, 1))
    assert str(made) == "00a8ffd1-1c00-7777-8c84-c84fe74a60e3"
    assert stable_uuid7("a", "b", date(1960, 1, 1)).int >> 80 == 0
