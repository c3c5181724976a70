"""What `guilder verify` says: what was checked, up to where, and what is wrong."""

from collections import Counter
from datetime import datetime

from guilder.contracts.declare import Answer

MAX_FINDINGS = 1_000
"""The most findings that are kept; more are counted only."""


class BookFinding(Answer, frozen=True, kw_only=True):
    """Something that is not as it must be; `service` is `books` where services disagree."""

    service: str
    check: str
    tenant: int | None
    detail: str


class Report(Answer, frozen=True, kw_only=True):
    """The outcome. `position` says up to where: logs, journals (seq) and audit chains (n:hash).

    Keep the audit chains' ends elsewhere: a chain that was cut or rewritten no longer holds them.
    """

    ok: bool
    at: datetime
    took_ms: int
    checked: dict[str, int]
    position: dict[str, str]
    findings: list[BookFinding]
    findings_total: int

    def human(self) -> str:
        """The report for people."""
        seconds = self.took_ms / 1000
        lines = [f"{name:<28}{number:>12,}" for name, number in sorted(self.checked.items())]
        lines.append(f"checked in {seconds:.1f} s, as of {self.at:%Y-%m-%d %H:%M:%S} UTC")
        lines += [f"  {name} at {where}" for name, where in sorted(self.position.items())]
        for finding in self.findings:
            tenant = "" if finding.tenant is None else f" tenant {finding.tenant}"
            lines.append(f"WRONG {finding.service} {finding.check}{tenant}: {finding.detail}")
        if self.findings_total > len(self.findings):
            lines.append(f"… and {self.findings_total - len(self.findings):,} more")
        lines.append("all is well" if self.ok else f"{self.findings_total:,} findings")
        return "\n".join(lines)


class Notes:
    """Gathers what the checks see."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self.checked: Counter[str] = Counter()
        self.position: dict[str, str] = {}
        self.findings: list[BookFinding] = []
        self.total = 0

    def wrong(self, check: str, detail: str, tenant: int | None, service: str = "books") -> None:
        """Note a finding."""
        self.total += 1
        if len(self.findings) < MAX_FINDINGS:
            found = BookFinding(service=service, check=check, tenant=tenant, detail=detail)
            self.findings.append(found)

    def report(self, at: datetime, took_ms: int) -> Report:
        """The report on all of it."""
        return Report(
            ok=not self.total,
            at=at,
            took_ms=took_ms,
            checked=dict(self.checked),
            position=self.position,
            findings=self.findings,
            findings_total=self.total,
        )
