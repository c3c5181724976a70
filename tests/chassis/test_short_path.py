"""A folder of sockets stays reachable however deep it lies, and nothing is trusted on the way."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guilder.chassis import short_path
from guilder.chassis.short_path import ADDRESS_BYTES

LONGEST = "notifications.sock"


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    folder = tmp_path / ("deep" * 12) / ("deeper" * 12)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def note(tmp_path: Path):
    made = tmp_path / "note"
    yield made
    short_path.forget(made)


def test_a_path_that_fits_is_taken_as_it_is(tmp_path: Path, note: Path) -> None:
    room = ADDRESS_BYTES - len(os.fsencode(tmp_path)) - 2
    assert short_path.to(tmp_path, "x" * room, note) == str(tmp_path)
    assert not note.exists()
    assert short_path.to(tmp_path, "x" * (room + 1) + "x", note) != str(tmp_path)


def test_a_link_leads_where_the_path_is_too_long(deep: Path, note: Path) -> None:
    where = short_path.to(deep, LONGEST, note)
    assert len(f"{where}/{LONGEST}") <= ADDRESS_BYTES
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{where}/{LONGEST}")
    assert (deep / LONGEST).is_socket()
    assert short_path.to(deep, LONGEST, note) == where
    assert note.stat().st_mode & 0o777 == 0o600
    assert Path(where).parent.stat().st_mode & 0o777 == 0o700


def test_bytes_are_counted_and_not_letters(tmp_path: Path, note: Path) -> None:
    room = ADDRESS_BYTES - len(f"{tmp_path}//{LONGEST}")  # for letters of one byte
    folder = tmp_path / ("é" * max(1, room))
    folder.mkdir()
    assert short_path.to(folder, LONGEST, note) != str(folder)


def test_a_link_that_was_cleaned_away_is_made_again(deep: Path, note: Path) -> None:
    first = Path(short_path.to(deep, LONGEST, note))
    first.unlink()
    first.parent.rmdir()
    second = Path(short_path.to(deep, LONGEST, note))
    assert second.readlink() == deep
    assert note.read_text() == str(second)


@pytest.mark.parametrize("wrong", ["elsewhere", "open to others", "no link"])
def test_a_link_that_is_not_ours_any_more_is_not_followed(
    deep: Path, note: Path, tmp_path: Path, wrong: str
) -> None:
    first = Path(short_path.to(deep, LONGEST, note))
    if wrong == "open to others":
        first.parent.chmod(0o777)
    else:
        first.unlink()
        first.symlink_to(tmp_path) if wrong == "elsewhere" else first.mkdir()
    second = Path(short_path.to(deep, LONGEST, note))
    assert second != first
    assert second.readlink() == deep
    first.rmdir() if wrong == "no link" else first.unlink()
    first.parent.rmdir()


def test_many_who_make_it_at_once_all_arrive(deep: Path, note: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: short_path.to(deep, LONGEST, note), range(40)))
    assert {Path(where).readlink() for where in found} == {deep}
    assert note.read_text() in found
    for where in {Path(where) for where in found} - {Path(note.read_text())}:
        where.unlink()
        where.parent.rmdir()


def test_forgetting_leaves_nothing_and_may_be_repeated(deep: Path, note: Path) -> None:
    where = Path(short_path.to(deep, LONGEST, note))
    for _ in range(2):
        short_path.forget(note)
        assert not where.parent.exists()
        assert not note.exists()
    assert deep.is_dir()
