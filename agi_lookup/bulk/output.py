"""The output: the input's columns and what was looked up, in the input's order. It is there whole, or not at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from agi_lookup.bulk.answers import FIELDS
from agi_lookup.bulk.journal import Line
from agi_lookup.bulk.numbers import Numbers
from agi_lookup.domain.errors import OutsideError

MOVED: Final = "input_"
"""Before a column of the input that has one of our names."""


class Journal(Protocol):
    def read(self, row: int) -> Line | None: ...


def write(path: Path, numbers: Numbers, journal: Journal) -> None:
    """Raises `OutsideError` when the input is another one by now, or `OSError`."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, delimiter=numbers.delimiter, lineterminator="\n")
        writer.writerow([*_header(numbers.header), *FIELDS])
        writer.writerows(_rows(numbers, journal))
        if numbers.changed():
            raise OutsideError(f"{numbers.path}: it was changed during the run; put it back, and run again")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _rows(numbers: Numbers, journal: Journal) -> Iterator[list[str]]:
    for row in numbers.rows():
        line = journal.read(row.index) if row.index < numbers.count else None
        yield [*row.cells, *(line.cells if line else ())]


def _header(header: tuple[str, ...]) -> Iterator[str]:
    """None of our names, and none twice because of that."""
    taken = {*FIELDS, *header}
    for name in header:
        shown = name.strip()
        if shown in FIELDS:
            while shown in taken:
                shown = f"{MOVED}{shown}"
            taken.add(shown)
        yield shown
