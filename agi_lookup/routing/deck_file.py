"""One vendor's deck, one version of it, as a file of columns: its rates sorted by kind and key, then the one that wins first.

Of two rates of one key the one that starts later wins while both are in force, and of two that start together the later line.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from agi_lookup.routing import column_file
from agi_lookup.routing.column_file import ColumnFile, DeckError
from agi_lookup.routing.rates import Kind, Rate
from agi_lookup.routing.tables import (
    KIND_SHIFT,
    LEADING,
    NO_TARIFF,
    PREFIX_DIGITS,
    VALUE_MASK,
    Billing,
    Column,
    Tariffs,
    leading_code,
    leading_digits,
)

KIND: Final = "deck"
_KINDS: Final = tuple(Kind)
AT_ONCE: Final = 512
"""Rates that become columns together: few enough to stay in a processor's cache."""


class DeckInfo(msgspec.Struct, frozen=True):
    """What a deck is. `source` is the digest of the file that it was read from."""

    vendor: str
    version: str
    rows: int
    currencies: tuple[str, ...]
    source: str = ""


class _Facts(msgspec.Struct, frozen=True):
    info: DeckInfo
    billings: tuple[Billing, ...]
    texts: tuple[str, ...]  # keys of the kinds that are no leading digits, sorted


class Columns(NamedTuple):
    """Row by row. `key` is the kind, and the leading digits or the place in `texts`; the others are places in tables."""

    key: memoryview[Any]
    tariff: memoryview[Any]
    period: memoryview[Any]
    line: memoryview[Any]


class Deck:
    """An open deck."""

    def __init__(self, file: ColumnFile, facts: _Facts) -> None:
        self.info = facts.info
        self.texts = facts.texts
        self.tariffs = Tariffs(file.column("tariff_rate"), file.column("tariff_billing"), facts.billings)
        self.periods = list(zip(file.column("start"), file.column("end"), strict=True))
        self.columns = Columns(*map(file.column, Columns._fields))

    def __len__(self) -> int:
        return self.info.rows

    def rates(self) -> Iterator[Rate]:
        """Sorted by kind, then by key as text, then the latest start first, then the latest line."""
        tariffs = [self.tariffs[number] for number in range(len(self.tariffs) + 1)]
        for code, tariff, period, line in zip(*self.columns, strict=True):
            start, end = self.periods[period]
            yield Rate(_KINDS[code >> KIND_SHIFT], self.key(code), tariffs[tariff], start, end, line)

    def key(self, code: int) -> str:
        kind = _KINDS[code >> KIND_SHIFT]
        return leading_digits(code) if kind in LEADING else self.texts[code & VALUE_MASK]


def write(path: Path, vendor: str, version: str, rates: Iterable[Rate], *, source: str = "") -> DeckInfo:
    """The rates may come in any order. Atomic and durable. Raises `DeckError`, `OSError`, and what `rates` raises."""
    rows = _Rows(rates)
    order = rows.order()
    tariffs = Tariffs.of(tariff for tariff in rows.tariffs if tariff is not None)
    currencies = tuple(sorted({billing.currency for billing in tariffs.billings[1:]}))
    info = DeckInfo(vendor, version, len(order), currencies, source)
    columns: dict[str, Column] = {
        "key": array("Q", map(rows.key.__getitem__, order)),
        "tariff": array("I", map(rows.tariff.__getitem__, order)),
        "period": array("I", map(rows.period.__getitem__, order)),
        "line": array("I", map(rows.line.__getitem__, order)),
        "start": array("d", (start for start, _ in rows.periods)),
        "end": array("d", (end for _, end in rows.periods)),
        "tariff_rate": tariffs.rate,
        "tariff_billing": tariffs.billing,
    }
    column_file.write(path, KIND, _Facts(info, tuple(tariffs.billings), rows.sorted_texts()), columns)
    return info


def open_deck(path: Path) -> Deck:
    """Map it, once every checksum has been found right. Raises `DeckError`."""
    file = column_file.open_columns(path, KIND)
    file.verify()
    try:
        return Deck(file, msgspec.json.decode(file.facts, type=_Facts))
    except msgspec.DecodeError as error:
        raise DeckError(f"{path}: its facts make no sense, {error}: import the deck again") from None


class _Numbers(dict[Any, int]):
    """What is new gets the next number."""

    def __missing__(self, new: object) -> int:
        number = self[new] = len(self)
        return number


class _Rows:
    """Rates as columns, in the order in which they came. A column at a time: row by row, all of an import takes a fifth longer."""

    def __init__(self, rates: Iterable[Rate]) -> None:
        self.key, self.tariff, self.period, self.line = array("Q"), array("I"), array("I"), array("I")
        self.tariffs = _Numbers({None: NO_TARIFF})
        self.periods = _Numbers()
        self._texts = _Numbers()
        coming = iter(rates)
        while some := list(islice(coming, AT_ONCE)):
            self._add(some)
        self._check_periods()
        self._number_texts()

    def _add(self, rates: Sequence[Rate]) -> None:
        kinds, keys, tariffs, starts, ends, lines = zip(*rates, strict=True)
        self.key.extend(self._codes(kinds, keys, lines))
        self.tariff.extend(map(self.tariffs.__getitem__, tariffs))
        self.period.extend(map(self.periods.__getitem__, zip(starts, ends, strict=True)))
        self.line.extend(lines)

    def _codes(self, kinds: Sequence[Kind], keys: Sequence[str], lines: Sequence[int]) -> Iterable[int]:
        """At once where all are leading digits, as in most decks."""
        digits = "".join(keys)
        sound = all(keys) and max(map(len, keys)) <= PREFIX_DIGITS and digits.isascii() and digits.isdigit()
        if sound and LEADING.issuperset(kinds):
            return map(leading_code, kinds, keys)
        return map(self._code, kinds, keys, lines)

    def _code(self, kind: Kind, key: str, line: int) -> int:
        if kind not in LEADING:
            return kind << KIND_SHIFT | self._texts[key]
        if not (key.isascii() and key.isdigit() and len(key) <= PREFIX_DIGITS):
            raise DeckError(f"line {line}: {key!r} is no prefix: write 1 to {PREFIX_DIGITS} digits")
        return leading_code(kind, key)

    def _check_periods(self) -> None:
        for (start, end), number in self.periods.items():
            if not start < end:
                line = self.line[self.period.index(number)]
                raise DeckError(f"line {line}: the rate ends before it starts: mend its dates")

    def order(self) -> list[int]:
        """The places of the rows, sorted. Each pass keeps the order of the one before among equals."""
        starts = [start for start, _ in self.periods]
        order = sorted(range(len(self.key)), key=self.line.__getitem__, reverse=True)
        order.sort(key=lambda place: starts[self.period[place]], reverse=True)
        order.sort(key=self.key.__getitem__)
        return order

    def sorted_texts(self) -> tuple[str, ...]:
        return tuple(sorted(self._texts))

    def _number_texts(self) -> None:
        """By their place among the sorted ones, so that codes sort as keys do."""
        places = {self._texts[text]: place for place, text in enumerate(self.sorted_texts())}
        for row, code in enumerate(self.key) if places else ():
            if _KINDS[code >> KIND_SHIFT] not in LEADING:
                self.key[row] = code >> KIND_SHIFT << KIND_SHIFT | places[code & VALUE_MASK]
