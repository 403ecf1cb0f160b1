"""Vendors' decks, live in a state folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agi_lookup.routing import deck_file
from agi_lookup.routing.rates import Rate
from agi_lookup.routing.store import Store, version_id


def imported(store: Store, vendor: str, rates: Iterable[Rate], now: float) -> str:
    """The version; it is not live by that."""
    version = version_id(now, "0123abcd")
    with store.staging(now) as folder:
        path = Path(folder) / "deck"
        deck_file.write(path, vendor, version, rates)
        store.add(path, vendor, version)
    return version
