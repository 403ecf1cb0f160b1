"""Three ways to find and rank what vendors charge, each in a process of its own.

`python -m agi_lookup.bench.route_sides SIDE FOLDER PROBES` prints what it measured as JSON and waits to be ended, so that one can
look at its memory.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

from agi_lookup.bench.route_decks import NOW, VENDORS, costs, destinations, vendor_name
from agi_lookup.domain.model import Identity, Number
from agi_lookup.routing.book import Found, open_book
from agi_lookup.routing.deck_file import Deck, open_deck
from agi_lookup.routing.lcr import RouteQuery, Router
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.routing.rates import Destination, Kind, Rate
from agi_lookup.routing.tables import billing_of

BOOK_FILE: Final = "book"
COMPARED: Final = 2
"""Rankings that all sides must agree about; so few, as brute force takes half a minute for one of 20 million rates."""
ROUNDS: Final = 3
"""Of which the best counts: what else the machine does in a round is not to be measured."""

Find: TypeAlias = Callable[[Destination, float], list[Found]]


def ours(folder: Path) -> Find:
    book = open_book(folder / BOOK_FILE)
    book.verify()
    return book.find


def naive_dict(folder: Path) -> Find:
    """By key a list of all vendors' rates; a look-up for each key that the destination may have."""
    by_key: dict[tuple[Kind, str], list[tuple[str, Rate]]] = {}
    for deck in _decks(folder):
        for rate in deck.rates():
            by_key.setdefault((rate.kind, rate.key), []).append((deck.info.vendor, rate))

    def find(destination: Destination, now: float) -> list[Found]:
        found: dict[str, Found] = {}
        for key in _keys(destination):
            for vendor, rate in by_key.get(key, ()):
                if vendor not in found and rate.start <= now < rate.end:
                    found[vendor] = _found(vendor, rate)
        return list(found.values())

    return find


def brute_force(folder: Path) -> Find:
    """Every rate of every deck, as it is read from its file."""
    decks = _decks(folder)

    def find(destination: Destination, now: float) -> list[Found]:
        keys = frozenset(_keys(destination))
        found = []
        for deck in decks:
            fitting = (rate for rate in deck.rates() if (rate.kind, rate.key) in keys and rate.start <= now < rate.end)
            won = max(fitting, key=lambda rate: (rate.kind, len(rate.key)), default=None)
            if won is not None:
                found.append(_found(deck.info.vendor, won))
        return found

    return find


SIDES: Final = {side.__name__: side for side in (ours, naive_dict, brute_force)}


def _found(vendor: str, rate: Rate) -> Found:
    billing = None if rate.tariff is None else billing_of(rate.tariff)
    return Found(vendor, 0 if rate.tariff is None else rate.tariff.rate, billing, rate.kind, rate.key)


def _decks(folder: Path) -> list[Deck]:
    return [open_deck(path) for path in sorted(folder.glob("*.deck"))]


def _keys(destination: Destination) -> Iterator[tuple[Kind, str]]:
    """Of the kinds that the decks have, the most specific first."""
    if destination.mccmnc:
        yield Kind.MCCMNC, destination.mccmnc
    for length in range(len(destination.digits), 0, -1):
        yield Kind.PREFIX, destination.digits[:length]


def measure(find: Find, probes: int) -> dict[str, Any]:
    """Microseconds of one thread's CPU. Without probes, only the rankings that are compared are timed, and once.

    `match` finds each vendor's rate, `rank` prices and sorts them too, `route` is all that a call has done: `Router.rank`.
    """
    expected = costs()

    def rank(destination: Destination) -> list[tuple[int | str, str]]:
        found = find(destination, NOW)
        return sorted(zip(expected.of(found, None, NOW), [one.vendor for one in found], strict=True))

    began = time.thread_time_ns()
    compared = [rank(destination) for destination in itertools.islice(destinations(0), COMPARED)]
    rank_us = (time.thread_time_ns() - began) / 1000 / COMPARED
    measured = {"digest": sha256(json.dumps(compared).encode()).hexdigest(), "vendors": len(compared[0])}
    if not probes:
        return {**measured, "rank_p50_us": rank_us}
    router = _router(find)
    works: dict[str, Callable[[Destination], object]] = {
        "match": lambda destination: find(destination, NOW),
        "rank": rank,
        "route": lambda destination: router.rank(_query(destination), NOW),
    }
    for seed, (name, work) in enumerate(works.items(), 1):
        times_us = _times_us(work, list(itertools.islice(destinations(seed), probes)))
        measured |= {f"{name}_p{share}_us": times_us[len(times_us) * share // 100] for share in (50, 99)}
    return measured


def _router(find: Find) -> Router:
    trunks = {f"T{vendor}": {"vendor": vendor_name(vendor), "dial": "PJSIP/{number}@out"} for vendor in range(VENDORS)}
    options = RoutingOptions.model_validate({"trunks": trunks})
    return Router(options, SimpleNamespace(find=find), costs(), Memory(options))


def _query(destination: Destination) -> RouteQuery:
    known = destination.mccmnc or ""
    return RouteQuery(Number(f"+{destination.digits}"), Identity(mcc=known[:3] or None, mnc=known[3:] or None))


def _times_us(work: Callable[[Destination], object], destinations: Sequence[Destination]) -> list[float]:
    """Of each destination the best of some rounds, ascending. All others come in between: caches help as in a server."""
    rounds = [[_time_ns(work, destination) for destination in destinations] for _ in range(ROUNDS)]
    return sorted(min(times) / 1000 for times in zip(*rounds, strict=True))


def _time_ns(work: Callable[[Destination], object], destination: Destination) -> int:
    began = time.thread_time_ns()
    work(destination)
    return time.thread_time_ns() - began


def main(side: str, folder: Path, probes: int) -> None:
    began = time.perf_counter()
    find = SIDES[side](folder)
    opened_s = time.perf_counter() - began
    sys.stdout.write(json.dumps({"open_s": opened_s, **measure(find, probes)}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
