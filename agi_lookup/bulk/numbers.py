"""The input: a CSV file with a header, one column of which holds numbers. Read row by row, however long it is."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agi_lookup.domain.errors import ConfigError

COLUMN: Final = "number"
"""Where the numbers are, unless there is only one column or another one is named."""
A_NUMBER: Final = re.compile(r"[+0-9][0-9 ().-]{4,}")
"""What is no name of a column."""


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """`index` counts rows from 0, without the header and blank lines; `text` is the number as written."""

    index: int
    cells: Sequence[str]
    text: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """A file that was read once from end to end, so that nothing in it comes as a surprise after money was spent."""

    path: Path
    delimiter: str
    header: tuple[str, ...]
    column: int
    count: int
    digest: str  # SHA-256 of all bytes

    def rows(self) -> Iterator[Row]:
        """Short rows are filled up with empty cells. Raises `ConfigError` for a file that is no CSV (any more)."""
        records = _records(self.path, self.delimiter)
        next(records, None)
        for index, (line, cells) in enumerate(records):
            if len(cells) > len(self.header):
                problem = f"{len(cells)} cells, the header has {len(self.header)}: is the delimiter right?"
                raise ConfigError(f"{self.path}:{line}: {problem}")
            filled = cells + [""] * (len(self.header) - len(cells))
            yield Row(index, filled, filled[self.column])

    def changed(self) -> bool:
        """Is the file another one by now?"""
        return _digest(self.path) != self.digest


def scan(path: Path, column: str | None, delimiter: str) -> Numbers:
    """Raises `ConfigError`, or `OSError`."""
    digest = _digest(path)
    _, header = next(_records(path, delimiter), (1, []))
    place = _column(path, header, column)
    numbers = Numbers(path, delimiter, tuple(header), place, 0, digest)
    count = sum(1 for _ in numbers.rows())
    return Numbers(path, delimiter, tuple(header), place, count, digest)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that are not blank, with their numbers. Bytes that are no UTF-8 go through as they are."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            yield from ((reader.line_num, cells) for cells in reader if cells)
        except csv.Error as error:
            raise ConfigError(f"{path}:{reader.line_num}: {error}") from None


def _column(path: Path, header: Sequence[str], named: str | None) -> int:
    if not header:
        raise ConfigError(f"{path}: the file is empty; the first line must name the columns")
    if any(A_NUMBER.fullmatch(cell.strip()) for cell in header):
        raise ConfigError(
            f"{path}:1: this is a number, and the first line must name the columns: put `number` above it"
        )
    names = [cell.strip() for cell in header]
    if named is None and len(names) == 1:
        return 0
    wanted = named or COLUMN
    for known, name in ((names, wanted), ([known.casefold() for known in names], wanted.casefold())):
        if known.count(name) == 1:
            return known.index(name)
    there = ", ".join(names).encode("ascii", "backslashreplace").decode()
    raise ConfigError(f"{path}:1: not one column {wanted!r}; there are {there}: name one with --column")
