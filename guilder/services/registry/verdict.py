"""What a conformance run comes to: its checks, and whether the edition has passed. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from guilder.contracts.edition import Manifest, banner
from guilder.contracts.registry.attestations import Check, RunState
from guilder.services.registry.suite import Outcome, clean

MOST_CHECKS: Final = 500
LONGEST_NAME: Final = 100
LONGEST_DETAIL: Final = 1_000


@dataclass(frozen=True)
class Verdict:
    """How a run ends. `reason` says why nobody can say anything of the edition."""

    checks: list[Check] = field(default_factory=list)
    outcome: Outcome | None = None
    reason: str | None = None

    @property
    def state(self) -> RunState:
        """Passed only where the suite says so, and each of our own checks."""
        if self.reason is not None:
            return "broken"
        suite = self.outcome is not None and self.outcome.passed
        return "passed" if suite and all(c.passed or c.skipped for c in self.checks) else "failed"


def check(name: str, faults: Iterable[str]) -> Check:
    """A check of our own, passed where nothing is wrong."""
    found = list(faults)
    return Check(name=name, passed=not found, detail=clean("; ".join(found), LONGEST_DETAIL))


def of_suite(outcome: Outcome) -> list[Check]:
    """The suite's checks, fit to be kept and shown."""
    return [
        Check(
            name=clean(found.name, LONGEST_NAME),
            passed=found.passed,
            skipped=found.skipped,
            detail=clean(found.detail, LONGEST_DETAIL),
            milliseconds=max(0, min(10**9, round(found.seconds * 1000))),
        )
        for found in outcome.checks[:MOST_CHECKS]
    ]


def moves(before: Manifest, tested: Manifest | None, after: Manifest) -> Iterator[str]:
    """How what was tested is not what is attested: an edition that changed meanwhile."""
    if tested is None:
        yield "the suite has not seen what the edition says of itself"
    for when, seen in (("during", tested), ("after", after)):
        if seen is not None and seen != before:
            yield f"{when} the run it said that it is {_text(seen)}, before it {_text(before)}"


def _text(manifest: Manifest) -> str:
    disclaims = f" disclaiming {', '.join(manifest.disclaims)}" if manifest.disclaims else ""
    return f"{banner(manifest)}{disclaims}"
