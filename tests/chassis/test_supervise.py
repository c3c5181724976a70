"""The supervisor on real child processes: who may run, what is restarted, that nothing is left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from guilder.chassis import supervise, supervised
from guilder.chassis.ending import identity, living
from guilder.chassis.supervise import (
    QUICK_SECONDS,
    AlreadyRunning,
    Child,
    SuperviseError,
    Supervisor,
    detach,
    read_state,
    stop_running,
)

WAIT = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=1);"


def python(name: str, code: str, ready_file: Path | None = None) -> Child:
    return Child(name, [sys.executable, "-S", "-c", code], ready_file=ready_file)


def until(holds: Callable[[], bool]) -> None:
    """Let others work until it holds; at most 20 seconds."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def supervisor(tmp_path: Path, clock: Clock) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "run", clock)
    made.claim()
    made.sweep()
    yield made
    made.stop_all(0.5)
    made.release()


SCRIPT = """
import sys, time
from pathlib import Path
from guilder.chassis import supervise
from guilder.chassis.supervise import Child, Supervisor
supervise.CHECK_SECONDS = 0
s = Supervisor(Path(sys.argv[1]))
s.claim()
s.sweep()
try:
    for name in ("one", "two"):
        c = Child(name, [sys.executable, "-S", "-c", sys.argv[2]])
        s.start(c)
        s.wait_ready(c, 10)
    s.run_forever(check=lambda: s.publish({"api": "http://here"}))
finally:
    s.stop_all(float(sys.argv[3]))
print("ended in order")
"""


def in_background(run: Path, code: str = WAIT, grace: float = 5.0) -> psutil.Process:
    """A supervisor of two children in a process of its own, started and published."""
    run.parent.mkdir(exist_ok=True)
    log = run.parent / "supervisor.log"
    pid = detach([sys.executable, "-c", SCRIPT, str(run), code, str(grace)], log)

    def published() -> bool:
        state = read_state(run)
        return state is not None and state.pid == pid and state.addresses != {}

    until(published)
    return psutil.Process(pid)


def children_of(run: Path) -> list[psutil.Process]:
    state = read_state(run)
    assert state is not None
    return [psutil.Process(child.pid) for child in state.children]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(identity(process.pid) for process in processes)


# ---- one supervisor


def test_only_one_supervisor_and_the_second_is_told_where_the_first_is(tmp_path: Path) -> None:
    first = in_background(tmp_path / "run")
    with pytest.raises(AlreadyRunning) as told:
        Supervisor(tmp_path / "run").claim()
    assert (told.value.pid, told.value.addresses) == (first.pid, {"api": "http://here"})
    assert stop_running(tmp_path / "run", 10)


def test_a_successor_waits_for_one_that_is_ending(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.stop_all()
    assert read_state(tmp_path / "run") is None
    monkeypatch.setattr(supervise, "CLAIM_SECONDS", 0.05)
    with pytest.raises(SuperviseError, match="does not finish"):
        Supervisor(tmp_path / "run").claim()
    supervisor.release()
    successor = Supervisor(tmp_path / "run")
    successor.claim()
    successor.release()


def test_children_need_the_claim_and_a_name_that_can_name_a_file(tmp_path: Path) -> None:
    with pytest.raises(SuperviseError, match="Claim"):
        Supervisor(tmp_path).start(python("one", WAIT))
    for name in ("", "../x", "A b", "x" * 65):
        with pytest.raises(ValueError, match="name"):
            Child(name, ["true"])


# ---- ready


def test_ready_is_when_the_child_says_so(supervisor: Supervisor, tmp_path: Path) -> None:
    told = tmp_path / "ready"
    told.write_text("of an earlier run")
    code = f"import time; time.sleep(0.1); open({str(told)!r}, 'w').write('now'); {WAIT}"
    child = python("one", code, told)
    supervisor.start(child)
    supervisor.wait_ready(child, 10)
    assert told.read_text() == "now"
    asked = Child("two", child.argv, {"X": "1"}, ready=lambda: True)
    pid = supervisor.start(asked)
    supervisor.wait_ready(asked, 10)
    assert psutil.Process(pid).environ()["X"] == "1"
    assert os.getsid(pid) == pid
    supervisor.stop_all()
    assert not told.exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('no such port'); raise SystemExit(3)", "exit code 3.*no such port"),
        ("import os; os.kill(os.getpid(), 9)", "by signal 9"),
        (f"print('thinking', flush=True); {WAIT}", "not ready within 0.3 s.*thinking"),
    ],
)
def test_what_does_not_get_ready_says_why(
    supervisor: Supervisor, tmp_path: Path, code: str, said: str
) -> None:
    child = python("one", code, tmp_path / "never")
    supervisor.start(child)
    with pytest.raises(SuperviseError, match=f"(?s){said}"):
        supervisor.wait_ready(child, 0.3 if "thinking" in code else 20)


def test_a_program_that_does_not_exist_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(SuperviseError, match=r"one cannot be run.*/no/such"):
        supervisor.start(Child("one", ["/no/such"]))


# ---- restarts


def pid_now(run: Path) -> int:
    state = read_state(run)
    assert state is not None
    return state.children[0].pid


def test_a_dead_child_is_started_again_after_a_pause(
    supervisor: Supervisor, tmp_path: Path, clock: Clock
) -> None:
    told, again = tmp_path / "ready", []
    first = supervisor.start(python("one", f"open({str(told)!r}, 'w'); {WAIT}", told))
    clock.now = QUICK_SECONDS
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    supervisor.watch()
    supervisor.watch()
    assert pid_now(tmp_path / "run") == first
    clock.now += supervise.FIRST_PAUSE
    supervisor.watch()
    second = pid_now(tmp_path / "run")
    assert second != first

    def told_again() -> bool:
        supervisor.watch(lambda child: again.append(child.name))
        return again != []

    until(told_again)
    supervisor.watch(lambda child: again.append(child.name))
    assert again == ["one"]
    assert psutil.Process(second).is_running()


def test_a_long_life_forgives_earlier_quick_deaths(supervisor: Supervisor, clock: Clock) -> None:
    supervisor.start(python("one", "pass"))
    for seconds in (0.0, 0.0, QUICK_SECONDS):
        run = supervisor._runs["one"]
        os.waitid(os.P_PID, run.process.pid, os.WEXITED | os.WNOWAIT)
        clock.now += seconds
        supervisor.watch()
        assert run.restart_at is not None
        pause = run.restart_at - clock.now
        clock.now = run.restart_at
        supervisor.watch()
    assert pause == pytest.approx(supervise.FIRST_PAUSE)


def test_logs_stay_small(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "LOG_BYTES", 100)
    log = tmp_path / "run" / "one.log"
    supervisor.start(python("one", "print('a' * 200, flush=True);" + WAIT))
    until(lambda: log.stat().st_size > 200)
    supervisor._keep_logs_small()
    assert (log.stat().st_size, (tmp_path / "run" / "one.log.1").stat().st_size) == (0, 201)


def test_a_check_is_called_and_what_it_raises_ends_the_watch(supervisor: Supervisor) -> None:
    def broken() -> None:
        raise SuperviseError("the database is gone")

    supervisor._clock = time.monotonic
    with pytest.raises(SuperviseError, match="gone"):
        supervisor.run_forever(check=broken)


# ---- the end


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_supervisor_and_children_in_order(
    tmp_path: Path, how: signal.Signals
) -> None:
    first = in_background(tmp_path / "run")
    children = children_of(tmp_path / "run")
    first.send_signal(how)
    assert first.wait(20) == 0
    assert gone(children)
    assert read_state(tmp_path / "run") is None
    assert "ended in order" in (tmp_path / "supervisor.log").read_text()


def test_a_signal_while_starting_ends_what_was_started(tmp_path: Path) -> None:
    run = tmp_path / "run"
    late = SCRIPT.replace("s.run_forever(", "time.sleep(60); dict(")
    pid = detach([sys.executable, "-c", late, str(run), WAIT, "5"], tmp_path / "log")
    until(lambda: (state := read_state(run)) is not None and len(state.children) == 2)
    children = children_of(run)
    os.kill(pid, signal.SIGTERM)
    psutil.Process(pid).wait(20)
    assert gone(children)


def test_the_deaf_are_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    pid = supervisor.start(python("one", DEAF + WAIT))
    until(lambda: "deaf" in (tmp_path / "run" / "one.log").read_text())
    supervisor.stop_all(0.1)
    assert identity(pid) == ""


def test_what_a_child_started_ends_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-S', '-c', "
        f"{WAIT!r}], start_new_session=True); print(p.pid, flush=True); p.wait()"
    )
    supervisor.start(python("one", code))
    log = tmp_path / "run" / "one.log"
    until(lambda: log.read_text().endswith("\n"))
    grandchild = psutil.Process(int(log.read_text()))
    supervisor.stop_all()
    assert gone([grandchild])


def test_a_killed_supervisor_leaves_nothing_that_its_successor_does_not_end(
    tmp_path: Path,
) -> None:
    first = in_background(tmp_path / "run")
    children = children_of(tmp_path / "run")
    first.kill()
    first.wait(20)
    assert not gone(children)
    second = Supervisor(tmp_path / "run")
    second.claim()
    assert second.sweep() == ["one", "two"]
    assert gone(children)
    state = read_state(tmp_path / "run")
    assert state is not None
    assert (state.pid, state.children) == (os.getpid(), ())
    second.stop_all()
    second.release()


def test_a_child_that_was_not_yet_recorded_is_found(tmp_path: Path) -> None:
    first = in_background(tmp_path / "run")
    children = children_of(tmp_path / "run")
    first.kill()
    first.wait(20)
    (tmp_path / "run" / "supervisor.json").write_text("{ torn")
    assert stop_running(tmp_path / "run", 10)
    assert gone(children)
    assert not stop_running(tmp_path / "run", 10)


def test_stopping_from_outside_works_on_the_living_the_dead_and_the_deaf(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert not stop_running(run, 10)
    first = in_background(run)
    children = children_of(run)
    assert stop_running(run, 20)
    assert gone([first, *children])
    first = in_background(run)
    children = children_of(run)
    first.kill()
    assert stop_running(run, 20)
    assert gone([first, *children])
    first = in_background(run)
    children = children_of(run)
    first.suspend()  # hears nothing
    assert stop_running(run, 0.2)
    assert gone([first, *children])
    assert read_state(run) is None


def test_a_pid_given_to_another_program_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", WAIT]) as other:
        try:
            stale = {"pid": other.pid, "identity": "another boot:1"}
            state = {**stale, "children": [{"name": "one", **stale}]}
            (tmp_path / "supervisor.json").write_text(json.dumps(state))
            assert not stop_running(tmp_path, 10)
            second = Supervisor(tmp_path)
            second.claim()
            assert second.sweep() == []
            second.release()
            assert other.poll() is None
        finally:
            other.kill()


def test_identity_is_of_the_living_only() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "pass"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert identity(child.pid) == ""
    me = os.getpid()
    assert identity(me) == identity(me) != ""
    assert [p.pid for p in living([(me, identity(me)), (me, ""), (os.getppid(), "x")])] == [me]


@pytest.mark.parametrize("text", ["", "null", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_broken_state_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / supervised.STATE).write_text(text)
    assert read_state(tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_anothers_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    in_between = tmp_path / "run"
    in_between.mkdir()
    for parent in (in_between, *in_between.parents[:1]):
        parent.chmod(0o755)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.chdir(in_between)
            os.setuid(65534)
            with pytest.raises(SuperviseError, match="another user"):
                Supervisor(Path()).claim()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
