"""In which order offers are tried. Ordering changes nothing; what a strategy has to remember it is told when a call really starts.

Each says in a few safe words why the first one is first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from math import gcd, inf
from operator import itemgetter
from typing import Final, Protocol, TypeAlias

from agi_lookup.routing.book import Found
from agi_lookup.routing.quality import Quality
from agi_lookup.routing.trunks import Trunk

CHEAPEST: Final = "cheapest"
PRIORITY: Final = "priority within tie band"
BEST_VALUE: Final = "best value"
TURN: Final = "its turn"
MAX_WHEELS: Final = 1000
_PLACE: Final = itemgetter(1)


Offer: TypeAlias = tuple[float, int, int, Trunk, Found]
"""A trunk that would take the call: (value, place, cost, trunk, found).

Offers sort by value: the cost, or more than that for a bad route; equals by the trunk's place, which no two share. Cost is in
nano-units of the comparison currency a minute. A plain tuple: twenty are made for a call.
"""


class Strategy(Protocol):
    """`key` is the destination's, as quality is learned under it."""

    def order(self, offers: list[Offer], key: str, now: float) -> tuple[list[Offer], str]: ...

    def started(self, offers: Sequence[Offer], first: Trunk) -> None: ...


class Cheapest:
    def __init__(self, tie_band_percent: float) -> None:
        self._band = 1 + tie_band_percent / 100

    def order(self, offers: list[Offer], key: str, now: float) -> tuple[list[Offer], str]:
        cheapest = sorted(offers)
        if self._band == 1:
            return cheapest, CHEAPEST
        ordered = banded(cheapest, self._band)
        return ordered, CHEAPEST if ordered[0] is cheapest[0] else PRIORITY

    def started(self, offers: Sequence[Offer], first: Trunk) -> None:
        """It has no memory."""


def banded(offers: list[Offer], band: float) -> list[Offer]:
    """Sorted offers, with those that are at most `band` times the first of their group put in the order of their places.

    A price that moves a little within the band moves no call.
    """
    ordered: list[Offer] = []
    equals: list[Offer] = []
    limit = -inf
    for offer in offers:
        if offer[0] > limit:
            ordered += equals if len(equals) < 2 else sorted(equals, key=_PLACE)
            equals, limit = [], offer[0] * band
        equals.append(offer)
    return ordered + sorted(equals, key=_PLACE)


class BestValue:
    """The cheapest by what they cost divided by how good they are."""

    def __init__(self, quality: Quality, tie_band_percent: float) -> None:
        self._quality = quality
        self._cheapest = Cheapest(tie_band_percent)

    def order(self, offers: list[Offer], key: str, now: float) -> tuple[list[Offer], str]:
        score = self._quality.score
        valued = [
            (max(cost, 1) / score(trunk.name, key, now), place, cost, trunk, found)
            for _, place, cost, trunk, found in offers
        ]
        ordered, how = self._cheapest.order(valued, key, now)
        return ordered, BEST_VALUE if how is CHEAPEST else how

    def started(self, offers: Sequence[Offer], first: Trunk) -> None:
        """What it remembers comes from results."""


class Wheel:
    """Turns in exact proportion to whole weights: after any number of turns each has had its share, give or take less than one.

    The n-th turn of a share w of W may come from turn floor((n-1)W/w) on and has to before ceil(nW/w); of those that may, the one
    that has to first comes (earliest pseudo-deadline first; Baruah et al., "Proportionate progress", Algorithmica 1996).
    """

    def __init__(self, weights: Sequence[int]) -> None:
        """At least one weight, none of them 0."""
        self._weights = weights
        self._total = sum(weights)
        self._had = [0] * len(weights)
        self._turn = 0

    def next(self) -> int:
        """Whose turn it is."""
        total, turn = self._total, self._turn
        shares = enumerate(zip(self._had, self._weights, strict=True))
        due = [
            (-(-(had + 1) * total // weight), place) for place, (had, weight) in shares if had * total // weight <= turn
        ]
        return min(due)[1]

    def took(self, place: int) -> None:
        self._had[place] += 1
        self._turn += 1


class Wheels:
    """One for each set of trunks that calls were split between, so that a trunk that was full owes nobody when it is back."""

    def __init__(self) -> None:
        self._wheels: OrderedDict[tuple[tuple[str, int], ...], Wheel] = OrderedDict()

    def __len__(self) -> int:
        return len(self._wheels)

    def of(self, trunks: Sequence[Trunk]) -> Wheel:
        together = tuple([trunk.share for trunk in trunks])
        wheel = self._wheels.pop(together, None)
        if wheel is None:
            common = gcd(*[trunk.weight for trunk in trunks])
            wheel = Wheel([trunk.weight // common for trunk in trunks])
        self._wheels[together] = wheel
        if len(self._wheels) > MAX_WHEELS:
            self._wheels.popitem(last=False)
        return wheel


class Split:
    """First whose turn it is by weight, the others behind it from the cheapest on."""

    def __init__(self, wheels: Wheels) -> None:
        self._wheels = wheels

    def order(self, offers: list[Offer], key: str, now: float) -> tuple[list[Offer], str]:
        cheapest = sorted(offers)
        sharing = _sharing(cheapest)
        if not sharing:
            return cheapest, CHEAPEST
        first = sharing[self._wheels.of(_trunks(sharing)).next()]
        cheapest.remove(first)
        return [first, *cheapest], TURN

    def started(self, offers: Sequence[Offer], first: Trunk) -> None:
        sharing = _trunks(_sharing(offers))
        if first in sharing:
            self._wheels.of(sharing).took(sharing.index(first))


def _sharing(offers: Iterable[Offer]) -> list[Offer]:
    return sorted([offer for offer in offers if offer[3].weight], key=_PLACE)


def _trunks(offers: Iterable[Offer]) -> list[Trunk]:
    return [trunk for *_, trunk, _ in offers]


class Sticky:
    """Which trunk the last call of a number or caller went to. Remembers the `max_remembered` that called last."""

    def __init__(self, for_s: float, max_remembered: int) -> None:
        self._for_s = for_s
        self._max_remembered = max_remembered
        self._trunks: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._trunks)

    def trunk(self, who: str, now: float) -> str:
        name, until = self._trunks.get(who, ("", 0.0))
        return name if now < until else ""

    def started(self, who: str, trunk: str, now: float) -> None:
        self._trunks.pop(who, None)
        self._trunks[who] = (trunk, now + self._for_s)
        if len(self._trunks) > self._max_remembered:
            self._trunks.popitem(last=False)

    def held(self, who: str) -> str:
        """The trunk that is remembered, in force or not."""
        return self._trunks.get(who, ("",))[0]

    def forget(self, who: str) -> None:
        self._trunks.pop(who, None)

    def failed(self, who: str, trunk: str) -> None:
        """The trunk did not manage: nobody is held to that."""
        if self._trunks.get(who, ("",))[0] == trunk:
            del self._trunks[who]
