"""Made-up decks and destinations: the same each time, shaped as those of wholesale carriers.

Every whole number from 1 is a prefix, so that a destination has one of each length. A vendor leaves out every tenth, which it sells
by a shorter one; every other vendor also sells networks. 4,999 prices, three kinds of increments and some connect fees make 62,000
tariffs.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Final

from agi_lookup.routing.cost import Costs
from agi_lookup.routing.fx import FxTable
from agi_lookup.routing.rates import NANO, Destination, Kind, Rate, Tariff

VENDORS: Final = 20
NOW: Final = datetime(2026, 2, 1, tzinfo=UTC).timestamp()
START: Final = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
PRICES: Final = 4_999
PRICE_STEP: Final = NANO // 10_000
INCREMENTS: Final = ((1, 1), (30, 6), (60, 60))
CURRENCIES: Final = ("EUR", "USD", "GBP")
NETWORKS: Final = tuple(f"{mcc}{mnc:02}" for mcc in range(200, 400) for mnc in range(1, 6))
LEFT_OUT: Final = 10
_SPREAD: Final = 7919
"""A prime, as the number of prices is: neighbouring prefixes have different prices, and every price is used."""


def vendor_name(vendor: int) -> str:
    return f"vendor{vendor:02}"


def rates(vendor: int, prefixes: int) -> Iterator[Rate]:
    """One vendor's deck: so many prefixes, and perhaps the networks."""
    tariffs = [_tariff(vendor, price) for price in range(PRICES)]
    offered = (number for number in itertools.count(1) if (number + vendor) % LEFT_OUT)
    for line, number in enumerate(itertools.islice(offered, prefixes), 1):
        yield Rate(Kind.PREFIX, str(number), tariffs[(number * _SPREAD + vendor) % PRICES], START, line=line)
    for line, network in enumerate(NETWORKS if vendor % 2 else ()):
        yield Rate(Kind.MCCMNC, network, tariffs[(line * _SPREAD + vendor) % PRICES], START, line=prefixes + line)


def _tariff(vendor: int, price: int) -> Tariff:
    connect = 5 * PRICE_STEP if vendor % 5 == 0 else 0
    return Tariff(CURRENCIES[vendor % 3], (1 + price) * PRICE_STEP, connect, *INCREMENTS[vendor // 3 % 3])


def destinations(seed: int) -> Iterator[Destination]:
    """Without end. Of every other number the network is known."""
    chance = random.Random(seed)  # noqa: S311
    while True:
        digits = str(chance.randrange(10**11, 10**12))
        yield Destination(digits, mccmnc=chance.choice(NETWORKS))
        yield Destination(digits[::-1].lstrip("0"))


def costs() -> Costs:
    day = date(2026, 1, 31)
    fx = FxTable("EUR", 7, {"USD": {day: Fraction("0.85")}, "GBP": {day: Fraction("1.15")}})
    return Costs("EUR", ((20, 3.0), (120, 5.0), (600, 2.0)), fx)
