"""How soon are the routes of a call ranked, and how much memory does it take, beside brute force and a dict of all rates?"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agi_lookup.bench import route_decks
from agi_lookup.bench.children import Child
from agi_lookup.bench.route_decks import VENDORS
from agi_lookup.bench.route_sides import BOOK_FILE
from agi_lookup.domain.errors import OutsideError
from agi_lookup.routing import deck_file
from agi_lookup.routing.book_file import compile_book
from agi_lookup.routing.deck_file import open_deck


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """A case: 20 vendors with so many prefixes each. A dict of 20 million rates would take some gigabytes."""

    prefixes: int
    probes: int
    with_dict: bool

    @property
    def title(self) -> str:
        return f"{self.prefixes * VENDORS:,} rates"


def ranked_routes(folder: Path, effort: Effort) -> dict[str, Any]:
    """One of the report's `routes`: the same decks and destinations for all sides. Takes 30 bytes of disk a rate."""
    sides = ("ours", "naive_dict", "brute_force") if effort.with_dict else ("ours", "brute_force")
    made = _make(folder, effort.prefixes)
    measured = {side: _measure(side, folder, effort.probes) for side in sides}
    return {
        "title": effort.title,
        **made,
        "sides": measured,
        "agree": len({side.pop("digest") for side in measured.values()}) == 1,
    }


def _make(folder: Path, prefixes: int) -> dict[str, Any]:
    began = time.perf_counter()
    for vendor in range(VENDORS):
        name = route_decks.vendor_name(vendor)
        deck_file.write(folder / f"{name}.deck", name, "1", route_decks.rates(vendor, prefixes))
    written = time.perf_counter()
    decks = [open_deck(path) for path in sorted(folder.glob("*.deck"))]
    opened = time.perf_counter()
    info = compile_book(folder / BOOK_FILE, decks)
    return {
        "rates": info.rates,
        "keys": info.keys,
        "written_per_s": info.rates / (written - began),
        "compile_s": time.perf_counter() - opened,
        "book_mib": (folder / BOOK_FILE).stat().st_size / 2**20,
    }


def _measure(side: str, folder: Path, probes: int) -> dict[str, Any]:
    with Child("agi_lookup.bench.route_sides", side, str(folder), str(0 if side == "brute_force" else probes)) as child:
        said = child.first_line()
        if not said:
            raise OutsideError(f"the process that ranks routes ({side}) ended early; is there enough memory?")
        found: dict[str, Any] = json.loads(said)
        return {**found, "rss_mib": child.rss_kib() / 1024}
