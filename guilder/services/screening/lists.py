"""The list files in the operator's folder: read, read again when they change, kept when broken."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import structlog

from guilder.chassis.clock import Clock
from guilder.chassis.meter import Measure
from guilder.contracts.errors import Unavailable
from guilder.services.screening import eu, ofac, un
from guilder.services.screening.entry import SENTINEL_ENTRIES, Entry
from guilder.services.screening.index import Index
from guilder.services.screening.xml import MOST_ENTRIES, BadList, elements

log = structlog.get_logger()

SAMPLE: Final = Path(__file__).parent / "sample"
"""The made-up lists that ship, one in each format."""

MOST_BASIS: Final = 300

Signature = tuple[tuple[str, int, int], ...]
Reader = Callable[[Path], tuple[str, date | None, list[Entry]]]

_ROOTS: Final[dict[str, Reader]] = {
    "sdnList": ofac.read_xml,
    "CONSOLIDATED_LIST": un.read,
    "export": eu.read,
}


@dataclass
class ListFile:
    """A file of the folder and what was last read from it."""

    path: Path
    signature: Signature = ()
    of: str = ""
    published: date | None = None
    entries: list[Entry] = field(default_factory=list)
    fault: str | None = None
    """Why the file as it is now cannot be read; what was read before is kept."""

    @property
    def read_before(self) -> bool:
        """Whether it could be read at any time since this process started."""
        return bool(self.of)


class Lists:
    """The files of a folder, and the index made from them.

    A check needs every file to have been read once: as long as one was never read, nobody can be
    cleared (Unavailable). A file that breaks later leaves what was read from it before.
    """

    def __init__(self, folder: Path | None, clock: Clock) -> None:
        """`folder` None = the sample."""
        self.folder, self.clock = folder or SAMPLE, clock
        self.files: dict[str, ListFile] = {}
        """Changed in a thread: read elsewhere from a copy, which is made at once."""
        self.fault: str | None = None
        """Why the folder itself cannot be read."""
        self._index: Index | None = None
        self._basis = ""
        self._turn = asyncio.Lock()

    async def current(self) -> tuple[Index, str]:
        """The index and what it was made from; Unavailable while a list was never read."""
        if self._index is None:
            await self.refresh()
        never = [name for name, file in list(self.files.items()) if not file.read_before]
        if self._index is None or never or not self.files:
            raise Unavailable("the lists cannot be read", retry_after=5)
        return self._index, self._basis

    async def refresh(self) -> bool:
        """Read what has changed; whether anything has."""
        async with self._turn:
            changed = await asyncio.to_thread(self._read)
            if changed or self._index is None:
                self._index = await asyncio.to_thread(self._make)
                self._basis = self._said()
                log.info("lists", entries=self._index.entries, files=len(self.files))
            return changed

    def _read(self) -> bool:
        found: dict[str, Signature] = {}
        fault = f"{self.folder} holds no list"
        try:
            found = _folder(self.folder)
        except OSError as error:
            fault = f"{self.folder} cannot be read: {error.strerror}"
        if not found:  # lists do not vanish: somebody is exchanging them, or erred
            if fault != self.fault:
                log.error("lists", fault=fault)
            self.fault = fault
            return False
        self.fault = None
        gone = self.files.keys() - found.keys()
        for name in gone:
            log.warning("list is gone", file=name, list=self.files.pop(name).of)
        changed = [name for name in found if self._read_file(name, found[name])]
        return bool(gone or changed)

    def _read_file(self, name: str, signature: Signature) -> bool:
        """Read a file that has changed; whether there is something new in it."""
        file = self.files.setdefault(name, ListFile(self.folder / name))
        if file.signature == signature:
            return False
        file.signature = signature
        try:
            of, published, entries = _reader(file.path)(file.path)
            if not entries:
                raise BadList(f"{name} holds no entry")
            if len(entries) > MOST_ENTRIES:
                raise BadList(f"{name} holds more than {MOST_ENTRIES} entries")
        except (BadList, OSError) as error:
            file.fault = str(error)
            log.error("list is broken", file=name, fault=file.fault, kept=len(file.entries))
            return False
        file.of, file.published, file.entries, file.fault = of, published, entries, None
        return True

    def _make(self) -> Index:
        every = (entry for file in self.files.values() for entry in file.entries)
        return Index([*SENTINEL_ENTRIES, *every])

    def _said(self) -> str:
        """Which lists, as of when."""
        said = []
        for file in sorted(self.files.values(), key=lambda f: (f.of, f.path.name)):
            day = file.published or _modified(file)
            said.append(f"{file.of} of {day}, {len(file.entries)} entries")
        kind = "made-up sample: " if self.folder == SAMPLE else ""
        return (kind + "; ".join(said))[:MOST_BASIS] or "no list"

    def broken(self) -> list[str]:
        """What cannot be read now, a sentence each."""
        own = [] if self.fault is None else [self.fault]
        every = list(self.files.values())
        return own + [file.fault for file in every if file.fault is not None]

    @property
    def measures(self) -> list[Measure]:
        """What is worth watching of the lists."""
        return [
            Measure(
                "guilder_screening_entries",
                "people and organisations on the lists that are in force",
                lambda: self._index.entries if self._index else 0,
            ),
            Measure(
                "guilder_screening_lists_broken",
                "list files that cannot be read as they are; what was read before is in force",
                lambda: len(self.broken()),
            ),
            Measure(
                "guilder_screening_lists_oldest_days",
                "days since the oldest list was published",
                self._oldest,
            ),
        ]

    def _oldest(self) -> float:
        every = list(self.files.values())
        days = [file.published or _modified(file) for file in every if file.read_before]
        return float(max(((self.clock.now().date() - day).days for day in days), default=0))


def _folder(folder: Path) -> dict[str, Signature]:
    """The list files of a folder with size and time of all that each is read from."""
    stats = {
        path.name: (path.name, stat.st_size, stat.st_mtime_ns)
        for path in sorted(folder.iterdir())
        if path.is_file() and (stat := path.stat())
    }
    lower = {name.lower(): name for name in stats}
    found: dict[str, Signature] = {}
    for name in stats:
        if name.lower() in ofac.CSV:
            parts = (name.lower(), *ofac.CSV[name.lower()][1:])
            found[name] = tuple(stats[lower[part]] for part in parts if part in lower)
        elif name.lower().endswith(".xml"):
            found[name] = (stats[name],)
    return found


def _reader(path: Path) -> Reader:
    """How a file is to be read: by its name, or by its first element."""
    if path.name.lower() in ofac.CSV:
        return ofac.read_csv
    root, _ = next(iter(elements(path, set())))
    if root not in _ROOTS:
        raise BadList(f"{path.name} begins with <{root}>, which is no list of OFAC, UN or EU")
    return _ROOTS[root]


def _modified(file: ListFile) -> date:
    newest = max((part[2] for part in file.signature), default=0)
    return datetime.fromtimestamp(newest / 1e9, UTC).date()
