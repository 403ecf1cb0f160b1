"""What ranking says: the routes, and on demand every candidate with what became of it, in stable words."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from agi_lookup.domain.model import Route
from agi_lookup.routing.book import Found
from agi_lookup.routing.capacity import Course
from agi_lookup.routing.rates import Kind
from agi_lookup.routing.strategies import Offer, Strategy
from agi_lookup.routing.trunks import Trunk

CHOSEN: Final = "chosen"
BEYOND_MAX: Final = "beyond_max"
NO_RATE: Final = "no_rate"
NO_TRUNK: Final = "no_trunk"
TOO_DEAR: Final = "too_dear"
NO_PROFIT: Final = "no_profit"

KIND_WORDS: Final = tuple(kind.name.lower() for kind in Kind)
_MICRO: Final = Decimal("0.000001")


class Candidate(NamedTuple):
    """A trunk and what became of it. `cost` is per minute in the comparison currency, None where it is not known."""

    vendor: str
    trunk: str  # empty: no trunk of the config is this vendor's
    fate: str  # `chosen`, or the stable word for why not
    kind: str = ""
    key: str = ""
    cost: Decimal | None = None


Lost: TypeAlias = tuple[Trunk | None, Found, int | None, str]
"""(trunk, found, cost in nano-units a minute, why)."""


class Ranking(NamedTuple):
    """`routes` in the order in which they are to be tried."""

    routes: tuple[Route, ...] = ()
    offers: Sequence[Offer] = ()  # in the same order, with those beyond the maximum
    lost: Sequence[Lost] = ()
    trunks: tuple[Trunk, ...] = ()
    course: Course | None = None  # None: no routes
    strategy: Strategy | None = None  # that chose the first; None: something else did

    def __repr__(self) -> str:
        return f"Ranking({[route.trunk for route in self.routes]})"

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Those chosen first, then all others: each trunk once, and each vendor whose deck has a rate."""
        seen = {trunk for *_, trunk, _ in self.offers} | {trunk for trunk, *_ in self.lost}
        offered = (
            _candidate(trunk, found, cost, CHOSEN if place < len(self.routes) else BEYOND_MAX)
            for place, (_, _, cost, trunk, found) in enumerate(self.offers)
        )
        without = (Candidate(trunk.vendor, trunk.name, NO_RATE) for trunk in self.trunks if trunk not in seen)
        return (*offered, *(_candidate(*lost) for lost in self.lost), *without)


NO_ROUTES: Final = Ranking()


def _candidate(trunk: Trunk | None, found: Found, cost: int | None, fate: str) -> Candidate:
    price = None if cost is None else amount(cost)
    return Candidate(found.vendor, trunk.name if trunk else "", fate, KIND_WORDS[found.kind], found.key, price)


@lru_cache(maxsize=8192)
def amount(nanos: int) -> Decimal:
    """To six places, so that its text never has an exponent."""
    return (nanos + 500) // 1000 * _MICRO
