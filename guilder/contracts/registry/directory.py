"""What every process must know at once: a directory, told page by page, then change by change."""

from typing import Annotated
from uuid import UUID

import msgspec

from guilder.contracts.declare import Answer, Request
from guilder.contracts.registry.bindings import Bound
from guilder.contracts.registry.windows import OpenWindow, Switch


class DirectoryQuery(Request, frozen=True, kw_only=True):
    """What the caller knows (-1 = nothing) and how long it waits for something else.

    `after` asks for the next page of a whole directory: the `next` of the page before.
    """

    known: int = -1
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=30_000)] = 0
    after: UUID | None = None


class Directory(Answer, frozen=True, kw_only=True):
    """What every process must know at once; `generation` rises with every change of it.

    Whoever knows this generation already gets empty lists. Else `bindings` are those that are in
    force or planned: all of them if it is `whole`, else those changed since what the caller knows,
    and `ended` are the ids of those that are over. A whole directory comes in pages while `next`
    names one; it is that of the first page's generation. Windows and switches are always all,
    and stand on the first page.
    """

    generation: int
    bindings: list[Bound]
    windows: list[OpenWindow] = msgspec.field(default_factory=list)
    read_only: list[Switch] = msgspec.field(default_factory=list)
    whole: bool = True
    ended: list[UUID] = msgspec.field(default_factory=list)
    next: UUID | None = None
