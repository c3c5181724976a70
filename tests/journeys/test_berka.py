"""A real bank's records move in, are interrupted, repeated, and agree with what it printed."""

import json
import shutil
import signal
import subprocess
from datetime import date

import pytest

from guilder.importing.mapping import load_mapping
from guilder.importing.plan import build_plan
from guilder.importing.source import read_source
from tests.journeys.bare_hands import GUILDER, ROOT, TOPOLOGIES, berka, guilder, person, up

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not berka().is_dir(), reason="the Berka records are not here"),
]
MAPPING = ROOT / "mappings" / "berka.toml"
DATES = (date(1993, 1, 1), date(1993, 1, 26), date(1993, 12, 31))


@pytest.fixture(scope="module", params=TOPOLOGIES)
def moved_in(request, tmp_path_factory):
    """The report of an import that was cut off once and repeated, and the platform."""
    data = tmp_path_factory.mktemp("berka") / "data"
    api = up(data, "--demo", *TOPOLOGIES[request.param])["api"]
    argv = ("import", "--tenant", "nordbank", "--mapping", str(MAPPING), "--json", str(berka()))
    cut = subprocess.Popen(
        [*GUILDER, *argv, "--data", str(data)], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    for line in cut.stderr:
        if line.startswith("transfers") and not line.split()[1].startswith("0"):
            cut.send_signal(signal.SIGINT)
            break
    cut.stderr.read()
    assert cut.wait() != 0
    done = guilder(*argv, data=data)
    yield json.loads(done.stdout.splitlines()[-1]), api, data
    guilder("down", data=data)


def test_the_rows_reconcile(moved_in):
    report, _, _ = moved_in
    assert (report["rows"], report["parties"], report["accounts"]) == (49_101, 5_369, 4_500)
    assert (report["holders"], report["standing_orders"]) == (5_369, 6_471)
    assert report["reconciled"] >= 49_050
    assert report["exact"] >= 46_700
    assert report["negative_balances"] == 93
    assert float(report["rounding_total"]) <= 300
    assert report["differs"] == []
    assert len(report["breaks"]) == report["rows"] - report["reconciled"]


def test_account_2378_shows_the_printed_balance(moved_in):
    _, api, data = moved_in
    mapping = load_mapping(MAPPING)
    plan = build_plan(mapping, read_source(mapping, berka()))
    mia = person(api, data, "nordbank", "mia")
    (account,) = mia.get("/v1/accounts?reference=berka:2378")["items"]
    for on in DATES:
        balance = mia.get(f"/v1/accounts/{account['id']}/balance?value_date={on}")
        assert balance["booked"]["currency"] == "CZK"
        minor = int(balance["booked"]["amount"].replace(".", ""))
        assert minor == plan.printed_balance("2378", on)
    assert plan.printed_balance("2378", DATES[0]) == 70_000  # 700.00, the file's first row


def test_nothing_was_doubled_and_the_books_are_right(moved_in):
    _, _, data = moved_in
    report = json.loads(guilder("verify", "--json", data=data).stdout)
    assert report["findings"] == []
    assert report["checked"]["payments standing_orders"] == 6_471
    assert report["checked"]["parties"] == 5_369 + 4  # the demo has four


@pytest.mark.parametrize(
    ("form", "program"),
    [("hledger", ["hledger", "check", "-f"]), ("beancount", ["bean-check"])],
)
def test_other_programs_recompute_every_balance(moved_in, tmp_path, form, program):
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed; CI installs it")
    _, _, data = moved_in
    target = tmp_path / f"books.{form}"
    guilder("export", "--tenant", "nordbank", "--format", form, "--output", str(target), data=data)
    done = subprocess.run([*program, target], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
