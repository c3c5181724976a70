"""The part of the registry that plans downtime: windows, what is said of them, read-only mode.

Whatever is done to a window first writes the notices that are due by then. So which notices there
are follows from the window's life alone, however seldom or often the sweep comes by. A notice is a
row (one per window and kind), written with its event: two sweeps at once, a crash or a clock that
jumps cannot make it twice.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from guilder.chassis.events import SYSTEM
from guilder.chassis.idempotency import Claim, Once, claimed, local
from guilder.chassis.store import Store, Tx
from guilder.contracts.access.v1 import Access
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import InvalidRequest, NotFound
from guilder.contracts.registry import v1, windows
from guilder.services.registry import binding_store, window, window_store
from guilder.services.registry.approval import approver, operators_only
from guilder.services.registry.bindings import tenant_number
from guilder.services.registry.window import MOST_EXTENSIONS, Life, Rules, utc

SWEEP_SECONDS: Final = 1.0
MOST_OPEN: Final = 200
"""The most windows that are open at once; a sweep takes them all."""

MOST_SWITCHES: Final = 10_000

CHANGES: Final = {
    "begun": "window.begun",
    "verifying": "window.verifying",
    "completed": "window.completed",
    "cancelled": "window.cancelled",
    "extended": "window.extended",
}
"""The notices that say that the window itself has changed, and the event of that."""


class Maintenance(v1.Registry):
    """Windows and read-only mode."""

    store: Store
    once: Once
    access: Access
    rules: Rules

    # ── windows ──────────────────────────────────────────────────────────────────────────────

    @claimed
    async def schedule_window(
        self, claim: Claim, ctx: Context, request: windows.ScheduleWindow
    ) -> windows.Window:
        """Make sure that it was approved, then write the window; who is late hears at once."""
        operators_only(ctx)
        operation = self.operations()["schedule_window"]
        approved_by = await approver(self.access, operation, ctx, request)

        async def work(tx: Tx) -> windows.Window:
            await binding_store.next_generation(tx)  # nobody else changes windows until the commit
            number = await self._scope(tx, request)
            if await window_store.count_open(tx) >= MOST_OPEN:
                raise windows.TooManyWindows(f"{MOST_OPEN} are open")
            times = utc(request.begins_at), utc(request.ends_at)
            await _check_overlap(tx, number, request.service, *times)
            row = await window_store.add_window(tx, ctx, request, number, times, approved_by)
            ids = {"window": row["id"], "tenant": number, "proposal": ctx.approval}
            tx.emit(ctx, "window.scheduled", **ids)
            await _catch_up(tx, row, set())
            return _window(row, tx)

        return await claim.finish(work)

    async def foresee(self, operation: str, ctx: Context, request: Any) -> None:
        """Refuse a window that could not be, before anybody reads the proposal."""
        if operation != "schedule_window":
            await super().foresee(operation, ctx, request)
            return
        operators_only(ctx)
        async with self.store.tx(PLATFORM) as tx:
            number = await self._scope(tx, request)
            times = request.begins_at, request.ends_at
            await _check_overlap(tx, number, request.service, *times)

    async def _scope(self, tx: Tx, request: windows.ScheduleWindow) -> int | None:
        """The number of the tenant concerned (None = all); the problem where it cannot be."""
        number = await _number(tx, request.tenant)
        if request.service is not None and request.service not in all_contracts():
            raise InvalidRequest("there is no such service", at="$.service")
        problem = window.fault(request, tx.at, self.rules)
        if problem is not None:
            raise problem
        return number

    @local
    async def cancel_window(
        self, tx: Tx, ctx: Context, request: windows.CancelWindow
    ) -> windows.Window:
        """Cancel what has not begun, and say so."""
        row = await self._lock(tx, ctx, request.window_id, "scheduled")
        _clean(request.reason)
        await window_store.cancel(tx, row["id"])
        await _say(tx, ctx, row, "cancelled", request.reason)
        await binding_store.next_generation(tx)
        return _window(await window_store.find_window(tx, row["id"]), tx)

    @local
    async def complete_window(
        self, tx: Tx, ctx: Context, request: windows.WindowId
    ) -> windows.Window:
        """End what has begun, before its end or after: writes go on."""
        row = await self._lock(tx, ctx, request.window_id, "in_progress", "verifying")
        await window_store.complete(tx, row["id"], tx.at)
        await _say(tx, ctx, row, "completed", row["reason"])
        await binding_store.next_generation(tx)
        return _window(await window_store.find_window(tx, row["id"]), tx)

    @local
    async def extend_window(
        self, tx: Tx, ctx: Context, request: windows.ExtendWindow
    ) -> windows.Window:
        """Move the end, at most MOST_EXTENSIONS times and within the longest length; say so."""
        row = await self._lock(tx, ctx, request.window_id, "scheduled", "in_progress")
        _clean(request.reason)
        if request.ends_at <= row["ends_at"]:
            raise windows.WindowTimes("it would not end later than it does", at="$.ends_at")
        if row["extensions"] >= MOST_EXTENSIONS:
            raise windows.WindowStateForbids(f"it was extended {MOST_EXTENSIONS} times already")
        problem = window.length_fault(row["begins_at"], request.ends_at, self.rules)
        if problem is not None:
            raise problem
        ends_at = utc(request.ends_at)  # near its beginning by now: the calendar ends elsewhere
        await binding_store.next_generation(tx)
        scope = row["number"], row["service"]
        await _check_overlap(tx, *scope, row["begins_at"], ends_at, besides=row["id"])
        await window_store.extend(tx, row["id"], ends_at)
        row = await window_store.find_window(tx, row["id"])
        await _say(tx, ctx, row, "extended", request.reason, n=row["extensions"])
        return _window(row, tx)

    async def maintenance_windows(
        self, ctx: Context, request: windows.WindowQuery
    ) -> windows.Windows:
        """List windows: operators see all, a tenant those that concern it."""
        async with self.store.tx(PLATFORM) as tx:
            rows = await window_store.page_of_windows(
                tx, ctx.tenant, request.before, request.limit + 1
            )
        items = [_window(row, tx) for row in rows[: request.limit]]
        following = items[-1].id if len(rows) > len(items) else None
        return windows.Windows(items=items, next=following)

    async def notice(self, ctx: Context, request: windows.NoticeId) -> windows.Notice:
        """What a notice says, for whoever delivers it."""
        async with self.store.tx(PLATFORM) as tx:
            row = await window_store.find_notice(tx, request.notice_id)
        if row is None:
            raise NotFound(f"no notice {request.notice_id}")
        return windows.Notice(**dict(row))

    async def sweep(self) -> int:
        """Write what is due and close what completes by itself; how many notices."""
        written, closed = 0, False
        async with self.store.tx(PLATFORM) as tx:
            rows = await window_store.lock_open(tx, MOST_OPEN)
            said = await window_store.noticed(tx, [row["id"] for row in rows])
            for row in rows:
                written += await _catch_up(tx, row, said[row["id"]])
                completes_at = _life(row).completes_at
                if completes_at is not None and completes_at <= tx.at:
                    await window_store.complete(tx, row["id"], completes_at)
                    closed = True
            if closed:
                await binding_store.next_generation(tx)
        return written

    @staticmethod
    async def _lock(tx: Tx, ctx: Context, window_id: UUID, *states: windows.WindowState) -> Any:
        """The window, locked, with everything said that is due; in one of these states."""
        operators_only(ctx)
        row = await window_store.lock_window(tx, window_id)
        if row is None:
            raise windows.UnknownWindow()
        present = window.state(_life(row), tx.at)
        if present not in states:
            raise windows.WindowStateForbids(f"the window is {present}")
        await _catch_up(tx, row, set())
        return row

    # ── read-only mode ───────────────────────────────────────────────────────────────────────

    @local
    async def set_read_only(
        self, tx: Tx, ctx: Context, request: windows.SetReadOnly
    ) -> windows.ReadOnly:
        """Switch it on or off; on where it is on already changes nothing."""
        operators_only(ctx)
        _clean(request.reason)
        number = await _number(tx, request.tenant)
        await binding_store.next_generation(tx)
        row = await window_store.read_only_of(tx, number)
        if request.on:
            if row is None:
                await window_store.begin_read_only(tx, ctx, number, request.reason)
                tx.emit(ctx, "read-only.on", switch=tx.resource, tenant=number)
                row = await window_store.read_only_of(tx, number)
            return _read_only(row)
        if row is None:
            raise windows.NotReadOnly()
        tx.emit(ctx, "read-only.off", switch=row["id"], tenant=number)
        return _read_only(await window_store.end_read_only(tx, ctx, row["id"], request.reason))

    async def read_only(self, ctx: Context, request: Nothing) -> windows.ReadOnlyList:
        """List where it is on."""
        async with self.store.tx(PLATFORM) as tx:
            rows = await window_store.read_only_on(tx, MOST_SWITCHES)
        return windows.ReadOnlyList(items=[_read_only(row) for row in rows])


async def open_windows(tx: Tx) -> list[windows.OpenWindow]:
    """The open windows as every process keeps them."""
    return [
        windows.OpenWindow(
            id=row["id"],
            tenant=row["number"] or PLATFORM,
            service=row["service"],
            writes=row["writes"],
            title=row["title"],
            begins_at=row["begins_at"],
            ends_at=row["ends_at"],
            completes_at=_life(row).completes_at,
        )
        for row in await window_store.open_windows(tx, MOST_OPEN)
    ]


async def switches(tx: Tx) -> list[windows.Switch]:
    """Where read-only mode is on, as every process keeps it."""
    return [
        windows.Switch(id=row["id"], tenant=row["number"] or PLATFORM, since=row["since"])
        for row in await window_store.read_only_on(tx, MOST_SWITCHES)
    ]


async def _catch_up(tx: Tx, row: Any, said: set[str]) -> int:
    """Say what the clock has brought; how much of it was new."""
    fresh = 0
    for kind, _ in window.due(_life(row), tx.at):
        if kind not in said:
            fresh += await _say(tx, _CTX, row, kind, row["reason"])
    return fresh


async def _say(
    tx: Tx, ctx: Context, row: Any, kind: windows.NoticeKind, reason: str, n: int = 0
) -> bool:
    """Write a notice and its events, unless it was written before."""
    fresh = window.notice_id(kind, tx.at)
    notice = await window_store.add_notice(tx, fresh, row, kind, n, reason)
    if notice is None:
        return False
    if kind in CHANGES:
        tx.emit(ctx, CHANGES[kind], window=row["id"], tenant=row["number"])
    tx.emit(ctx, "notice.due", notice=notice, window=row["id"], tenant=row["number"], kind=kind)
    return True


async def _check_overlap(
    tx: Tx, number: int | None, service: str | None, *times: Any, besides: UUID | None = None
) -> None:
    found = await window_store.overlapping(tx, number, service, *times)
    others: Sequence[UUID] = [other for other in found if other != besides]
    if others:
        raise windows.WindowOverlaps(window=str(others[0]))


async def _number(tx: Tx, slug: str | None) -> int | None:
    """The number of the tenant concerned; None = all."""
    return None if slug is None else await tenant_number(tx, slug)


def _clean(reason: str) -> None:
    if not window.clean(reason):
        raise InvalidRequest("holds a character that cannot be shown", at="$.reason")


def _life(row: Any) -> Life:
    minutes = row["completes_after_minutes"]
    return Life(
        scheduled_at=row["scheduled_at"],
        begins_at=row["begins_at"],
        ends_at=row["ends_at"],
        completes_after=None if minutes is None else timedelta(minutes=minutes),
        completed_at=row["completed_at"],
        cancelled_at=row["cancelled_at"],
    )


def _window(row: Any, tx: Tx) -> windows.Window:
    life = _life(row)
    return windows.Window(
        id=row["id"],
        state=window.state(life, tx.at),
        tenant=row["slug"],
        service=row["service"],
        writes=row["writes"],
        title=row["title"],
        reason=row["reason"],
        urgent=row["urgent"],
        scheduled_at=life.scheduled_at,
        begins_at=life.begins_at,
        ends_at=life.ends_at,
        completes_at=life.completes_at,
        extensions=row["extensions"],
        completed_at=life.completed_at,
        cancelled_at=life.cancelled_at,
    )


def _read_only(row: Any) -> windows.ReadOnly:
    return windows.ReadOnly(
        id=row["id"],
        tenant=row["slug"],
        since=row["since"],
        reason=row["reason"],
        until=row["until"],
        until_reason=row["until_reason"],
    )


_CTX = Context(tenant=PLATFORM, principal=SYSTEM)
