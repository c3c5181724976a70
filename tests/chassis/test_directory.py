"""Following the directory: what is kept, what is said of it, and how soon a change is noticed."""

import asyncio
from uuid import UUID

import msgspec
import pytest

from guilder.chassis import directory
from guilder.chassis.bindings import Bindings
from guilder.chassis.clock import Clock
from guilder.chassis.directory import DirectoryFollower
from guilder.contracts.errors import Unavailable
from guilder.contracts.registry import v1


class Watch(Clock):
    """A clock whose seconds pass only while somebody sleeps, or when a test says so."""

    def __init__(self):
        self.seconds, self.slept, self.until = 1000.0, [], 1000

    def monotonic(self):
        return self.seconds

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.seconds += seconds
        if len(self.slept) == self.until:
            raise asyncio.CancelledError


class Desk(v1.Registry):
    """A registry that answers by a script: a directory, or an error."""

    def __init__(self, *script):
        self.script, self.asked = list(script), []

    async def directory(self, ctx, request):
        self.asked.append(request)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        if answer.generation == request.known:
            return v1.Directory(generation=request.known, bindings=[])
        return answer


def bound(tenant, version="1.1.0", generation=1, contract="pricing"):
    return v1.Bound(
        tenant=tenant,
        contract=contract,
        edition="A",
        version=version,
        address="unix:/run/next.sock",
        on_failure="closed",
        generation=generation,
    )


def following(*script):
    desk, bindings, watch = Desk(*script), Bindings(), Watch()
    return DirectoryFollower(desk, bindings, watch), desk, bindings, watch


GONE = Unavailable("registry does not answer")
ONE = v1.Directory(generation=1, bindings=[bound(7)])
TWO = v1.Directory(generation=2, bindings=[bound(8, "1.2.0", 2)])


async def test_bindings_are_those_of_the_last_answer_and_all_others_are_stock():
    follower, desk, bindings, _ = following(ONE, ONE, TWO)
    await follower.refresh()
    assert bindings.resolve(7, "pricing").label == "pricing A.1.1.0"
    assert bindings.resolve(7, "pricing").generation == 1
    assert bindings.resolve(7, "screening").label == "screening A.1.0.0"
    assert bindings.resolve(8, "pricing").generation == 0
    await follower.refresh()  # the same generation: its empty lists say nothing
    assert bindings.resolve(7, "pricing").version == "1.1.0"
    await follower.refresh()
    assert bindings.resolve(7, "pricing").version == "1.0.0"
    assert bindings.resolve(8, "pricing").label == "pricing A.1.2.0"
    assert [query.known for query in desk.asked] == [-1, 1, 1]


async def test_a_restored_registry_may_count_from_before():
    follower, _, bindings, _ = following(TWO, ONE)
    await follower.refresh()
    await follower.refresh()
    assert follower.latest.generation == ONE.generation
    assert bindings.resolve(8, "pricing").version == "1.0.0"


def line(n, tenant, version="1.1.0"):
    return msgspec.structs.replace(bound(tenant, version), id=UUID(int=n))


def change(generation, *lines, ended=()):
    gone = [UUID(int=n) for n in ended]
    return v1.Directory(generation=generation, bindings=list(lines), whole=False, ended=gone)


async def test_what_has_changed_is_taken_and_all_else_stays():
    start = v1.Directory(generation=1, bindings=[line(1, 7), line(2, 8)])
    follower, desk, bindings, _ = following(start, change(2, line(3, 9), ended=[1]), change(3))
    for _ in range(3):
        await follower.refresh()
    versions = [bindings.resolve(tenant, "pricing").version for tenant in (7, 8, 9)]
    assert versions == ["1.0.0", "1.1.0", "1.1.0"]
    assert [query.known for query in desk.asked] == [-1, 1, 2]
    assert follower.latest.bindings == [], "they are kept once"


def page(generation, *lines, following=None):
    after = following and UUID(int=following)
    return v1.Directory(generation=generation, bindings=list(lines), next=after)


async def test_a_whole_directory_is_put_together_before_anything_counts():
    first, second, third = (
        page(5, line(1, 7), following=1),
        page(6, line(2, 8), following=2),
        page(7, line(3, 9)),
    )
    follower, desk, bindings, _ = following(first, second, GONE, first, second, third, change(7))
    with pytest.raises(Unavailable):
        await follower.refresh()
    assert bindings.resolve(7, "pricing").address is None
    assert follower.latest.generation == -1
    await follower.refresh()
    assert {bindings.resolve(tenant, "pricing").version for tenant in (7, 8, 9)} == {"1.1.0"}
    assert follower.latest.generation == 5, "what changed meanwhile is told next"
    await follower.refresh()
    after = [query.after and query.after.int for query in desk.asked]
    assert after == [None, 1, 2, None, 1, 2, None]
    assert desk.asked[-1].known == 5


async def test_silence_makes_stale_and_changes_nothing():
    follower, _, bindings, watch = following(ONE, GONE, ONE)
    assert follower.stale
    await follower.refresh()
    assert not follower.stale
    watch.seconds += directory.STALE_S
    assert not follower.stale
    watch.seconds += 0.001
    assert follower.stale
    with pytest.raises(Unavailable):
        await follower.refresh()
    assert follower.stale
    assert bindings.resolve(7, "pricing").version == "1.1.0"
    await follower.refresh()
    assert not follower.stale


@pytest.mark.parametrize("error", [GONE, OSError("refused"), RuntimeError("a defect")])
async def test_it_asks_again_and_again_and_soon_enough(error):
    follower, desk, bindings, watch = following(*[error] * 20, ONE)
    watch.until = 30
    with pytest.raises(asyncio.CancelledError):
        await follower.run()
    assert not follower.stale
    assert bindings.resolve(7, "pricing").version == "1.1.0"
    silent, heard = watch.slept[:20], watch.slept[20:]
    assert silent == sorted(silent)
    assert max(silent) == directory.LONGEST_S <= 0.5
    assert set(heard) == {directory.SHORTEST_S}
    assert {query.wait_ms for query in desk.asked} == {directory.WAIT_MS}


async def test_it_does_not_take_a_silent_registry_for_a_quiet_one():
    """An answer is due often enough that a process which hears is never stale."""
    longest = directory.WAIT_MS / 1000 + directory.GRACE_S + directory.LONGEST_S
    assert longest < directory.STALE_S


async def test_a_process_begins_when_it_has_heard():
    follower, desk, bindings, _ = following(GONE, GONE, ONE)
    await follower.begin()
    assert len(desk.asked) == 3
    assert bindings.resolve(7, "pricing").version == "1.1.0"


async def test_a_process_begins_without_a_registry_after_a_while():
    follower, _, bindings, watch = following(GONE)
    await follower.begin()
    assert follower.stale
    assert follower.latest.generation == -1
    assert bindings.resolve(7, "pricing").version == "1.0.0"
    assert directory.FIRST_S <= watch.seconds - 1000.0 <= directory.FIRST_S + 0.5
