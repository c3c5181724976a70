"""What is checked, by name: what the contract says, and what an edition's author does about it.

A rule is judged on every exchange of a run, whichever check makes it. So whatever is wrong has
exactly one name, and a check that needs an answer which another rule refuses is not judged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

MOST_SHOWN: Final = 400
"""How many characters of a question or an answer a sentence of the report shows."""


TRANSPORT: Final = frozenset({"deadline", "reachable"})
"""Rules that are broken by no answer at all."""


@dataclass(frozen=True)
class Check:
    """Something that an edition must keep to.

    `run` asks, with a session, what only this check asks; a rule has none. An edition may disclaim
    the `capability` where there is one.
    """

    name: str
    says: str
    fix: str
    run: Callable[[Any], str | None] | None = None
    capability: str | None = None


class Broken(Exception):
    """An edition does not keep to what a check says."""

    def __init__(self, check: str, came: str, asked: Any = None) -> None:
        """`came` is what came instead, as a sentence's part; `asked` what was sent."""
        super().__init__(f"{check}: {came}")
        self.check, self.came, self.asked = check, came, asked


class GivenUp(Exception):
    """The edition answers so seldom that going on would teach nothing."""


def shown(value: Any) -> str:
    """A question or an answer as the report shows it: printable, and not longer than MOST_SHOWN."""
    if isinstance(value, bytes):
        text = value[: 4 * MOST_SHOWN].decode("utf-8", "backslashreplace")
    else:
        text = value if isinstance(value, str) else str(value)
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


RULES: Final = (
    Check(
        "reachable",
        "every request is answered in HTTP/1.1, whole",
        "See whether the server runs, and what it closes its connections for.",
    ),
    Check(
        "deadline",
        "the whole answer is there within the milliseconds of the header Guilder-Deadline-Ms",
        "Answer from memory; whatever has to be fetched first is fetched before it is asked for.",
    ),
    Check(
        "size",
        "an answer has at most 1 MiB",
        "Send no more than one answer per item, and what the contract names in it.",
    ),
    Check(
        "no-redirect",
        "an answer comes from the address that was asked: redirects are not followed",
        "Serve the contract's paths below the base URL itself.",
    ),
    Check(
        "no-5xx",
        "whatever is sent, an edition does not fall over: no status of 500 or more",
        "Look into the server's log at this moment; refuse bad input with a problem of status 400.",
    ),
    Check(
        "content-type",
        "an answer is application/json, a problem application/problem+json",
        "Set the header Content-Type.",
    ),
    Check(
        "json",
        "a body is JSON in UTF-8; no member stands in it twice, no NaN, nothing nested deeper"
        " than 32 levels",
        "Write the body with one JSON library, from one value.",
    ),
    Check(
        "status",
        "a batch that is as the contract describes it is answered with status 200",
        "Take what the edition document describes; refuse single items inside the answer.",
    ),
    Check(
        "envelope",
        'an answer is {"items": [...]} and nothing else; each item holds `answer` or `problem`',
        'Wrap each answer as {"answer": ...}.',
    ),
    Check(
        "count",
        "there is exactly one answer or problem per item",
        "Answer each item once, also what is asked twice.",
    ),
    Check(
        "banner",
        "the header Guilder-Edition is CONTRACT EDITION.VERSION DIGEST, as the manifest says it",
        "Make the header from the manifest, in one place.",
    ),
    Check(
        "answer-shape",
        "an answer has the members of the contract's type, of these types; money is a decimal"
        " string with at most the currency's decimals",
        "Compare the answer with the schema in the edition document.",
    ),
    Check(
        "extra-members",
        "an answer holds no member that the contract does not name",
        "Leave it out: nobody reads it, and it may tell what it should not.",
    ),
    Check(
        "problem-shape",
        "a problem is an RFC 9457 document: type, title, status, code, detail, fix",
        "Give every problem all six members; `status` is 400 to 499.",
    ),
    Check(
        "answers",
        "what the contract allows to be asked is answered, and not refused",
        "Answer it; a problem is for what the contract names as one.",
    ),
    Check(
        "invariants",
        "an answer keeps the contract's invariants",
        "Read which one in the sentence; guilder/contracts/NAME/v1.py has them as `faults`.",
    ),
    Check(
        "batch-is-singles",
        "an item is answered in a batch as it is answered alone",
        "Decide on each item by itself: neither its neighbours nor its place count.",
    ),
    Check(
        "order",
        "answers stand in the order of the items",
        "Keep the place of each item when several are worked on at once.",
    ),
    Check(
        "tenants-apart",
        "nothing of one tenant's questions is ever told to another",
        "Keep no memory between requests, or one per tenant.",
    ),
)
"""What is judged on every exchange."""
