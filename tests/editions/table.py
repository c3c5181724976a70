"""Who stops which faulty edition: the table of docs/concepts/faulty-editions.md, and its tests."""

import sys
from dataclasses import dataclass
from typing import Literal

from tests.editions.faulty import FAULTS


@dataclass(frozen=True)
class Stop:
    """What stops a fault: a check of the suite by name, a step of the guard, or the shadow."""

    does: str
    by: Literal["suite", "guard", "shadow"]
    check: str
    guard: str = ""
    """The failure that the guard records where the fault shows after the suite has passed."""
    asker: str = ""
    """The check without which a run would not have asked what shows the fault."""


LATE, BROKEN, UNTRUE = "late", "broken", "untruthful"

STOPS: dict[str, Stop] = {
    "one-cent": Stop("asks for one cent more than stock", "shadow", "fee"),
    "negative-fee": Stop("pays whoever pays", "suite", "invariants", UNTRUE),
    "huge-fee": Stop("asks for a thousand million", "suite", "invariants", UNTRUE),
    "wrong-currency": Stop("answers in another currency", "suite", "invariants", UNTRUE),
    "too-many-decimals": Stop("writes 0.250 EUR", "suite", "answer-shape", BROKEN),
    "float-amount": Stop("writes an amount as a number", "suite", "answer-shape", BROKEN),
    "control-characters": Stop("hides a terminal's commands", "suite", "invariants", UNTRUE),
    "nondeterministic": Stop("throws dice", "suite", "same-answer"),
    "remembers": Stop("asks for less the second time", "suite", "same-answer"),
    "forgets-zone": Stop("reads 13:00+01:00 as 13:00", "suite", "forms"),
    "batch-discount": Stop("makes later items cheaper", "suite", "batch-is-singles"),
    "leaks-tenant": Stop("tells of another tenant's payment", "suite", "tenants-apart"),
    "turns-bad": Stop("is right until it has passed", "guard", "invariants", UNTRUE),
    "refuses-valid": Stop("refuses what may be asked", "suite", "answers", BROKEN),
    "overflows": Stop("cannot count to 10^15", "suite", "answers", BROKEN, "golden"),
    "two-tenants": Stop("has room for two tenants", "suite", "answers", BROKEN, "conversation"),
    "exact-only": Stop("boasts of finding misspelt names", "suite", "fuzzy-names"),
    "ignores-birth": Stop("boasts of comparing birth dates", "suite", "birth-dates"),
    "misses-name": Stop("says clear for a listed name", "suite", "sentinels"),
    "hits-everybody": Stop("finds everybody", "suite", "near-misses"),
    "echoes-personal": Stop("repeats a name where none belongs", "suite", "invariants", UNTRUE),
    "verdict-without-hits": Stop("says hit and shows none", "suite", "invariants", UNTRUE),
    "delivers-twice": Stop("delivers a repeat again", "suite", "delivered-once"),
    "delivers-nothing": Stop("says delivered, and was not", "suite", "arrives"),
    "out-of-order": Stop("delivers as it comes", "suite", "in-order"),
    "retries-forever": Stop("knocks at a closed door again and again", "suite", "undeliverable"),
    "other-id": Stop("gives a receipt for another message", "suite", "invariants", UNTRUE),
    "rewrites": Stop("posts a document that it wrote anew", "suite", "webhook"),
    "smuggles-headers": Stop("makes headers of a subject's lines", "suite", "email"),
    "late": Stop("answers after the deadline", "suite", "deadline", LATE),
    "hangs": Stop("never answers", "suite", "deadline", LATE),
    "slow-drip": Stop("answers byte by byte", "suite", "deadline", LATE),
    "slow-under-load": Stop("has four workers, and queues", "suite", "load", LATE),
    "errors": Stop("answers 500", "suite", "no-5xx", BROKEN),
    "errors-sometimes": Stop("answers 500 every ninth time", "suite", "no-5xx", BROKEN),
    "breaks-off": Stop("closes before the end", "suite", "reachable", "unreachable"),
    "redirects": Stop("sends to the cloud's metadata", "suite", "no-redirect", BROKEN),
    "giant-body": Stop("answers more than 1 MiB", "suite", "size", "too-large"),
    "content-type": Stop("calls its JSON text/html", "suite", "content-type", BROKEN),
    "not-json": Stop("answers a page", "suite", "json", BROKEN),
    "duplicate-members": Stop("writes `items` twice", "suite", "json", BROKEN),
    "extra-field": Stop("adds a member", "suite", "extra-members", BROKEN),
    "missing-field": Stop("leaves a member out", "suite", "answer-shape", BROKEN),
    "item-count": Stop("answers one item more", "suite", "count", BROKEN),
    "small-batches": Stop("takes 60 items at most", "suite", "status", BROKEN, "batches"),
    "swapped-order": Stop("answers back to front", "suite", "order"),
    "bare-answer": Stop("leaves the envelope out", "suite", "envelope", BROKEN),
    "bare-problem": Stop("refuses without saying why", "suite", "problem-shape", BROKEN),
    "accepts-anything": Stop("answers what is no question", "suite", "bad-input"),
    "wrong-banner": Stop("says in answers it is C.9.9.9", "suite", "banner", "stale-digest"),
    "stale-digest": Stop("runs another digest than it said", "suite", "banner", "stale-digest"),
    "changes-digest": Stop("says another digest each time", "suite", "unchanged", "stale-digest"),
    "other-contract": Stop("says it is of another contract", "suite", "manifest"),
    "unsigned": Stop("answers whoever asks", "suite", "signatures"),
}

HEAD = """# Faulty editions, and what stops them

Each line is an edition that the tests run for real (`tests/editions/faulty.py`): right in
everything but this. **suite**: it never gets an attestation, so it cannot be bound; the named check
alone fails, and with that check taken away the edition passes. **guard**: it passes the suite and
turns bad later; each answer is judged again when it counts ([guard](guard.md)). **shadow**: nothing
is wrong with it by the contract, a price of its own is what an edition is for; the comparison in
`guilder binding report` shows the difference before anybody pays it.

The last column is what the guard records should a fault of the suite's begin after the edition was
bound; where it is empty the fault harms nobody else, or only a comparison of many answers shows it:
run the suite again, attestations expire for that reason. A check in brackets is the one whose
question brings the fault to light.

| fault | what the edition does | with | stopped by | check | guard, later |
|---|---|---|---|---|---|
"""


def contract_of(fault: str) -> str:
    """The contract that a fault is tried with."""
    return FAULTS[fault][0]


def page() -> str:
    """The whole page."""
    lines = [
        f"| `{fault}` | {stop.does} | {contract_of(fault)} | {stop.by} |"
        f" `{stop.check}`{f' (`{stop.asker}`)' if stop.asker else ''} |"
        f" {f'`{stop.guard}`' if stop.guard else ''} |"
        for fault, stop in STOPS.items()
    ]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
