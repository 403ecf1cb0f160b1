"""In which order offers are tried: exact shares, no flapping, bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.routing.options import QualityOptions
from agi_lookup.routing.quality import Quality
from agi_lookup.routing.strategies import (
    MAX_WHEELS,
    BestValue,
    Cheapest,
    Offer,
    Split,
    Sticky,
    Strategy,
    Wheel,
    Wheels,
    banded,
)
from tests.routing.routes import NOW, found, result, trunk

RATE = found("acme", None)
WEIGHTS = st.lists(st.integers(1, 40), min_size=1, max_size=7)


def offers(*costs: int, weights: tuple[int, ...] = ()) -> list[Offer]:
    """Of trunks T0, T1 ... in the order of their places."""
    trunks = [trunk(f"T{place}", place, weight=weight) for place, weight in enumerate(weights or [1] * len(costs))]
    return [(cost, place, cost, trunks[place], RATE) for place, cost in enumerate(costs)]


def order(strategy: Strategy, offered: list[Offer], now: float = NOW) -> tuple[list[str], str]:
    ordered, how = strategy.order(offered, "23415", now)
    return [offer[3].name for offer in ordered], how


def test_the_cheapest_goes_first_and_equals_in_their_places() -> None:
    assert order(Cheapest(0), offers(30, 10, 20, 10)) == (["T1", "T3", "T2", "T0"], "cheapest")


def test_within_the_band_priority_decides() -> None:
    assert order(Cheapest(5), offers(104, 100, 106)) == (["T0", "T1", "T2"], "priority within tie band")
    assert order(Cheapest(5), offers(100, 104, 106)) == (["T0", "T1", "T2"], "cheapest")


def test_a_price_that_moves_within_the_band_moves_no_call() -> None:
    firsts = {order(Cheapest(5), offers(100, cost))[0][0] for cost in range(96, 120)}

    assert firsts == {"T0"}


def test_a_band_does_not_grow_from_offer_to_offer() -> None:
    """108 is within 5 % of 104, which is within 5 % of 100; yet it is not an equal of 100."""
    assert order(Cheapest(5), offers(108, 104, 100))[0] == ["T1", "T2", "T0"]


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), max_size=20), st.floats(0, 50))
def test_a_band_changes_no_more_than_it_says(costs: list[int], percent: float) -> None:
    """Nobody goes before a trunk that is cheaper by more than the band."""
    band, offered = 1 + percent / 100, sorted(offers(*costs))
    ordered = banded(offered, band)

    assert sorted(ordered) == offered
    cheapest_left = [min(offer[0] for offer in ordered[place:]) for place in range(len(ordered))]
    assert all(offer[0] <= least * band for offer, least in zip(ordered, cheapest_left, strict=True))


def quality_of(trunk_name: str, dialstatus: str, **said: int) -> Quality:
    quality = Quality(QualityOptions(min_samples=10))
    for _ in range(30):
        quality.observe(result(trunk_name, dialstatus, **said), "23415", NOW)
    return quality


def test_a_bad_route_has_to_be_cheaper_by_as_much_as_it_is_bad() -> None:
    value = BestValue(quality_of("T0", "CONGESTION", sip_code=503), 0)  # a quarter by ASR and NER

    assert order(value, offers(100, 390)) == (["T1", "T0"], "best value")
    assert order(value, offers(100, 410)) == (["T0", "T1"], "best value")


def test_quality_is_that_of_the_destination() -> None:
    quality = quality_of("T0", "CONGESTION", sip_code=503)
    for _ in range(300):
        quality.observe(result("T0"), "20801", NOW)
    value = BestValue(quality, 0)

    firsts = {key: value.order(offers(100, 120), key, NOW)[0][0][3].name for key in ("23415", "20801")}

    assert firsts == {"23415": "T1", "20801": "T0"}


def test_routes_nothing_is_known_of_go_by_price() -> None:
    assert order(BestValue(Quality(QualityOptions()), 0), offers(30, 10, 20))[0] == ["T1", "T2", "T0"]


def test_quality_tells_free_routes_apart() -> None:
    assert order(BestValue(quality_of("T0", "CONGESTION", sip_code=503), 0), offers(0, 0))[0] == ["T1", "T0"]


@settings(deadline=None)
@given(WEIGHTS, st.integers(1, 400))
def test_shares_are_exact_to_less_than_one_call_at_any_time(weights: list[int], calls: int) -> None:
    wheel, had = Wheel(weights), [0] * len(weights)
    for made in range(1, calls + 1):
        place = wheel.next()
        wheel.took(place)
        had[place] += 1
        shares = [weight * made / sum(weights) for weight in weights]
        assert all(abs(count - share) < 1 for count, share in zip(had, shares, strict=True))


def turns(weights: list[int], count: int) -> list[int]:
    wheel, places = Wheel(weights), list[int]()
    for _ in range(count):
        places.append(wheel.next())
        wheel.took(places[-1])
    return places


@settings(deadline=None)
@given(WEIGHTS, st.integers(0, 100))
def test_as_many_calls_as_all_weights_together_are_split_exactly_wherever_one_begins(
    weights: list[int], offset: int
) -> None:
    window = turns(weights, offset + sum(weights))[offset:]

    assert [window.count(place) for place in range(len(weights))] == weights


@settings(deadline=None)
@given(WEIGHTS, st.data())
def test_any_window_is_exact_to_less_than_two_calls(weights: list[int], data: st.DataObject) -> None:
    places = turns(weights, 3 * sum(weights))
    begin = data.draw(st.integers(0, len(places) - 1))
    end = data.draw(st.integers(begin, len(places)))

    for place, weight in enumerate(weights):
        share = weight * (end - begin) / sum(weights)
        assert abs(places[begin:end].count(place) - share) < 2


def test_the_one_whose_turn_it_is_goes_first_and_the_others_by_price() -> None:
    split, offered = Split(Wheels()), offers(30, 10, 20, weights=(2, 1, 1))
    firsts = []
    for _ in range(8):
        names, how = order(split, offered)
        assert how == "its turn"
        assert names[1:] == sorted(names[1:], key=["T1", "T2", "T0"].index)
        firsts.append(names[0])
        split.started(offered, offered[int(names[0][1])][3])

    assert [firsts.count(name) for name in ("T0", "T1", "T2")] == [4, 2, 2]


def test_looking_takes_no_turn() -> None:
    split, offered = Split(Wheels()), offers(30, 10)

    assert order(split, offered) == order(split, offered)


def test_a_trunk_that_was_away_owes_nobody() -> None:
    split, both = Split(Wheels()), offers(30, 10)
    for _ in range(50):
        split.started(both[:1], both[0][3])
    firsts = []
    for _ in range(4):
        firsts.append(order(split, both)[0][0])
        split.started(both, both[int(firsts[-1][1])][3])

    assert sorted(firsts) == ["T0", "T0", "T1", "T1"]


def test_a_trunk_without_weight_only_stands_behind() -> None:
    split, offered = Split(Wheels()), offers(30, 10, weights=(1, 0))
    split.started(offered, offered[1][3])

    assert order(split, offered)[0] == ["T0", "T1"]
    assert order(Split(Wheels()), offers(30, 10, weights=(0, 0))) == (["T1", "T0"], "cheapest")


def test_wheels_are_bounded() -> None:
    wheels = Wheels()
    for weight in range(1, MAX_WHEELS + 100):
        wheels.of([trunk("A", weight=weight), trunk("B")])

    assert len(wheels) == MAX_WHEELS


@pytest.mark.parametrize(("later_s", "name"), [(599, "T1"), (600, "")])
def test_a_caller_is_held_to_a_trunk_for_a_while(later_s: float, name: str) -> None:
    sticky = Sticky(600, 10)
    sticky.started("alice", "T1", NOW)

    assert sticky.trunk("alice", NOW + later_s) == name
    assert sticky.trunk("bob", NOW) == ""


def test_nobody_is_held_to_a_trunk_that_failed() -> None:
    sticky = Sticky(600, 10)
    sticky.started("alice", "T1", NOW)
    sticky.failed("alice", "T2")
    assert sticky.trunk("alice", NOW) == "T1"

    sticky.failed("alice", "T1")
    sticky.failed("alice", "T1")

    assert sticky.trunk("alice", NOW) == ""


def test_those_who_called_last_are_remembered() -> None:
    sticky = Sticky(600, 2)
    for who in ("alice", "bob", "alice", "carol"):
        sticky.started(who, "T1", NOW)

    assert len(sticky) == 2
    assert [sticky.trunk(who, NOW) for who in ("alice", "bob", "carol")] == ["T1", "", "T1"]
