"""What stands where in a backup, and what a data directory remembers of its backup.

A backup has two sides, in folders that may be far apart: `data` (all services but the vault) and
`vault` (keys and secrets). Below each:

    platform.json             whose backup this is
    RUN/                      an uninterrupted piece of the log and the base backups it begins at
        wal/                  the log's segments, received as they are written
        archived.json         how far the log is known to be here
        base/NAME/cluster/    a base backup, verified     base/NAME/label.json   what it holds
    secrets/                  (vault) key files, copied when they appear

Names are moments in UTC. What is being made or removed has a name that begins with a dot.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")

REMEMBERED = "backup.json"
FORMAT = 1


class BackupError(RuntimeError):
    """A backup or restore that cannot be made; the text says what to do next."""


class Remembered(msgspec.Struct, frozen=True):
    """`backup.json` of a data directory: where its log is archived to."""

    platform: str
    """Made at the first backup; a restored platform is another one and has none yet."""
    run: str
    data: str
    vault: str

    @property
    def sides(self) -> "dict[str, Side]":
        """Both sides by name."""
        return {"data": Side(Path(self.data)), "vault": Side(Path(self.vault))}


class Whose(msgspec.Struct, frozen=True):
    """`platform.json` of a side."""

    platform: str
    format: int = FORMAT


class Label(msgspec.Struct, frozen=True):
    """`label.json` of a base backup."""

    name: str
    guilder: str
    """The version that made it."""
    postgresql: int
    """The major version that can read it."""
    timeline: int
    started: datetime
    ended: datetime
    """From this moment on it can be restored."""
    start_lsn: str
    end_lsn: str
    size: int
    """Bytes."""
    migrations: dict[str, list[str]]
    """What had run, by database."""


class Archived(msgspec.Struct, frozen=True):
    """`archived.json`: what was committed until then is in `wal/`, on disk."""

    until: datetime
    lsn: str


@dataclass(frozen=True)
class Base:
    """A complete base backup."""

    run: "Run"
    label: Label

    @property
    def folder(self) -> Path:
        """Its place."""
        return self.run.bases / self.label.name

    @property
    def cluster(self) -> Path:
        """The data directory of PostgreSQL in it."""
        return self.folder / "cluster"


@dataclass(frozen=True)
class Run:
    """An uninterrupted piece of the log."""

    folder: Path

    @property
    def wal(self) -> Path:
        """Segments."""
        return self.folder / "wal"

    @property
    def bases(self) -> Path:
        """Base backups."""
        return self.folder / "base"

    def archived(self) -> Archived | None:
        """How far the log is known to be here; None before anything is."""
        return read(self.folder / "archived.json", Archived)


@dataclass(frozen=True)
class Side:
    """One side of a backup."""

    folder: Path

    @property
    def secrets(self) -> Path:
        """Key files (of the vault's side)."""
        return self.folder / "secrets"

    def whose(self) -> Whose | None:
        """Whose backup it is; None for an empty or absent folder, BackupError for another one."""
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return None
        found = read(self.folder / "platform.json", Whose)
        if found is None or found.format != FORMAT:
            raise BackupError(
                f"{self.folder} is not empty and holds no backup that this version of Guilder "
                "can read. Name the folder of a backup, or an empty one."
            )
        return found

    def run(self, name: str) -> Run:
        """A run by its name."""
        return Run(self.folder / name)

    def runs(self) -> list[Run]:
        """Every run, oldest first."""
        names = sorted(self.folder.iterdir()) if self.folder.exists() else []
        return [Run(path) for path in names if (path / "wal").is_dir()]

    def complete(self) -> Iterator[Base]:
        """Every complete base backup, oldest first."""
        for run in self.runs():
            for path in sorted(run.bases.glob("[0-9]*")):
                label = read(path / "label.json", Label)
                if label is not None:
                    yield Base(run, label)


def moment(at: datetime) -> str:
    """A moment in UTC as a name: sorts by time, and in lower case it can name a slot."""
    return f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03}Z"


def iso(at: datetime) -> str:
    """A moment in UTC as people and `--to` write it."""
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"


def slot_of(run: str) -> str:
    """The replication slot that keeps the log of a run until it is archived."""
    return f"guilder_{run.lower()}"


def lsn(text: str) -> int:
    """A place in the log (`16/B374D848`) as a number of bytes."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def read(path: Path, kind: type[T]) -> T | None:
    """A file of ours; None when it is absent, BackupError when it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise BackupError(f"{path} is damaged: {error}") from error


def write(path: Path, value: msgspec.Struct) -> None:
    """Write a file of ours whole and durably: a crash leaves the old one or the new one."""
    draft = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Make what was renamed in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(folder: Path) -> None:
    """Remove a folder; a crash half-way leaves nothing that looks complete."""
    gone = folder.with_name(f".{folder.name.lstrip('.')}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    if folder.exists():
        folder.rename(gone)
        shutil.rmtree(gone)
