"""What every contract's edition keeps to, and what asks for it."""

import time
from collections.abc import Callable
from typing import Final

from guilder.chassis.contract import convert
from guilder.conformance import badinput, conversation, fuzz, judge
from guilder.conformance.checks import TRANSPORT, Broken, Check, shown
from guilder.conformance.client import Sent
from guilder.conformance.session import TENANTS, Session
from guilder.contracts.edition import MANIFEST, Manifest, banner
from guilder.contracts.errors import InvalidRequest

CALLERS: Final = 16
"""How many ask at once under load."""

ROUNDS: Final = 3
PAUSE_S: Final = 0.1


def manifest(session: Session) -> str:
    """Read what the edition says it is."""
    found = _manifest(session)
    contract = session.subject.contract
    session.manifest = found
    if found.contract != contract.contract_name:
        raise Broken("manifest", f"`contract` is {shown(found.contract)}")
    if not speaks(found.contract_version, contract.contract_version):
        said, ours = shown(found.contract_version), contract.contract_version
        raise Broken("manifest", f"`contract_version` is {said}; here it is {ours}")
    known = capabilities(session)
    if unknown := set(found.disclaims) - known:
        can = ", ".join(sorted(known)) or "nothing"
        raise Broken("manifest", f"`disclaims` names {shown(min(unknown))}; it may name {can}")
    if wrong := session.subject.heard(found):
        raise Broken("manifest", wrong)
    return banner(found)


def _manifest(session: Session) -> Manifest:
    sent = Sent("GET", MANIFEST, {"Accept": "application/json"})
    try:
        reply = judge.transported(session.send(sent))
        if reply.status != 200:
            raise Broken("manifest", f"status {reply.status} at {MANIFEST}")
        found: Manifest = convert(judge.document(reply, None), Manifest)
    except Broken as error:
        raise Broken("manifest", error.came) from None
    except InvalidRequest as error:
        raise Broken("manifest", f"{error.detail} at {error.at}") from None
    return found


def speaks(theirs: str, ours: str) -> bool:
    """Whether an edition of one version can be asked by a platform of the other."""
    if "-" in theirs + ours:  # a draft is like no other version
        return theirs == ours
    numbers = [part.split(".") for part in (theirs, ours)]
    if not all(len(part) == 3 and all(n.isdigit() for n in part) for part in numbers):
        return False
    a, b = ([int(n) for n in part] for part in numbers)
    return a[0] == b[0] and a <= b


def capabilities(session: Session) -> set[str]:
    """What an edition of this contract may disclaim."""
    checks = (*CHECKS, *session.subject.checks)
    return {check.capability for check in checks if check.capability}


def unchanged(session: Session) -> None:
    """Read the manifest once more."""
    found = _manifest(session)
    if found != session.manifest:
        raise Broken("unchanged", f"{found}, it was {session.manifest}")


def bad_input(session: Session) -> str:
    """Send bodies that are wrong, by hand and made up; all are refused in the right shape."""
    by_hand = badinput.by_hand(session)
    return f"{by_hand} bodies by hand, {fuzz.negative(session)} made up"


def same_answer(session: Session) -> None:
    """Repeat a batch: at once, side by side, after a pause, with another tenant in between."""
    asked = session.fresh_questions("same answer", 6)
    tenant, other = TENANTS[:2]
    told = session.subject.marked(session.random("in between"))
    session.ask(other, [session.confide(other, told)])
    before = session.ask(tenant, asked)
    session.same(tenant, asked, before, "at once")
    session.ask(other, [told.request])
    session.same(tenant, asked, before, "after another tenant had asked")
    for came in session.send_all([session.batch(tenant, asked)] * 4):
        if session.read(tenant, asked, came) != before:
            raise Broken("same-answer", "another answer when asked by four at once", asked)
    time.sleep(PAUSE_S)
    session.same(tenant, asked, before, f"after {PAUSE_S:g} s")


def batches(session: Session) -> None:
    """Ask batches of several sizes, and each of their items alone; then a full one."""
    sizes = (2, 7, 24) if session.examples >= 20 else (2, 5)
    for size in sizes:
        asked = session.fresh_questions(f"batch of {size}", size)
        found = session.ask(TENANTS[0], asked)
        session.compare(TENANTS[0], asked, found)
        turned = session.ask(TENANTS[0], asked[::-1])
        if turned[::-1] != found:
            raise Broken("batch-is-singles", "other answers when the items were turned", asked)
    full = session.fresh_questions("full batch", session.subject.most)
    session.ask(TENANTS[0], full)


def load(session: Session) -> str:
    """Let many ask at once."""
    times: list[float] = []
    for turn in range(ROUNDS):
        asked = [session.fresh_questions(f"load {turn} {n}", 8) for n in range(CALLERS)]
        sent = [session.batch(TENANTS[n % 2], one) for n, one in enumerate(asked)]
        for n, came in enumerate(session.send_all(sent)):
            try:
                session.read(TENANTS[n % 2], asked[n], came)
            except Broken as error:
                if error.check in TRANSPORT:
                    said = f"{error.came}, with {CALLERS} asking at once"
                    raise Broken("load", said) from None
                raise
            times.append(came.seconds)
    times.sort()
    half, most = times[len(times) // 2], times[-(-len(times) * 99 // 100) - 1]
    return f"{len(times)} batches by {CALLERS}: half in {half:.3f} s, 99 % in {most:.3f} s"


def signatures(session: Session) -> None:
    """Send what the platform has not signed so."""
    signer = session.signer
    assert signer is not None  # without a key a run leaves this check open
    asked = session.fresh_questions("signatures", 2)
    body, other = (session.batch(TENANTS[0], [one]).body for one in asked)
    session.ask(TENANTS[0], asked[:1])
    forged: dict[str, Callable[..., dict[str, str]]] = {
        "without a signature": lambda *_: {},
        "signed with another key": signer.stranger().headers,
        "signed an hour ago": signer.aged(3600).headers,
        "signed for another body": lambda m, a, p, _: signer.headers(m, a, p, other),
        "signed for another path": lambda m, a, p, b: signer.headers(m, a, p + "/other", b),
        "signed for another host": lambda m, a, p, b: signer.headers(m, "other.example", p, b),
    }
    for how, sign in forged.items():
        reply = judge.transported(session.send(session.sent(body, sign)))
        if reply.status not in (401, 403):
            raise Broken("signatures", f"status {reply.status} to a request {how}", asked[:1])
        judge.refusal(judge.document(reply, asked[:1]), asked[:1], reply.status)


CHECKS: Final = (
    Check(
        "manifest",
        f"GET {MANIFEST} says which contract, edition, version and digest this is",
        "Compare it with the schema `Manifest` in the edition document.",
        manifest,
    ),
    Check(
        "schema",
        "whatever the edition document allows is taken, and answered by the rules",
        "Validate by the document and by nothing beyond it.",
        fuzz.positive,
    ),
    Check(
        "bad-input",
        "what the edition document does not allow is refused with a problem, and never answered",
        "Check every member of every item before deciding on any of them.",
        bad_input,
    ),
    Check(
        "same-answer",
        "the same question has the same answer: repeated, side by side, after a pause",
        "Let nothing but the question decide: no clock, no counter, no chance.",
        same_answer,
    ),
    Check(
        "batches",
        "batches of every size up to 256 are answered",
        "Put no limit of your own on a batch.",
        batches,
    ),
    Check(
        "conversation",
        "questions of several tenants in any order are answered as each alone is",
        "Keep no memory between requests.",
        conversation.held,
    ),
    Check(
        "load",
        f"with {CALLERS} asking at once every answer is within the deadline",
        "Answer requests side by side; hold no lock while waiting.",
        load,
    ),
    Check(
        "signatures",
        "a request is answered only with a signature of the platform over method, host, path and"
        " body that is at most 30 s old",
        "Verify it as docs/guides/write-an-edition.md shows, or disclaim `signatures`.",
        signatures,
        capability="signatures",
    ),
    Check(
        "unchanged",
        "an edition stays what it said it is: the manifest is the same at the end",
        "Compute the digest once, when the process starts.",
        unchanged,
    ),
)
"""In the order in which they run; a contract's own come before `load`."""
