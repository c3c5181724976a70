"""Delimited text files, row by row, and the faults found in them."""

import codecs
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

from guilder.importing.fields import Unreadable
from guilder.importing.tables import Format

T = TypeVar("T")

MAX_FAULTS = 50
"""Faults gathered per file; reading stops there, since the rest is rarely news."""
MAX_LINE_BYTES = 64 * 1024
MAX_ROWS = 5_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a file: where, what stands there, what was expected."""

    file: str
    line: int
    column: str
    value: str
    expected: str

    def __str__(self) -> str:
        """One printable line; the value is cut and escaped, since it is untrusted."""
        shown = ascii(self.value[:60])
        return (
            f"{self.file}, line {self.line}, column '{self.column}': {shown} is not {self.expected}"
        )


class SourceError(ValueError):
    """Files that cannot be imported; `faults` holds at most `MAX_FAULTS` per file."""

    def __init__(self, faults: list[Fault]) -> None:
        """Keep all faults and show them one a line."""
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class BadRow(Exception):
    """A row that cannot be used: column, value, expected."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line in the file and its cells by column name."""

    line: int
    cells: list[str]
    index: dict[str, int]

    def text(self, column: str) -> str:
        """A cell without surrounding blanks."""
        return self.cells[self.index[column]].strip()

    def read(self, column: str, reader: Callable[[str], T]) -> T:
        """A cell read by `reader`; raises `BadRow`."""
        text = self.cells[self.index[column]].strip()
        try:
            return reader(text)
        except Unreadable as error:
            raise BadRow(column, text, error.expected) from None


def _lines(handle: BufferedReader, encoding: str) -> Iterator[str]:
    """Decoded lines. Decoding line by line lets a bad byte be blamed on its own line."""
    if handle.peek(3)[:3] == codecs.BOM_UTF8:
        handle.read(3)
    while raw := handle.readline(MAX_LINE_BYTES + 1):
        if len(raw) > MAX_LINE_BYTES:
            raise BadRow("", "", f"a line of at most {MAX_LINE_BYTES} bytes")
        try:
            yield raw.decode(encoding)
        except UnicodeDecodeError as error:
            bad = ascii(raw[error.start : error.start + 4])
            raise BadRow("", bad, f"text in the encoding {encoding}") from None


class Table:
    """A delimited file opened for reading rows; faults are collected in `faults`, not raised."""

    def __init__(self, path: Path, form: Format, columns: set[str]) -> None:
        """Read `path` as `form` says; `columns` are those the mapping needs."""
        self.path, self.form, self.columns = path, form, columns
        self.faults: list[Fault] = []

    def fault(self, line: int, column: str, value: str, expected: str) -> None:
        """Note a fault, up to the bound."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(self.path.name, line, column, value, expected))

    def records(self, build: Callable[[Row], T]) -> Iterator[T]:
        """Stream what `build` makes of each row, skipping rows that are faulty."""
        for row in self._rows():
            try:
                yield build(row)
            except BadRow as error:
                self.fault(row.line, *error.args)
            if len(self.faults) >= MAX_FAULTS:
                return

    def _rows(self) -> Iterator[Row]:
        line = 0
        try:
            with self.path.open("rb") as handle:
                reader = csv.reader(
                    _lines(handle, self.form.encoding),
                    delimiter=self.form.delimiter,
                    quotechar=self.form.quote,
                    strict=True,
                )
                index = self._header(next(reader, []))
                if not index:
                    return
                for cells in reader:
                    line = reader.line_num
                    if not cells:
                        continue
                    if len(cells) != len(index):
                        what = f"a row of {len(index)} cells, as the first line has"
                        self.fault(line, "", f"{len(cells)} cells", what)
                        continue
                    if line > MAX_ROWS:
                        raise BadRow("", "", f"a file of at most {MAX_ROWS} lines")
                    yield Row(line, cells, index)
        except BadRow as error:
            self.fault(line + 1, *error.args)
        except csv.Error as error:
            self.fault(line + 1, "", str(error), f"text quoted with {self.form.quote}")
        except OSError as error:
            self.fault(0, "", error.strerror or "", "a readable file in the given directory")

    def _header(self, cells: list[str]) -> dict[str, int]:
        """Column positions, or nothing (and a fault) where a needed column is missing."""
        names = [cell.strip() for cell in cells]
        index = {name: position for position, name in enumerate(names)}
        if len(index) != len(names):
            self.fault(1, "", ", ".join(names), "a first line naming each column once")
            return {}
        missing = sorted(self.columns - index.keys())
        for column in missing:
            self.fault(1, column, ", ".join(names), "a first line with this column")
        return {} if missing else index
