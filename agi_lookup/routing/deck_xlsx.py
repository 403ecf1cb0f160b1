"""XLSX decks: text cells as they are, numbers as their vendor would write them, one sheet, read as a stream.

A numeric cell has lost its leading zeros before we see it: no key survives that unnoticed, as none of fixed length fits then.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from posixpath import join, normpath
from typing import IO, Final
from xml.parsers.expat import ExpatError  # nosec B407
from zipfile import BadZipFile, ZipFile

from agi_lookup.domain.errors import ConfigError
from agi_lookup.routing.columns import HEADER_WITHIN, Format, find_header
from agi_lookup.routing.deck_rows import Row, Table
from agi_lookup.routing.xlsx_parts import Sheet, Starts, Strings, Writing, date_styles, stream

MAX_SMALL_BYTES: Final = 16 << 20
MAX_STRINGS_BYTES: Final = 256 << 20
MAX_SHEET_BYTES: Final = 1 << 30
"""Unpacked: a million rows of ten cells take half of it."""
WORKBOOK: Final = "xl/workbook.xml"
RELATIONS: Final = "xl/_rels/workbook.xml.rels"
STRINGS: Final = "xl/sharedStrings.xml"
STYLES: Final = "xl/styles.xml"
_BROKEN: Final = (BadZipFile, ExpatError, zlib.error, EOFError, LookupError, RuntimeError, ValueError)
"""LookupError: a part or a text is missing. RuntimeError: encrypted, or an odd compression. ValueError: offsets that cannot be."""


def open_xlsx(file: IO[bytes], form: Format) -> Table:
    """`file` can be sought in. Raises `ConfigError`, also while the rows are read."""
    with _damage():
        book = _Workbook(ZipFile(file))
        path = book.sheet(form.sheet)
        sheet = Sheet(book.strings(), book.writing(form))
    rows = _rows(book, path, sheet)
    head = list(islice(rows, HEADER_WITHIN))
    layout = find_header(head, form)
    below = (row for row in chain(head, rows) if row[0] > layout.line)
    return Table(layout, _of_width(below, layout.width))


class _Workbook:
    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive
        self._names = frozenset(archive.namelist())
        self._starts = self._small(WORKBOOK)
        if not self._starts:
            raise ConfigError("no workbook in it; save it as XLSX or CSV")

    def sheet(self, wanted: str | None) -> str:
        """The path of the sheet of that name, else of the only one that is not hidden."""
        sheets = {a["name"]: a for tag, a in self._starts if tag == "sheet" and {"name", "id"} <= a.keys()}
        seen = [name for name, a in sheets.items() if a.get("state", "visible") == "visible"]
        if wanted is None and len(seen) == 1:
            wanted = seen[0]
        if wanted not in sheets:
            raise ConfigError(f"which sheet? give --sheet; there are {', '.join(map(ascii, seen[:20]))}")
        targets = {a.get("Id"): a.get("Target", "") for tag, a in self._small(RELATIONS) if tag == "Relationship"}
        return normpath(join("/xl", targets.get(sheets[wanted]["id"], ""))).lstrip("/")

    def strings(self) -> list[str]:
        strings = Strings()
        if STRINGS in self._names:
            with self.part(STRINGS, MAX_STRINGS_BYTES) as file:
                for _ in stream(file, strings):
                    pass
        return strings.found

    def writing(self, form: Format) -> Writing:
        since_1904 = any(tag == "workbookPr" and a.get("date1904") in ("1", "true") for tag, a in self._starts)
        return Writing(date_styles(self._small(STYLES)), since_1904, form.decimal, form.date_format)

    def part(self, name: str, limit: int) -> IO[bytes]:
        """No more is ever unpacked than the archive says beforehand."""
        info = self._archive.getinfo(name)
        if info.file_size > limit:
            raise ConfigError(
                f"{name} unpacks to {info.file_size} bytes, more than {limit}; split the deck, or save it as CSV"
            )
        return self._archive.open(info)

    def _small(self, name: str) -> list[tuple[str, dict[str, str]]]:
        starts = Starts()
        if name in self._names:
            with self.part(name, MAX_SMALL_BYTES) as file:
                for _ in stream(file, starts):
                    pass
        return starts.found


def _rows(book: _Workbook, path: str, sheet: Sheet) -> Iterator[Row]:
    with _damage(), book.part(path, MAX_SHEET_BYTES) as file:
        for _ in stream(file, sheet):
            yield from sheet.rows
            sheet.rows.clear()


def _of_width(rows: Iterator[Row], width: int) -> Iterator[Row]:
    """Empty cells at the end of a row are not in the file, and notes may stand beside the table."""
    for line, row in rows:
        yield line, row if len(row) == width else [*row[:width], *[""] * (width - len(row))]


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise ConfigError(
            f"damaged, encrypted, or no XLSX ({type(error).__name__}); save it anew as XLSX or CSV"
        ) from None
