"""A made-up bank whose files look nothing like Berka's, and the place of the Berka data."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OTHER_MAPPING = """
name = "other"
currency = "EUR"
zone = "Europe/Berlin"

[format]
delimiter = ","
decimal = ","
thousands = "."

[dates]
shape = "yyyy-mm-dd"

[parties]
file = "people.csv"
id = "No"
name = "Name"
birth_date = "Born"
dates = { shape = "d.m.yyyy" }

[accounts]
file = "accounts.tsv"
id = "nr"
opened = "since"
format = { delimiter = "\\t" }

[holders]
file = "rights.csv"
id = "id"
party = "who"
account = "what"
role = "as"
roles = { O = "owner", S = "signatory" }

[transactions]
file = "moves.csv"
id = "Ref"
account = "Account"
date = "Day"
partner_bank = "Bank"
amount = { column = "Amount", positive = "credit" }

[[transactions.rules]]
when = { Bank = "" }
counter = "cash"
code = "cash_deposit"

[[transactions.rules]]
when = {}
counter = "clearing"
code = "transfer_out"
"""

OTHER_FILES = {
    "people.csv": b'\xef\xbb\xbf"No","Name","Born"\np1,"M\xc3\xbcller, Eva",1.2.1980\n',
    "accounts.tsv": b"nr\tsince\nA-1\t2024-02-29\n",
    "rights.csv": b"id,who,what,as\n1,p1,A-1,O\n",
    "moves.csv": (
        b"Ref,Account,Day,Amount,Bank,Note\n"
        b'm1,A-1,2024-03-01,"1.234,5",,x\n'
        b'm2,A-1,2024-03-02,"-0,07",ABC,y\n'
        b"m3,A-1,2024-03-02,0,ABC,y\n"
    ),
}


@pytest.fixture
def other_dir(tmp_path: Path) -> Path:
    for name, content in OTHER_FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture(scope="session")
def berka_dir() -> Path:
    place = Path(os.environ.get("GUILDER_BERKA_DIR", ROOT.parent / "shared" / "data" / "berka"))
    if not (place / "trans.asc").is_file():
        pytest.skip("the Berka data is not here; set GUILDER_BERKA_DIR to its directory")
    return place


@pytest.fixture
def other_mapping() -> str:
    return OTHER_MAPPING
