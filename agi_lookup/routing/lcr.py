"""From the rates of a destination to the routes of a call: what each trunk would cost, who may take it, and in which order.

Ranking changes nothing; `Router.started` says that a call really got these routes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from agi_lookup.domain.model import Identity, Number, Route, Tri
from agi_lookup.routing.book import Found
from agi_lookup.routing.capacity import Course
from agi_lookup.routing.cost import Spread
from agi_lookup.routing.destination import CarrierGroups, destination, quality_key
from agi_lookup.routing.memory import SUSPENDED, Memory
from agi_lookup.routing.options import ProfileRouting, RoutingOptions, StrategyName
from agi_lookup.routing.ranking import (
    KIND_WORDS,
    NO_PROFIT,
    NO_ROUTES,
    NO_TRUNK,
    TOO_DEAR,
    Lost,
    Ranking,
    amount,
)
from agi_lookup.routing.rates import Destination
from agi_lookup.routing.strategies import BestValue, Cheapest, Offer, Split, Strategy
from agi_lookup.routing.trunks import Trunk, ready

STICKY: Final = "sticky"
LAST_RESORT: Final = "last resort"
NEXT: Final = "next"


class Book(Protocol):
    """All vendors' rates; of each vendor the one that wins for a destination, where it has one."""

    def find(self, destination: Destination, now: float) -> Sequence[Found]: ...


class Costs(Protocol):
    """Of each rate, nano-units of the comparison currency a minute, over calls of `spread`'s lengths (None: as configured).

    A stable word where that cannot be said: `blocked`, `no_fx`, `fx_stale`.
    """

    def of(self, found: Sequence[Found], spread: Spread | None, now: float) -> Sequence[int | str]: ...


class RouteQuery(NamedTuple):
    """A call that wants routes. `identity` may be stale: it routes, and never blocks."""

    number: Number
    identity: Identity | None = None
    dialled: str = ""
    caller: str = ""
    profile: str = "default"

    def __repr__(self) -> str:
        return f"RouteQuery({self.number!r}, {self.profile})"


@dataclass(frozen=True, slots=True)
class _Wants:
    """One profile's, in nano-units a minute."""

    strategy: Strategy
    max_cost: float
    max_with_profit: float
    ceiling: float  # the lower of both


class Router:
    """One config's worth; `memory` is shared with the one before and the one after."""

    def __init__(self, options: RoutingOptions, book: Book, costs: Costs, memory: Memory) -> None:
        self._book = book
        self._costs = costs
        self._memory = memory
        self._currency = options.currency
        self._max_routes = options.max_routes
        self._groups = CarrierGroups(options.groups)
        self._sticky_by_caller = options.sticky is not None and options.sticky.by == "caller"
        self._trunks = ready(options.trunks)
        self._by_vendor: dict[str, tuple[Trunk, ...]] = {}
        for trunk in self._trunks:
            self._by_vendor[trunk.vendor] = (*self._by_vendor.get(trunk.vendor, ()), trunk)
        self._default = _wants(ProfileRouting(), options, memory)
        self._wants = {name: _wants(profile, options, memory) for name, profile in options.profiles.items()}

    def rank(self, query: RouteQuery, now: float) -> Ranking:
        """`now` is the start of the call, Unix seconds. No routes for what is no E.164 number."""
        number = query.number
        if not number.e164 or not self._trunks:
            return NO_ROUTES
        to = destination(number, query.identity, self._groups)
        wants = self._wants.get(query.profile, self._default)
        offers, lost = self._judge(number.country, to, wants, now)
        how, strategy = "", wants.strategy
        if not offers:
            offers, lost = _last_resort(lost)
            how = LAST_RESORT
        if not offers:
            return Ranking(lost=lost, trunks=self._trunks)
        key = quality_key(to)
        ordered, why_first = strategy.order(offers, key, now)
        stuck = self._stuck_to(query, ordered, now)
        if stuck is not None:
            ordered = [stuck, *(offer for offer in ordered if offer is not stuck)]
        chosen = ordered[: self._max_routes]
        return Ranking(
            routes=self._routes(chosen, STICKY if stuck else how or why_first, query, to),
            offers=ordered,
            lost=lost,
            trunks=self._trunks,
            course=Course(tuple([offer[3] for offer in chosen]), key, number.country or "", self._who(query)),
            strategy=None if stuck else strategy,
        )

    def started(self, channel: str, ranking: Ranking, now: float) -> None:
        """The call of this channel was told these routes."""
        if ranking.course is None:
            return
        self._memory.started(channel, ranking.course, now)
        if ranking.strategy is not None:
            ranking.strategy.started(ranking.offers, ranking.course.trunks[0])

    def _judge(self, country: str | None, to: Destination, wants: _Wants, now: float) -> tuple[list[Offer], list[Lost]]:
        """Every trunk of every vendor that has a rate: it would take the call, or why not."""
        offers: list[Offer] = []
        lost: list[Lost] = []
        spread = self._memory.durations.of(country) if country else None
        resting = bool(self._memory.suspensions)
        busy = self._memory.refusal if resting else self._memory.calls.refusal
        by_vendor, ceiling = self._by_vendor, wants.ceiling
        rates = self._book.find(to, now)
        for found, cost in zip(rates, self._costs.of(rates, spread, now), strict=True):
            trunks = by_vendor.get(found.vendor)
            if trunks is None or isinstance(cost, str) or cost > ceiling:
                lost += _out_of_question(trunks, found, cost, wants)
                continue
            for trunk in trunks:
                why = trunk.refusal(country, to, now) if trunk.choosy else ""
                if not why and (resting or trunk.limited):
                    why = busy(trunk, now)
                if why:
                    lost.append((trunk, found, cost, why))
                else:
                    offers.append((cost, trunk.place, cost, trunk, found))
        return offers, lost

    def _who(self, query: RouteQuery) -> str:
        """Who is to be held to a trunk; nobody else is remembered."""
        if self._memory.sticky is None:
            return ""
        return query.caller if self._sticky_by_caller else query.number.e164

    def _stuck_to(self, query: RouteQuery, offers: list[Offer], now: float) -> Offer | None:
        """The offer of the trunk that the last call went to."""
        sticky = self._memory.sticky
        name = sticky.trunk(self._who(query), now) if sticky is not None else ""
        return next((offer for offer in offers if offer[3].name == name), None) if name else None

    def _routes(self, offers: list[Offer], how: str, query: RouteQuery, to: Destination) -> tuple[Route, ...]:
        number, identity, dialled, _, _ = query
        looked_up = identity is not None and identity.ported is not Tri.UNKNOWN
        routes = []
        for _, _, cost, trunk, found in offers:
            dial = trunk.dial(number, dialled, to, looked_up=looked_up)
            why = f"{KIND_WORDS[found.kind]} {found.key} {how}"
            routes.append(Route(trunk.name, dial, amount(cost), self._currency, why))
            how = NEXT
        return tuple(routes)


def _wants(profile: ProfileRouting, options: RoutingOptions, memory: Memory) -> _Wants:
    band = options.tie_band_percent if profile.tie_band_percent is None else profile.tie_band_percent
    strategy: Strategy
    match profile.strategy or options.strategy:
        case StrategyName.CHEAPEST:
            strategy = Cheapest(band)
        case StrategyName.QUALITY:
            strategy = BestValue(memory.quality, band)
        case StrategyName.SPLIT:
            strategy = Split(memory.wheels)
    max_cost, with_profit = profile.most()
    return _Wants(strategy, max_cost, with_profit, min(max_cost, with_profit))


def _out_of_question(trunks: tuple[Trunk, ...] | None, found: Found, cost: int | str, wants: _Wants) -> list[Lost]:
    """A rate that no trunk may use, whatever else is true of it."""
    price, why = (None, cost) if isinstance(cost, str) else (cost, TOO_DEAR if cost > wants.max_cost else NO_PROFIT)
    if trunks is None:
        return [(None, found, price, NO_TRUNK)]
    return [(trunk, found, price, why) for trunk in trunks]


def _last_resort(lost: list[Lost]) -> tuple[list[Offer], list[Lost]]:
    """Trunks that only rest are offers when there are no others: a bad route is better than none."""
    offers: list[Offer] = [
        (cost, trunk.place, cost, trunk, found)
        for trunk, found, cost, why in lost
        if why == SUSPENDED and trunk is not None and cost is not None
    ]
    return offers, [entry for entry in lost if entry[3] != SUSPENDED]
