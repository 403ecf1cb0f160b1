"""Compiling the decks of all vendors into a book.

The sorted decks are merged a few million rates at a time, with whole columns at once: nothing is done rate by rate in Python but by
what `sorted`, `map` and `Counter` call.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Final

from agi_lookup.routing import column_file
from agi_lookup.routing.book import KIND, NO_PARENT, BookInfo, Facts
from agi_lookup.routing.column_file import DeckError
from agi_lookup.routing.deck_file import Deck
from agi_lookup.routing.kept import Kept
from agi_lookup.routing.rates import Kind
from agi_lookup.routing.tables import (
    KIND_SHIFT,
    LEADING,
    LENGTH_MASK,
    NOT_TAKEN,
    SPANS,
    Billing,
    Column,
)

CHUNK_RATES: Final = 2_000_000
"""Are merged at once: enough for it to be fast, few enough for 300 MB to do."""
SAMPLES_A_CHUNK: Final = 500
MAX_KEPT: Final = 100_000


def compile_book(path: Path, decks: Sequence[Deck], *, chunk_rates: int = CHUNK_RATES) -> BookInfo:
    """Write the book of these decks, one a vendor. Atomic and durable. Raises `DeckError`, `OSError`."""
    vendors = Counter(deck.info.vendor for deck in decks)
    if twice := [vendor for vendor, count in vendors.items() if count > 1]:
        raise DeckError(f"vendor {twice[0]}: give one deck of each vendor, not {vendors[twice[0]]}")
    rows = _Rows(decks)
    rows.merge(chunk_rates)
    info = BookInfo(tuple(deck.info for deck in decks), len(rows.rate), len(rows.size))
    columns: dict[str, Column] = {
        "code": rows.code,
        "parent": parents(rows.code),
        "first": array("I", accumulate(rows.size, initial=0)),
        "terms": rows.terms,
        "rate": rows.rate,
        "terms_vendor": array("H", (vendor for vendor, *_ in rows.terms_table)),
        "terms_start": array("d", (start for _, start, _, _ in rows.terms_table)),
        "terms_end": array("d", (end for _, _, end, _ in rows.terms_table)),
        "terms_billing": array("I", (billing for *_, billing in rows.terms_table)),
    }
    column_file.write(path, KIND, Facts(info, tuple(rows.billings), tuple(rows.texts)), columns)
    return info


class _Numbers:
    """A deck's numbers as the book's: its tariffs as rates, and with its periods as terms."""

    def __init__(self, deck: Deck, vendor: int, rows: _Rows) -> None:
        tariffs = deck.tariffs
        billings = [rows.billings.setdefault(billing, len(rows.billings)) for billing in tariffs.billings]
        self.rate = tariffs.rate.tolist()
        self.billing = [billings[place] for place in tariffs.billing]
        self.terms = Kept[tuple[int, int], int](
            lambda seen: rows.terms_table.setdefault((vendor, *deck.periods[seen[0]], seen[1]), len(rows.terms_table)),
            MAX_KEPT,
        )


class _Rows:
    """The rates of all decks, sorted by key and then deck by deck; within a deck they stay as they are, the winner first."""

    def __init__(self, decks: Sequence[Deck]) -> None:
        self.code, self.size = array("Q"), array("I")  # of a node: its key, and how many rates it has
        self.terms, self.rate = array("I"), array("q")  # of a rate
        self.texts: list[tuple[Kind, str]] = []
        self.billings: dict[Billing, int] = {NOT_TAKEN: 0}
        self.terms_table: dict[tuple[int, float, float, int], int] = {}  # vendor, start, end, billing
        self._decks = decks
        self._numbers = [_Numbers(deck, vendor, self) for vendor, deck in enumerate(decks)]

    def merge(self, chunk_rates: int) -> None:
        for kind in sorted(LEADING):
            for low, high in pairwise(self._bounds(kind, chunk_rates)):
                self._merge_leading(low, high)
        self._merge_texts()

    def _bounds(self, kind: Kind, chunk_rates: int) -> Iterator[int]:
        """Codes that part those of a kind into chunks."""
        step = max(1, chunk_rates // SAMPLES_A_CHUNK)
        low, high = kind << KIND_SHIFT, (kind + 1) << KIND_SHIFT
        samples = sorted(chain.from_iterable(deck.columns.key[::step] for deck in self._decks))
        inside = samples[bisect_left(samples, low) : bisect_left(samples, high)]
        return chain((low,), inside[:: chunk_rates // step], (high,))

    def _slices(self, low: int, high: int) -> Iterator[tuple[memoryview, Iterator[int], Iterator[int]]]:
        """Of each deck the keys between two codes, and the terms and rates there."""
        for deck, numbers in zip(self._decks, self._numbers, strict=True):
            key, tariff, period, _ = deck.columns
            rows = slice(bisect_left(key, low), bisect_left(key, high))
            seen = zip(period[rows], map(numbers.billing.__getitem__, tariff[rows]), strict=True)
            yield key[rows], map(numbers.terms.__getitem__, seen), map(numbers.rate.__getitem__, tariff[rows])

    def _merge_leading(self, low: int, high: int) -> None:
        keys: list[int] = []
        terms: list[int] = []
        rates: list[int] = []
        for more_keys, more_terms, more_rates in self._slices(low, high):
            keys += more_keys
            terms += more_terms
            rates += more_rates
        order = sorted(range(len(keys)), key=keys.__getitem__)  # merges the runs, and leaves equals deck by deck
        sizes = Counter(map(keys.__getitem__, order))
        self.code.extend(sizes)
        self.size.extend(sizes.values())
        self.terms.extend(map(terms.__getitem__, order))
        self.rate.extend(map(rates.__getitem__, order))

    def _merge_texts(self) -> None:
        nodes: dict[tuple[Kind, str], list[tuple[int, int]]] = {}
        low, high = Kind.GROUP << KIND_SHIFT, Kind.LRN << KIND_SHIFT
        for deck, (keys, terms, rates) in zip(self._decks, self._slices(low, high), strict=True):
            for code, row in zip(keys, zip(terms, rates, strict=True), strict=True):
                nodes.setdefault((Kind(code >> KIND_SHIFT), deck.key(code)), []).append(row)
        self.texts = list(nodes)
        for rows in nodes.values():
            self.size.append(len(rows))
            self.terms.extend(terms for terms, _ in rows)
            self.rate.extend(rate for _, rate in rows)


def parents(codes: array[int]) -> array[int]:
    """Of each sorted key the place of the longest shorter prefix. The stack holds the way down to the key before."""
    found = array("I")
    way: list[tuple[int, int]] = []  # where the keys that begin with it end, and its place
    for place, code in enumerate(codes):
        while way and way[-1][0] <= code:
            way.pop()
        found.append(way[-1][1] if way else NO_PARENT)
        length = code & LENGTH_MASK
        way.append((code - length + SPANS[length], place))
    return found
