"""The real data: a Czech bank's records of 1993-1994, reconciled with the balances it printed."""

import time
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path

import pytest

from guilder.importing.mapping import load_mapping
from guilder.importing.plan import Plan, build_plan
from guilder.importing.source import read_source

MAPPING = Path(__file__).resolve().parents[2] / "mappings" / "berka.toml"


@pytest.fixture(scope="module")
def plan(berka_dir: Path) -> Plan:
    mapping = load_mapping(MAPPING)
    return build_plan(mapping, read_source(mapping, berka_dir))


def test_every_record_is_read(plan: Plan) -> None:
    assert (len(plan.parties), len(plan.accounts), len(plan.holders)) == (5_369, 4_500, 5_369)
    assert (len(plan.standing_orders), plan.summary.rows) == (6_471, 49_101)
    assert Counter(holder.role for holder in plan.holders) == {"owner": 4_500, "signatory": 869}
    assert (plan.parties[0].birth_date, plan.parties[0].sex) == (date(1970, 12, 13), "female")


def test_the_rows_reconcile_with_the_printed_balances(plan: Plan) -> None:
    summary = plan.summary
    assert (summary.exact, summary.rounded, len(summary.breaks)) == (46_749, 2_323, 29)
    assert summary.reconciled >= 49_050
    assert summary.rounding_total_abs_minor <= 300_00
    assert summary.negative_balances == 93
    # the extract ends at this day, with rows of some accounts missing
    assert {found.value_date for found in summary.breaks} == {date(1994, 3, 31)}


def test_the_transfers_end_every_account_at_its_last_printed_balance(
    plan: Plan, berka_dir: Path
) -> None:
    balances: dict[str, int] = defaultdict(int)
    for transfer in plan.transfers:
        assert transfer.amount_minor > 0
        sign = 1 if transfer.direction == "credit" else -1
        balances[transfer.account] += sign * transfer.amount_minor
    # against the file itself: one of the balances printed on the account's last day
    last: dict[str, tuple[str, set[int]]] = {}
    for line in (berka_dir / "trans.asc").read_text("cp1250").splitlines()[1:]:
        _, account, day, _, _, _, printed, *_ = line.split(";")
        if account not in last or day > last[account][0]:
            last[account] = (day, set())
        if day == last[account][0]:
            last[account][1].add(round(float(printed) * 100))
    assert balances.keys() == last.keys() == plan.steps.keys()
    for account, (_, printed_then) in last.items():
        assert balances[account] in printed_then
        assert balances[account] == plan.steps[account][-1].balance_minor
        assert balances[account] == plan.printed_balance(account, date(1999, 1, 1))


def test_account_2378_has_its_printed_balance_at_three_dates(plan: Plan) -> None:
    # as printed in the file on days with a single row
    assert plan.printed_balance("2378", date(1993, 1, 1)) == 700_00
    assert plan.printed_balance("2378", date(1993, 1, 26)) == 94_059_00
    assert plan.printed_balance("2378", date(1993, 2, 8)) == 80_033_70


def test_the_transfers_are_in_one_order_with_ids_of_their_own(plan: Plan) -> None:
    keys = [(t.value_date, t.account, t.order) for t in plan.transfers]
    assert keys == sorted(set(keys))
    assert len({t.id for t in plan.transfers}) == len(plan.transfers) == 49_101 + 2_323 + 29
    banks = ["AB", "CD", "EF", "GH", "IJ", "KL", "MN", "OP", "QR", "ST", "UV", "WX", "YZ"]
    internal = {"cash", "interest", "fees", "rounding", "suspense"}
    assert set(plan.counters()) == internal | {f"clearing:{bank}" for bank in banks}


def test_planning_takes_less_than_five_seconds(berka_dir: Path) -> None:
    # processor time, so that a busy machine does not fail it
    began = time.process_time()
    mapping = load_mapping(MAPPING)
    build_plan(mapping, read_source(mapping, berka_dir))
    assert time.process_time() - began < 5
