"""What was seen of bindings: put together, judged, and turned into a sentence. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from guilder.contracts.registry.observations import Difference, Failure, Seen
from guilder.contracts.registry.reports import BindingReport
from guilder.contracts.values import CURRENCIES

SLOT_S: Final = 10
"""What is seen within so many seconds is one row."""

BUDGET_WINDOW: Final = timedelta(seconds=60)
BUDGET_FAILURES: Final = 5
BUDGET_PERCENT: Final = 2
"""A canary is ended with at least so many failures, and more than so many percent of its calls."""

ENOUGH: Final = 100
"""So many comparisons say something."""

Key = tuple[str, str, int | None, str | None, str | None]
"""Field, currency ('' = none), delta in minor units, what was served, what the other said."""


@dataclass
class Sum:
    """Everything one report says of one binding."""

    calls: int = 0
    fallbacks: int = 0
    total_ms: int = 0
    slowest_ms: int = 0
    compared: int = 0
    equal: int = 0
    dropped: int = 0
    failures: dict[Failure, int] = field(default_factory=dict)
    differences: dict[Key, int] = field(default_factory=dict)

    def add(self, seen: Seen) -> None:
        """Count another line."""
        for name in ("calls", "fallbacks", "total_ms", "compared", "equal", "dropped"):
            setattr(self, name, getattr(self, name) + getattr(seen, name))
        self.slowest_ms = max(self.slowest_ms, seen.slowest_ms)
        for kind, count in seen.failures.items():
            self.failures[kind] = self.failures.get(kind, 0) + count
        for found in seen.differences:
            key = key_of(found)
            self.differences[key] = self.differences.get(key, 0) + found.count

    @property
    def failed(self) -> int:
        """Failures of all kinds."""
        return sum(self.failures.values())


def key_of(found: Difference) -> Key:
    """What makes two differences the same."""
    currency = found.currency if found.currency in CURRENCIES else None
    delta = found.delta_minor if currency else None
    return found.field, currency or "", delta, found.serving, found.other


def together(lines: Iterable[Seen]) -> dict[UUID, Sum]:
    """One sum for each binding, by its id, so that everybody locks rows in the same order."""
    sums: dict[UUID, Sum] = {}
    for seen in sorted(lines, key=lambda line: line.binding):
        sums.setdefault(seen.binding, Sum()).add(seen)
    return sums


def slot(at: datetime) -> datetime:
    """The beginning of the slot that a moment is in."""
    return at.replace(second=at.second - at.second % SLOT_S, microsecond=0)


def burns(calls: int, failures: int) -> bool:
    """Whether a canary with these within BUDGET_WINDOW has burnt its error budget."""
    return failures >= BUDGET_FAILURES and failures * 100 > BUDGET_PERCENT * calls


def kinds(failures: Mapping[Failure, int]) -> str:
    """`late 20, broken 3`, the most frequent first."""
    ordered = sorted(failures.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{kind} {count}" for kind, count in ordered)


def advice(seen: BindingReport) -> str:
    """One sentence that a person can act on."""
    bound, failed = seen.binding, sum(seen.failures.values())
    calls = seen.calls or seen.compared
    if bound.ended_reason == "burnt":
        return (
            f"The platform ended it ({bound.ended_detail}): have its maker mend that, run"
            " `guilder conform` again and propose it anew."
        )
    if bound.ended_reason is not None and bound.ended_reason != "replaced":
        return "It has been ended; this is what was seen until then."
    if not calls and not failed:
        return "Nothing was sent to it yet: wait until its tenant has asked something."
    if bound.mode == "shadow":
        return _advice_on_shadow(seen, failed)
    if burns(calls, failed):
        return (
            f"{failed} of {calls} calls failed ({kinds(seen.failures)}): roll it back with"
            f" `guilder binding rollback {bound.id}`, then have its maker mend that."
        )
    if failed:
        return (
            f"{failed} of {calls} calls failed ({kinds(seen.failures)}), few enough to go on:"
            " show that to its maker."
        )
    return f"All {calls} calls were answered: nothing is to be done."


def _advice_on_shadow(seen: BindingReport, failed: int) -> str:
    differing = seen.compared - seen.equal
    if not seen.compared:
        return (
            f"It has not answered once ({kinds(seen.failures)}): have its maker look at its log."
            if failed
            else "It could not be compared yet: nothing but drops, so look again later."
        )
    if differing:
        worst = max(seen.differences, key=lambda found: found.count, default=None)
        where = f", most often in `{worst.field}`{_spread(worst)}" if worst else ""
        return (
            f"{differing} of {seen.compared} answers differ{where}: settle with its maker which"
            " of both is right before it serves anybody."
        )
    if failed:
        return (
            f"All {seen.compared} comparisons were equal, but {failed} calls failed"
            f" ({kinds(seen.failures)}): have its maker mend that first."
        )
    if seen.compared < ENOUGH:
        return f"All {seen.compared} comparisons were equal; wait for {ENOUGH} before you decide."
    return (
        f"All {seen.compared} comparisons were equal: propose it as a canary, or live, with"
        f" `guilder binding propose {seen.binding.tenant} {seen.binding.contract}="
        f"{seen.binding.edition}.{seen.binding.version} --url {seen.binding.address}`."
    )


def _spread(found: Any) -> str:
    if found.least is None:
        return ""
    if found.least == found.most:
        return f" (by {found.least} {found.currency})"
    return f" (by {found.least} to {found.most} {found.currency})"
