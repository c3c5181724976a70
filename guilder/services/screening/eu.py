"""The consolidated list of financial sanctions of the European Union, in XML (version 1.1)."""

from datetime import date
from pathlib import Path
from xml.etree.ElementTree import Element

from guilder.contracts.screening.v1 import Kind
from guilder.services.screening import countries
from guilder.services.screening.entry import Birth, Entry, Name
from guilder.services.screening.xml import BadList, day_of, elements

EU = "EU consolidated"

_KINDS: dict[str, Kind] = {"P": "person", "E": "organisation"}


def read(path: Path) -> tuple[str, date | None, list[Entry]]:
    """Name of the list, when it was generated, and its entries."""
    generated: date | None = None
    entries = []
    for name, element in elements(path, {"sanctionEntity"}):
        if name == "export":
            generated = day_of(element.get("generationDate", ""))
        elif name == "sanctionEntity":
            entries.append(_entry(element))
    return EU, generated, entries


def _entry(element: Element) -> Entry:
    reference = element.get("euReferenceNumber") or element.get("logicalId")
    if not reference:
        raise BadList("an entry of the EU has neither reference number nor id")
    subject = element.find("subjectType")
    code = "" if subject is None else subject.get("classificationCode", "")
    if code not in _KINDS:
        raise BadList(f"entry {reference} of the EU is neither a person nor an enterprise")
    names = [_name(alias) for alias in element.findall("nameAlias")]
    births = [_birth(found) for found in element.findall("birthdate")]
    places = [
        found.get("countryIso2Code", "")
        for tag in ("citizenship", "address")
        for found in element.findall(tag)
    ]
    return Entry(
        list=EU,
        id=reference,
        kind=_KINDS[code],
        names=tuple(name for name in names if name.text),
        births=tuple(birth for birth in births if birth is not None),
        countries=countries.codes([place for place in places if place not in ("", "00")]),
    )


def _name(alias: Element) -> Name:
    whole = alias.get("wholeName", "").strip()
    parts = [alias.get(part, "").strip() for part in ("firstName", "middleName", "lastName")]
    joined = " ".join(part for part in parts if part)
    return Name(whole or joined, weak=alias.get("strong", "true").lower() == "false")


def _birth(element: Element) -> Birth | None:
    circa = element.get("circa", "").lower() == "true"
    if day := day_of(element.get("birthdate", "")):
        return Birth.about(day.year) if circa else Birth.of(day)
    years = [element.get(part, "") for part in ("year", "yearRangeFrom", "yearRangeTo")]
    return Birth.within(years, about=circa)
