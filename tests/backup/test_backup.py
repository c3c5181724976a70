"""Backups of real clusters: what is restored is what was committed, and what is damaged is said."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec
import psutil
import pytest

from guilder.backup.folder import (
    REMEMBERED,
    Archived,
    BackupError,
    Remembered,
    Side,
    lsn,
    moment,
    read,
    slot_of,
    write,
)
from guilder.backup.restore import restore
from guilder.backup.state import archive_state
from guilder.backup.take import take
from guilder.backup.wal import read_log, segment_name
from guilder.chassis.testing import soon
from guilder.cli.backup import _moment
from guilder.embedded import Home, provision_all, start_databases, stop_databases

pytestmark = pytest.mark.slow
MEGABYTE = 1024 * 1024


def quiet(stage, done, total):
    """Show nothing."""


def ask(cluster, sql, *args, database="postgres"):
    async def once():
        connection = await asyncpg.connect(**cluster.superuser_dsn(database))
        try:
            return await connection.fetch(sql, *args)
        finally:
            await connection.close()

    return asyncio.run(once())


@dataclass
class Bank:
    """Running clusters with an archiver, and what was committed when: the oracle."""

    home: Home
    folder: Path
    archiver: subprocess.Popen | None = None
    committed: list[tuple[int, datetime]] = field(default_factory=list)

    @property
    def sides(self):
        return Side(self.folder / "data"), Side(self.folder / "vault")

    def archive(self):
        self.stop_archiver()
        command = [sys.executable, "-m", "guilder.backup.archive", str(self.home.data)]
        self.archiver = subprocess.Popen(command)

    def stop_archiver(self, name=signal.SIGTERM):
        if self.archiver is not None:
            self.archiver.send_signal(name)
            self.archiver.wait(30)

    def take(self, folder=None, keep=3):
        folder = folder or self.folder
        return take(self.home, folder / "data", folder / "vault", keep, quiet)

    def pay(self, count=1):
        """Commit rows one by one; the last moment at which all of them are there."""
        for _ in range(count):
            number = len(self.committed)
            ask(self.home.cluster(), "INSERT INTO paid VALUES ($1)", number)
            self.committed.append((number, datetime.now(UTC)))
        return self.committed[-1][1]

    def archived(self):
        """Wait until all that is committed is in the backup, and known to be."""
        for cluster, side in zip(
            (self.home.cluster(), self.home.vault_cluster()), self.sides, strict=True
        ):
            ((at, now),) = ask(
                cluster, "SELECT clock_timestamp(), pg_current_wal_flush_lsn()::text"
            )
            run = side.run(read(self.home.data / REMEMBERED, Remembered).run)
            soon(
                run.archived,
                lambda a, now=now, at=at: a and lsn(a.lsn) >= lsn(now) and a.until > at,
            )

    def expected(self, to=None):
        return [number for number, at in self.committed if to is None or at <= to]


@pytest.fixture(scope="module")
def bank():
    root = Path(tempfile.mkdtemp(prefix="guilder-backup-"))
    home = Home(root / "bank")
    home.prepare()
    clusters = (home.cluster(), home.vault_cluster())
    start_databases(clusters)
    made = Bank(home, root / "kept")
    try:
        asyncio.run(provision_all(home, {}))
        ask(home.cluster(), "CREATE TABLE paid (number int PRIMARY KEY)")
        made.archive()
        made.pay(3)
        made.take()
        made.pay(5)
        made.archived()
        yield made
    finally:
        made.stop_archiver()
        stop_databases(clusters)
        shutil.rmtree(root)


@pytest.fixture
def target(tmp_path):
    """Where to restore to; whatever runs there is stopped."""
    yield tmp_path / "restored"
    for place in (tmp_path / "restored", tmp_path / ".restored.restoring"):
        if place.exists():
            stop_databases([Home(place).cluster(), Home(place).vault_cluster()])


def copied(bank, tmp_path):
    """The backup, in which a file may be replaced. What is just being written is not copied."""
    drafts = shutil.ignore_patterns(".*.new")
    shutil.copytree(bank.folder, tmp_path / "copy", copy_function=os.link, ignore=drafts)
    return Side(tmp_path / "copy" / "data"), Side(tmp_path / "copy" / "vault")


def change(path, at):
    """Flip a bit of a file; the original that it was linked to stays."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.unlink()
    path.write_bytes(content)


def paid_in(target):
    """What a restored platform has."""
    home = Home(target)
    start_databases([home.cluster(), home.vault_cluster()])
    try:
        return [row["number"] for row in ask(home.cluster(), "SELECT * FROM paid ORDER BY 1")]
    finally:
        stop_databases([home.cluster(), home.vault_cluster()])


def servers_in(place):
    found = []
    for process in psutil.process_iter(["name", "cwd"]):
        if process.info["name"] == "postgres" and str(place) in (process.info["cwd"] or ""):
            found.append(process)
    return found


def test_without_a_moment_everything_archived_is_restored(bank, target):
    done = restore(*bank.sides, None, target, quiet)
    assert (done.lost, done.last_lost) == (0, None)
    assert paid_in(target) == bank.expected()
    assert not (target / REMEMBERED).exists()
    secrets = {p.relative_to(bank.home.secrets) for p in bank.home.secrets.rglob("*")}
    assert {p.relative_to(target / "secrets") for p in (target / "secrets").rglob("*")} == secrets
    assert {p.stat().st_mode & 0o077 for p in (target / "secrets").rglob("*")} == {0}


def test_a_moment_is_met_to_the_transaction(bank, target):
    moment_wanted = bank.committed[5][1]
    done = restore(*bank.sides, moment_wanted, target, quiet)
    assert paid_in(target) == bank.expected(moment_wanted)
    assert bank.committed[4][1] < done.reached <= moment_wanted
    assert done.lost >= 2
    assert done.last_lost > moment_wanted


def test_a_moment_without_anything_after_it_is_met_as_well(bank, target):
    bank.archived()
    until = min(side.runs()[-1].archived().until for side in bank.sides)
    assert restore(*bank.sides, until, target, quiet).lost == 0
    assert paid_in(target) == bank.expected()


def test_what_cannot_be_restored_is_refused_with_a_reason(bank, target, tmp_path):
    now = datetime.now(UTC)

    def refused(match, sides=bank.sides, to=None, where=target):
        with pytest.raises(BackupError, match=match):
            restore(*sides, to, where, quiet)
        assert not where.exists() or where == tmp_path
        assert not where.with_name(f".{where.name}.restoring").exists()

    refused("earliest moment that can be restored", to=bank.committed[0][1])
    refused("is archived until", to=now + timedelta(hours=1))
    refused("holds no backup", sides=(Side(tmp_path / "no"), bank.sides[1]))
    (tmp_path / "x").touch()
    refused("can read", sides=(Side(tmp_path), bank.sides[1]))
    refused("never overwrites", where=tmp_path)
    for text, match in (("yesterday", "ISO 8601"), ("2026-11-24T09:30:00", "which zone")):
        with pytest.raises(BackupError, match=match):
            _moment(text)
    assert _moment("2026-11-24T10:30:00+01:00") == datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def test_backups_of_two_platforms_do_not_mix(bank, target, tmp_path):
    data, vault = copied(bank, tmp_path)
    (vault.folder / "platform.json").unlink()
    write(vault.folder / "platform.json", msgspec.structs.replace(data.whose(), platform="other"))
    with pytest.raises(BackupError, match="different platforms"):
        restore(data, vault, None, target, quiet)
    with pytest.raises(BackupError, match="another platform"):
        bank.take(tmp_path / "copy")


def test_a_flipped_bit_in_a_base_backup_is_found(bank, target, tmp_path):
    data, vault = copied(bank, tmp_path)
    (base,) = list(data.complete())[-1:]
    largest = max(base.cluster.rglob("base/*/*"), key=lambda path: path.stat().st_size)
    change(largest, 5000)
    with pytest.raises(BackupError, match=rf"damaged.*{largest.name}"):
        restore(data, vault, None, target, quiet)


def test_a_broken_log_is_found_and_what_is_before_it_restored(bank, target, tmp_path):
    data, vault = copied(bank, tmp_path)
    base = list(data.complete())[-1]
    third = bank.committed[3][1]
    cut = read_log(base, third).cut
    path = base.run.wal / segment_name(1, lsn(cut))
    path = path if path.exists() else path.with_name(f"{path.name}.partial")
    last = read_log(base, bank.committed[6][1]).cut
    change(path, (lsn(last) + 30) % (16 * MEGABYTE))
    with pytest.raises(BackupError, match=f"{path.name[:24]} is damaged"):
        restore(data, vault, None, target, quiet)
    restore(data, vault, third, target, quiet)
    assert paid_in(target) == bank.expected(third)


@pytest.mark.parametrize("how", ["missing", "short"])
def test_a_lost_segment_is_found(bank, target, tmp_path, how):
    data, vault = copied(bank, tmp_path)
    base = list(data.complete())[-1]
    (first, *_) = sorted(base.run.wal.glob(f"{segment_name(1, lsn(base.label.start_lsn))}*"))
    content = first.read_bytes()
    first.unlink()
    if how == "short":
        first.write_bytes(content[:MEGABYTE])
    with pytest.raises(BackupError, match="missing or cut short"):
        restore(data, vault, None, target, quiet)


def test_what_a_newer_release_has_made_is_refused(bank, target, tmp_path):
    data, vault = copied(bank, tmp_path)
    base = list(data.complete())[-1]
    for change_, match in (
        ({"postgresql": 19}, "PostgreSQL 19"),
        ({"migrations": {"ledger": ["9999_next.sql"]}}, "does not know 9999_next.sql of ledger"),
    ):
        (base.folder / "label.json").unlink()
        write(base.folder / "label.json", msgspec.structs.replace(base.label, **change_))
        with pytest.raises(BackupError, match=match):
            restore(data, vault, None, target, quiet)


def test_the_data_hold_no_secret_and_new_secrets_reach_the_vaults_side(bank):
    bank.home.secret("later.key")
    soon((bank.sides[1].secrets / "later.key").exists, bool)
    secrets = [p.read_bytes() for p in bank.home.secrets.rglob("*") if p.is_file()]
    for name in ("postgres", "vault"):
        password = (bank.home.data / name / "superuser.json").read_bytes()
        secrets.append(password.split(b'"')[3])
    for path in bank.sides[0].folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [s for s in secrets if s in content], path


def test_the_next_backup_ends_destroyed_keys_and_old_base_backups(bank):
    vault, marker = bank.home.vault_cluster(), os.urandom(16).hex()
    ask(vault, "CREATE TABLE k (v text)", database="vault")
    ask(vault, "INSERT INTO k VALUES ($1)", marker, database="vault")
    bank.take()
    bank.archived()
    assert holders(bank.sides[1].folder, marker)
    ask(vault, "UPDATE k SET v=NULL", database="vault")
    taken = bank.take(keep=2)
    bank.archived()
    assert holders(bank.sides[1].folder, marker) == []
    assert len(list(bank.sides[1].complete())) == 1
    bases = list(bank.sides[0].complete())
    assert [base.label.name for base in bases] == taken.kept
    assert len(bases) == 2
    segments = sorted(path.name[:24] for path in bases[0].run.wal.iterdir())
    assert segments[0] == segment_name(1, lsn(bases[0].label.start_lsn))


def holders(folder, text):
    return [p for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


def test_a_killed_receiver_and_a_killed_archiver_lose_nothing(bank, target):
    for receiver in psutil.Process(bank.archiver.pid).children():
        receiver.kill()
    bank.pay()
    bank.archived()
    bank.stop_archiver(signal.SIGKILL)
    bank.pay()
    bank.archive()
    bank.pay()
    bank.archived()
    restore(*bank.sides, None, target, quiet)
    assert paid_in(target) == bank.expected()


def test_a_folder_that_is_gone_is_said_and_comes_back(bank):
    bank.folder.rename(bank.folder.with_name("away"))
    for receiver in psutil.Process(bank.archiver.pid).children():
        receiver.kill()
    state = soon(lambda: archive_state(bank.home, datetime.now(UTC)), lambda s: s.problem)
    assert "mounted" in state.problem
    with pytest.raises(BackupError, match="mounted"):
        bank.take()
    assert not bank.folder.exists()
    bank.folder.with_name("away").rename(bank.folder)
    bank.archived()
    soon(lambda: archive_state(bank.home, datetime.now(UTC)), lambda s: s.problem is None)


def test_a_gap_in_the_log_is_said_and_ended_by_the_next_backup(bank, target):
    run = read(bank.home.data / REMEMBERED, Remembered).run
    for receiver in psutil.Process(bank.archiver.pid).children():
        receiver.terminate()
        receiver.wait(10)
    soon(
        lambda: ask(
            bank.home.cluster(),
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name=$1 AND NOT active",
            slot_of(run),
        ),
        bool,
    )
    state = soon(lambda: archive_state(bank.home, datetime.now(UTC)), lambda s: s.problem)
    assert "guilder backup" in state.problem
    lost = bank.pay()
    taken = bank.take()
    assert taken.gap_since < lost
    bank.pay()
    bank.archived()
    with pytest.raises(BackupError, match="is archived until"):
        restore(*bank.sides, lost, target, quiet)
    restore(*bank.sides, None, target, quiet)
    assert paid_in(target) == bank.expected()


def test_a_restored_platform_is_another_one(bank, target):
    restore(*bank.sides, None, target, quiet)
    home = Home(target)
    start_databases([home.cluster(), home.vault_cluster()])
    home.prepare()
    with pytest.raises(BackupError, match="restored from"):
        take(home, *(side.folder for side in bank.sides), 1, quiet)


def test_a_killed_restore_leaves_nothing_that_would_start(bank, target):
    command = [sys.executable, "-m", "guilder.cli", "restore", str(bank.folder), "--data"]
    running = subprocess.Popen([*command, str(target)], stderr=subprocess.DEVNULL)
    draft = target.with_name(".restored.restoring")
    soon(lambda: servers_in(draft), bool)
    running.kill()
    running.wait()
    assert not target.exists()
    restore(*bank.sides, None, target, quiet)
    assert paid_in(target) == bank.expected()
    assert servers_in(target.parent) == []
    assert not draft.exists()


def test_a_vault_that_was_cut_off_earlier_than_the_data_is_refused(bank, target):
    insert = "INSERT INTO feed_position (feed, position) VALUES ('vault', '999999999.1')"
    ask(bank.home.cluster(), insert, database="parties")
    try:
        bank.archived()
        with pytest.raises(BackupError, match="followed the vault further"):
            restore(*bank.sides, None, target, quiet)
    finally:
        ask(bank.home.cluster(), "DELETE FROM feed_position", database="parties")


def test_a_vault_whose_archive_ended_long_before_the_data_is_refused(bank, target, tmp_path):
    bank.pay()
    bank.archived()
    data, vault = copied(bank, tmp_path)
    run = vault.run(read(bank.home.data / REMEMBERED, Remembered).run)
    known = run.archived()
    behind = Archived(known.until - timedelta(minutes=5), known.lsn)
    (run.folder / "archived.json").unlink()
    write(run.folder / "archived.json", behind)
    with pytest.raises(BackupError, match=r"vault is archived until .* Restore with --to"):
        restore(data, vault, None, target, quiet)
    assert not target.exists()
    near = Archived(known.until - timedelta(seconds=5), known.lsn)
    write(run.folder / "archived.json", near)
    restore(data, vault, None, target, quiet)
    assert paid_in(target) == bank.expected()


def test_names_of_moments_sort_and_name_slots():
    early = datetime(2026, 11, 24, 9, 59, 59, 999_999, tzinfo=UTC)
    assert moment(early) < moment(early + timedelta(milliseconds=1))
    assert slot_of(moment(early)).isidentifier()
    assert segment_name(1, lsn("1/2000028")) == "000000010000000100000002"
