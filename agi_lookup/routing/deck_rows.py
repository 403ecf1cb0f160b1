"""Rows of a vendor's file to rates, and each row that cannot be used to one clear sentence.

Nearly all rows share their terms with others, so terms are read once and found by the text of their cells after that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from typing import Final, NamedTuple, NoReturn, TypeAlias

from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import mask
from agi_lookup.routing import cells
from agi_lookup.routing.cells import E164_DIGITS, MalformedError
from agi_lookup.routing.columns import KEYS, TERMS, Format, Layout
from agi_lookup.routing.rates import Kind, Rate, Tariff

MAX_RATES: Final = 5_000_000
"""Of one deck: five times what is designed for. A single cell can name thousands of prefixes."""
TERMS_REMEMBERED: Final = 65_536
SHOWN_CHARACTERS: Final = 40
DEFAULT_INCREMENTS: Final = (1, 1)

_SUBSCRIBER: Final = re.compile("[0-9]{10,}")

_READERS: Final = {"group": cells.group, "mccmnc": cells.mccmnc, "ocn": cells.ocn, "lrn": cells.lrn}

Row: TypeAlias = tuple[int, Sequence[str]]
"""The line that it ends on, counted from 1, and its cells."""


class Problem(NamedTuple):
    """A row that cannot be used. The line is 0 where the whole file is meant."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Table:
    """A file as rows, those below its header. `notes` say what nobody has told us of it."""

    layout: Layout
    rows: Iterator[Row]
    notes: tuple[str, ...] = ()


class Terms(NamedTuple):
    tariff: Tariff | None
    start: float
    end: float


class RowReader:
    """Reads rows under one layout. Raises `ConfigError` when the layout leaves something open."""

    def __init__(self, layout: Layout, form: Format, on_problem: Callable[[Problem], None]) -> None:
        self._layout = layout
        self._fixed = dict(form.fixed)
        self._decimal = form.decimal
        self._moments = cells.Moments(form.zone, form.date_format, last_day=form.last_day == "included")
        self._on_problem = on_problem
        self._terms_at = [(column, layout.at[column]) for column in TERMS if column in layout.at]
        self._keys_at = [(column, layout.at[column]) for column in KEYS if column in layout.at]
        self._rate_apart = "rate" in layout.at  # then it is the first of the terms
        self._but_rate = lru_cache(TERMS_REMEMBERED)(self._read_but_rate)
        self._extra = 0
        self._check(layout.at.keys() | self._fixed.keys())

    def rates(self, rows: Iterable[Row]) -> Iterator[Rate]:
        """Raises `ConfigError` when there are more than `MAX_RATES`."""
        width, prefix_at = self._layout.width, self._only_prefix()
        shared = self._shared()
        kind, rate = Kind.PREFIX, partial(tuple.__new__, Rate)
        remembered: dict[tuple[str, ...], Terms] = {}
        for line, row in rows:
            if line > MAX_RATES:
                _refuse_size(line)
            try:
                if len(row) != width:
                    _refuse_width(len(row), width)
                terms = remembered.get(said := shared(row))
                if terms is None:
                    if len(remembered) >= TERMS_REMEMBERED:
                        remembered.clear()
                    terms = remembered[said] = self._terms(said)
                key = row[prefix_at] if prefix_at is not None else ""
                if key.isdigit() and key.isascii() and key[0] != "0" and len(key) <= E164_DIGITS:
                    tariff, start, end = terms
                    yield rate((kind, key, tariff, start, end, line))
                else:
                    for other, key in self._keys(row, line):
                        yield Rate(other, key, *terms, line)
            except MalformedError as error:
                if any(map(str.strip, row)):  # else it is blank
                    self._on_problem(Problem(line, self._sentence(row, error)))

    def _check(self, there: set[str]) -> None:
        if "rate" in there and "currency" not in there:
            raise ConfigError("no column names the currency; give --currency, or --map currency=NAME")
        try:
            self._read({"rate": "0", "currency": "USD", "first": "1", "next": "1"} | self._fixed)
            cells.prefixes("", self._fixed.get("country_code", "1"))
        except MalformedError as error:
            value = self._fixed.get(error.column, "")
            raise ConfigError(f"{error.column}={shown(value)} for all lines: {error}") from None

    def _shared(self) -> Callable[[Sequence[str]], tuple[str, ...]]:
        """The cells of a row that say its terms, the rate first."""
        places = [at for _, at in self._terms_at]
        return itemgetter(*places) if len(places) > 1 else lambda row: tuple([row[at] for at in places])

    def _only_prefix(self) -> int | None:
        """Where the keys stand when they are whole prefixes, as in most decks."""
        alone = [column for column, _ in self._keys_at] == ["prefix"]
        coded = "country_code" in self._layout.at or "country_code" in self._fixed
        return self._keys_at[0][1] if alone and not coded else None

    def _terms(self, texts: tuple[str, ...]) -> Terms:
        """Where each row has a rate of its own, the rest of its terms is still shared."""
        if not self._rate_apart:
            return self._but_rate(texts)
        terms = self._but_rate(texts[1:])
        if terms.tariff is None:
            return terms
        currency, _, connect, first_s, next_s = terms.tariff
        rate = cells.amount(texts[0].strip(), "rate", self._decimal)
        return Terms(Tariff(currency, rate, connect, first_s, next_s), terms.start, terms.end)

    def _read_but_rate(self, texts: tuple[str, ...]) -> Terms:
        columns = [column for column, _ in self._terms_at[self._rate_apart :]]
        apart = {"rate": "0"} if self._rate_apart else {}
        return self._read(self._fixed | apart | dict(zip(columns, texts, strict=True)))

    def _read(self, said: Mapping[str, str]) -> Terms:
        said = {column: text.strip() for column, text in said.items()}
        start, end = self._moments.start(said.get("from", "")), self._moments.end(said.get("to", ""))
        if not start < end:
            raise MalformedError("to", "not after the day that it starts on")
        blocked = cells.yes_no(said.get("blocked", ""), "blocked")
        return Terms(None if blocked else self._tariff(said), start, end)

    def _tariff(self, said: Mapping[str, str]) -> Tariff:
        return Tariff(
            cells.currency(said.get("currency", "")),
            cells.amount(said.get("rate", ""), "rate", self._decimal),
            cells.amount(said.get("connect") or "0", "connect", self._decimal),
            *_increments(said),
        )

    def _keys(self, row: Sequence[str], line: int) -> list[tuple[Kind, str]]:
        given = {column: text for column, at in self._keys_at if (text := row[at].strip())}
        if len(given) > 1:
            raise MalformedError("", f"{' and '.join(given)} in one line; name the one that counts with --map")
        column, text = next(iter(given.items()), (self._keys_at[0][0] if self._keys_at else "prefix", ""))
        if column != "prefix":
            return [(KEYS[column], _READERS[column](text))]
        found = cells.prefixes(text, self._country_code(row))
        self._extra += len(found) - 1
        if line + self._extra > MAX_RATES:
            _refuse_size(line)
        return [(Kind.PREFIX, prefix) for prefix in found]

    def _country_code(self, row: Sequence[str]) -> str:
        at = self._layout.at.get("country_code")
        if at is None:
            return self._fixed.get("country_code", "")
        if code := row[at].strip():
            return code
        raise MalformedError("country_code", "empty; every line has one")

    def _sentence(self, row: Sequence[str], error: MalformedError) -> str:
        at = self._layout.at.get(error.column)
        if at is None:
            return f"{error.column}{': ' if error.column else ''}{error}"
        return f"{shown(self._layout.header[at])} {shown(row[at].strip())}: {error}"


def _refuse_width(cells_there: int, width: int) -> NoReturn:
    raise MalformedError("", f"{cells_there} cells, where the header has {width}; quote cells with delimiters")


def _refuse_size(line: int) -> NoReturn:
    raise ConfigError(f"line {line}: more than {MAX_RATES} rates; split the deck")


def _increments(said: Mapping[str, str]) -> tuple[int, int]:
    if "increments" in said:
        return cells.increments(said["increments"])
    if "first" in said:
        return cells.seconds(said["first"], "first"), cells.seconds(said["next"], "next")
    return DEFAULT_INCREMENTS


def shown(text: str) -> str:
    """Short and in ASCII; what may be a subscriber's number is masked."""
    cut = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
    return ascii(_SUBSCRIBER.sub(lambda digits: mask(digits[0]), cut))
