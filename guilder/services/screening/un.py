"""The consolidated list of the Security Council of the United Nations, in XML."""

from datetime import date
from pathlib import Path
from xml.etree.ElementTree import Element

from guilder.contracts.screening.v1 import Kind
from guilder.services.screening import countries
from guilder.services.screening.entry import Birth, Entry, Name
from guilder.services.screening.xml import BadList, day_of, elements, text, texts

UN = "UN Security Council"

_PARTS = ("FIRST_NAME", "SECOND_NAME", "THIRD_NAME", "FOURTH_NAME")


def read(path: Path) -> tuple[str, date | None, list[Entry]]:
    """Name of the list, when it was generated, and its entries."""
    generated: date | None = None
    entries = []
    for name, element in elements(path, {"INDIVIDUAL", "ENTITY"}):
        if name == "CONSOLIDATED_LIST":
            generated = day_of(element.get("dateGenerated", ""))
        elif name == "INDIVIDUAL":
            entries.append(_entry(element, "person", "INDIVIDUAL"))
        elif name == "ENTITY":
            entries.append(_entry(element, "organisation", "ENTITY"))
    return UN, generated, entries


def _entry(element: Element, kind: Kind, tag: str) -> Entry:
    reference = text(element, "REFERENCE_NUMBER") or text(element, "DATAID")
    if not reference:
        raise BadList("an entry of the UN has neither reference number nor id")
    names = [
        Name(" ".join(part for tag_ in _PARTS if (part := text(element, tag_)))),
        Name(text(element, "NAME_ORIGINAL_SCRIPT")),
    ]
    for alias in element.findall(f"{tag}_ALIAS"):
        weak = text(alias, "QUALITY").lower() == "low"
        names.append(Name(text(alias, "ALIAS_NAME"), weak=weak))
    births = [_birth(found) for found in element.findall("INDIVIDUAL_DATE_OF_BIRTH")]
    places = texts(element, f"{tag}_ADDRESS/COUNTRY") + texts(element, "NATIONALITY/VALUE")
    return Entry(
        list=UN,
        id=reference,
        kind=kind,
        names=tuple(name for name in names if name.text),
        births=tuple(birth for birth in births if birth is not None),
        countries=countries.codes(places),
    )


def _birth(element: Element) -> Birth | None:
    """A birth: EXACT with a day or a year, APPROXIMATELY, or BETWEEN two years."""
    exact = text(element, "TYPE_OF_DATE").upper() == "EXACT"
    if day := day_of(text(element, "DATE")):
        return Birth.of(day) if exact else Birth.about(day.year)
    years = [text(element, tag) for tag in ("YEAR", "FROM_YEAR", "TO_YEAR")]
    return Birth.within(years, about=not exact)
