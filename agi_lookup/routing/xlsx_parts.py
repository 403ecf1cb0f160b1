"""The parts of an XLSX file (ECMA-376 part 1, SpreadsheetML), read as they stream by: no tree, no DOCTYPE and so no entities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import IO, Final, NamedTuple, Protocol
from xml.parsers import expat  # nosec B407

from agi_lookup.domain.errors import ConfigError
from agi_lookup.routing.deck_rows import Row

CHUNK_BYTES: Final = 1 << 16
MAX_COLUMNS: Final = 256
MAX_STRINGS: Final = 5_000_000
NUMBERS_REMEMBERED: Final = 65_536
EXACT_DIGITS: Final = 15
"""Excel keeps no more; what stands behind them in a file is how binary fractions end."""

_EPOCHS: Final = {False: datetime(1899, 12, 30), True: datetime(1904, 1, 1)}  # noqa: DTZ001 - the zone is the vendor's
_FIRST_SERIAL: Final = 61  # before 1 March 1900 there is a 29 February too many (17.4.1)
_LAST_SERIAL: Final = 2_958_465  # 9999-12-31
_DATE_FORMATS: Final = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
"""Built-in numFmtId that show a date or time (18.8.30)."""


class Part(Protocol):
    """What takes the events of one part. Names may be `NAMESPACE NAME`."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None: ...
    def end(self, name: str) -> None: ...
    def text(self, text: str) -> None: ...


def stream(file: IO[bytes], part: Part) -> Iterator[None]:
    """Yields now and then, so that what the part has found can be taken. Raises `ConfigError` and `expat.ExpatError`."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = part.start
    parser.EndElementHandler = part.end
    parser.CharacterDataHandler = part.text
    while chunk := file.read(CHUNK_BYTES):
        parser.Parse(chunk)
        yield
    parser.Parse(b"", True)
    yield


def _refuse_doctype(*_: object) -> None:
    raise ConfigError("it holds a DOCTYPE, which no spreadsheet program writes; save it anew as XLSX")


@lru_cache(1024)
def local(name: str) -> str:
    """Without its namespace."""
    return name.rpartition(" ")[2]


class Starts:
    """Elements of a small part as they begin, without their text."""

    def __init__(self) -> None:
        self.found: list[tuple[str, dict[str, str]]] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self.found.append((local(name), {local(key): value for key, value in attributes.items()}))

    def end(self, name: str) -> None: ...

    def text(self, text: str) -> None: ...


class Strings:
    """The shared strings, rich ones without what makes them rich, and without their pronunciation."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._pieces: list[str] = []
        self._wanted = False
        self._phonetic = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        tag = local(name)
        if tag == "rPh":
            self._phonetic = True
        self._wanted = tag == "t" and not self._phonetic

    def end(self, name: str) -> None:
        tag = local(name)
        self._wanted = False
        if tag == "rPh":
            self._phonetic = False
        elif tag == "si":
            self.found.append("".join(self._pieces))
            self._pieces.clear()
            if len(self.found) > MAX_STRINGS:
                raise ConfigError(f"more than {MAX_STRINGS} different texts; split the deck")

    def text(self, text: str) -> None:
        if self._wanted:
            self._pieces.append(text)


class Writing(NamedTuple):
    """How numbers and dates of cells become text: as the vendor would have written them into a CSV file."""

    dates: frozenset[str]  # cell styles
    since_1904: bool
    decimal: str
    date_format: str | None


class Sheet:
    """Rows of a worksheet (18.3.1) as text. `rows` is for the caller to empty."""

    def __init__(self, strings: Sequence[str], writing: Writing) -> None:
        self.rows: list[Row] = []
        self._strings = strings
        self._writing = writing
        self._number = lru_cache(NUMBERS_REMEMBERED)(self._read_number)
        self._line, self._column = 0, -1
        self._row: list[str] = []
        self._type, self._style = "n", "0"
        self._pieces: list[str] = []
        self._wanted = self._phonetic = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        tag = local(name)
        if tag == "c":
            place = attributes.get("r")
            self._column = self._column + 1 if place is None else column_index(place)
            self._type = attributes.get("t", "n")
            self._style = attributes.get("s", "0")
            self._pieces.clear()
        elif tag == "row":
            self._line = _natural(attributes["r"]) if "r" in attributes else self._line + 1
            self._row, self._column = [], -1
        elif tag == "rPh":
            self._phonetic = True
        self._wanted = tag in ("v", "t") and not self._phonetic

    def end(self, name: str) -> None:
        tag = local(name)
        self._wanted = False
        if tag == "c":
            self._put(self._cell("".join(self._pieces)))
        elif tag == "row":
            self.rows.append((self._line, self._row))
        elif tag == "rPh":
            self._phonetic = False

    def text(self, text: str) -> None:
        if self._wanted:
            self._pieces.append(text)

    def _put(self, text: str) -> None:
        row, column = self._row, self._column
        if column == len(row):
            row.append(text)
        elif text and column < len(row):
            row[column] = text
        elif text:
            row.extend([""] * (column - len(row)))
            row.append(text)
        del row[MAX_COLUMNS:]

    def _cell(self, text: str) -> str:
        if self._type == "s":
            return self._strings[_natural(text)]
        if self._type == "n" and text:
            return self._number(text, self._style in self._writing.dates)
        return text if self._type != "b" else {"1": "yes", "0": "no"}.get(text, text)

    def _read_number(self, text: str, is_date: bool) -> str:
        try:
            number = Decimal(text)
        except ArithmeticError:
            return text
        if not number.is_finite() or abs(number.adjusted()) > EXACT_DIGITS:
            return text
        if is_date and _FIRST_SERIAL <= number <= _LAST_SERIAL:
            return _moment(number, self._writing)
        return f"{Decimal(f'{float(number):.{EXACT_DIGITS}g}'):f}".replace(".", self._writing.decimal)


def date_styles(starts: Sequence[tuple[str, Mapping[str, str]]]) -> frozenset[str]:
    """The cell styles that show a number as a date, of the elements of styles.xml (18.8)."""
    shown = {
        attributes.get("numFmtId"): _shows_date(attributes.get("formatCode", ""))
        for tag, attributes in starts
        if tag == "numFmt"
    }
    shown.update({str(number): True for number in _DATE_FORMATS})
    styles: list[bool] = []
    section = ""
    for tag, attributes in starts:
        section = tag if tag in ("cellStyleXfs", "cellXfs", "cellStyles", "dxfs") else section
        if tag == "xf" and section == "cellXfs":
            styles.append(shown.get(attributes.get("numFmtId"), False))
    return frozenset(str(style) for style, is_date in enumerate(styles) if is_date)


def _shows_date(code: str) -> bool:
    bare = re.sub(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.', "", code)
    return any(letter in "dmy" for letter in bare.lower())


def _moment(serial: Decimal, writing: Writing) -> str:
    seconds = round(serial % 1 * 86_400)
    moment = _EPOCHS[writing.since_1904] + timedelta(days=int(serial), seconds=seconds)
    if writing.date_format:
        return moment.strftime(writing.date_format)
    return moment.isoformat(" ") if seconds else moment.date().isoformat()


def column_index(place: str) -> int:
    """From 0, of a cell's name such as AB12."""
    return _letters_index(place.rstrip("0123456789"))


@lru_cache(1024)
def _letters_index(letters: str) -> int:
    if not (1 <= len(letters) <= 3 and letters.isascii() and letters.isalpha() and letters.isupper()):
        raise ConfigError("damaged, or no XLSX: a cell without its place; save it anew as XLSX")
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ConfigError("damaged, or no XLSX: a number is missing; save it anew as XLSX")
    return int(text)
