"""Which routes a call gets, in which order, and what became of every candidate."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup import variables
from agi_lookup.domain.model import Number, NumberClass, Route
from agi_lookup.routing.fx import FxTable
from agi_lookup.routing.lcr import Router
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.routing.ranking import Candidate, Ranking
from tests.routing.routes import NOW, NUMBER, Rates, costs, names, query, router, routing, served_by

PRICES = {"a": "0.03", "b": "0.01", "c": "0.02"}
THREE = routing({"A": {}, "B": {}, "C": {}})


def fates(ranking: Ranking) -> dict[str, str]:
    return {candidate.trunk: candidate.fate for candidate in ranking.candidates}


def test_routes_come_from_the_cheapest_on_and_say_why() -> None:
    routes = router(PRICES, THREE).rank(query(), NOW).routes

    assert routes[0] == Route("B", "PJSIP/447400123456@acme", Decimal("0.010000"), "EUR", "prefix 44 cheapest")
    assert [(route.trunk, route.why) for route in routes[1:]] == [("C", "prefix 44 next"), ("A", "prefix 44 next")]


def test_a_profile_may_rank_otherwise() -> None:
    options = routing({"A": {"weight": 1}, "B": {"weight": 0}}, profiles={"split": {"strategy": "split"}})
    ranks = router(PRICES, options)

    assert names(ranks.rank(query(), NOW).routes) == ["B", "A"]
    assert names(ranks.rank(query(profile="split"), NOW).routes) == ["A", "B"]


def test_no_more_routes_than_asked_for() -> None:
    ranking = router(PRICES, routing({"A": {}, "B": {}, "C": {}}, max_routes=2)).rank(query(), NOW)

    assert names(ranking.routes) == ["B", "C"]
    assert fates(ranking) == {"B": "chosen", "C": "chosen", "A": "beyond_max"}


def test_several_trunks_of_a_vendor_are_several_routes() -> None:
    options = routing({"A1": {"vendor": "a", "priority": 2}, "A2": {"vendor": "a", "priority": 1}})

    assert names(router(PRICES, options).rank(query(), NOW).routes) == ["A2", "A1"]


LOSERS: dict[str, tuple[dict[str, Any], dict[str, Any], str | None]] = {
    "blocked": ({}, {}, None),
    "too_dear": ({}, {"profiles": {"default": {"max_cost": "0.04"}}}, "0.05"),
    "no_profit": ({}, {"profiles": {"default": {"sale_rate": "0.05", "min_profit": "0.01"}}}, "0.041"),
    "denied_country": ({"except_countries": ["GB"]}, {}, "0.05"),
    "denied_carrier": ({"except_carriers": ["23415"]}, {}, "0.05"),
    "out_of_hours": ({"windows": [{"hours": "09:00-10:00"}]}, {}, "0.05"),
}


@pytest.mark.parametrize(("fate", "told"), LOSERS.items(), ids=LOSERS)
def test_a_trunk_that_loses_is_told_why(fate: str, told: tuple[dict[str, Any], dict[str, Any], str | None]) -> None:
    trunk, options, price = told
    ranking = router({"a": price, "b": "0.01"}, routing({"A": trunk, "B": {}}, **options)).rank(
        query(identity=served_by("23415")), NOW
    )

    assert fates(ranking) == {"B": "chosen", "A": fate}
    assert names(ranking.routes) == ["B"]


def test_a_rate_that_costs_just_as_much_as_it_may_is_taken() -> None:
    options = routing({"A": {}}, profiles={"default": {"sale_rate": "0.05", "min_profit": "0.01", "max_cost": "0.04"}})

    assert router({"a": "0.04"}, options).rank(query(), NOW).routes
    assert not router({"a": "0.040000001"}, options).rank(query(), NOW).routes


def test_nothing_is_sold_below_what_it_costs() -> None:
    options = routing({"A": {}}, profiles={"default": {"sale_rate": "0.05"}})

    assert fates(router({"a": "0.06"}, options).rank(query(), NOW)) == {"A": "no_profit"}


def test_a_vendor_without_a_rate_and_one_without_a_trunk_are_seen() -> None:
    ranking = router({"a": "0.01", "z": "0.02"}, routing({"A": {}, "B": {}})).rank(query(), NOW)

    assert ranking.candidates == (
        Candidate("a", "A", "chosen", "prefix", "44", Decimal("0.010000")),
        Candidate("z", "", "no_trunk", "prefix", "44", Decimal("0.020000")),
        Candidate("b", "B", "no_rate"),
    )


@pytest.mark.parametrize(
    ("rate_of", "fate"), [("2020-01-01", "fx_stale"), ("2030-01-01", "no_fx"), ("2027-01-14", "chosen")]
)
def test_a_rate_that_cannot_be_compared_is_left_out_visibly(rate_of: str, fate: str) -> None:
    """`NOW` is 15 January 2027."""
    options = routing({"A": {}})
    fx = FxTable("EUR", 7, {"USD": {date.fromisoformat(rate_of): Fraction("0.9")}})
    ranks = Router(options, Rates({"a": "0.01"}, "USD"), costs(fx=fx), Memory(options))

    assert fates(ranks.rank(query(), NOW)) == {"A": fate}


@pytest.mark.parametrize(
    "number", [Number("", "GB", kind=NumberClass.EXTENSION), Number("", "GB", kind=NumberClass.SHORT)]
)
def test_an_extension_has_no_routes(number: Number) -> None:
    ranks = router(PRICES, THREE)
    ranking = ranks.rank(query()._replace(number=number), NOW)
    ranks.started("a", ranking, NOW)

    assert ranking == Ranking()


def test_without_trunks_the_book_is_not_even_asked() -> None:
    rates = Rates(PRICES)
    options = RoutingOptions()

    assert Router(options, rates, costs(), Memory(options)).rank(query(), NOW).routes == ()
    assert rates.asked == []


def test_a_ported_number_is_matched_by_its_network_and_dialled_as_it_is() -> None:
    rates, options = Rates(PRICES), routing({"A": {}}, groups={"vodafone": {"mccmnc": ["23415"]}})

    routes = Router(options, rates, costs(), Memory(options)).rank(query(identity=served_by("23415")), NOW).routes

    assert (rates.asked[0].mccmnc, rates.asked[0].groups) == ("23415", frozenset({"vodafone"}))
    assert routes[0].dial == "PJSIP/447400123456@acme"


def test_ranking_twice_changes_nothing() -> None:
    options = routing({"A": {"max_calls": 1, "max_calls_per_s": 1}, "B": {"weight": 2}}, strategy="split", sticky={})
    ranks = router(PRICES, options)

    assert ranks.rank(query(), NOW) == ranks.rank(query(), NOW)


@settings(deadline=None)
@given(
    prices=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 10**10), min_size=1),
    strategy=st.sampled_from(["cheapest", "quality", "split"]),
    band=st.floats(0, 100),
)
def test_every_candidate_is_accounted_for_and_every_value_is_safe(
    prices: dict[str, int], strategy: str, band: float
) -> None:
    options = routing({name.upper(): {} for name in "abcdefgh"}, strategy=strategy, tie_band_percent=band)
    ranking = router({vendor: f"{price / 10**9:.9f}" for vendor, price in prices.items()}, options).rank(query(), NOW)

    assert sorted(fates(ranking)) == list("ABCDEFGH")
    assert [c.trunk for c in ranking.candidates if c.fate == "chosen"] == names(ranking.routes)
    assert len(ranking.routes) == min(5, len(prices))
    for route in ranking.routes:
        for value in (route.trunk, route.dial, str(route.rate), route.currency, route.why):
            assert variables.SAFE.fullmatch(value)
        assert "E" not in str(route.rate)


def test_no_number_shows_in_what_may_be_logged() -> None:
    asked = query(dialled=NUMBER, caller=NUMBER)
    ranking = router(PRICES, routing({"A": {}}, sticky={})).rank(asked, NOW)

    assert NUMBER[1:] not in repr(asked) + repr(ranking.course)


def test_who_is_held_to_no_trunk_is_not_remembered() -> None:
    course = router(PRICES, THREE).rank(query(caller="PJSIP/alice"), NOW).course

    assert course is not None
    assert course.sticky == ""
