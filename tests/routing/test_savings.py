"""What it saves to know the network, held against a router that is asked for each network in turn."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from agi_lookup.domain.model import Number
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.routing.rates import Kind, Rate
from agi_lookup.routing.savings import HOUR_S, MAX_NETWORKS
from agi_lookup.routing.worth import Weighed
from tests.routing.desk import (
    GB,
    LENGTH_S,
    Desk,
    decks,
)
from tests.routing.routes import NOW, routing, tariff

NOTHING = Weighed(0.0, "no_difference")


def nano(amount: str) -> float:
    return tariff(amount).rate


PLAIN: dict[str, tuple[dict[str, dict[str, str | None]], Weighed]] = {
    "rates by prefix alone": ({"a": {"44": "0.01"}, "b": {"44": "0.02"}}, NOTHING),
    "the dearer route is cheaper there": (
        {"a": {"44": "0.02"}, "b": {"44": "0.03", "23415!": "0.005"}},
        Weighed(2 * nano("0.015"), "saves"),
    ),
    "the cheap route is dear there": (
        {"a": {"44": "0.01", "23415!": "0.05"}, "b": {"44": "0.02"}},
        Weighed(2 * nano("0.03"), "saves"),
    ),
    "it is cheaper there, and still no better": ({"a": {"44": "0.02"}, "b": {"44": "0.03", "23415!": "0.02"}}, NOTHING),
    "the cheap one gets cheaper still": ({"a": {"44": "0.02", "23415!": "0.01"}, "b": {"44": "0.03"}}, NOTHING),
    "the route is blocked there": ({"a": {"44": "0.01", "23415!": None}, "b": {"44": "0.02"}}, Weighed(inf, "routes")),
    "there is a route there alone": ({"a": {"23415!": "0.01"}}, Weighed(inf, "routes")),
    "the networks of another country": ({"a": {"44": "0.01", "20801!": "0.05"}, "b": {"44": "0.02"}}, NOTHING),
    "a network that nobody can place": (
        {"a": {"44": "0.01"}, "b": {"44": "0.02", "29999!": "0.001"}},
        Weighed(2 * nano("0.009"), "saves"),
    ),
    "a vendor without a trunk": ({"a": {"44": "0.01"}, "z": {"44": "0.02", "23415!": "0.001"}}, NOTHING),
    "Jersey's networks have numbers of +44": (
        {"a": {"44": "0.01", "23550!": "0.05"}, "b": {"44": "0.02"}},
        Weighed(2 * nano("0.03"), "saves"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rates", "weighed"), PLAIN.values(), ids=PLAIN)
def test_a_call_saves(rates: dict[str, dict[str, str | None]], weighed: Weighed) -> None:
    assert Desk(decks(**rates)).weigh() == weighed


GROUPED = {"a": {"44": "0.01"}, "b": {"44": "0.02", "small@": "0.001"}}


@pytest.mark.parametrize("group", [{"mccmnc": ["23433"]}, {"carriers": ["Three"]}])
def test_a_carrier_group_is_a_network_too(group: dict[str, Any]) -> None:
    options = routing({"A": {}, "B": {}}, groups={"small": group}, durations=[{"seconds": LENGTH_S, "weight": 1}])

    assert Desk(decks(**GROUPED), options).weigh() == Weighed(2 * nano("0.009"), "saves")


SWAPPED = decks(a={"44": "0.01", "23415!": "0.05"}, b={"44": "0.02"})

BEYOND_PRICE: dict[str, tuple[dict[str, Any], str]] = {
    "only these carriers": ({"carriers": ["23415"]}, "trunk"),
    "not these carriers": ({"except_carriers": ["23410"]}, "trunk"),
    "not a group of names": ({"except_carriers": ["named"]}, "trunk"),
    "not a group with a network of the country": ({"except_carriers": ["coded"]}, "trunk"),
    "carriers of another country": ({"except_carriers": ["20801", "french"]}, "no_difference"),
    "carriers, for another country": ({"except_carriers": ["23410"], "countries": ["FR"]}, "no_difference"),
    "carriers, not for this country": ({"carriers": ["23410"], "except_countries": ["GB"]}, "no_difference"),
    "npdi": ({"lrn": "npdi", "dial": "PJSIP/{number}{lrn}@acme"}, "trunk"),
    "rn, where there are none": ({"lrn": "rn", "dial": "PJSIP/{number}{lrn}@acme"}, "no_difference"),
}


@pytest.mark.parametrize(("trunk", "why"), BEYOND_PRICE.values(), ids=BEYOND_PRICE)
def test_what_a_trunk_looks_at_is_not_weighed(trunk: dict[str, Any], why: str) -> None:
    groups = {"named": {"carriers": ["Three"]}, "coded": {"mccmnc": ["23410"]}, "french": {"mccmnc": ["20801"]}}
    options = routing({"A": trunk, "B": {}}, groups=groups)

    assert Desk(decks(a={"44": "0.01"}, b={"44": "0.02"}), options).weigh().why == why


US = Number("+12125550123", "US")


def test_routing_numbers_are_too_many_to_weigh() -> None:
    for key in ("1212555&", "7421%"):
        desk = Desk(decks(a={"1": "0.01", key: "0.01"}, b={"1": "0.02", "44": "0.01"}))

        assert desk.weigh(US) == Weighed(inf, "lrn_rates")
        assert desk.weigh(GB) == NOTHING


def test_a_trunk_that_asks_for_the_routing_number_gets_it_where_there_is_one() -> None:
    options = routing({"A": {"lrn": "rn", "dial": "PJSIP/{number}{lrn}@acme"}})

    assert Desk(decks(a={"1": "0.01"}), options).weigh(US).why == "trunk"


def test_more_networks_than_can_be_weighed_are_not() -> None:
    few = {f"234{mnc:03}!": "0.01" for mnc in range(MAX_NETWORKS)}
    named = routing({"A": {}}, groups={"small": {"carriers": ["Three"]}})

    assert Desk(decks(a={"44": "0.01", **few})).weigh() == NOTHING
    assert Desk(decks(a={"44": "0.01", **few, "small@": "0.01"}), named).weigh() == Weighed(inf, "networks")


def test_quality_has_no_price() -> None:
    options = routing({"A": {}, "B": {}}, profiles={"good": {"strategy": "quality"}})
    desk = Desk(decks(a={"44": "0.01"}, b={"44": "0.02"}), options)

    assert desk.weigh(profile="good") == Weighed(inf, "quality")
    assert desk.weigh() == NOTHING


def test_with_one_trunk_there_is_no_quality_to_choose_by() -> None:
    assert Desk(decks(a={"44": "0.01"}), routing({"A": {}}, strategy="quality")).weigh() == NOTHING


def test_networks_change_no_turns_but_whose_they_are() -> None:
    trunks = {"A": {"weight": 1}, "B": {"weight": 3}}
    blocked = decks(a={"44": "0.01", "23415!": None}, b={"44": "0.02"})

    assert Desk(SWAPPED, routing(trunks, strategy="split")).weigh() == NOTHING
    assert Desk(blocked, routing(trunks, strategy="split")).weigh() == Weighed(inf, "routes")


def test_where_no_trunk_has_a_turn_the_cheapest_is_taken() -> None:
    trunks = {"A": {"weight": 0}, "B": {"weight": 0}}

    assert Desk(SWAPPED, routing(trunks, strategy="split")).weigh().why == "saves"


def test_of_routes_that_cost_the_same_the_first_trunk_s_is_taken() -> None:
    trunks: dict[str, dict[str, Any]] = {"A1": {"priority": 1}, "B": {"priority": 2}, "A2": {"priority": 3}}
    trunks["A1"]["vendor"] = trunks["A2"]["vendor"] = "a"
    rates = {"a": {"44": "0.01", "23415!": "0.05"}, "b": {"44": "0.01"}}

    assert Desk(decks(**rates), routing(trunks)).weigh().why == "saves"
    assert Desk(decks(a=rates["b"], b=rates["a"]), routing(trunks)).weigh() == NOTHING


def test_within_the_tie_band_priority_decides() -> None:
    rates = decks(a={"44": "0.02", "23415!": "0.05"}, b={"44": "0.01", "23410!": "0.015"})

    assert Desk(rates, routing({"A": {}, "B": {}})).weigh() == NOTHING
    assert Desk(rates, routing({"A": {}, "B": {}}, tie_band_percent=100)).weigh().why == "saves"


def test_a_route_that_priority_makes_dearer_saves_nothing() -> None:
    desk = Desk(
        decks(a={"44": "0.05", "23410!": "0.01"}, b={"44": "0.02", "23415!": "0.03"}),
        routing({"A": {}, "B": {}}, tie_band_percent=100, durations=[{"seconds": 60, "weight": 1}]),
    )
    for place in range(100):
        desk.shares.observe("GB", "23415" if place % 2 else "23410")

    assert desk.weigh().saving == pytest.approx(nano("0.01") / 2)


def test_trunks_save_nothing_where_and_when_they_take_no_calls() -> None:
    rates = decks(a={"44": "0.02"}, b={"44": "0.03", "23415!": "0.01"})
    until = Desk(rates, routing({"A": {}, "B": {"windows": [{"hours": "08:00-08:01"}]}}))  # NOW is 08:00

    assert Desk(rates, routing({"A": {}, "B": {"countries": ["FR"]}})).weigh() == NOTHING
    assert [until.weigh(now=NOW + after_s).why for after_s in (59, 60, 59)] == ["saves", "no_difference", "saves"]


def test_without_trunks_there_is_nothing_to_save() -> None:
    assert Desk(SWAPPED, RoutingOptions()).weigh() == NOTHING


def test_calls_are_taken_as_long_as_they_are_learned_to_be() -> None:
    desk = Desk(SWAPPED, lengths={"GB": ((60, 1.0), (180, 3.0))})

    assert desk.weigh() == Weighed(nano("0.03") * 150 / 60, "saves")


def test_one_profile_s_ceiling_is_not_another_s() -> None:
    profiles = {"thrifty": {"max_cost": "0.03"}, "seller": {"sale_rate": "0.04", "min_profit": "0.01"}}
    desk = Desk(SWAPPED, routing({"A": {}, "B": {}}, profiles=profiles))

    assert desk.weigh().why == "saves"
    assert desk.weigh(profile="thrifty") == desk.weigh(profile="seller") == Weighed(inf, "routes")


# Shares


def test_what_was_learned_of_networks_weighs_them() -> None:
    desk = Desk(SWAPPED)
    for place in range(100):
        assert desk.weigh(now=NOW + place * HOUR_S) == Weighed(2 * nano("0.03"), "saves")
        desk.shares.observe("GB", "23415" if place < 10 else "23420" if place < 60 else None)

    assert desk.weigh(now=NOW + 100 * HOUR_S).saving == pytest.approx(0.1 * 2 * nano("0.03"))


def test_networks_that_nobody_met_do_not_count() -> None:
    desk = Desk(decks(a={"44": "0.01", "23415!": None}, b={"44": "0.02"}))
    for _ in range(100):
        desk.shares.observe("GB", "23420")

    assert desk.weigh() == NOTHING


def test_a_network_that_was_met_abroad_is_weighed_too() -> None:
    desk = Desk(decks(a={"44": "0.01", "20801!": "0.05"}, b={"44": "0.02"}))
    for _ in range(100):
        desk.shares.observe("GB", "20801")

    assert desk.weigh() == Weighed(2 * nano("0.03"), "saves")


def test_where_networks_are_told_by_name_shares_say_nothing() -> None:
    rates = {"a": {"44": "0.01"}, "b": {"44": "0.02", "small@": "0.001", "23410!": "0.02"}}
    desk = Desk(decks(**rates), routing({"A": {}, "B": {}}, groups={"small": {"carriers": ["Three"]}}))
    before = desk.weigh()
    for place in range(100):
        desk.shares.observe("GB", "23420" if place < 10 else "23410")

    assert desk.weigh(now=NOW + HOUR_S) == before
    assert before.why == "saves"


# Time


def test_rates_count_from_the_second_they_come_into_force() -> None:
    """And a replay may go back."""
    dear = Rate(Kind.MCCMNC, "23415", tariff("0.05"), NOW + 20, NOW + 40)
    desk = Desk({**SWAPPED, "a": [SWAPPED["a"][0], dear]})

    told = [desk.weigh(now=NOW + after_s).why for after_s in (0, 19, 20, 39, 40, 39, 20, 19)]
    assert told == 2 * ["no_difference"] + 2 * ["saves"] + ["no_difference"] + 2 * ["saves"] + ["no_difference"]


def test_steady_calls_ask_the_book_for_nothing_but_their_prefix() -> None:
    desk = Desk(SWAPPED)
    first = desk.weigh()
    desk.decks["a"].clear()  # type: ignore[attr-defined]

    assert desk.weigh(Number("+447400999999", "GB"), NOW + 59) == first
    assert desk.weigh(now=NOW + HOUR_S) != first
