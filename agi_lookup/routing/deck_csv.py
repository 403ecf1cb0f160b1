"""CSV decks: any delimiter, any encoding that is named, a byte order mark taken at its word."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import IO, Final

from agi_lookup.domain.errors import ConfigError
from agi_lookup.routing.columns import HEADER_WITHIN, Format, Layout, find_header
from agi_lookup.routing.deck_rows import Problem, Row, Table

DELIMITERS: Final = ",;\t|"
MAX_LINE: Final = 1 << 20
"""Characters. Without an end, one line could fill the memory."""
UTF_8: Final = "utf-8-sig"
UTF_16: Final = "utf-16"
_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def open_csv(file: IO[bytes], form: Format, on_problem: Callable[[Problem], None]) -> Table:
    """`file` can be sought in. Raises `ConfigError`, also while the rows are read."""
    encoding = form.encoding or _encoding(file)
    # What is not in the encoding comes as surrogates: no harm in the name of a place, and no cell that we read takes them.
    lines = _lines(io.TextIOWrapper(file, encoding, errors="surrogateescape", newline=""), encoding)
    head = list(islice(lines, HEADER_WITHIN))
    delimiter, layout = _layout(head, form)
    rows = _rows(chain(head, lines), delimiter, on_problem)
    next(line for line, _ in rows if line == layout.line)
    found = [f"delimiter {delimiter!r}"] * (not form.delimiter) + [f"encoding {encoding}"] * (encoding == UTF_16)
    return Table(layout, rows, tuple(found))


def _encoding(file: IO[bytes]) -> str:
    start = file.read(4)
    file.seek(0)
    if start.startswith(_MARKS):
        return UTF_16
    if b"\0" in start:
        raise ConfigError("it looks like UTF-16 without a byte order mark; say --encoding utf-16-le (or -be)")
    return UTF_8


def _lines(text: io.TextIOWrapper, encoding: str) -> Iterator[str]:
    count = 0
    try:
        while line := text.readline(MAX_LINE):
            count += 1
            if len(line) == MAX_LINE:
                raise ConfigError(f"line {count}: longer than {MAX_LINE} characters; is it a deck?")
            yield line
    except UnicodeError:
        raise ConfigError(f"after line {count}: not {encoding}; name the right one with --encoding") from None


def _layout(head: Sequence[str], form: Format) -> tuple[str, Layout]:
    """Unless told, the delimiter that makes a header of a line, the most frequent one first."""
    delimiters = form.delimiter or sorted(DELIMITERS, key="".join(head).count, reverse=True)
    errors = []
    for delimiter in delimiters:
        try:
            return delimiter, find_header(_rows(head, delimiter, lambda _problem: None), form)
        except ConfigError as error:
            errors.append(error)
    raise errors[0]


def _rows(lines: Iterable[str], delimiter: str, on_problem: Callable[[Problem], None]) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            on_problem(Problem(reader.line_num, f"no CSV ({error}); quote cells with delimiters or quotes"))
        else:
            return
