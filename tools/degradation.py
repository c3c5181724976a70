"""docs/operate/degradation.md from guilder/contracts/degradation.toml: what is lost with a part."""

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

PAGE = "docs/operate/degradation.md"
WORDS = ("works", "late", "waits", "refused", "either")


@dataclass(frozen=True)
class Cell:
    """One service with one fault: what its callers do, and a word for each probe."""

    service: str
    fault: str
    callers: str
    words: dict[str, str]


def book() -> dict[str, Any]:
    """The file as it is."""
    text = (resources.files("guilder.contracts") / "degradation.toml").read_text("utf-8")
    return tomllib.loads(text)


def cells() -> list[Cell]:
    """Every cell that the file has; ValueError where it says what cannot be."""
    file = book()
    return [
        _cell(service, fault, entry, list(file["probes"]))
        for service, entry in file["service"].items()
        for fault in file["faults"]
        if fault in entry
    ]


def _cell(service: str, fault: str, entry: dict[str, Any], probes: list[str]) -> Cell:
    own = {word: entry[fault][word] for word in WORDS if word in entry[fault]}
    shared = {word: entry[word] for word in WORDS if word in entry}
    if fault == "half":
        shared = {"either": [probe for named in shared.values() for probe in named]}
    named = [(word, probe) for word, found in (shared | own).items() for probe in found]
    words = dict.fromkeys(probes, "works")
    for word, probe in named:
        if words.get(probe) != "works":
            raise ValueError(f"{service}.{fault}: {probe!r} is no probe, or is named twice")
        words[probe] = word
    return Cell(service, fault, entry[fault]["callers"], words)


def page() -> str:
    """The page for whoever runs the platform."""
    file = book()
    lines = [
        "# When a part is down",
        "",
        "Made from `guilder/contracts/degradation.toml` by `make docs`. Every line is tried on a",
        "running platform (`tests/chaos`), and after all of them that each payment that was",
        "acknowledged is in the books once.",
        "",
        "## Words",
    ]
    lines += [f"- **{word}**: {meaning}" for word, meaning in file["words"].items()]
    lines += ["", "## Faults"]
    lines += [f"- **{fault}**: {meaning}" for fault, meaning in file["faults"].items()]
    lines += ["", "## What is tried", "| probe | what it is |", "|---|---|"]
    lines += [f"| {probe} | {meaning} |" for probe, meaning in file["probes"].items()]
    found = cells()
    for service in file["service"]:
        lines += ["", f"## Without {service}", "| fault | callers | customers |", "|---|---|---|"]
        lines += [
            f"| {cell.fault} | {cell.callers} | {_noticed(cell)} |"
            for cell in found
            if cell.service == service
        ]
    return "\n".join(lines) + "\n"


def _noticed(cell: Cell) -> str:
    parts = []
    for word in WORDS[1:]:
        probes = [probe for probe, said in cell.words.items() if said == word]
        if probes:
            parts.append(f"**{word}**: {', '.join(probes)}.")
    return " ".join([*parts, "The rest works."])
