"""A mapping is refused with the file, the table, the key and what could stand there."""

from pathlib import Path

import pytest

from guilder.importing.mapping import MappingError, load_mapping, parse_mapping

WRONG = [
    # (text replaced, by what, table, key, what the message must offer)
    ('opened = "since"', 'openend = "since"', "accounts", "openend", "opened"),
    ('opened = "since"', "", "accounts", "opened", "text"),
    ('opened = "since"', "opened = 3", "accounts", "opened", "text"),
    ('O = "owner"', 'O = "boss"', "holders.roles", "...", "'signatory'"),
    ('counter = "cash"', 'counter = "till"', "transactions.rules[0]", "counter", "'fees'"),
    ('code = "cash_deposit"', 'code = "Rent May"', "transactions.rules[0]", "code", "'fee'"),
    ('"yyyy-mm-dd"', '"iso"', "dates", "shape", "'yymmdd'"),
    ('"yyyy-mm-dd"', '"yymmdd"', "dates", "", "years_from"),
    ('"yyyy-mm-dd"', '"yyyy-mm-dd"\nyears_from = 1900', "dates", "", "two-digit"),
    (', positive = "credit"', "", "transactions.amount", "", "credit + debit"),
    (', positive = "credit"', ', credit = "C"', "transactions.amount", "", "direction"),
    ('partner_bank = "Bank"', "", "transactions", "", "partner_bank"),
    ('"moves.csv"', '"../moves.csv"', "transactions", "", "without a path"),
    ('delimiter = ","', 'delimiter = ";;"', "format", "", "one ASCII sign"),
    ('delimiter = ","', 'encoding = "utf-16"', "format", "", "superset of ASCII"),
    ('thousands = "."', 'thousands = ","', "format", "", "must differ"),
    ('"Europe/Berlin"', '"Mars/Base"', "", "", "IANA"),
    ('"EUR"', '"eur"', "", "", "ISO 4217"),
    ('name = "other"', 'name = "other"\nsurprise = 1', "", "surprise", "zone"),
    ('delimiter = ","', "delimiter = ", "", "", "not TOML"),
]


@pytest.mark.parametrize(("old", "new", "table", "key", "offer"), WRONG)
def test_a_wrong_mapping_says_where_and_what_could_stand_there(
    other_mapping: str, old: str, new: str, table: str, key: str, offer: str
) -> None:
    assert old in other_mapping
    with pytest.raises(MappingError) as refused:
        parse_mapping(other_mapping.replace(old, new, 1), "x.toml")
    assert (refused.value.table, refused.value.key.strip("[]")) == (table, key)
    assert str(refused.value).startswith("x.toml")
    assert offer in str(refused.value)


def test_tolerance_is_counted_in_minor_units(other_mapping: str) -> None:
    def with_tolerance(text: str) -> str:
        balance = f'balance = {{ column = "B", tolerance = "{text}" }}'
        return other_mapping.replace('date = "Day"', f'date = "Day"\n{balance}')

    assert parse_mapping(with_tolerance("0.10")).tolerance_minor == 10
    assert parse_mapping(other_mapping).tolerance_minor == 0
    for bad in ("0.005", "-1", "NaN", "Infinity", "1e9", "ten"):
        with pytest.raises(MappingError, match="tolerance"):
            parse_mapping(with_tolerance(bad))


def test_a_mapping_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="cannot be read"):
        load_mapping(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(MappingError, match="UTF-8"):
        load_mapping(tmp_path / "latin.toml")
    (tmp_path / "huge.toml").write_bytes(b"#" * 300_000)
    with pytest.raises(MappingError, match="larger"):
        load_mapping(tmp_path / "huge.toml")
