"""What it saves to know which network serves a number, before anybody is asked.

A vendor charges by the real network whether we know it or not. So for each network that may serve the number, the route that is
taken without knowing it is charged as that network's, and held against the route that would be taken with it. Nobody can weigh
networks against each other, so the greatest saving counts; where it was learned how many numbers each has (`Shares`), the
expected one. All trunks are taken to have room and to be well. Pure; `now` is Unix seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple, Protocol, TypeAlias

from agi_lookup.domain.model import Number
from agi_lookup.routing import lcr
from agi_lookup.routing.cost import Spread
from agi_lookup.routing.destination import CarrierGroups
from agi_lookup.routing.homes import Homes
from agi_lookup.routing.kept import Kept
from agi_lookup.routing.options import LrnUse, ProfileRouting, RoutingOptions, StrategyName, TrunkOptions
from agi_lookup.routing.rates import Destination, Kind
from agi_lookup.routing.trunks import ready
from agi_lookup.routing.windows import Hours
from agi_lookup.routing.worth import NO_DIFFERENCE, SAVES, Shares, Weighed

TRUNK: Final = "trunk"  # one that takes the number looks at its network, or at its routing number
LRN_RATES: Final = "lrn_rates"  # there are too many routing numbers to go through them
NETWORKS: Final = "networks"  # there are too many of them
QUALITY: Final = "quality"  # of routes, which is learned by network: it has no price
ROUTES: Final = "routes"  # other vendors take the call

MAX_NETWORKS: Final = 500
MAX_KEPT: Final = 50_000
"""Prefixes weighed, for some 10 MiB."""
HOUR_S: Final = 3600
"""So long lengths of calls and shares of networks are taken as unchanged; days of exchange rates are whole hours."""
MAX_COUNTRIES: Final = 300

_NO_RATES: Final = Weighed(0.0, NO_DIFFERENCE)

ByVendor: TypeAlias = dict[str, int | None]
"""Nano-units a minute. None: it takes no such calls, or nobody can say at what cost."""


class Book(lcr.Book, Protocol):
    @property
    def changes(self) -> Sequence[float]:
        """When some rate comes into force or ends, ascending."""

    def keys(self, kind: Kind) -> Iterable[str]: ...

    def longest(self, digits: str) -> str:
        """The longest prefix with a rate that the digits begin with, else empty. All other prefixes of theirs begin it."""


class _Wants(NamedTuple):
    """One profile's. `ceiling` is in nano-units a minute."""

    strategy: StrategyName
    band: float
    ceiling: float


class _Where(NamedTuple):
    country: str | None
    nanp: bool


class _Country(NamedTuple):
    """What all numbers of a country have in common. `why`: why the network matters whatever it saves."""

    why: str = ""
    spread: Spread | None = None
    minutes: float = 0.0
    choice: bool = False  # does more than one trunk take calls?
    places: Mapping[str, int] = {}  # by vendor, of the trunks that take calls
    sharing: frozenset[str] = frozenset()  # vendors whose trunks have a weight
    networks: tuple[tuple[ByVendor, float], ...] = ()  # what they cost otherwise than by prefix, each with its share
    by_share: bool = False


class Savings:
    """One config's and one book's. What was worked out is kept until rates, trunks in their hours or the hour change."""

    def __init__(
        self,
        options: RoutingOptions,
        book: Book,
        costs: lcr.Costs,
        homes: Homes,
        shares: Shares,
        lengths: Callable[[str], Spread | None] = lambda _country: None,
    ) -> None:
        self._options = options
        self._book = book
        self._costs = costs
        self._homes = homes
        self._shares = shares
        self._lengths = lengths
        self._usual = tuple((part.seconds, part.weight) for part in options.durations)
        self._groups = CarrierGroups(options.groups)
        self._trunks = ready(options.trunks)
        self._hours = [Hours(trunk.windows) for trunk in options.trunks.values() if trunk.windows]
        self._default = _wants(options, "")
        self._profiles = {name: _wants(options, name) for name in options.profiles}
        rated = {name: options.groups[name] for name in book.keys(Kind.GROUP) if name in options.groups}
        self._mccmncs = {*book.keys(Kind.MCCMNC), *(code for group in rated.values() for code in group.mccmnc)}
        self._named = {self._groups.of(None, name) for group in rated.values() for name in group.carriers}
        self._lrn_rates = any(any(book.keys(kind)) for kind in (Kind.LRN, Kind.OCN))
        self._since, self._until, self._at = inf, -inf, 0.0
        self._state: object = None
        self._countries = Kept(self._country, MAX_COUNTRIES)
        self._weighed = Kept(self._weigh, MAX_KEPT)

    def weigh(self, number: Number, now: float, profile: str = "default") -> Weighed:
        """Nano-units of the comparison currency on an answered call of the length that is to be expected."""
        if not self._since <= now < self._until:
            self._turn(now)
        where = _Where(number.country, number.e164.startswith("+1"))
        country = self._countries[where]
        if country.why:
            return Weighed(inf, country.why)
        wants = self._profiles.get(profile, self._default)
        if wants.strategy is StrategyName.QUALITY and country.choice:
            return Weighed(inf, QUALITY)
        if not country.networks:
            return _NO_RATES
        return self._weighed[self._book.longest(number.e164[1:]), where, wants]

    def _turn(self, now: float) -> None:
        """Another minute: forget what is not so any more."""
        changes, minute = self._book.changes, now // 60 * 60
        place = bisect_right(changes, now)
        self._since = max(minute, changes[place - 1]) if place else minute
        self._until = min(minute + 60, changes[place]) if place < len(changes) else minute + 60
        state = (now // HOUR_S, place, [hours.open(now) for hours in self._hours])
        if state != self._state:
            self._state, self._at = state, now
            self._countries.clear()
            self._weighed.clear()

    def _country(self, where: _Where) -> _Country:
        country, nanp = where
        if why := self._beyond_price(country, nanp):
            return _Country(why)
        takers = [t for t in self._trunks if not t.refusal(country, Destination(""), self._at)]
        places = {trunk.vendor: trunk.place for trunk in reversed(takers)}
        spread = self._lengths(country) if country else None
        shares = self._shares.of(country) if country and not self._named else None
        weights = shares or dict.fromkeys((code for code in self._mccmncs if self._homes.may_serve(code, country)), 1.0)
        if len(weights) * (1 + len(self._named)) > MAX_NETWORKS:
            return _Country(NETWORKS)
        networks = []
        for mccmnc in weights.keys() | {""}:
            for named in (frozenset[str](), *self._named):
                to = Destination("", mccmnc or None, self._groups.of(mccmnc, None) | named)
                if otherwise := self._per_minute(to, spread, places):
                    networks.append((otherwise, weights.get(mccmnc, 0.0)))
        return _Country(
            spread=spread,
            minutes=_minutes(spread or self._usual),
            choice=len(takers) > 1,
            places=places,
            sharing=frozenset(trunk.vendor for trunk in takers if trunk.weight),
            networks=tuple(networks),
            by_share=shares is not None,
        )

    def _beyond_price(self, country: str | None, nanp: bool) -> str:
        """Why the network, or the routing number, is wanted whatever it costs."""
        for trunk in self._options.trunks.values():
            takes = trunk.countries is None or country in trunk.countries
            if takes and country not in trunk.except_countries and self._looks_at_network(trunk, country, nanp):
                return TRUNK
        return LRN_RATES if nanp and self._lrn_rates and self._trunks else ""

    def _looks_at_network(self, trunk: TrunkOptions, country: str | None, nanp: bool) -> bool:
        if trunk.lrn is LrnUse.NPDI or (trunk.lrn is LrnUse.RN and nanp):
            return True
        named = (trunk.carriers or frozenset()) | trunk.except_carriers
        groups = [self._options.groups[name] for name in named if name in self._options.groups]
        codes = {*named, *(code for group in groups for code in group.mccmnc)} - self._options.groups.keys()
        return any(group.carriers for group in groups) or any(self._homes.may_serve(code, country) for code in codes)

    def _per_minute(self, to: Destination, spread: Spread | None, vendors: Iterable[str]) -> ByVendor:
        found = [one for one in self._book.find(to, self._at) if one.vendor in vendors]
        costs = self._costs.of(found, spread, self._at)
        return {one.vendor: cost if isinstance(cost, int) else None for one, cost in zip(found, costs, strict=True)}

    def _weigh(self, key: tuple[str, _Where, _Wants]) -> Weighed:
        prefix, where, wants = key
        country = self._countries[where]
        by_prefix = self._per_minute(Destination(prefix), country.spread, country.places)
        blind = _offered(by_prefix, wants)
        saving = 0.0
        for otherwise, share in country.networks:
            one = _saving(blind, _offered(by_prefix | otherwise, wants), country, wants)
            saving = saving + share * one if country.by_share else max(saving, one)
        if saving == inf:
            return Weighed(inf, ROUTES)
        return Weighed(saving * country.minutes, SAVES) if saving else _NO_RATES


def _wants(options: RoutingOptions, name: str) -> _Wants:
    """As `lcr` has it: what is dearer than the ceiling is no offer."""
    profile = options.profiles.get(name, ProfileRouting())
    band = options.tie_band_percent if profile.tie_band_percent is None else profile.tie_band_percent
    return _Wants(profile.strategy or options.strategy, 1 + band / 100, min(profile.most()))


def _offered(costs: ByVendor, wants: _Wants) -> dict[str, int]:
    return {vendor: cost for vendor, cost in costs.items() if cost is not None and cost <= wants.ceiling}


def _saving(blind: dict[str, int], known: dict[str, int], country: _Country, wants: _Wants) -> float:
    """A minute, where these are the offers without and with knowledge of the network."""
    if wants.strategy is StrategyName.SPLIT and not country.sharing.isdisjoint(blind):
        return 0.0 if blind.keys() == known.keys() else inf  # turns are not by cost
    if not blind:
        return inf if known else 0.0
    taken = _first(blind, country.places, wants.band)
    if taken not in known:
        return inf
    return max(0, known[taken] - known[_first(known, country.places, wants.band)])


def _first(offered: dict[str, int], places: Mapping[str, int], band: float) -> str:
    """As `strategies.Cheapest` has it: of those within the band the one whose trunk comes first."""
    limit = min(offered.values()) * band
    return min((vendor for vendor, cost in offered.items() if cost <= limit), key=lambda vendor: places[vendor])


def _minutes(spread: Spread) -> float:
    return sum(seconds * weight for seconds, weight in spread) / sum(weight for _, weight in spread) / 60
