"""Asking a running supervisor: whoever asks, however badly, never stops or holds it up."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guilder.chassis.control import MAX_LINE, MAX_WAITING, Control, Request, ask
from guilder.chassis.supervise import SuperviseError, control_socket, read_state, stop_running
from tests.chassis.test_supervise import DEAF, WAIT, in_background, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sock"


@pytest.fixture
def door(path: Path) -> Iterator[Control]:
    made = Control(path)
    yield made
    made.close()


def client(path: Path, data: bytes = b"") -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(5)
    made.connect(str(path))
    made.sendall(data)
    return made


def heard(door: Control, times: int = 6) -> list[dict[str, object]]:
    """Everything asked so far; the supervisor must come back at once each time."""
    found: list[Request] = []
    for _ in range(times):
        began = time.monotonic()
        found += door.poll(0.0)
        assert time.monotonic() - began < 1
    for request in found:
        request.end()
    return [request.words for request in found]


def test_a_question_and_its_lines(door: Control, path: Path) -> None:
    with client(path, b'{"restart": ["one"]}\n') as asking:
        (request,) = door.poll(1) or door.poll(1)
        assert request.words == {"restart": ["one"]}
        request.say(name="one", state="starting")
        request.say(done=True)
        request.end()
        lines = [json.loads(line) for line in asking.makefile("rb")]
    assert lines == [{"name": "one", "state": "starting"}, {"done": True}]


def test_a_line_may_come_in_pieces(door: Control, path: Path) -> None:
    with client(path, b'{"rest') as asking:
        assert heard(door) == []
        asking.sendall(b'art": [1]}')
        assert heard(door) == []
        asking.sendall(b"\n")
        assert heard(door) == [{"restart": [1]}]


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"restart\n",
        b"[]\n",
        b"null\n",
        b'"restart"\n',
        b"\xff\xfe\n",
        b'{"a": 1}\n{"b": 2}\n',
        b"[" * (MAX_LINE - 1) + b"\n",
        b'{"a":' * 700 + b"\n",
        b"x" * MAX_LINE,
        b"9" * (MAX_LINE - 1) + b"\n",
        b"\0" * 100 + b"\n",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_question_is_hung_up_on(door: Control, path: Path, data: bytes) -> None:
    with client(path, data) as asking:
        assert heard(door) == []
        assert asking.recv(10) == b""
    with client(path, b'{"a": 1}\n'):
        assert heard(door) == [{"a": 1}]


def test_a_megabyte_is_read_no_further_than_a_line(door: Control, path: Path) -> None:
    with client(path) as asking:
        asking.setblocking(False)
        for _ in range(5):
            with contextlib.suppress(OSError):
                asking.sendall(b"x" * 1024 * 1024)
            assert heard(door) == []
    assert door._heard == {}


def test_half_a_line_and_gone(door: Control, path: Path) -> None:
    client(path, b'{"rest').close()
    client(path).close()
    client(path, b'{"a": 1}').close()  # whole, without its end
    assert heard(door) == [{"a": 1}]
    assert door._heard == {}


def test_who_says_nothing_makes_room(door: Control, path: Path) -> None:
    silent = []
    for _ in range(5 * MAX_WAITING):
        silent.append(client(path))
        heard(door, 1)
    assert len(door._heard) <= MAX_WAITING
    assert silent[0].recv(1) == b""
    with client(path, b'{"a": 1}\n'):
        assert heard(door) == [{"a": 1}]
    for each in silent:
        each.close()


def test_without_a_file_for_another_nobody_is_let_in_and_nothing_ends(
    door: Control, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self, real: socket.socket) -> None:
            self.real = real

        def fileno(self) -> int:
            return self.real.fileno()

        def accept(self) -> None:
            raise OSError(24, "Too many open files")

        def close(self) -> None:
            self.real.close()

    real = door._listening
    with client(path, b'{"a": 1}\n'):
        monkeypatch.setattr(door, "_listening", Full(real))
        assert heard(door) == []
        monkeypatch.setattr(door, "_listening", real)
        assert heard(door) == [{"a": 1}]


def test_one_who_never_reads_holds_nobody_up_and_gets_no_torn_lines(
    door: Control, path: Path
) -> None:
    with client(path, b'{"a": 1}\n') as asking:
        (request,) = door.poll(1) or door.poll(1)
        began = time.monotonic()
        for _ in range(2_000):
            request.say(detail="x" * 1_000)
        assert time.monotonic() - began < 5
        request.end()
        lines = asking.makefile("rb").read().split(b"\n")
    assert len(lines) > 1
    assert all(json.loads(line) for line in lines[:-1])


def test_one_who_hangs_up_is_talked_to_no_more(door: Control, path: Path) -> None:
    asking = client(path, b'{"a": 1}\n')
    (request,) = door.poll(1) or door.poll(1)
    asking.close()
    for _ in range(3):
        request.say(detail="x")
    request.end()


def test_the_door_is_for_its_owner_alone(tmp_path: Path) -> None:
    first = in_background(tmp_path / "run")
    where = Path(control_socket(tmp_path / "run")).resolve()
    assert where.parent.stat().st_mode & 0o777 == 0o700
    assert stop_running(tmp_path / "run", 10)
    assert not where.exists()
    first.wait(10)


# ---- the side of whoever asks


def served(path: Path, answer: Callable[[socket.socket], None]) -> threading.Thread:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        connection, _ = listening.accept()
        with listening, connection:
            answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda c: (c.recv(100), time.sleep(0.5)), "does not answer"),
        (lambda c: (c.recv(100), c.sendall(b'{"a": 1}\n{"b')), "in the middle"),
        (lambda c: (c.recv(100), c.sendall(b"HTTP/1.1 400\n")), "in the middle"),
    ],
)
def test_a_bad_answer_is_a_sentence(path: Path, answer: Callable[..., None], said: str) -> None:
    thread = served(path, answer)
    with pytest.raises(SuperviseError, match=said):
        list(ask(str(path), 0.2, restart=["one"]))
    thread.join()


def test_nobody_there_is_a_sentence(path: Path) -> None:
    for _ in range(2):
        with pytest.raises(SuperviseError, match="guilder up"):
            list(ask(str(path), 1, restart=["one"]))
        with contextlib.suppress(OSError):
            stale = socket.socket(socket.AF_UNIX)
            stale.bind(str(path))
            stale.close()


def test_a_full_queue_is_no_reason_to_start_another(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as waiting:
        listening.bind(str(path))
        listening.listen(0)
        with contextlib.suppress(BlockingIOError):
            for _ in range(5):
                waiting.enter_context(client(path))
        with pytest.raises(SuperviseError, match="does not answer"):
            list(ask(str(path), 1, restart=["one"]))


def test_a_running_supervisor_survives_everybody(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = in_background(run)
    where = Path(control_socket(run))
    rude = [b"", b"\n", b"{", b"[" * 4000 + b"\n", b"x" * 10_000, b'{"restart": 5}\n']
    rude += [b'{"restart": [[]]}\n', b'{"restart": ["nobody"]}\n', b'{"restart": {"one": 1}}\n']
    kept = []
    for data in rude * 3:
        with contextlib.suppress(OSError):
            kept.append(client(where, data))
            client(where, data).close()
    lines: list[dict[str, object]] = []

    def asked() -> bool:
        with contextlib.suppress(SuperviseError):  # as long as the rude fill the queue
            lines.extend(ask(str(where), 10, restart=["one", "two"]))
        return lines != []

    until(asked)
    assert lines[-1] == {"done": True, "ok": True}
    assert [line["state"] for line in lines[:-1]].count("done") == 2
    state = read_state(run)
    assert state is not None
    assert state.pid == first.pid
    assert {child.restarts for child in state.children} == {0}
    for each in kept:
        each.close()
    assert stop_running(run, 20)


def test_ending_during_a_restart_ends_the_answer(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = in_background(run, DEAF + WAIT, grace=0.2)
    until(lambda: "deaf" in (run / "one.log").read_text())
    lines = ask(control_socket(run), 20, restart=["one"])
    assert next(lines)["state"] == "starting"
    first.terminate()
    assert "done" not in [line["state"] for line in lines]
    first.wait(20)
    assert read_state(run) is None
