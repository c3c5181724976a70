"""Runs a contract's suite against an edition, and says what came of it."""

import hashlib
import time
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from guilder.chassis.contract import encode, plain
from guilder.chassis.openapi import edition_document
from guilder.chassis.outbound import Rules
from guilder.conformance import judge, notifications, pricing, promises, screening
from guilder.conformance.checks import RULES, Broken, Check, GivenUp
from guilder.conformance.client import Client
from guilder.conformance.session import Session
from guilder.conformance.signer import Signer
from guilder.conformance.subject import Subject

SUBJECTS: Final[dict[str, Subject]] = {
    "pricing": pricing.SUBJECT,
    "screening": screening.SUBJECT,
    "notifications": notifications.SUBJECT,
}
"""Every contract that has a suite."""

EXAMPLES: Final = 60
"""How many cases are made up a check, unless said otherwise."""

PATIENCE_S: Final = 2.0
"""How many seconds a run loses to answers that do not come before it is given up."""

HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Result:
    """What came of one check. `skipped`: nobody can say, and `detail` says why."""

    name: str
    passed: bool
    skipped: bool = False
    detail: str = ""
    seconds: float = 0.0


@dataclass
class Report:
    """What came of a run."""

    contract: str
    contract_version: str
    suite: str
    manifest: dict[str, Any] | None = None
    """What the edition says it is; None where it did not say."""
    passed: bool = False
    checks: list[Result] = field(default_factory=list)
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """As the one JSON object that the command prints."""
        return asdict(self)


def checks_of(subject: Subject) -> list[Check]:
    """Every check of a contract, the rules first, then as they run."""
    first, *rest = promises.CHECKS
    return [*RULES, first, *subject.checks, *rest]


def suite_hash(subject: Subject) -> str:
    """SHA-256 over the suite's files and the document of the contract, in hex."""
    found = hashlib.sha256(encode(edition_document(subject.contract)))
    for path in sorted(HERE.glob("*.py")):
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


class Run:
    """One run of a suite."""

    def __init__(self, session: Session, without: Collection[str] = ()) -> None:
        """`without` names checks that are left out."""
        self.session, self.without = session, without
        self.results: dict[str, Result] = {}
        self.checks = [c for c in checks_of(session.subject) if c.name not in without]
        self.given_up = False

    def all(self, tell: Callable[[Result], None]) -> list[Result]:
        """Run every check; `tell` hears of each when it ends."""
        if "manifest" in self.without:  # who it is has to be known all the same
            self._run(promises.CHECKS[0])
        for check in self.checks:
            if check.run is not None:
                self.results[check.name] = self._one(check)
                tell(self.results[check.name])
        for check in self.checks:
            found = self._rule(check) if check.run is None else self._late(check)
            self.results[check.name] = found
        return [self.results[check.name] for check in self.checks]

    def _one(self, check: Check) -> Result:
        session = self.session
        if self.given_up:
            return self._open(check, "the edition hardly answers, so the run was given up")
        if session.manifest and check.capability in session.manifest.disclaims:
            return self._open(check, f"disclaimed: {check.capability}")
        if check.name == "signatures" and session.signer is None:
            return self._open(check, "no key to sign with was given to this run")
        began = time.monotonic()
        error, detail = self._run(check)
        seconds = round(time.monotonic() - began, 3)
        if error is None:
            return Result(check.name, True, detail=detail, seconds=seconds)
        if error.check == check.name:
            return Result(check.name, False, detail=_said(check, error), seconds=seconds)
        why = f"not judged, because `{error.check}` was not kept"
        return Result(check.name, False, True, why, seconds)

    def _run(self, check: Check) -> tuple[Broken | None, str]:
        assert check.run is not None
        try:
            return None, check.run(self.session) or ""
        except Broken as error:
            try:
                self.session.note(error)
            except GivenUp:
                self.given_up = True
            if self.session.manifest is None:
                self.given_up = True
            return error, ""

    def _rule(self, check: Check) -> Result:
        for error in self.session.broken:
            if error.check == check.name:
                return Result(check.name, False, detail=_said(check, error))
        if not self.session.answered:
            return self._open(check, "nothing was answered")
        return Result(check.name, True)

    def _late(self, check: Check) -> Result:
        """A check that another one found not kept."""
        known = self.results[check.name]
        for error in self.session.broken:
            if error.check == check.name and (known.passed or known.skipped):
                return Result(check.name, False, detail=_said(check, error))
        return known

    @staticmethod
    def _open(check: Check, why: str) -> Result:
        return Result(check.name, False, True, why)


def _said(check: Check, error: Broken) -> str:
    return f"{judge.told(error)} The contract: {check.says}. What to do: {check.fix}"


def conform(
    contract: str,
    url: str,
    rules: Rules,
    *,
    signer: Signer | None = None,
    examples: int = EXAMPLES,
    patience_s: float = PATIENCE_S,
    without: Collection[str] = (),
    subject: Subject | None = None,
    tell: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Run a contract's suite against the edition at a base URL.

    `examples` is how many cases a check makes up, `subject` one that is ready already.
    AddressRefused for a URL that the operator's rules do not allow.
    """
    known = subject or SUBJECTS[contract]
    report = Report(contract, known.contract.contract_version, suite_hash(known))
    began = time.monotonic()
    client = Client(url, rules)
    try:
        with nullcontext(known) if subject else known.ready() as ready:
            session = Session(ready, client, signer, examples, patience_s)
            report.checks = Run(session, without).all(tell)
    finally:
        client.close()
    report.manifest = plain(session.manifest) if session.manifest else None
    report.passed = all(result.passed or result.skipped for result in report.checks)
    report.seconds = round(time.monotonic() - began, 3)
    return report
