"""Private files: made once, for one user, also by two at once."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from guilder.chassis.keyfile import private_file


def test_a_file_is_made_once_and_for_its_user_alone(tmp_path):
    path = tmp_path / "a" / "b" / "signing.key"
    made = private_file(path, lambda: b"first")
    assert (made, private_file(path, lambda: b"second")) == (b"first", b"first")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["signing.key"]


def test_many_at_once_agree_on_one_secret(tmp_path):
    path = tmp_path / "x.key"
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: private_file(path, lambda: os.urandom(32)), range(64)))
    assert found == {path.read_bytes()}
    assert [p.name for p in tmp_path.iterdir()] == ["x.key"]


def test_a_crash_while_writing_leaves_no_half_secret(tmp_path, monkeypatch):
    def fail(handle):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        private_file(tmp_path / "x.key", lambda: b"secret")
    assert [p.name for p in tmp_path.iterdir()] == []


def test_an_empty_file_is_no_secret(tmp_path):
    (tmp_path / "key").touch()
    with pytest.raises(OSError, match="restore"):
        private_file(tmp_path / "key", lambda: b"new")
