"""Savings beside the router whose calls they are about, and all that either may meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite

from hypothesis import strategies as st

from agi_lookup.domain.model import Identity, Number, Tri
from agi_lookup.routing.book import Found
from agi_lookup.routing.cost import Spread
from agi_lookup.routing.homes import Homes
from agi_lookup.routing.lcr import Router
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.routing.rates import NANO, Destination, Kind, Rate, Tariff
from agi_lookup.routing.savings import Savings
from agi_lookup.routing.tables import billing_of
from agi_lookup.routing.worth import Shares, Weighed
from tests.routing.routes import NOW, NUMBER, costs, query, routing, served_by, tariff
from tests.routing.test_book import Decks, brute_force

LENGTH_S = 120
HOMES = Homes({"23410": "GB", "23415": "GB", "23450": "", "23550": "JE", "20801": "FR", "90128": ""})
GB = Number(NUMBER, "GB")
TWO = routing({"A": {}, "B": {}}, durations=[{"seconds": LENGTH_S, "weight": 1}])


class Priced:
    """A book that looks at every rate."""

    def __init__(self, decks: Decks) -> None:
        self._decks = decks
        times = {time for rate in self._rates() for time in (rate.start, rate.end)}
        self.changes: Sequence[float] = sorted(filter(isfinite, times))

    def find(self, destination: Destination, now: float) -> list[Found]:
        found = []
        for one in brute_force(self._decks, destination, now):
            rate, billing = (one.tariff.rate, billing_of(one.tariff)) if one.tariff else (0, None)
            found.append(Found(one.vendor, rate, billing, one.kind, one.key))
        return found

    def keys(self, kind: Kind) -> Iterable[str]:
        return (rate.key for rate in self._rates() if rate.kind is kind)

    def longest(self, digits: str) -> str:
        return max(filter(digits.startswith, self.keys(Kind.PREFIX)), key=len, default="")

    def _rates(self) -> Iterator[Rate]:
        return (rate for rates in self._decks.values() for rate in rates)


def decks(**by_vendor: Mapping[str, str | None]) -> dict[str, list[Rate]]:
    """Amounts a minute by key: `44`, `23415!` for an MCCMNC, `small@` a group, `7421%` an OCN, `1212555&` an LRN; None: blocked."""
    marks = {"!": Kind.MCCMNC, "@": Kind.GROUP, "%": Kind.OCN, "&": Kind.LRN}
    return {
        vendor: [
            Rate(marks.get(key[-1], Kind.PREFIX), key.rstrip("!@%&"), None if amount is None else tariff(amount))
            for key, amount in amounts.items()
        ]
        for vendor, amounts in by_vendor.items()
    }


@dataclass
class Desk:
    """Savings beside the router whose calls they are about."""

    decks: Decks
    options: RoutingOptions = TWO
    shares: Shares = field(default_factory=lambda: Shares(100))
    lengths: dict[str, Spread] = field(default_factory=dict)

    def __post_init__(self) -> None:
        book, charged = Priced(self.decks), costs(LENGTH_S)
        self.memory = Memory(self.options)
        self.router = Router(self.options, book, charged, self.memory)
        self.savings = Savings(self.options, book, charged, HOMES, self.shares, self.lengths.get)

    def weigh(self, number: Number = GB, now: float = NOW, profile: str = "default") -> Weighed:
        return self.savings.weigh(number, now, profile)

    def saved_by(self, identity: Identity, number: Number = GB, now: float = NOW, profile: str = "default") -> float:
        """By the router's own word: the route taken blindly, charged as this network's, against the one taken knowing it."""
        asked = query()._replace(number=number, profile=profile)
        blind = self.router.rank(asked, now).routes
        known = self.router.rank(asked._replace(identity=identity), now)
        if not blind:
            return inf if known.routes else 0.0
        charged = {trunk.name: cost for _, _, cost, trunk, _ in known.offers}
        if blind[0].trunk not in charged:
            return inf
        return max(0, charged[blind[0].trunk] - known.offers[0][2]) * LENGTH_S / 60


PLMNS = ("23410", "23415", "23450", "20801", "90128", "29999")
GROUPS = {"one": {"mccmnc": ["23415", "20801"], "carriers": ["Three"]}, "two": {"mccmnc": ["23410"]}}
KEYS = st.one_of(
    st.tuples(st.just(Kind.PREFIX), st.sampled_from(["4", "44", "447", "447400", "4475", "33"])),
    st.tuples(st.just(Kind.MCCMNC), st.sampled_from(PLMNS)),
    st.tuples(st.just(Kind.GROUP), st.sampled_from(["one", "two", "none"])),
)
TIMES = st.sampled_from(
    [(-inf, inf), (-inf, NOW + 20), (NOW - 30, NOW + 5000), (NOW - 30, inf), (NOW + 90, inf), (NOW + 90, NOW + 5000)]
)
TARIFFS = st.none() | st.builds(
    Tariff,
    st.sampled_from(["EUR", "EUR", "USD"]),  # USD: nobody knows what it is worth
    st.integers(0, 6).map(lambda cents: cents * NANO // 100),
    st.sampled_from([0, NANO // 50]),
    st.sampled_from([1, 60]),
    st.sampled_from([1, 60]),
)
RATES = st.builds(
    lambda key, charged, times, line: Rate(key[0], key[1], charged, times[0], times[1], line),
    KEYS,
    TARIFFS,
    TIMES,
    st.integers(0, 9),
)
BOOKS = st.dictionaries(st.sampled_from("abc"), st.lists(RATES, max_size=6))
TRUNKS = st.fixed_dictionaries(
    {},
    optional={
        "weight": st.sampled_from([0, 1, 2]),
        "priority": st.integers(0, 2),
        "countries": st.sampled_from([["GB"], ["FR"]]),
        "windows": st.just([{"hours": "08:00-08:01"}]),  # NOW is 08:00
    },
)
PROFILES = st.fixed_dictionaries(
    {},
    optional={
        "strategy": st.sampled_from(["cheapest", "split"]),
        "tie_band_percent": st.sampled_from([0, 50, 200]),
        "max_cost": st.sampled_from(["0.02", "0.04"]),
        "sale_rate": st.just("0.05"),
    },
)
CASES = st.builds(
    lambda trunks, profile: routing(
        trunks, groups=GROUPS, profiles={"default": profile}, durations=[{"seconds": LENGTH_S, "weight": 1}]
    ),
    st.fixed_dictionaries({"A": TRUNKS, "B": TRUNKS, "C": TRUNKS}),
    PROFILES,
)
NUMBERS = st.sampled_from([GB, Number("+447500123456", "GB"), Number("+33123456789", "FR"), Number("+448001111", None)])


def identities(number: Number) -> Iterator[Identity]:
    """All that a source may say of who serves it, which rates could look at."""
    for code in (None, *PLMNS):
        if code and not may_serve(code, number):
            continue
        for carrier in (None, "three", "Nobody"):
            known = {"carrier": carrier, "ported": Tri.YES}
            yield served_by(code, carrier=carrier) if code else Identity(**known)  # type: ignore[arg-type]


def may_serve(code: str, number: Number) -> bool:
    homes = {"GB": ("23410", "23415", "23450", "29999"), "FR": ("20801", "29999"), None: PLMNS}
    return code in homes[number.country]
