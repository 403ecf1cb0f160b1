"""The book of rates: the decks of all vendors in one mapped file, and which rate of each vendor a destination has.

Every key is a *node*; its rates lie together, vendor by vendor, the one that wins first. Of keys that are leading digits, sorted so
that a prefix precedes all that begin with it, each knows its *parent*, the longest shorter prefix in the book. One binary search
leads to the longest match, and parents past all others, longest first. `book_file` writes it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Final

import msgspec

from agi_lookup.routing import column_file
from agi_lookup.routing.column_file import ColumnFile, DeckError
from agi_lookup.routing.deck_file import DeckInfo
from agi_lookup.routing.kept import Kept
from agi_lookup.routing.rates import Destination, Kind, Tariff
from agi_lookup.routing.tables import (
    KIND_SHIFT,
    LEADING,
    LENGTH_MASK,
    PREFIX_DIGITS,
    SPANS,
    Billing,
    leading_code,
    leading_digits,
    tariff_of,
)

KIND: Final = "book"
NO_PARENT: Final = 0xFFFF_FFFF
MAX_KEPT: Final = 100_000


class BookInfo(msgspec.Struct, frozen=True):
    decks: tuple[DeckInfo, ...]
    rates: int
    keys: int


class Facts(msgspec.Struct, frozen=True):
    """What the book's file says of itself."""

    info: BookInfo
    billings: tuple[Billing, ...]
    texts: tuple[tuple[Kind, str], ...]
    """The keys that are no leading digits. Their nodes follow all others, in this order."""


class Found(msgspec.Struct, frozen=True, gc=False):
    """The rate that a vendor has for a destination, and why: the kind and key that won. No billing: it takes no calls there."""

    vendor: str
    rate: int  # nano-units a minute
    billing: Billing | None
    kind: Kind
    key: str

    @property
    def tariff(self) -> Tariff | None:
        return None if self.billing is None else tariff_of(self.rate, self.billing)


class Book:
    """An open book. Any number of threads may ask."""

    def __init__(self, file: ColumnFile, facts: Facts) -> None:
        self.info = facts.info
        self._facts = facts
        self._file = file
        self._vendors = frozenset(deck.vendor for deck in facts.info.decks)
        self._codes, self._parents, self._first = map(file.column, ("code", "parent", "first"))
        self._terms, self._rates = file.column("terms"), file.column("rate")
        self._terms_columns = [file.column(f"terms_{name}") for name in ("vendor", "start", "end", "billing")]
        self._terms_table = Kept(self._read_terms, MAX_KEPT)
        self._text_nodes = {text: node for node, text in enumerate(facts.texts, len(self._codes))}

    def find(self, destination: Destination, now: float) -> list[Found]:
        """Of each vendor the rate that wins among those in force at `now` (Unix seconds), where it has one.

        The most specific `Kind` wins, then the longest key (of carrier groups as long as each other the first by name), then the
        latest start, then the latest line.
        """
        found: list[Found] = []
        missing = set(self._vendors)
        table = self._terms_table
        for node, kind, key in self._nodes(destination):
            rows = slice(self._first[node], self._first[node + 1])
            for terms, rate in zip(self._terms[rows], self._rates[rows], strict=True):
                vendor, start, end, billing = table[terms]
                if vendor in missing and start <= now < end:
                    missing.remove(vendor)
                    found.append(Found(vendor, rate, billing, kind, key))
            if not missing:
                break
        return found

    @cached_property
    def changes(self) -> list[float]:
        """When some rate comes into force or ends, ascending. Few ask."""
        times = (time for name in ("start", "end") for time in self._file.column(f"terms_{name}"))
        return sorted(set(filter(isfinite, times)))

    def keys(self, kind: Kind) -> Iterator[str]:
        """All of one kind."""
        if kind in LEADING:
            first, end = (bisect_left(self._codes, k << KIND_SHIFT) for k in (kind, kind + 1))
            return map(leading_digits, self._codes[first:end])
        return (key for of, key in self._facts.texts if of is kind)

    def longest(self, digits: str) -> str:
        """The longest prefix with a rate that the digits begin with, else empty."""
        return next((key for _, _, key in self._leading(Kind.PREFIX, digits)), "")

    def _read_terms(self, number: int) -> tuple[str, float, float, Billing | None]:
        """All that is said of a rate but its amount: few differ."""
        vendor, start, end, billing = (column[number] for column in self._terms_columns)
        return self.info.decks[vendor].vendor, start, end, self._facts.billings[billing] if billing else None

    def verify(self) -> None:
        """Read the whole file once; a second for some gigabytes, without the interpreter's lock. Raises `DeckError`."""
        self._file.verify()

    def _nodes(self, destination: Destination) -> Iterator[tuple[int, Kind, str]]:
        """All keys that the destination has, the most specific first."""
        digits, mccmnc, groups, ocn, lrn = destination
        if lrn:
            yield from self._leading(Kind.LRN, lrn)
        if ocn:
            yield from self._text(Kind.OCN, ocn)
        if mccmnc:
            yield from self._text(Kind.MCCMNC, mccmnc)
        if groups:
            for group in sorted(groups, key=lambda name: (-len(name), name)):
                yield from self._text(Kind.GROUP, group)
        yield from self._leading(Kind.PREFIX, digits)

    def _text(self, kind: Kind, key: str) -> Iterator[tuple[int, Kind, str]]:
        node = self._text_nodes.get((kind, key))
        if node is not None:
            yield node, kind, key

    def _leading(self, kind: Kind, digits: str) -> Iterator[tuple[int, Kind, str]]:
        if not (digits.isascii() and digits.isdigit()):
            return
        wanted = leading_code(kind, digits[:PREFIX_DIGITS])
        codes, parents = self._codes, self._parents
        node = bisect_right(codes, wanted) - 1
        while node >= 0:
            length = codes[node] & LENGTH_MASK
            if wanted - (codes[node] - length) < SPANS[length]:
                yield node, kind, digits[:length]
            parent = parents[node]
            if parent >= node:  # none, or a damaged file: a prefix stands before all that begin with it
                return
            node = parent


def open_book(path: Path) -> Book:
    """Map it: little is read, whatever its size (see `Book.verify`). Raises `DeckError`."""
    file = column_file.open_columns(path, KIND)
    try:
        return Book(file, msgspec.json.decode(file.facts, type=Facts))
    except (msgspec.DecodeError, IndexError, ValueError) as error:
        raise DeckError(f"{path}: its parts do not fit together ({error}): activate a deck again") from None
