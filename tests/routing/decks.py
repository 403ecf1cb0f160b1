"""Decks and books for tests: rates in few words, written and opened again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from agi_lookup.routing import deck_file
from agi_lookup.routing.book import Book, open_book
from agi_lookup.routing.book_file import compile_book
from agi_lookup.routing.deck_file import Deck, open_deck
from agi_lookup.routing.rates import Rate, Tariff


def tariff(cents: int, currency: str = "USD") -> Tariff:
    return Tariff(currency, cents * 10**7)


def deck(folder: Path, vendor: str, rates: Iterable[Rate]) -> Deck:
    path = folder / f"{vendor}.deck"
    deck_file.write(path, vendor, "1", rates)
    return open_deck(path)


def book(folder: Path, rates: Mapping[str, Iterable[Rate]], **options: int) -> Book:
    """By vendor."""
    path = folder / "book"
    compile_book(path, [deck(folder, vendor, theirs) for vendor, theirs in rates.items()], **options)
    return open_book(path)
