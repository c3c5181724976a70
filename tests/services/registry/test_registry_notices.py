"""Each notice exactly once, whatever happens: two sweepers, crashes, clocks that jump.

What is expected is a list kept by hand beside the windows, in whole minutes; it knows nothing of
rows, sweeps or transactions.
"""

import asyncio
import contextlib
import random
import secrets
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import pytest_asyncio

from guilder.chassis.clock import SetClock
from guilder.chassis.events import PAGE
from guilder.chassis.idempotency import Once, fingerprint
from guilder.chassis.store import Store, provision
from guilder.chassis.testing import new_id, operator
from guilder.contracts.access.v1 import ApprovedInput
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import EventQuery
from guilder.contracts.errors import Problem
from guilder.contracts.registry import windows
from guilder.contracts.registry.v1 import Registry
from guilder.services.registry.service import RegistryService
from guilder.services.registry.window import Rules

ZERO = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
RULES = Rules(notice=timedelta(0), longest=timedelta(hours=10))
SERVICES = ["accounts", "ledger", "payments", "pricing", "vault"]


class Breaking(Store):
    """A store whose transactions are cut off before their commit while `broken`."""

    broken = False

    @asynccontextmanager
    async def tx(self, *tenants):
        async with super().tx(*tenants) as tx:
            yield tx
            if self.broken:
                raise ConnectionResetError("cut off before the commit")


class Approving:
    """An `access` where somebody else has approved whatever is asked about."""

    def expect(self, request) -> UUID:
        operation = Registry.operations()["schedule_window"]
        self.found = ApprovedInput(
            id=new_id(),
            operation=operation.id,
            input="",
            hash=fingerprint(operation, request).hex(),
            state="approved",
            proposer=operator().principal,
            approver=new_id(),
        )
        return self.found.id

    async def approved_input(self, ctx, request) -> ApprovedInput:
        return self.found


async def ask_nobody(address):
    raise AssertionError("nothing is bound here")


class Sweeper:
    """The registry in a process of its own, with a clock of its own."""

    def __init__(self, connect) -> None:
        self.clock = SetClock(ZERO)
        self.store = Breaking("registry", connect, self.clock)
        self.access = Approving()
        once = Once(self.store, None)
        editions = None  # none is tested here
        around = (self.access, ask_nobody, RULES, editions)
        self.registry = RegistryService(self.store, once, *around)

    @property
    def minute(self) -> int:
        return (self.clock.now() - ZERO) // timedelta(minutes=1)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two(admin):
    """Two registries on one database."""
    name = f"t{secrets.token_hex(3)}_registry"
    await provision(admin, "registry", name, "secret")
    both = [
        Sweeper({**admin, "database": name, "user": name, "password": "secret"}) for _ in range(2)
    ]
    for one in both:
        await one.store.open()
    yield both
    for one in both:
        await one.store.close()


class Expected:
    """One window as a careful clerk keeps it: what was said, in order. Minutes since ZERO."""

    def __init__(self, planned, begins, ends, after) -> None:
        self.begins, self.ends, self.after = begins, ends, after
        self.said, self.extended, self.over = [], 0, False
        self.coming = [(begins - h * 60, f"{h}h") for h in (72, 24, 1)]
        self.coming = [(at, what) for at, what in self.coming if at >= planned]
        if len(self.coming) < 3:
            self.coming = [(planned, "announced"), *self.coming]
        self.coming.append((begins, "begun"))

    def look(self, minute) -> None:
        """Somebody who could write looked at the clock."""
        if self.over:
            return
        coming = [*self.coming, (self.ends, "verifying")]
        if self.after is not None:
            coming.append((self.ends + self.after, "completed"))
        self.said += [w for at, w in coming if at <= minute and w not in self.said]
        self.over = self.said[-1:] == ["completed"]

    def phase(self, minute) -> str:
        if self.over:
            return "over"
        if minute < self.begins:
            return "scheduled"
        if minute < self.ends:
            return "in_progress"
        over = self.after is not None and minute >= self.ends + self.after
        return "over" if over else "verifying"


async def plan(dice, one, service):
    """Schedule a window of a service by a random lead; it and what is expected of it."""
    now, lead = one.minute, dice.choice([0, 30, 60, 61, 1440, 2000, 4320, 4321, 9000])
    begins, lasts = now + lead, dice.randrange(10, 300)
    after = dice.choice([None, 0, 45])
    asked = windows.ScheduleWindow(
        begins_at=ZERO + timedelta(minutes=begins),
        ends_at=ZERO + timedelta(minutes=begins + lasts),
        title="Work",
        reason="Disks are exchanged",
        service=service,
        completes_after_minutes=after,
    )
    approval = one.access.expect(asked)
    made = await one.registry.schedule_window(operator().ctx(approval=approval), asked)
    expected = Expected(now, begins, begins + lasts, after)
    expected.look(now)
    return made.id, expected


async def decide(dice, one, window, expected) -> None:
    """Cancel, extend or complete it; refused exactly when its phase does not allow it."""
    what, ctx, minute = dice.choice(["cancel", "extend", "complete"]), operator().ctx(), one.minute
    phase, registry = expected.phase(minute), one.registry
    allowed = {
        "cancel": phase == "scheduled",
        "extend": phase in ("scheduled", "in_progress"),
        "complete": phase in ("in_progress", "verifying"),
    }[what]
    later = expected.ends + dice.randrange(1, 60)
    if what == "extend":
        allowed &= expected.extended < 3 and later - expected.begins <= 600
    try:
        if what == "cancel":
            await registry.cancel_window(ctx, windows.CancelWindow(window_id=window, reason="no"))
        elif what == "complete":
            await registry.complete_window(ctx, windows.WindowId(window_id=window))
        else:
            ends_at = ZERO + timedelta(minutes=later)
            await registry.extend_window(
                ctx, windows.ExtendWindow(window_id=window, ends_at=ends_at, reason="more work")
            )
    except Problem:
        assert not allowed, (what, phase)
        return
    assert allowed, (what, phase)
    expected.look(minute)
    if what == "extend":
        expected.extended, expected.ends = expected.extended + 1, later
        expected.said.append("extended")
    else:
        expected.over = True
        expected.said.append({"cancel": "cancelled", "complete": "completed"}[what])


async def sweep(dice, both, expected) -> None:
    """One sweeps, or both at once, or one is cut off and nothing of it stays."""
    swept = dice.choice([both, both[:1], both[1:]])
    one = swept[0]
    if len(swept) == 1 and dice.random() < 0.3:
        one.store.broken = True
        with contextlib.suppress(ConnectionResetError):
            await one.registry.sweep()
        one.store.broken = False
        return
    if len(swept) == 2:  # at one moment: which of them writes is not to matter
        both[1].clock.at = both[0].clock.at
    await asyncio.gather(*(s.registry.sweep() for s in swept))
    for line in expected:
        line.look(one.minute)


async def said(registry, window):
    """The kinds in the log's order, and whether each has exactly one row and one event."""
    told, after = [], ""
    while (page := await registry.events(operator().ctx(), EventQuery(after=after))).events:
        told += [e.ids for e in page.events if e.type == "notice.due"]
        after = page.next
        assert len(page.events) <= PAGE
    mine = [ids for ids in told if ids["window"] == str(window)]
    async with registry.store.tx(PLATFORM) as tx:
        rows = await tx.fetch("SELECT id FROM maintenance_notice WHERE window_id=$1", window)
    assert sorted(ids["notice"] for ids in mine) == sorted(str(row["id"]) for row in rows)
    return [ids["kind"] for ids in mine]


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize("seed", range(12))
async def test_each_notice_is_written_once_and_none_is_missing(two, seed, jumps):
    dice = random.Random(f"{seed} {jumps}")
    for one in two:
        one.clock.at = ZERO
    known = {}
    for service in SERVICES:
        window, line = await plan(dice, dice.choice(two), service)
        known[window] = line
    for _ in range(60):
        step = dice.choice([1, 20, 60, 700, 1500])
        back = jumps and dice.random() < 0.3
        for one in two if dice.random() < 0.7 or not jumps else [dice.choice(two)]:
            one.clock.move(minutes=-step if back else step)
        if dice.random() < 0.2:
            window = dice.choice(sorted(known))
            await decide(dice, dice.choice(two), window, known[window])
        else:
            await sweep(dice, two, known.values())
    for one in two:
        one.clock.at = ZERO + timedelta(days=400)
    await sweep(random.Random(1), two, known.values())
    for window, line in known.items():
        assert await said(two[0].registry, window) == line.said
    async with two[0].store.tx(PLATFORM) as tx:
        await tx.execute(
            "UPDATE maintenance_window SET cancelled_at=$1"
            " WHERE cancelled_at IS NULL AND completed_at IS NULL",
            tx.at,
        )
    assert sum(len(line.said) for line in known.values()) >= 15
