"""Following the directory: what is kept, what is said of it, and how soon a change is noticed."""

import asyncio

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
