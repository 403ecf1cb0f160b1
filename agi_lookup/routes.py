"""What the router is made of: the live book of rates and the exchange rates, opened and watched for newer ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final, Self

from agi_lookup.call import NoRouter, Router
from agi_lookup.config import Config
from agi_lookup.domain.errors import ConfigError, OutsideError
from agi_lookup.routing import lcr
from agi_lookup.routing.book import open_book
from agi_lookup.routing.cost import Costs
from agi_lookup.routing.fx import FxTable
from agi_lookup.routing.homes import Homes
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.routing.savings import Savings
from agi_lookup.routing.store import Store
from agi_lookup.routing.worth import LooksAt, Shares, Worth, WorthMode

DECKS: Final = "decks"


@dataclass(frozen=True, slots=True)
class Sources:
    """Which files rates come from. `changed_at` is the exchange rates' (ns); equal sources make equal routers."""

    book: Path | None
    fx: Path | None
    changed_at: int | None

    @classmethod
    def of(cls, config: Config) -> Self:
        """As they are now. Raises `OutsideError` where that cannot be told."""
        routing = config.routing
        if not routing.trunks:
            return cls(None, None, None)
        try:
            book = Store(config.state_dir / DECKS).live_book()
            changed_at = routing.fx_file.stat().st_mtime_ns if routing.fx_file else None
        except (ConfigError, OSError) as error:
            raise OutsideError(f"which rates are live cannot be read: {error}") from None
        return cls(book, routing.fx_file, changed_at)


NO_SOURCES: Final = Sources(None, None, None)


@dataclass(frozen=True, slots=True)
class Rates:
    """What calls go by. Without `worth`, no lookup is spared."""

    router: Router = field(default_factory=NoRouter)
    worth: Worth | None = None
    fx: FxTable = field(default_factory=lambda: FxTable("EUR", 0))


@dataclass(frozen=True, slots=True)
class Lookups:
    """What is known of lookups, to tell whether one is worth its price."""

    homes: Homes
    shares: Shares
    looks_at: LooksAt


def open_fx(options: RoutingOptions) -> FxTable:
    """Raises `ConfigError`."""
    if options.fx_file is not None:
        return FxTable.load(options.fx_file, options.currency, options.fx_max_age_days)
    return FxTable(options.currency, options.fx_max_age_days)


def open_rates(options: RoutingOptions, sources: Sources, memory: Memory, lookups: Lookups | None = None) -> Rates:
    """Maps the book, and reads the exchange rates. Raises `DeckError` for a book, else `ConfigError`."""
    fx = open_fx(options)
    if sources.book is None:
        return Rates(fx=fx)
    usual = tuple((duration.seconds, duration.weight) for duration in options.durations)
    book, costs = open_book(sources.book), Costs(options.currency, usual, fx)
    worth = None
    if lookups is not None and options.worth_lookup.mode is not WorthMode.OFF:
        savings = Savings(options, book, costs, lookups.homes, lookups.shares, memory.durations.of)
        worth = Worth(options.worth_lookup, savings, lookups.looks_at)
    return Rates(lcr.Router(options, book, costs, memory), worth, fx)


def gaps(options: RoutingOptions, sources: Sources, today: date) -> list[str]:
    """Why some trunks will get no calls, in words. Raises `ConfigError`."""
    if not options.trunks:
        return []
    decks = open_book(sources.book).info.decks if sources.book is not None else ()
    live = {deck.vendor for deck in decks}
    fx = open_fx(options)
    found = [
        f"routing.trunks.{name}: no deck of vendor {trunk.vendor!r} is live; agi-lookup rates import, then rates activate"
        for name, trunk in options.trunks.items()
        if trunk.vendor not in live
    ]
    used = {trunk.vendor for trunk in options.trunks.values()}
    for deck in decks:
        if deck.vendor not in used:
            found.append(f"vendor {deck.vendor!r} has a live deck, and no trunk of routing.trunks is its")
            continue
        for currency in deck.currencies:
            rate = fx.rate(currency, options.currency, today)
            if isinstance(rate, str):
                found.append(
                    f"vendor {deck.vendor!r}: its rates in {currency} are not used ({rate}); see routing.fx_file"
                )
    return found


def check(sources: Sources) -> None:
    """Reads the whole book once: seconds for some gigabytes, in a thread. Raises `DeckError`."""
    if sources.book is not None:
        open_book(sources.book).verify()
