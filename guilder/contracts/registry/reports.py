"""What is known of a binding's work, and of all that serves a tenant."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from guilder.contracts.declare import Answer, Kind
from guilder.contracts.registry.bindings import BindingRecord
from guilder.contracts.registry.observations import Failure
from guilder.contracts.registry.windows import OpenWindow


class Example(Answer, frozen=True, kw_only=True):
    """One way in which answers differed, and how often: by so much money, or so and so.

    `delta` is a decimal amount, the other edition's minus the serving one's.
    """

    count: int
    delta: str | None = None
    serving: str | None = None
    other: str | None = None


class FieldDifference(Answer, frozen=True, kw_only=True):
    """A field in which answers differed; amounts are decimal strings in `currency`."""

    field: str
    count: int
    currency: str | None = None
    total: str | None = None
    """The sum of all differences: what the other edition would have brought in more."""
    least: str | None = None
    most: str | None = None
    examples: list[Example]
    """The most frequent first."""


class BindingReport(Answer, frozen=True, kw_only=True):
    """What every process saw of a binding since `since`.

    `compared` = `equal` + those that differ; `dropped` were not compared. `omitted` differences
    were counted and not told apart. `advice` says what to do about it.
    """

    binding: BindingRecord
    since: datetime
    last: datetime | None
    """When something was last seen."""
    calls: int
    failures: dict[Failure, int]
    fallbacks: int
    mean_ms: int | None
    slowest_ms: int
    compared: int
    equal: int
    dropped: int
    differences: list[FieldDifference]
    omitted: int
    advice: str


class Health(Answer, frozen=True, kw_only=True):
    """How a binding did in the last `minutes`."""

    binding: UUID
    minutes: int
    calls: int
    failures: int
    fallbacks: int
    mean_ms: int | None
    slowest_ms: int


class ServedBy(Answer, frozen=True, kw_only=True):
    """What serves one contract for a tenant, and what is tried beside it.

    Without a live binding stock does: `stock` is its version. `planned` begin in the future.
    """

    contract: str
    kind: Kind
    contract_version: str
    stock: str
    edition: str
    version: str
    differs: bool
    """Whether anything but stock takes part, now or as planned."""
    live: BindingRecord | None
    canary: BindingRecord | None
    shadow: BindingRecord | None
    planned: list[BindingRecord]
    health: list[Health]


class ServiceMap(Answer, frozen=True, kw_only=True):
    """All that serves a tenant: what support needs. `read_only` since when, if it is on."""

    tenant: str
    number: int
    name: str
    state: Literal["open", "closed"]
    generation: int
    services: list[ServedBy]
    windows: list[OpenWindow]
    read_only: datetime | None
