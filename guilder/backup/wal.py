"""Reading an archived log: is it whole, what was committed when, and where would a moment cut it.

Nothing is believed that was not read: pg_waldump checks every record's checksum from the base
backup on, before anything is restored.
"""

import re
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from guilder.backup.folder import BackupError, Base, lsn
from guilder.backup.programs import program

SEGMENT = 16 * 1024 * 1024
"""Bytes of a segment: the default, which our clusters keep."""

_COMMIT = re.compile(
    r"lsn: ([0-9A-F/]+), prev [0-9A-F/]+, desc: (?:COMMIT|ABORT)(?:_PREPARED)? (?:\d+: )?"
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC"
)
_STOPPED = re.compile(r"error in WAL record at .*?([0-9A-F]+/[0-9A-F]+)(?:, offset \d+|: [^/]*)?$")
"""The last place in pg_waldump's message is where it could not read on."""
_BEFORE = "restore to an earlier moment with --to, or take another copy of the backup"


@dataclass(frozen=True)
class Reading:
    """What the log of a run says from a base backup on."""

    segments: list[Path]
    """To be restored, in order; the last one may be `.partial`."""
    reached: datetime
    """The last transaction before the cut, or the end of the base backup."""
    last: datetime
    """The last transaction in the archive."""
    lost: int
    """Transactions in the archive that a restore to the cut leaves out."""
    cut: str | None
    """Where the first transaction after the wanted moment ends; None = keep everything."""
    end: str
    """How far the archive is known to reach."""


def segment_name(timeline: int, place: int) -> str:
    """The file that holds a place of the log."""
    per_id = 0x100000000 // SEGMENT
    number = place // SEGMENT
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def read_log(base: Base, to: datetime | None) -> Reading:
    """Read the log from a base backup to its end.

    BackupError where it is broken, unless the moment `to` is certain to lie before that.
    """
    archived = base.run.archived()
    known = [base.label.end_lsn] + ([archived.lsn] if archived else [])
    end = max(known, key=lsn)
    reached = last = base.label.ended
    lost, cut, broken = 0, None, None
    segments = _contiguous(base)
    try:
        for place, at in _transactions(segments, base, lsn(end)):
            if at <= base.label.ended:
                continue
            if to is not None and (cut is not None or at > to):
                cut = cut or place
                lost += 1
            else:
                reached = max(reached, at)
            last = max(last, at)
    except BackupError as error:
        broken = error
    if cut is not None:
        final = segment_name(base.label.timeline, lsn(cut))
        segments = [path for path in segments if path.name[:24] <= final]
    elif broken is not None:
        raise broken
    return Reading(segments, reached, last, lost, cut, end)


def _contiguous(base: Base) -> list[Path]:
    """The segments from the base backup on, up to the first that is missing or short."""
    found: list[Path] = []
    while True:
        place = lsn(base.label.start_lsn) + len(found) * SEGMENT
        name = segment_name(base.label.timeline, place)
        for path in (base.run.wal / name, base.run.wal / f"{name}.partial"):
            if path.exists() and path.stat().st_size == SEGMENT:
                found.append(path)
                break
        else:
            return found


def _transactions(segments: list[Path], base: Base, end: int) -> Iterator[tuple[str, datetime]]:
    """Place and time of every transaction; BackupError if what is before `end` is not whole."""
    following = lsn(base.label.start_lsn) // SEGMENT * SEGMENT + len(segments) * SEGMENT
    missing = base.run.wal / segment_name(base.label.timeline, following)
    if segments:
        with tempfile.TemporaryDirectory(prefix="guilder-wal-") as folder:
            for path in segments:
                (Path(folder) / path.name[:24]).symlink_to(path.resolve())
            stopped, said = yield from _dump(folder, base)
        if stopped is not None and stopped < end:
            broken = base.run.wal / segment_name(base.label.timeline, stopped)
            raise BackupError(f"{broken} is damaged ({said}); {_BEFORE}.")
    if following < end:
        raise BackupError(f"{missing} is missing or cut short; {_BEFORE}.")


def _dump(folder: str, base: Base) -> Generator[tuple[str, datetime], None, tuple[int | None, str]]:
    """Run pg_waldump; where it stopped (None at the end of the last segment) and why."""
    command = [program("pg_waldump"), "--path", folder]
    command += ["--timeline", str(base.label.timeline), "--start", base.label.start_lsn]
    command += ["--rmgr", "Transaction"]
    environment = {"TZ": "UTC", "LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as reader:
            assert reader.stdout is not None
            for line in reader.stdout:
                if found := _COMMIT.search(line):
                    yield found[1], datetime.fromisoformat(found[2]).replace(tzinfo=UTC)
        errors.seek(0)
        said = errors.read().strip().removeprefix("pg_waldump: error: ")
    if found := _STOPPED.search(said):
        return lsn(found[1]), said
    return (None, said) if "could not find file" in said else (0, said)
