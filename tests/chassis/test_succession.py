"""Replacing children on real processes: nobody leaves before his successor serves."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from guilder.chassis import succession, supervise
from guilder.chassis.child import Run
from guilder.chassis.ending import identity
from guilder.chassis.succession import LEAVE_SECONDS, START_SECONDS, Succession
from guilder.chassis.supervise import Child, SuperviseError, Supervisor, read_state
from tests.chassis.test_supervise import Clock, clock, supervisor, until

__all__ = ["clock", "supervisor"]

WAIT = "import time; time.sleep(60)"
READY = "import os; open(os.environ['GUILDER_READY_FILE'], 'w').close();"
TOLD = (
    "import signal, sys; "
    "signal.signal(signal.SIGUSR1, lambda *_: (print('told to make way', flush=True), sys.exit()));"
)
STAYS = "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN);"
CANNOT = "print('no such setting', flush=True); raise SystemExit(3)"


def child(tmp_path: Path, name: str = "one", code: str = TOLD + READY + WAIT, **more: Any) -> Child:
    """What it runs stands in a file, so that a successor may run something else."""
    script(tmp_path, code, name)
    argv = [sys.executable, "-S", str(tmp_path / f"{name}.py")]
    told = tmp_path / "run" / f"{name}.ready"
    return Child(name, argv, ready_file=told, make_way=signal.SIGUSR1, **more)


def script(tmp_path: Path, code: str, name: str = "one") -> None:
    (tmp_path / f"{name}.py").write_text(code)


def begun(supervisor: Supervisor, made: Child) -> int:
    pid = supervisor.start(made)
    supervisor.wait_ready(made, 20)
    return pid


def went(supervisor: Supervisor, each: Succession, *states: str) -> None:
    def looked() -> bool:
        supervisor.watch()
        return each.state in states

    until(looked)


def log(tmp_path: Path, name: str = "one") -> str:
    return (tmp_path / "run" / f"{name}.log").read_text()


def recorded(tmp_path: Path) -> list[int]:
    state = read_state(tmp_path / "run")
    assert state is not None
    return [each.pid for each in state.children]


def dead(run: Run) -> None:
    """Wait until it has ended without taking notice of it."""
    os.waitid(os.P_PID, run.process.pid, os.WEXITED | os.WNOWAIT)


# ---- one child


def test_the_old_one_is_told_when_the_successor_is_ready_and_not_before(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    old = begun(supervisor, child(tmp_path))
    waits = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    script(tmp_path, waits + TOLD + READY + WAIT)
    each = supervisor.replace("one")
    for _ in range(3):
        supervisor.watch()
    assert each.state == "starting"
    assert sorted(recorded(tmp_path)) == sorted([old, each.new.process.pid])
    assert identity(old)
    assert "told" not in log(tmp_path)
    go.touch()
    went(supervisor, each, "leaving", "done")
    went(supervisor, each, "done")
    assert "told to make way" in log(tmp_path)
    assert identity(old) == ""
    assert recorded(tmp_path) == [each.new.process.pid]
    assert (each.detail, each.new.process.poll()) == ("", None)
    assert (tmp_path / "run" / "one.ready").exists()


def test_sockets_are_handed_on(supervisor: Supervisor, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        os.set_inheritable(held.fileno(), True)
        serves = (
            "import os, socket, sys\n"
            f"s = socket.socket(fileno={held.fileno()})\n"
            + READY
            + "\nwhile True:\n  c, _ = s.accept(); c.sendall(str(os.getpid()).encode()); c.close()"
        )
        made = child(tmp_path, code=TOLD + serves, sockets=[held])
        old = begun(supervisor, made)
        each = supervisor.replace("one")
        went(supervisor, each, "done")
        with socket.create_connection(held.getsockname()) as asking:
            assert asking.recv(20) == str(each.new.process.pid).encode() != str(old).encode()


def test_a_successor_that_is_not_ready_in_time_is_killed_and_the_old_one_goes_on(
    supervisor: Supervisor, tmp_path: Path, clock: Clock
) -> None:
    old = begun(supervisor, child(tmp_path))
    script(tmp_path, "print('thinking', flush=True);" + WAIT)
    each = supervisor.replace("one")
    until(lambda: "thinking" in log(tmp_path))
    clock.now = START_SECONDS - 1
    supervisor.watch()
    assert each.state == "starting"
    clock.now = START_SECONDS
    supervisor.watch()
    assert each.state == "failed"
    assert "not ready within 60 s" in each.detail
    assert "thinking" in each.detail
    assert identity(each.new.process.pid) == ""
    assert recorded(tmp_path) == [old]
    assert identity(old)
    assert "told" not in log(tmp_path)
    script(tmp_path, TOLD + READY + WAIT)
    again = supervisor.replace("one")
    went(supervisor, again, "done")


def test_a_successor_that_dies_while_starting_leaves_the_old_one_and_says_why(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    old = begun(supervisor, child(tmp_path))
    script(tmp_path, READY + CANNOT)
    each = supervisor.replace("one")
    dead(each.new)
    supervisor.watch()
    assert each.state == "failed"
    assert "it ended with exit code 3" in each.detail
    assert "no such setting" in each.detail
    assert recorded(tmp_path) == [old]
    assert identity(old)
    assert not (tmp_path / "run" / "one.ready.next").exists()
    assert (tmp_path / "run" / "one.ready").exists()


def test_the_dead_is_replaced_too_and_not_started_beside_its_successor(
    supervisor: Supervisor, tmp_path: Path, clock: Clock
) -> None:
    begun(supervisor, child(tmp_path))
    each = supervisor.replace("one")
    each.old.process.kill()
    dead(each.old)
    clock.now = 30.0
    went(supervisor, each, "leaving")
    went(supervisor, each, "done")
    assert recorded(tmp_path) == [each.new.process.pid]
    assert supervisor._runs["one"].restarts == 0


def test_one_that_waits_to_be_started_again_is_replaced_at_once(
    supervisor: Supervisor, tmp_path: Path, clock: Clock
) -> None:
    begun(supervisor, child(tmp_path))
    run = supervisor._runs["one"]
    run.process.kill()
    dead(run)
    supervisor.watch()
    assert run.restart_at is not None
    each = supervisor.replace("one")
    clock.now = run.restart_at
    went(supervisor, each, "done")
    assert recorded(tmp_path) == [each.new.process.pid]


def test_when_both_die_the_child_is_started_again(
    supervisor: Supervisor, tmp_path: Path, clock: Clock
) -> None:
    begun(supervisor, child(tmp_path))
    script(tmp_path, CANNOT)
    each = supervisor.replace("one")
    each.old.process.kill()
    dead(each.old)
    dead(each.new)
    supervisor.watch()
    assert each.state == "failed"
    script(tmp_path, READY + WAIT)
    clock.now += supervise.LONGEST_PAUSE
    supervisor.watch()
    fresh = supervisor._runs["one"]
    assert fresh.process.pid not in (each.old.process.pid, each.new.process.pid)
    assert fresh.restarts == 1


def test_an_old_one_that_does_not_leave_is_killed(
    supervisor: Supervisor, tmp_path: Path, clock: Clock
) -> None:
    old = begun(supervisor, child(tmp_path, code=STAYS + READY + WAIT))
    script(tmp_path, TOLD + READY + WAIT)
    each = supervisor.replace("one")
    went(supervisor, each, "leaving")
    assert sorted(recorded(tmp_path)) == sorted([old, each.new.process.pid])
    clock.now += LEAVE_SECONDS - 1
    supervisor.watch()
    assert identity(old)
    clock.now += 1
    supervisor.watch()
    dead(each.old)
    went(supervisor, each, "done")
    assert "did not leave within 60 s: killed" in each.detail
    assert recorded(tmp_path) == [each.new.process.pid]


def test_a_successor_that_dies_while_the_old_one_leaves_is_started_again_at_once(
    supervisor: Supervisor, tmp_path: Path, clock: Clock
) -> None:
    """The old one takes no more connections: nobody would serve until it is gone."""
    old = begun(supervisor, child(tmp_path, code=STAYS + READY + WAIT))
    each = supervisor.replace("one")
    went(supervisor, each, "leaving")
    each.new.process.kill()
    dead(each.new)
    supervisor.watch()
    clock.now += supervise.LONGEST_PAUSE
    supervisor.watch()
    third = supervisor._runs["one"].process.pid
    assert third not in (old, each.new.process.pid)
    assert each.state == "leaving"
    assert sorted(recorded(tmp_path)) == sorted([old, third])
    each.old.process.kill()
    dead(each.old)
    supervisor.watch()
    assert each.state == "failed"
    assert "it was ready and then ended by signal 9" in each.detail
    assert identity(third)
    assert recorded(tmp_path) == [third]


def test_the_end_during_a_succession_ends_all_three(supervisor: Supervisor, tmp_path: Path) -> None:
    pids = [begun(supervisor, child(tmp_path, code=STAYS + READY + WAIT)) for _ in range(1)]
    pids.append(begun(supervisor, child(tmp_path, "two")))
    leaving = supervisor.replace("one")
    went(supervisor, leaving, "leaving")
    script(tmp_path, WAIT, "two")
    starting = supervisor.replace("two")
    pids += [leaving.new.process.pid, starting.new.process.pid]
    assert sorted(recorded(tmp_path)) == sorted(pids)
    supervisor.stop_all(0.2)
    assert [pid for pid in pids if identity(pid)] == []
    assert not list((tmp_path / "run").glob("*.ready*"))


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.chassis import test_succession as t
from guilder.chassis.supervise import Supervisor
here = Path(sys.argv[1])
s = Supervisor(here / "run")
s.claim(); s.sweep()
t.begun(s, t.child(here, code=t.STAYS + t.READY + t.WAIT))
each = s.replace("one")
t.went(s, each, "leaving" if sys.argv[3] == "leaving" else "starting")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("state", ["starting", "leaving"])
def test_a_supervisor_killed_during_a_succession_leaves_nothing_to_its_successor(
    tmp_path: Path, state: str
) -> None:
    root = Path(__file__).resolve().parents[2]
    argv = [sys.executable, "-c", KILLED, str(tmp_path), str(root), state]
    done = subprocess.run(argv, timeout=60, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pids = recorded(tmp_path)
    assert len(pids) == 2
    assert all(psutil.pid_exists(pid) for pid in pids)
    heir = Supervisor(tmp_path / "run")
    heir.claim()
    assert heir.sweep() == ["one", "one"]
    assert [pid for pid in pids if identity(pid)] == []
    heir.stop_all()
    heir.release()


# ---- a child that does not stay alive


def test_it_is_started_again_for_ever_with_bounded_pauses(
    supervisor: Supervisor, tmp_path: Path, clock: Clock
) -> None:
    supervisor.start(child(tmp_path, code=CANNOT))
    pauses = []
    for _ in range(4 * supervise.DOUBLINGS):
        run = supervisor._runs["one"]
        dead(run)
        supervisor.watch()
        assert run.restart_at is not None
        pauses.append(run.restart_at - clock.now)
        clock.now = run.restart_at
        supervisor.watch()
    assert pauses[:6] == sorted(pauses[:6])
    assert pauses[-1] == pytest.approx(supervise.LONGEST_PAUSE) == max(pauses)
    assert supervisor._runs["one"].restarts == 4 * supervise.DOUBLINGS
    run = supervisor._runs["one"]
    run.quick_deaths = 5_000  # a day of it
    dead(run)
    supervisor.watch()
    assert run.restart_at == clock.now + supervise.LONGEST_PAUSE


def test_a_program_that_is_gone_is_tried_again_while_the_others_serve(
    supervisor: Supervisor, tmp_path: Path, clock: Clock
) -> None:
    """As while an upgrade replaces the interpreter."""
    program = tmp_path / "program"
    program.symlink_to(sys.executable)
    made = Child("one", [str(program), "-S", "-c", "pass"])
    supervisor.start(made)
    program.unlink()
    with pytest.raises(SuperviseError, match="cannot be run"):
        supervisor.replace("one")
    run = supervisor._runs["one"]
    dead(run)
    supervisor.watch()
    for _ in range(3):
        assert run.restart_at is not None
        clock.now = run.restart_at
        supervisor.watch()
        assert supervisor._runs["one"] is run
    program.symlink_to(sys.executable)
    assert run.restart_at is not None
    clock.now = run.restart_at
    supervisor.watch()
    assert supervisor._runs["one"].restarts == 1


def test_a_full_disk_stops_nothing_that_runs(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    begun(supervisor, child(tmp_path))
    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(supervise, "LOG_BYTES", -1)
    monkeypatch.setattr(supervise.shutil, "copyfile", full)
    supervisor._keep_logs_small()
    went(supervisor, supervisor.replace("one"), "done")


# ---- one after the other


class Asked:
    """A request, and what was said to it."""

    def __init__(self, **words: Any) -> None:
        self.words, self.said, self.ended = words, [], False

    def say(self, **facts: Any) -> None:
        assert not self.ended
        self.said.append(facts)

    def end(self) -> None:
        self.ended = True


def answered(supervisor: Supervisor, asked: Asked) -> list[tuple[Any, ...]]:
    supervisor.answer(asked)  # type: ignore[arg-type]

    def looked() -> bool:
        supervisor.watch()
        return asked.ended

    until(looked)
    return [tuple(line.get(k) for k in ("name", "state", "ok")) for line in asked.said]


def test_all_are_replaced_one_at_a_time(supervisor: Supervisor, tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    old = [begun(supervisor, child(tmp_path, name)) for name in names]
    most: list[int] = []
    watch: Callable[[], None] = supervisor.watch
    supervisor.watch = lambda: (watch(), most.append(len(supervisor._successions)))  # type: ignore
    said = answered(supervisor, Asked(restart=names))
    steps = ("starting", "leaving", "done")
    assert said == [(n, s, None) for n in names for s in steps] + [(None, None, True)]
    assert max(most) == 1
    assert not set(old) & set(recorded(tmp_path))


def test_it_ends_at_the_first_that_fails(supervisor: Supervisor, tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    old = [begun(supervisor, child(tmp_path, name)) for name in names]
    script(tmp_path, CANNOT, "two")
    asked = Asked(restart=names)
    said = answered(supervisor, asked)
    assert said[-3:] == [
        ("two", "starting", None),
        ("two", "failed", None),
        (None, None, False),
    ]
    assert "no such setting" in asked.said[-2]["detail"]
    assert set(old[1:]) < set(recorded(tmp_path))
    assert all(identity(pid) for pid in old[1:])


def test_a_program_that_is_gone_fails_the_restart_alone(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.symlink_to(sys.executable)
    pid = supervisor.start(Child("one", [str(program), "-S", "-c", WAIT]))
    program.unlink()
    asked = Asked(restart=["one"])
    assert answered(supervisor, asked) == [("one", "failed", None), (None, None, False)]
    assert "cannot be run" in asked.said[0]["detail"]
    assert identity(pid)
    program.symlink_to(sys.executable)
    assert answered(supervisor, Asked(restart=["one"]))[-1] == (None, None, True)


def test_two_restarts_at_once_are_refused(supervisor: Supervisor, tmp_path: Path) -> None:
    begun(supervisor, child(tmp_path))
    first, second = Asked(restart=["one"]), Asked(restart=["one"])
    supervisor.answer(first)  # type: ignore[arg-type]
    supervisor.answer(second)  # type: ignore[arg-type]
    assert second.ended
    assert second.said[0]["ok"] is False
    assert "under way" in second.said[0]["detail"]

    def over() -> bool:
        supervisor.watch()
        return first.ended

    until(over)
    assert first.said[-1]["ok"] is True
    assert answered(supervisor, Asked(restart=["one", "one"]))[-1] == (None, None, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "restart"),
        ({"restart": None}, "restart"),
        ({"restart": []}, "restart"),
        ({"restart": 5}, "restart"),
        ({"restart": "one"}, "restart"),
        ({"restart": {"one": 1}}, "restart"),
        ({"restart": ["one", "nobody"]}, "nobody"),
        ({"restart": [["one"]]}, "one"),
        ({"restart": [None, 1.5, {}]}, "running are one"),
        ({"stop": ["one"]}, "restart"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    supervisor: Supervisor, tmp_path: Path, words: dict[str, Any], said: str
) -> None:
    pid = begun(supervisor, child(tmp_path))
    asked = Asked(**words)
    supervisor.answer(asked)  # type: ignore[arg-type]
    assert asked.ended
    (line,) = asked.said
    assert (line["done"], line["ok"]) == (True, False)
    assert said in line["detail"]
    supervisor.watch()
    assert recorded(tmp_path) == [pid]


def test_times_are_bounded() -> None:
    assert succession.START_SECONDS <= 60
    assert succession.LEAVE_SECONDS <= 60
