"""List files as their publishers write them, and files that are no list at all."""

import os
import shutil
from datetime import UTC, date, datetime

import pytest

from guilder.chassis.clock import SetClock
from guilder.chassis.settings import BadSetting
from guilder.contracts.errors import Unavailable
from guilder.contracts.screening.v1 import Side
from guilder.services.screening import countries, ofac
from guilder.services.screening.entry import Birth
from guilder.services.screening.lists import SAMPLE, Lists
from guilder.services.screening.settings import ScreeningSettings
from guilder.services.screening.xml import DEEPEST

FILES = ("sdn.xml", "sdn.csv", "un.xml", "eu.xml")
KASIMIR = Side(kind="person", name="Kasimir Volderhaven")


@pytest.fixture
def folder(tmp_path):
    """A folder of the operator's with the sample in it."""
    shutil.copytree(SAMPLE, tmp_path / "lists")
    return tmp_path / "lists"


def lists_of(folder):
    return Lists(folder, SetClock(datetime(2026, 11, 24, tzinfo=UTC)))


async def hits(lists, side=KASIMIR):
    index, _ = await lists.current()
    return [match.entry.id for match in index.find(side, 85)]


def change(path, text):
    """Exchange a file; its time is moved on, whatever the file system's clock can tell apart."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text, "utf-8")
    os.utime(path, ns=(before + 10**9, before + 10**9))


async def test_every_format_says_the_same_of_an_entry(folder):
    lists = lists_of(folder)
    await lists.current()
    assert sorted(lists.files) == sorted(FILES)
    by_id = {e.id: e for file in lists.files.values() for e in file.entries}
    assert {file.of for file in lists.files.values()} == {
        "OFAC SDN",
        "UN Security Council",
        "EU consolidated",
    }
    kasimir, benedykt = by_id["900001"], by_id["910001"]
    assert [name.text for name in kasimir.names] == [
        "Kasimir VOLDERHAVEN",
        "Kazimierz WOLDERHOVEN",
        "THE HARBOURMASTER",
    ]
    assert [name.weak for name in kasimir.names] == [False, False, True]
    assert kasimir.births == (Birth.of(date(1961, 3, 14)),)
    assert kasimir.countries == benedykt.countries == {"IS"}
    assert [name.text for name in benedykt.names] == ["Benedykt OSTROWGRAD", "Benedikt OSTROVGRAD"]
    assert benedykt.births == (Birth.of(date(1958, 1, 21)),)
    assert by_id["900003"].births == (Birth(1947, 1951),)
    assert by_id["XXi.001"].births == (Birth(1970, 1972),)
    assert by_id["XXi.001"].names[1].text == "Илдико Стормванг"
    assert by_id["XXi.001"].countries == {"IS", "MT"}
    assert by_id["XXi.002"].births == (Birth.of(date(1966, 9, 5)),)
    assert [n.weak for n in by_id["EU.990001.1"].names] == [False, False, True]
    assert by_id["EU.990001.1"].births == (Birth.of(date(1974, 12, 3)), Birth(1976, 1976))
    assert by_id["EU.990002.2"].countries == {"CH"}
    kinds = {e.id: e.kind for e in by_id.values()}
    assert kinds["900002"] == kinds["910002"] == kinds["XXe.001"] == kinds["EU.990002.2"]
    assert {"900004", "910003"}.isdisjoint(by_id)  # ships


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("07 Oct 1954", Birth.of(date(1954, 10, 7))),
        ("Oct 1954", Birth(1954, 1954)),
        ("1954", Birth(1954, 1954)),
        ("circa 1954", Birth(1952, 1956)),
        ("1954 to 1956", Birth(1954, 1956)),
        ("31 Feb 1954", Birth(1954, 1954)),
        ("unknown", None),
    ],
)
def test_births_as_ofac_writes_them(written, found):
    assert ofac.birth(written) == found


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("Iran", "IR"),
        ("Russia", "RU"),
        ("Korea, North", "KP"),
        ("Syria", "SY"),
        ("Venezuela", "VE"),
        ("Congo, Democratic Republic of the", "CD"),
        ("MT", "MT"),
        ("Freedonia", None),
        ("", None),
    ],
)
def test_countries_as_lists_write_them(written, code):
    assert countries.code(written) == code


async def test_a_changed_file_is_read_again(folder):
    lists = lists_of(folder)
    assert await hits(lists) == ["900001"]
    assert not await lists.refresh()
    text = (folder / "sdn.xml").read_text("utf-8")
    change(folder / "sdn.xml", text.replace("VOLDERHAVEN", "NOBODYELSE"))
    assert await lists.refresh()
    assert await hits(lists) == []
    assert await hits(lists, Side(kind="person", name="Kasimir Nobodyelse")) == ["900001"]


async def test_a_changed_file_beside_the_csv_is_read_again(folder):
    lists = lists_of(folder)
    await lists.current()
    change(folder / "alt.csv", '910001,1,"aka","QUARTERMAIN, Ulysses",-0- \r\n\x1a')
    assert await lists.refresh()
    assert await hits(lists, Side(kind="person", name="Ulysses Quartermain")) == ["910001"]


BOMB = """<?xml version="1.0"?><!DOCTYPE sdnList [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<sdnList><sdnEntry><uid>1</uid><lastName>&c;</lastName></sdnEntry></sdnList>"""
EXTERNAL = """<?xml version="1.0"?><!DOCTYPE sdnList [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<sdnList><sdnEntry><uid>1</uid><lastName>&a;</lastName></sdnEntry></sdnList>"""
DTD = '<?xml version="1.0"?><!DOCTYPE sdnList SYSTEM "http://127.0.0.1:1/x.dtd"><sdnList/>'
DEEP = "<sdnList>" + "<a>" * DEEPEST + "</a>" * DEEPEST + "</sdnList>"
INCLUDE = """<sdnList xmlns:xi="http://www.w3.org/2001/XInclude">
<xi:include href="/etc/hostname" parse="text"/></sdnList>"""

BROKEN = [
    pytest.param(BOMB, id="entity bomb", marks=pytest.mark.abuse(53)),
    pytest.param(EXTERNAL, id="external entity", marks=pytest.mark.abuse(53)),
    pytest.param(DTD, id="external dtd", marks=pytest.mark.abuse(53)),
    pytest.param(DEEP, id="deep", marks=pytest.mark.abuse(53)),
    pytest.param(INCLUDE, id="xinclude: no entry", marks=pytest.mark.abuse(53)),
    pytest.param("<sdnList><sdnEntry><uid>1</uid>", id="cut off"),
    pytest.param("", id="empty"),
    pytest.param("<html><body>Not found</body></html>", id="another document"),
    pytest.param("<sdnList/>", id="no entry"),
    pytest.param(
        "<sdnList><sdnEntry><lastName>X</lastName><sdnType>Entity</sdnType></sdnEntry></sdnList>",
        id="no uid",
    ),
    pytest.param("\x00\x01\x02", id="no text"),
    pytest.param('<?xml version="1.0" encoding="none-such"?><sdnList/>', id="unknown encoding"),
]


@pytest.mark.parametrize("text", BROKEN)
async def test_what_was_read_before_stays_where_a_file_breaks(folder, text, lines):
    lists = lists_of(folder)
    await lists.current()
    change(folder / "sdn.xml", text)
    assert not await lists.refresh()
    assert await hits(lists) == ["900001"]
    assert len(lists.broken()) == 1
    by_name = {measure.name: measure.read() for measure in lists.measures}
    assert by_name["guilder_screening_lists_broken"] == 1
    assert by_name["guilder_screening_entries"] == 12
    assert lines.last["event"] == "list is broken"
    assert not await lists.refresh()  # said once
    assert [line["event"] for line in lines.read_all()].count("list is broken") == 1
    change(folder / "sdn.xml", (SAMPLE / "sdn.xml").read_text("utf-8"))
    assert await lists.refresh()
    assert lists.broken() == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sdn.csv", '910001,"A, B","individual"\r\n'),
        ("sdn.csv", "<html>"),
        ("sdn.csv", 'x,"A, B","individual",1,2,3,4,5,6,7,8,9\r\n'),
        ("add.csv", "910001,1\r\n"),
    ],
)
async def test_a_broken_csv_changes_nothing(folder, name, text):
    lists = lists_of(folder)
    await lists.current()
    change(folder / name, text)
    assert not await lists.refresh()
    assert len(lists.broken()) == 1
    assert await hits(lists, Side(kind="person", name="Benedykt Ostrowgrad")) == ["910001"]


@pytest.mark.parametrize("name", ["sdn.csv", "alt.csv", "add.csv"])
async def test_a_csv_that_is_still_being_copied_changes_nothing(folder, name):
    lists = lists_of(folder)
    index, _ = await lists.current()
    whole = (folder / name).read_bytes()
    for length in range(len(whole)):
        (folder / name).write_bytes(whole[:length])
        assert not await lists.refresh()
        assert len(lists.broken()) == 1
    assert (await lists.current())[0] is index


async def test_the_csv_needs_the_files_beside_it(folder):
    (folder / "alt.csv").unlink()
    with pytest.raises(Unavailable):
        await lists_of(folder).current()


@pytest.mark.parametrize("state", ["absent", "empty", "one broken"])
async def test_nobody_is_cleared_as_long_as_a_list_was_never_read(folder, state):
    if state == "one broken":
        change(folder / "un.xml", "<CONSOLIDATED_LIST>")
    else:
        shutil.rmtree(folder)
        if state == "empty":
            folder.mkdir()
    lists = lists_of(folder)
    with pytest.raises(Unavailable):
        await lists.current()
    assert len(lists.broken()) == 1
    shutil.copytree(SAMPLE, folder, dirs_exist_ok=True)
    change(folder / "un.xml", (SAMPLE / "un.xml").read_text("utf-8"))
    await lists.refresh()
    assert await hits(lists) == ["900001"]


async def test_a_folder_that_vanishes_leaves_the_lists_in_force(folder):
    lists = lists_of(folder)
    await lists.current()
    shutil.rmtree(folder)
    assert not await lists.refresh()
    assert await hits(lists) == ["900001"]
    assert len(lists.broken()) == 1


async def test_a_list_that_is_taken_away_is_out_of_force(folder):
    lists = lists_of(folder)
    await lists.current()
    (folder / "sdn.xml").unlink()
    assert await lists.refresh()
    assert await hits(lists) == []
    assert "sdn.xml" not in lists.files


async def test_the_basis_says_which_lists_and_as_of_when(folder):
    lists = lists_of(folder)
    _, basis = await lists.current()
    assert "EU consolidated of 2026-11-03, 2 entries" in basis
    assert "sample" not in basis
    assert (await lists_of(None).current())[1].startswith("made-up sample: ")


@pytest.mark.parametrize(
    "env",
    [
        {"GUILDER_SCREENING_THRESHOLD": "69"},
        {"GUILDER_SCREENING_THRESHOLD": "101"},
        {"GUILDER_SCREENING_THRESHOLD": "high"},
        {"GUILDER_SCREENING_LOOK_SECONDS": "0"},
        {"GUILDER_SCREENING_LOOK_SECONDS": "nan"},
    ],
)
def test_settings_that_would_hit_everybody_or_nobody_are_refused(env):
    with pytest.raises(BadSetting, match=next(iter(env))):
        ScreeningSettings.load(env)
