"""Sets of prefixes of E.164 numbers: typed in the config, or read once from a file such as a feed of fraudulent ranges.

A file has one prefix (or whole number) a line, with or without `+`; `#` starts a comment. Or it is a CSV whose first column holds
them, with commas, semicolons or tabs; its first line is taken for a header where it holds no digit.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from agi_lookup.domain.errors import ConfigError

MAX_FILE_BYTES: Final = 32 * 1024 * 1024
"""Two million numbers."""
_PREFIX: Final = re.compile(r"\+?([1-9][0-9]{0,14})")
_DELIMITER: Final = re.compile(r"[,;\t]")

Row: TypeAlias = tuple[int, list[str]]
"""A line's number, and its columns."""


class Prefixes:
    """Finds the longest prefix that is listed, in one set lookup for each length that occurs."""

    def __init__(self, digits: Iterable[str]) -> None:
        """Without the `+`."""
        self._listed = frozenset(digits)
        self._lengths = sorted({len(prefix) for prefix in self._listed}, reverse=True)

    def __len__(self) -> int:
        return len(self._listed)

    def longest(self, e164: str) -> str:
        """The listed digits that this number (`+` and digits) begins with; empty when there are none."""
        digits = e164[1:]
        return next((digits[:length] for length in self._lengths if digits[:length] in self._listed), "")


def load(path: Path) -> Prefixes:
    """Raises `ConfigError` with file and line. No line is repeated: a list may hold subscribers' numbers."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a readable file of prefixes") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes; list prefixes instead of single numbers")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    found = Prefixes(_prefixes(text, path))
    if not found:
        raise ConfigError(f"{path}: lists no prefix; write one a line, or leave the rule out")
    return found


def _prefixes(text: str, path: Path) -> Iterator[str]:
    first = True
    for number, row in _rows(text.splitlines(), path):
        if match := _PREFIX.fullmatch(_uncommented(row[0])):
            yield match[1]
        elif _is_blank(row):
            continue
        elif not (first and _is_header(row)):
            raise ConfigError(
                f"{path}:{number}: no prefix; write 1 to 15 digits with the country's code first, e.g. +88213"
            )
        first = False


def _rows(lines: list[str], path: Path) -> Iterator[Row]:
    """It is a CSV where a delimiter is in the first line that says something: the first that occurs there."""
    first = next((written for line in lines if (written := _uncommented(line))), "")
    delimiter = _DELIMITER.search(first)
    if delimiter is None:
        yield from enumerate(([line] for line in lines), 1)
        return
    reader = csv.reader(lines, delimiter=delimiter[0], strict=True)
    try:
        for row in reader:
            yield reader.line_num, row or [""]
    except csv.Error as error:
        raise ConfigError(f"{path}:{reader.line_num}: no CSV ({error}); quote fields with delimiters") from None


def _is_header(row: list[str]) -> bool:
    return not any(character.isdigit() for cell in row for character in cell)


def _is_blank(row: list[str]) -> bool:
    """Or a comment. What has a second column and no first one is neither."""
    return not any(cell.strip() for cell in row) or row[0].lstrip().startswith("#")


def _uncommented(written: str) -> str:
    return written.partition("#")[0].strip()
