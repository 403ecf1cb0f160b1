"""Which lookups are not worth their price, and what is saved without them. C14."""

from __future__ import annotations

from itertools import chain, combinations
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agi_lookup.domain.model import Facet, Number
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.routing.worth import (
    MANY,
    MAX_COUNTRIES,
    MAX_SHARES,
    Shares,
    Weighed,
    Worth,
    WorthMode,
    WorthOptions,
    Worthwhile,
)
from tests.routing.desk import BOOKS, CASES, GB, NUMBERS, Desk, identities
from tests.routing.routes import NOW
from tests.routing.test_book import Decks

IDENTITY, LIVENESS, BOTH = frozenset({Facet.IDENTITY}), frozenset({Facet.LIVENESS}), frozenset(Facet)
NOTHING = frozenset[Facet]()

ROUTE = 1000
"""What the network saves."""


class Saves:
    """Knows what the network saves, and for whom."""

    def __init__(self, saving: float = ROUTE, why: str = "saves") -> None:
        self._weighed = Weighed(saving, why)

    def weigh(self, number: Number, now: float, profile: str) -> Weighed:
        assert (number, now, profile) == (GB, NOW, "sales")
        return self._weighed


class Prices:
    """By what is asked for together."""

    def __init__(self, identity: int | None, liveness: int | None = 0, both: int | None = None) -> None:
        self._prices = {IDENTITY: identity, LIVENESS: liveness, BOTH: both}

    def __call__(self, facets: frozenset[Facet]) -> int | None:
        return self._prices[facets]


def worth(saving: float = ROUTE, why: str = "saves", *, rules: frozenset[Facet] = NOTHING, **options: Any) -> Worth:
    """`rules` is what the policy's look at."""
    told = WorthOptions.model_validate({"mode": "on", **options})
    return Worth(told, Saves(saving, why), lambda number, facet: number is GB and facet in rules)


def judge(of: Worth, wanted: frozenset[Facet], price: Prices) -> Worthwhile:
    return of.judge(GB, wanted, price, NOW, "sales")


NETWORK: dict[str, tuple[Worth, int | None, bool, str]] = {
    "it saves more than it costs": (worth(), ROUTE - 1, True, "saves"),
    "it saves just what it costs": (worth(), ROUTE, False, "below_price"),
    "it serves several calls": (worth(calls_per_lookup=3), 3 * ROUTE - 1, True, "saves"),
    "not all calls are answered": (worth(calls_per_lookup=0.5), ROUTE // 2, False, "below_price"),
    "it changes nothing": (worth(0.0, "no_difference"), 1, False, "no_difference"),
    "a rule looks at it": (worth(0.0, "no_difference", rules=IDENTITY), 10**9, True, "rule"),
    "it cannot be weighed": (worth(inf, "quality"), 10**9, True, "quality"),
    "nobody knows the price": (worth(0.0, "no_difference"), None, True, "no_price"),
    "it is free": (worth(0.0, "no_difference"), 0, True, "free"),
}


@pytest.mark.parametrize(("of", "price", "kept", "why"), NETWORK.values(), ids=NETWORK)
def test_the_network_is_looked_up_where(of: Worth, price: int | None, kept: bool, why: str) -> None:
    judged = judge(of, IDENTITY, Prices(price))

    assert judged == (IDENTITY if kept else NOTHING, 0 if kept else price, why, "")


@pytest.mark.parametrize(("rules", "kept", "why"), [(LIVENESS, LIVENESS, "rule"), (IDENTITY, NOTHING, "no_rule")])
def test_whether_somebody_is_there_matters_to_rules_alone(
    rules: frozenset[Facet], kept: frozenset[Facet], why: str
) -> None:
    judged = judge(worth(inf, "quality", rules=rules), LIVENESS, Prices(0, 500))

    assert judged == (kept, 0 if kept else 500, "", why)


TOGETHER: dict[str, tuple[Worth, Prices, frozenset[Facet], int, tuple[str, str]]] = {
    "neither": (worth(0.0, "no_difference"), Prices(100, 500, 500), NOTHING, 500, ("no_difference", "no_rule")),
    "the network by the cheaper source": (worth(), Prices(100, 500, 500), IDENTITY, 400, ("saves", "no_rule")),
    "the network, and the same source tells both": (worth(), Prices(500, 500, 500), BOTH, 0, ("saves", "free")),
    "liveness, which tells the network too": (
        worth(0.0, "no_difference", rules=LIVENESS), Prices(100, 500, 500), BOTH, 0, ("free", "rule"),
    ),
    "liveness, and the network costs more than it saves beside it": (
        worth(rules=LIVENESS), Prices(100, 500, 500 + ROUTE), LIVENESS, ROUTE, ("below_price", "rule"),
    ),
    "liveness, and the network is worth its own price": (
        worth(rules=LIVENESS), Prices(100, 500, 499 + ROUTE), BOTH, 0, ("saves", "rule"),
    ),
    "liveness, and nobody knows what it costs alone": (
        worth(rules=LIVENESS), Prices(100, None, 500), BOTH, 0, ("no_price", "rule"),
    ),
    "nobody knows what is left": (worth(), Prices(None, 500, 500), BOTH, 0, ("no_price", "no_price")),
    "nobody knows the price of both": (worth(), Prices(100, 500, None), BOTH, 0, ("saves", "no_price")),
}  # fmt: skip


@pytest.mark.parametrize(("of", "price", "kept", "saved", "why"), TOGETHER.values(), ids=TOGETHER)
def test_of_both_is_asked_for(
    of: Worth, price: Prices, kept: frozenset[Facet], saved: int, why: tuple[str, str]
) -> None:
    judged = judge(of, BOTH, price)

    assert judged == (kept, saved, *why)


def test_in_shadow_everything_is_asked_for_and_counted() -> None:
    judged = judge(worth(mode="shadow"), IDENTITY, Prices(ROUTE))

    assert judged == (IDENTITY, ROUTE, "below_price", "")


def test_switched_off_nothing_is_weighed() -> None:
    assert WorthOptions().mode is WorthMode.OFF
    assert judge(worth(mode="off"), IDENTITY, Prices(ROUTE)) == (IDENTITY, 0, "", "")


@pytest.mark.parametrize("told", [{"mode": "maybe"}, {"calls_per_lookup": 0}, {"min_samples": 99}, {"other": 1}])
def test_options_that_mean_nothing_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WorthOptions.model_validate(told)


PRICES = st.none() | st.integers(0, 3)


@given(
    saving=st.sampled_from([0.0, 1.0, 2.0, inf]),
    rules=st.frozensets(st.sampled_from(Facet)),
    wanted=st.frozensets(st.sampled_from(Facet)),
    prices=st.fixed_dictionaries({IDENTITY: PRICES, LIVENESS: PRICES, BOTH: PRICES}),
)
def test_no_other_choice_costs_less_for_what_is_needed(
    saving: float, rules: frozenset[Facet], wanted: frozenset[Facet], prices: dict[frozenset[Facet], int | None]
) -> None:
    """Against all choices: what rules look at is asked for, and the rest pays for itself."""
    priced = {NOTHING: 0, **prices}
    judged = judge(worth(saving, rules=rules), wanted, Prices(prices[IDENTITY], prices[LIVENESS], prices[BOTH]))
    choices = [frozenset(some) for some in chain.from_iterable(combinations(wanted, n) for n in range(len(wanted) + 1))]
    values = {
        some: saving * (Facet.IDENTITY in some) - (priced[some] or 0) for some in choices if wanted & rules <= some
    }

    assert wanted & rules <= judged.facets <= wanted
    if any(priced[some] is None for some in choices):
        assert judged.facets == wanted or priced[wanted] is not None
    elif saving == inf:
        assert Facet.IDENTITY in judged.facets or Facet.IDENTITY not in wanted
    elif not prices_are_odd(priced):
        assert values[judged.facets] == max(values.values())
    assert judged.saved == (priced[wanted] or 0) - (priced[judged.facets] or 0)


def prices_are_odd(priced: dict[frozenset[Facet], int | None]) -> bool:
    """More for less."""
    both = priced[BOTH] or 0
    return both < max(priced[IDENTITY] or 0, priced[LIVENESS] or 0)


@given(rates=BOOKS, options=CASES, number=NUMBERS, price=st.integers(1, 200_000_000))
def test_no_lookup_is_spared_that_some_answer_would_have_paid_for(
    rates: Decks, options: RoutingOptions, number: Number, price: int
) -> None:
    desk = Desk(rates, options)
    most = max(desk.saved_by(identity, number) for identity in identities(number))
    spares = Worth(WorthOptions(mode=WorthMode.ON), desk.savings, lambda _number, _facet: False)

    judged = spares.judge(number, IDENTITY, lambda _facets: price, NOW)

    assert judged.facets == IDENTITY or most <= price


# Shares


def test_shares_are_told_when_there_are_enough() -> None:
    shares = Shares(100)
    for place in range(99):
        shares.observe("GB", ("23410", "23415", None)[place % 3])

    assert shares.of("GB") is None
    shares.observe("GB", "23410")
    assert shares.of("GB") == {"23410": 0.34, "23415": 0.33, "": 0.33}
    assert shares.of("FR") is None


def test_what_is_new_weighs_more_than_what_is_old() -> None:
    shares = Shares(100)
    for network in ("23410", "23415"):
        for _ in range(MANY * 100):
            shares.observe("GB", network)

    known = shares.of("GB")
    assert known is not None
    assert known["23415"] > 0.7
    assert sum(known.values()) == pytest.approx(1)


def test_shares_stay_small_whatever_is_observed() -> None:
    shares = Shares(100)
    for place in range(10 * MAX_SHARES):
        shares.observe("GB", f"{place:05}")
    known = shares.of("GB")

    assert known is not None
    assert len(known) == MAX_SHARES + 1
    assert known[""] == 1 - 0.1


def test_of_countries_the_one_that_was_not_observed_for_longest_is_forgotten() -> None:
    shares = Shares(100)
    for place in range(100 * MAX_COUNTRIES):
        shares.observe("GB", "23410")
        shares.observe(f"c{place // 100}", "23410")

    assert shares.of("GB")
    assert shares.of(f"c{MAX_COUNTRIES - 1}")
    assert shares.of("c0") is None
