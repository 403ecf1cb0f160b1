"""What calls tell: timelines of a trunk that fails, rests, is tried and is used again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agi_lookup.domain.model import CallResult
from agi_lookup.routing.durations import ENOUGH
from agi_lookup.routing.lcr import Router
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.routing.ranking import Ranking
from tests.routing.routes import NOW, Rates, costs, names, query, result, router, routing, tariff

FAILED: dict[str, Any] = {"dialstatus": "CONGESTION", "sip_code": 503}
QUALITY = {"min_samples": 10, "suspend": {"first_s": 60}}
TWO = routing({"CHEAP": {}, "DEAR": {}}, quality=QUALITY)
PRICES = {"cheap": "0.01", "dear": "0.02"}


class Exchange:
    """A router with its memory, and calls that go as they are told."""

    def __init__(self, options: RoutingOptions = TWO) -> None:
        self.memory = Memory(options)
        self.router = router(PRICES, options, self.memory)
        self._calls = 0

    def call(self, now: float, *results: CallResult, **asked: Any) -> list[str]:
        """The trunks that a call was given; each result comes a second after the one before."""
        ranking = self.router.rank(query(**asked), now)
        self._calls += 1
        self.router.started(str(self._calls), ranking, now)
        for place, said in enumerate(results):
            self.memory.ended(str(self._calls), said, now + 1 + place)
        return names(ranking.routes)

    def fate(self, trunk: str, now: float) -> str:
        ranking: Ranking = self.router.rank(query(), now)
        return next(candidate.fate for candidate in ranking.candidates if candidate.trunk == trunk)


def broken() -> Exchange:
    """The eleventh failure comes at NOW + 11: ten that have faded a little are no ten samples."""
    exchange = Exchange()
    for place in range(11):
        exchange.call(NOW + place, result("CHEAP", **FAILED), result("DEAR"))
    return exchange


def test_a_trunk_whose_network_fails_rests() -> None:
    exchange = broken()

    assert exchange.fate("CHEAP", NOW + 12) == "suspended"
    assert exchange.call(NOW + 12) == ["DEAR"]


def test_one_call_goes_to_see_with_the_others_behind_it() -> None:
    exchange = broken()

    assert exchange.call(NOW + 72) == ["CHEAP", "DEAR"]
    assert exchange.call(NOW + 73) == ["DEAR"]


def test_a_probe_that_gets_through_brings_the_trunk_back_for_good() -> None:
    exchange = broken()
    exchange.call(NOW + 72, result("CHEAP"))

    assert exchange.call(NOW + 73, result("CHEAP", **FAILED)) == ["CHEAP", "DEAR"]
    assert exchange.call(NOW + 75) == ["CHEAP", "DEAR"]  # one failure more does not count with those of before


def test_a_probe_that_fails_makes_it_rest_twice_as_long() -> None:
    exchange = broken()
    exchange.call(NOW + 72, result("CHEAP", **FAILED), result("DEAR"))

    assert [exchange.fate("CHEAP", NOW + s) for s in (192, 193)] == ["suspended", "chosen"]


def test_looking_is_no_probe() -> None:
    exchange = broken()

    assert [exchange.fate("CHEAP", NOW + 72) for _ in range(3)] == ["chosen"] * 3


def test_a_bad_route_is_better_than_none() -> None:
    exchange = broken()
    for place in range(60):
        exchange.call(NOW + 12 + place / 2, result("DEAR", **FAILED))

    ranking = exchange.router.rank(query(), NOW + 45)

    assert names(ranking.routes) == ["CHEAP", "DEAR"]
    assert ranking.routes[0].why == "prefix 44 last resort"
    assert [candidate.fate for candidate in ranking.candidates] == ["chosen", "chosen"]


def test_busy_numbers_suspend_nobody() -> None:
    exchange = Exchange()
    for place in range(100):
        exchange.call(NOW + place, result("CHEAP", "BUSY", sip_code=486))

    assert exchange.fate("CHEAP", NOW + 101) == "chosen"


def test_dead_numbers_suspend_nobody() -> None:
    """A dialler's list of old numbers gives 404 on every trunk."""
    exchange = Exchange()
    for place in range(100):
        exchange.call(NOW + place, result("CHEAP", "CONGESTION", sip_code=404))

    assert exchange.fate("CHEAP", NOW + 101) == "chosen"


def test_a_result_of_no_call_teaches_nothing() -> None:
    memory = Memory(TWO)

    assert memory.ended("unheard of", result("CHEAP", **FAILED), NOW) is None
    assert len(memory.quality) == 0


def test_a_result_that_comes_twice_teaches_once() -> None:
    exchange = Exchange()
    exchange.call(NOW, *[result("CHEAP", **FAILED)] * 5)

    assert exchange.memory.quality.figures("CHEAP", "4474", NOW).samples == pytest.approx(1, abs=0.01)


def test_a_site_that_tries_more_than_we_ship_teaches_of_every_trunk() -> None:
    exchange = Exchange()
    exchange.call(NOW, result("CHEAP", "BUSY", cause=17, sip_code=486), result("DEAR"))

    assert exchange.memory.quality.figures("DEAR", "4474", NOW).samples == pytest.approx(1, abs=0.01)


def test_a_full_trunk_is_passed_by_until_a_result_comes() -> None:
    exchange = Exchange(routing({"CHEAP": {"max_calls": 1}, "DEAR": {}}))

    assert exchange.call(NOW) == ["CHEAP", "DEAR"]
    assert exchange.call(NOW) == ["DEAR"]
    assert exchange.fate("CHEAP", NOW) == "full"
    exchange.memory.ended("1", result("CHEAP"), NOW + 60)
    assert exchange.call(NOW + 60) == ["CHEAP", "DEAR"]


def test_a_trunk_that_took_all_it_may_in_a_second_is_passed_by() -> None:
    exchange = Exchange(routing({"CHEAP": {"max_calls_per_s": 1}, "DEAR": {}}))

    assert [exchange.call(NOW + s)[0] for s in (0, 0.5, 1.1)] == ["CHEAP", "DEAR", "CHEAP"]
    assert exchange.fate("CHEAP", NOW + 1.2) == "too_fast"


STICKY = routing({"CHEAP": {"max_calls": 1}, "DEAR": {}}, sticky={"for_s": 600})


def test_calls_to_a_number_stay_on_a_trunk() -> None:
    exchange = Exchange(STICKY)
    exchange.call(NOW, number="+447400000001")
    exchange.call(NOW)  # CHEAP is full
    exchange.memory.ended("1", result("CHEAP"), NOW + 1)

    assert exchange.call(NOW + 2) == ["DEAR", "CHEAP"]
    assert exchange.router.rank(query(), NOW + 2).routes[0].why == "prefix 44 sticky"
    assert exchange.call(NOW + 603) == ["CHEAP", "DEAR"]


def test_calls_leave_a_trunk_that_failed_them() -> None:
    exchange = Exchange(STICKY)
    exchange.call(NOW, number="+447400000001")
    exchange.call(NOW, result("DEAR", **FAILED))
    exchange.memory.ended("1", result("CHEAP"), NOW + 1)

    assert exchange.call(NOW + 2) == ["CHEAP", "DEAR"]


def test_calls_of_a_caller_stay_on_a_trunk_where_that_is_asked_for() -> None:
    exchange = Exchange(routing({"CHEAP": {"max_calls": 1}, "DEAR": {}}, sticky={"by": "caller"}))
    exchange.call(NOW, caller="PJSIP/bob")
    exchange.call(NOW, caller="PJSIP/alice")
    exchange.memory.ended("1", result("CHEAP"), NOW + 1)

    assert exchange.call(NOW + 2, number="+447400000009", caller="PJSIP/alice") == ["DEAR", "CHEAP"]
    assert exchange.call(NOW + 2, number="+447400000009") == ["CHEAP", "DEAR"]  # nobody in particular


def test_who_stays_on_a_trunk_takes_no_turn_of_the_others() -> None:
    exchange = Exchange(routing({"CHEAP": {}, "DEAR": {}}, strategy="split", sticky={}))
    first = exchange.call(NOW)[0]
    assert [exchange.call(NOW + 1)[0] for _ in range(5)] == [first] * 5

    others = [exchange.call(NOW + 1, number=f"+44740000000{place}")[0] for place in range(3)]

    assert others[1] == first
    assert others[0] == others[2] != first


def test_lengths_of_calls_are_learned_and_change_the_winner() -> None:
    """At 60/60, a call of ten seconds costs six times what it says."""
    options = routing({"MINUTES": {}, "SECONDS": {}})
    memory = Memory(options)
    rates = Rates({"minutes": tariff("0.010", first_s=60, next_s=60), "seconds": "0.015"})
    exchange = Router(options, rates, costs(600), memory)
    assert names(exchange.rank(query(), NOW).routes) == ["MINUTES", "SECONDS"]

    for place in range(ENOUGH):
        exchange.started(str(place), exchange.rank(query(), NOW), NOW)
        memory.ended(str(place), result("MINUTES", billsec=10), NOW)

    assert names(exchange.rank(query(), NOW).routes) == ["SECONDS", "MINUTES"]
    assert names(exchange.rank(query("+33612345678", "FR"), NOW).routes) == ["MINUTES", "SECONDS"]


def test_a_reload_keeps_what_is_known_and_judges_it_anew() -> None:
    exchange = broken()
    exchange.call(NOW + 12)
    options = routing({"CHEAP": {}, "DEAR": {"max_calls": 1, "min_samples": 500}}, sticky={})
    exchange.memory.adopt(options)
    after = router(PRICES, options, exchange.memory)

    fates = {candidate.trunk: candidate.fate for candidate in after.rank(query(), NOW + 12).candidates}

    assert fates == {"CHEAP": "chosen", "DEAR": "full"}  # the last resort while DEAR carries the call from before
    assert exchange.memory.sticky is not None
    assert exchange.memory.quality.min_samples == {"DEAR": 500}


def test_a_snapshot_brings_back_what_was_learned() -> None:
    exchange, restored = broken(), Memory(TWO)
    restored.restore(json.loads(json.dumps(exchange.memory.snapshot())))

    assert restored.snapshot() == exchange.memory.snapshot()
    assert restored.quality.fails("CHEAP", 0.3, NOW + 12)


@pytest.mark.parametrize("data", [None, [], {}, {"quality": []}, {"quality": [], "durations": [1]}])
def test_what_is_no_snapshot_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        Memory(TWO).restore(data)
