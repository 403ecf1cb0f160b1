"""What calls are routed by, for people. Reads the disk."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from agi_lookup.config import Config
from agi_lookup.routes import DECKS, Sources, gaps
from agi_lookup.routing import deck_report
from agi_lookup.routing.book import open_book
from agi_lookup.routing.store import Store
from agi_lookup.web.figures import Book, Decks, DeckVersion, Vendor

UNREAD: Final = {"rows": None, "currencies": None, "starts": None, "error": None}


def decks(config: Config, sources: Sources) -> Decks:
    """The book in use, every version of every vendor, and which trunks get no calls.

    Raises `ConfigError`, `OutsideError`, `OSError`.
    """
    store = Store(config.state_dir / DECKS)
    return Decks(
        book=_book(sources),
        trunks=list(config.routing.trunks),
        vendors=[
            Vendor(
                vendor=vendor,
                versions=[DeckVersion(**{**UNREAD, **version}) for version in deck_report.versions(store, vendor)],
            )
            for vendor in store.vendors()
        ],
        gaps=gaps(config.routing, sources, datetime.now(UTC).date()),
    )


def _book(sources: Sources) -> Book | None:
    if sources.book is None:
        return None
    info = open_book(sources.book).info
    return Book(name=sources.book.name, rates=info.rates, vendors=len(info.decks))
