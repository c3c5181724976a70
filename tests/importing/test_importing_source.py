"""Files are read whole or not at all, and every problem is named."""

from datetime import date
from pathlib import Path

import pytest

from guilder.importing.mapping import parse_mapping
from guilder.importing.rows import MAX_FAULTS, Fault, SourceError
from guilder.importing.source import read_source


def _faults(mapping: str, directory: Path) -> tuple[Fault, ...]:
    with pytest.raises(SourceError) as refused:
        read_source(parse_mapping(mapping), directory)
    return refused.value.faults


def test_a_differently_shaped_bank_is_read_by_its_mapping(
    other_mapping: str, other_dir: Path
) -> None:
    source = read_source(parse_mapping(other_mapping), other_dir)
    assert (source.parties[0].name, source.parties[0].birth_date) == (
        "Müller, Eva",
        date(1980, 2, 1),
    )
    assert source.accounts[0].opened == date(2024, 2, 29)
    assert source.holders[0].role == "owner"
    seen = [(t.line, t.external_id, t.amount_minor, t.counter) for t in source.transactions]
    assert seen == [
        (2, "m1", 123450, "cash"),
        (3, "m2", -7, "clearing:ABC"),
        (4, "m3", 0, "clearing:ABC"),
    ]
    assert all(t.printed_minor is None for t in source.transactions)


BAD_ROWS = [
    # (row, column, value, part of what was expected)
    ('m9,A-1,2024-02-30,"1,00",,', "Day", "2024-02-30", "yyyy-mm-dd"),
    ("m9,A-1,2024-03-03,1.5,,", "Amount", "1.5", "amount"),
    ('m9,A-1,2024-03-03,"1,005",,', "Amount", "1,005", "at most 2 decimals"),
    ("m9,A-1,2024-03-03,1,a bank,", "Bank", "a bank", "bank code"),
    ("m 9,A-1,2024-03-03,1,,", "Ref", "m 9", "an id"),
    ("m1,A-1,2024-03-03,1,,", "Ref", "m1", "an id used once"),
    ("m9,A-2,2024-03-03,1,,", "Account", "A-2", "its own file"),
    ("m9,A-1,2024-03-03", "", "3 cells", "6 cells"),
    ('m9,A-1,2024-03-03,1,,"open', "", "unexpected end of data", "quoted"),
    ("m9,A-1,2024-03-03,1,," + "x" * 70_000, "", "", "a line of at most"),
]


@pytest.mark.parametrize(("row", "column", "value", "expected"), BAD_ROWS)
def test_a_bad_row_is_named_with_what_was_expected(
    other_mapping: str, other_dir: Path, row: str, column: str, value: str, expected: str
) -> None:
    with (other_dir / "moves.csv").open("a") as file:
        file.write(row + "\n")
    (fault,) = _faults(other_mapping, other_dir)
    assert (fault.file, fault.line, fault.column) == ("moves.csv", 5, column)
    assert (fault.value, expected in fault.expected) == (value, True)


def test_an_undecodable_byte_is_blamed_on_its_line(other_mapping: str, other_dir: Path) -> None:
    with (other_dir / "moves.csv").open("ab") as file:
        file.write(b"m9,A-1,2024-03-03,1,,\xe9\n")
    (fault,) = _faults(other_mapping, other_dir)
    assert (fault.line, "utf-8" in fault.expected) == (5, True)


def test_problems_of_all_files_are_gathered_and_bounded(
    other_mapping: str, other_dir: Path
) -> None:
    (other_dir / "accounts.tsv").unlink()
    (other_dir / "people.csv").write_text("No,Name\np1,Eva\n")
    with (other_dir / "moves.csv").open("a") as file:
        file.writelines(f"x{n},A-1,never,1,,\n" for n in range(1000))
    faults = _faults(other_mapping, other_dir)
    by_file = [fault.file for fault in faults]
    assert by_file.count("moves.csv") == MAX_FAULTS
    assert by_file.count("accounts.tsv") == 1
    assert [f.column for f in faults if f.file == "people.csv"] == ["Born"]


def test_untrusted_values_cannot_forge_lines_in_messages() -> None:
    shown = str(Fault("f", 1, "c", "a\n\u202eb" + "x" * 500, "right"))
    assert "\n" not in shown
    assert "\u202e" not in shown
    assert len(shown) < 200


def test_an_account_without_owner_is_refused(other_mapping: str, other_dir: Path) -> None:
    (other_dir / "rights.csv").write_text("id,who,what,as\n1,p1,A-1,S\n2,p7,A-1,S\n")
    faults = _faults(other_mapping, other_dir)
    assert [(f.column, f.value) for f in faults] == [("who", "p7"), ("nr", "A-1")]


def test_a_row_no_rule_names_is_refused(other_mapping: str, other_dir: Path) -> None:
    narrowed = other_mapping.replace("when = {}", 'when = { Bank = ["XYZ", "ABD"] }')
    faults = _faults(narrowed, other_dir)
    assert [(f.line, f.column, f.value) for f in faults] == [(3, "Bank", "ABC"), (4, "Bank", "ABC")]


def test_amounts_in_a_column_each_and_unsigned_with_direction(
    other_mapping: str, other_dir: Path
) -> None:
    old = 'amount = { column = "Amount", positive = "credit" }'
    split = other_mapping.replace(old, 'amount = { credit = "In", debit = "Out" }')
    (other_dir / "moves.csv").write_text(
        'Ref,Account,Day,In,Out,Bank\na,A-1,2024-03-01,"1,00",,\nb,A-1,2024-03-01,,2,\n'
    )
    rows = read_source(parse_mapping(split), other_dir).transactions
    assert [row.amount_minor for row in rows] == [100, -200]
    with (other_dir / "moves.csv").open("a") as file:
        file.write("c,A-1,2024-03-01,1,2,\nd,A-1,2024-03-01,,,\ne,A-1,2024-03-01,,-2,\n")
    assert [f.line for f in _faults(split, other_dir)] == [4, 5, 6]

    ways = 'direction = "Way", directions = { D = "debit", C = "credit" }'
    told = other_mapping.replace(old, f'amount = {{ column = "Sum", {ways} }}')
    (other_dir / "moves.csv").write_text(
        "Ref,Account,Day,Sum,Way,Bank\na,A-1,2024-03-01,3,D,\nb,A-1,2024-03-01,4,C,\n"
    )
    rows = read_source(parse_mapping(told), other_dir).transactions
    assert [row.amount_minor for row in rows] == [-300, 400]
    with (other_dir / "moves.csv").open("a") as file:
        file.write("c,A-1,2024-03-01,-3,D,\nd,A-1,2024-03-01,3,X,\n")
    assert [(f.column, f.value) for f in _faults(told, other_dir)] == [("Sum", "-3"), ("Way", "X")]
