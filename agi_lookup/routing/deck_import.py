"""A vendor's file into a deck that is checked. Nothing here goes live."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from os import SEEK_END
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO, Final, cast

from agi_lookup.domain.errors import ConfigError
from agi_lookup.routing import deck_file
from agi_lookup.routing.columns import Format
from agi_lookup.routing.deck_check import Limits, Tally, check, compare_with_live
from agi_lookup.routing.deck_csv import open_csv
from agi_lookup.routing.deck_diff import compare
from agi_lookup.routing.deck_file import Deck, DeckInfo, open_deck
from agi_lookup.routing.deck_rows import Problem, RowReader, Table
from agi_lookup.routing.deck_xlsx import open_xlsx
from agi_lookup.routing.rates import Rate

MAX_BYTES: Final = 1 << 30
CHUNK_BYTES: Final = 1 << 20
ZIP: Final = b"PK\x03\x04"
_OTHERS: Final = {
    b"\xd0\xcf\x11\xe0": "an old or encrypted Excel file; save it as XLSX or CSV",
    b"\x1f\x8b": "packed with gzip; unpack it first",
    b"%PDF": "a PDF; CSV or XLSX is wanted",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A vendor's file, open at its beginning, that can be sought in. `digest` is hexadecimal, of its bytes."""

    file: IO[bytes]
    vendor: str
    version: str
    digest: str
    form: Format


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. With errors, the deck is not to be used. `columns` are our names and the file's, some of them guessed."""

    info: DeckInfo
    columns: dict[str, str]
    guessed: frozenset[str]
    notes: tuple[str, ...]
    errors: Tally = field(default_factory=Tally)
    warnings: Tally = field(default_factory=Tally)


@contextmanager
def seekable(file: IO[bytes]) -> Iterator[BinaryIO]:
    """The file, or what comes through a pipe in a temporary one. Raises `ConfigError`."""
    with TemporaryFile() as spooled:
        if not file.seekable():
            copied = 0
            while copied <= MAX_BYTES and (chunk := file.read(CHUNK_BYTES)):
                copied += spooled.write(chunk)
        whole = cast("BinaryIO", file if file.seekable() else spooled)
        if whole.seek(0, SEEK_END) > MAX_BYTES:
            raise ConfigError(f"larger than {MAX_BYTES} bytes; split the deck")
        yield whole


def digest(file: BinaryIO) -> str:
    """Hexadecimal, of the whole file; it stands at its beginning then."""
    file.seek(0)
    found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    return found


def read_deck(path: Path, source: Source, on_read: Callable[[], None]) -> Report:
    """Writes the deck to `path`, with the rows that can be used. `on_read` is called when all are read, before they are sorted.

    Raises `ConfigError` when the file as a whole is of no use.
    """
    errors = Tally()
    table = open_table(source.file, source.form, errors.add)
    layout = table.layout
    rates = RowReader(layout, source.form, errors.add).rates(table.rows)
    info = deck_file.write(
        path, source.vendor, source.version, chain(rates, _at_the_end(on_read)), source=source.digest
    )
    if not info.rows and not errors.count:
        errors.add(Problem(layout.line, "no rate follows the header"))
    columns = {ours: layout.name(ours) for ours in layout.at}
    return Report(info, columns, layout.guessed, (*table.notes, *_assumed(columns, source.form)), errors)


def check_deck(path: Path, report: Report, live: Deck | None, now: float, limits: Limits) -> None:
    """Adds to the report. `now` is Unix seconds. What lacks the bad rows is not compared with the live deck."""
    deck = open_deck(path)
    if live and not report.errors.count:
        compare_with_live(compare(live, deck, now, jump=limits.jump), limits, report.warnings)
    check(deck, now, report.errors, report.warnings)


def open_table(file: IO[bytes], form: Format, on_problem: Callable[[Problem], None]) -> Table:
    """A file of either kind. Raises `ConfigError`, also while the rows are read."""
    start = file.read(4)
    file.seek(0)
    if start == ZIP:
        return open_xlsx(file, form)
    for magic, what in _OTHERS.items():
        if start.startswith(magic):
            raise ConfigError(f"it is {what}")
    return open_csv(file, form, on_problem)


def _at_the_end(done: Callable[[], None]) -> Iterator[Rate]:
    """No rate, but `done`, once the rates before are through."""
    done()
    yield from ()


def _assumed(columns: dict[str, str], form: Format) -> Iterator[str]:
    """What holds because neither the file nor the operator says otherwise."""
    there = columns.keys() | form.fixed.keys()
    if not there & {"increments", "first"}:
        yield "increments 1/1 (no column; --set increments=60/60 for others)"
    if there & {"from", "to"}:
        yield f"dates in {form.zone}, a day in `to` {form.last_day}"
