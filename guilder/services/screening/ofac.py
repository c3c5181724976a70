"""The list of the US Treasury (OFAC): `sdn.xml`, or `sdn.csv` with `alt.csv` and `add.csv`.

The other list of OFAC comes as `cons_prim.csv`, `cons_alt.csv` and `cons_add.csv`. Ships and
aircraft are left out: no party of a bank is one.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

from guilder.contracts.screening.v1 import Kind
from guilder.services.screening import countries
from guilder.services.screening.entry import Birth, Entry, Name
from guilder.services.screening.xml import BadList, check_size, elements, text, texts

SDN, CONSOLIDATED = "OFAC SDN", "OFAC consolidated"

CSV: Final = {
    "sdn.csv": (SDN, "alt.csv", "add.csv"),
    "cons_prim.csv": (CONSOLIDATED, "cons_alt.csv", "cons_add.csv"),
}
"""Each file of entries with the name of its list, and the files of other names and addresses."""

_KINDS: Final[dict[str, Kind]] = {
    "individual": "person",
    "entity": "organisation",
    "": "organisation",
}
_NOTHING, _END_OF_FILE = "-0-", "\x1a"
_BORN: Final = re.compile(r"\bDOB ([^;.]+)", re.IGNORECASE)
_OF: Final = re.compile(r"\b(?:nationality|citizen) ([^;.]+)", re.IGNORECASE)
_YEAR: Final = re.compile(r"\b(1[89]\d\d|20\d\d)\b")


def read_xml(path: Path) -> tuple[str, date | None, list[Entry]]:
    """Name of the list, when it was published, and its entries."""
    published: date | None = None
    entries = []
    for name, element in elements(path, {"sdnEntry", "publshInformation"}):
        if name == "publshInformation":
            published = _published(text(element, "Publish_Date"))
        elif name == "sdnEntry" and (entry := _entry(element)) is not None:
            entries.append(entry)
    return SDN, published, entries


def _published(written: str) -> date | None:
    try:
        return datetime.strptime(written, "%m/%d/%Y").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _entry(element: Element) -> Entry | None:
    kind = _KINDS.get(text(element, "sdnType").lower())
    uid = text(element, "uid")
    if kind is None:
        return None
    if not uid:
        raise BadList("an entry of OFAC has no uid")
    names = [Name(_whole(text(element, "firstName"), text(element, "lastName")))]
    for aka in element.findall("akaList/aka"):
        other = _whole(text(aka, "firstName"), text(aka, "lastName"))
        names.append(Name(other, weak=text(aka, "category").lower() == "weak"))
    born = texts(element, "dateOfBirthList/dateOfBirthItem/dateOfBirth")
    places = ("addressList/address", "nationalityList/nationality", "citizenshipList/citizenship")
    return Entry(
        list=SDN,
        id=uid,
        kind=kind,
        names=tuple(name for name in names if name.text),
        births=tuple(found for said in born if (found := birth(said)) is not None),
        countries=countries.codes([c for at in places for c in texts(element, f"{at}/country")]),
    )


def _whole(first: str, last: str) -> str:
    return f"{first} {last}".strip()


def birth(written: str) -> Birth | None:
    """A birth as OFAC writes it: "07 Oct 1954", "Oct 1954", "circa 1954", "1954 to 1956"."""
    with suppress(ValueError):
        return Birth.of(datetime.strptime(written.strip(), "%d %b %Y").replace(tzinfo=UTC).date())
    return Birth.within(_YEAR.findall(written), about="circa" in written.lower())


# ── the CSV files ────────────────────────────────────────────────────────────────────────────


def read_csv(path: Path) -> tuple[str, date | None, list[Entry]]:
    """The same from CSV: without a header, "-0-" for nothing, 0x1A at the end.

    The other two files of the list must lie beside it, or names would be missing.
    """
    of, alt, add = CSV[path.name.lower()]
    beside = {found.name.lower(): found for found in path.parent.iterdir()}
    if absent := [name for name in (alt, add) if name not in beside]:
        raise BadList(f"{path.name} needs {' and '.join(absent)} beside it")
    names: dict[str, list[Name]] = defaultdict(list)
    places: dict[str, list[str]] = defaultdict(list)
    for row in _rows(beside[alt], 5):
        names[row[0]].append(Name(_turned(row[3]), weak="weak" in row[4].lower()))
    for row in _rows(beside[add], 6):
        places[row[0]].append(row[4])
    entries = []
    for row in _rows(path, 12):
        kind = _KINDS.get(row[2].lower())
        if kind is None:
            continue
        written = _turned(row[1]) if kind == "person" else row[1]
        born = [found for said in _BORN.findall(row[11]) if (found := birth(said)) is not None]
        entries.append(
            Entry(
                list=of,
                id=row[0],
                kind=kind,
                names=(Name(written), *names[row[0]]),
                births=tuple(born),
                countries=countries.codes(places[row[0]] + _OF.findall(row[11])),
            )
        )
    return of, None, entries


def _rows(path: Path, columns: int) -> Iterator[list[str]]:
    """The rows of a file; BadList where one has not the columns it should, or the end is missing.

    A copy that is cut off between two rows looks like a list with fewer people on it.
    """
    check_size(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.reader(file, strict=True):
                if row == [_END_OF_FILE]:
                    return
                if not row:
                    continue
                if len(row) < columns or not row[0].strip().isdecimal():
                    raise BadList(f"{path.name}: a row with {len(row)} columns is none of OFAC's")
                yield ["" if cell.strip() == _NOTHING else cell.strip() for cell in row]
    except (csv.Error, UnicodeError) as error:
        raise BadList(f"{path.name} is no CSV that is read here: {error}") from None
    raise BadList(f"{path.name} does not end with 0x1A as OFAC's files do: it is cut off")


def _turned(written: str) -> str:
    """ "LAST, First" the other way round."""
    last, comma, first = written.partition(",")
    return f"{first.strip()} {last.strip()}" if comma else written
