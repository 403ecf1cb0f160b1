"""Past calls decided once more, and what it comes to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from agi_lookup.calls.bill import Bill
from agi_lookup.calls.past import Decided, Past, PastCall, Skipped
from agi_lookup.calls.records import LoggedResult, Told
from agi_lookup.calls.replay import AsLogged, Compared, Configured, Side, expected, replay, usual_s, without_capacity
from agi_lookup.calls.report import Report, change_of, lines, row
from agi_lookup.domain.model import (
    ALLOW,
    Action,
    CacheState,
    Identity,
    Method,
    Number,
    NumberType,
    Sourced,
    Tri,
    Verdict,
)
from agi_lookup.policy import rules
from agi_lookup.policy.options import PolicyOptions
from agi_lookup.routing.fx import FxTable
from agi_lookup.routing.lcr import Router
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.routing.rates import NANO
from tests.past_calls.logged import DEAD, NOW, NUMBER, VODAFONE
from tests.routing.routes import Rates, costs, routing

CHEAP = {"a": "0.01", "b": "0.02"}
DEAR = {"a": "0.03", "b": "0.02"}
TWO: dict[str, dict[str, Any]] = {"A": {}, "B": {}}
BLOCKED = Verdict(Action.BLOCK, 1, "dead_number")
ACME = Told("acme", Decimal("0.06"), "EUR")


def past(place: int = 1, at: float = NOW, **said: Any) -> PastCall:
    number = Number(NUMBER, "GB", NumberType.MOBILE)
    return PastCall(**{"place": place, "at": at, "channel": "1.1", "number": number, "billsec": 60, **said})


def side(rates: dict[str, str], options: RoutingOptions | None = None, **policy: Any) -> Configured:
    options = without_capacity(options or routing(TWO))
    memory = Memory(options)
    return Configured(
        router=Router(options, Rates(rates), costs(), memory),
        memory=memory,
        rules=rules.build(PolicyOptions.model_validate(policy)),
        bill=Bill("EUR", FxTable("EUR", 7)),
        usual_s=Decimal(60),
    )


def compared(calls: Iterable[Past], before: Side, after: Side) -> list[Compared]:
    return [one for one in replay(calls, before, after) if isinstance(one, Compared)]


def report(calls: Iterable[Past], before: Side, after: Side) -> dict[str, Any]:
    found = Report()
    for one in replay(calls, before, after):
        found.add(one)
    return found.shown()


def blocking(**when: Any) -> dict[str, Any]:
    return {"rules": [{"name": "no", "action": "block", "mode": "enforce", "when": when}]}


def test_the_cheapest_trunk_carries_the_call_at_its_price() -> None:
    (one,) = compared([past(billsec=90)], side(CHEAP), side(DEAR))

    assert (one.before.trunk, one.before.cost) == ("A", 15 * NANO // 1000)
    assert (one.after.trunk, one.after.cost) == ("B", 30 * NANO // 1000)
    assert change_of(one) == "rerouted"


def test_a_call_of_unknown_length_is_as_long_as_usual_and_one_not_answered_costs_nothing() -> None:
    unknown, silent = compared([past(billsec=None), past(billsec=0)], side(CHEAP), side(CHEAP))

    assert (unknown.after.cost, silent.after.cost) == (NANO // 100, 0)


def test_rules_see_what_the_call_saw() -> None:
    """Carrier, price, caller and the time are the call's own."""
    call = past(identity=Sourced(VODAFONE, "npl", Method.MNP, NOW - 5, CacheState.FRESH), caller="PJSIP/alice")
    when = {
        "mccmnc": "23415",
        "cost": {"at_least": "0.01", "currency": "EUR"},
        "caller": "PJSIP/al*",
        "time": {"hours": "08:00-09:00"},
    }

    (one,) = compared([call], side(CHEAP), side(CHEAP, **blocking(**when)))
    (later,) = compared([past(at=NOW + 7200)], side(CHEAP), side(CHEAP, **blocking(time=when["time"])))

    assert (one.after.verdict.rule, one.after.trunk, one.after.cost) == ("no", "", None)
    assert change_of(one) == "newly_blocked"
    assert later.after.verdict == ALLOW


def test_a_stale_or_unknown_network_blocks_nobody() -> None:
    stale = Sourced(VODAFONE, "npl", Method.MNP, NOW - 5, CacheState.STALE, stale=True)
    rule = blocking(mccmnc="23415")

    assert [
        one.after.verdict.blocks for one in compared([past(identity=stale), past()], side(CHEAP), side(CHEAP, **rule))
    ] == [False, False]


def test_a_dead_number_that_was_heard_of_then_is_dead_still() -> None:
    heard = Sourced(DEAD, "hlr", Method.HLR, NOW, CacheState.MISS)
    known = Sourced(Identity(type=NumberType.MOBILE, ported=Tri.NO), "hlr", Method.HLR, NOW, CacheState.MISS)

    (one,) = compared(
        [past(liveness=heard, identity=known)], side(CHEAP), side(CHEAP, dead_numbers={"mode": "enforce"})
    )

    assert one.after.verdict == BLOCKED


def test_what_was_logged_is_compared_as_it_was_told() -> None:
    told, blocked, without = (
        past(1, billsec=90, as_logged=Decided(ALLOW, ACME)),
        past(2, as_logged=Decided(BLOCKED, ACME)),
        past(3, as_logged=Decided(ALLOW, None)),
    )

    found = compared([told, blocked, without], AsLogged(Decimal(60)), side(CHEAP))

    assert [(one.before.trunk, one.before.cost) for one in found] == [("acme", 9 * NANO // 100), ("", None), ("", None)]
    assert [change_of(one) for one in found] == ["rerouted", "unblocked", "rerouted"]


def test_trunks_learn_from_results_as_the_server_does() -> None:
    """A fails its calls, so that the better one gets them."""
    options = routing(TWO, strategy="quality", quality={"min_samples": 5, "half_life_s": 86_400})
    failed = (LoggedResult(NOW, "A", "CONGESTION", 34, 503),)
    calls = [past(n, NOW + 300 * n, results=failed, billsec=0) for n in range(40)]

    found = compared(calls, side(CHEAP, options), side(CHEAP, options))

    assert [one.after.trunk for one in found][:5] == ["A"] * 5
    assert [one.after.trunk for one in found][-5:] == ["B"] * 5


def test_capacity_is_not_replayed() -> None:
    options = routing({"A": {"max_calls": 1, "max_calls_per_s": 1}, "B": {}})

    found = compared([past(n) for n in range(10)], side(CHEAP, options), side(CHEAP, options))

    assert {one.after.trunk for one in found} == {"A"}


def test_a_split_is_replayed_in_its_proportions() -> None:
    options = routing({"A": {"weight": 3}, "B": {"weight": 1}}, strategy="split")

    found = compared([past(n) for n in range(40)], side(CHEAP, options), side(CHEAP, options))

    assert [one.after.trunk for one in found].count("A") == 30


def test_the_report_adds_up_and_is_the_same_each_time() -> None:
    french = Number("+33612345678", "FR")
    calls: list[Past] = [
        past(1),
        past(2, number=french),
        past(3, billsec=0, is_cut=True),
        Skipped(4, "emergency"),
        past(5, number=Number("", None)),
    ]
    new = blocking(country="FR")

    shown = report(calls, side(CHEAP), side(DEAR, **new))

    assert (shown["calls"], shown["rerouted"], shown["newly_blocked"], shown["unblocked"]) == (4, 2, 1, 0)
    assert shown["before"] == {
        "blocked": 0,
        "would_block": 0,
        "answered_blocked": 0,
        "no_route": 1,
        "unpriced": 0,
        "cost": {"EUR": "0.020000"},
    }
    assert shown["after"] | {"cost": 0} == shown["before"] | {"blocked": 1, "answered_blocked": 1, "cost": 0}
    assert shown["after"]["cost"] == {"EUR": "0.020000"}
    assert shown["skipped"] == {"emergency": 1}
    assert shown["leading_digits_only"] == 1
    assert [country["country"] for country in shown["countries"]] == ["-", "FR", "GB"]
    assert sum(country["calls"] for country in shown["countries"]) == 4
    again = report(calls, side(CHEAP), side(DEAR, **new))
    assert json.dumps(shown) == json.dumps(again)
    assert list(lines(shown)) == list(lines(again))


def test_a_row_shows_no_number() -> None:
    (one,) = compared([past()], side(CHEAP), side(DEAR))

    assert "123456" not in str(row(one))
    assert row(one)[1] == "2027-01-15T08:00:00+00:00"


def test_a_rate_that_cannot_be_converted_is_told_and_counts_as_nothing() -> None:
    old = side(CHEAP)
    found = report(
        [past()], old, Configured(old.router, old.memory, old.rules, Bill("USD", FxTable("USD", 7)), Decimal(60))
    )

    assert (found["after"]["unpriced"], found["after"]["cost"]) == (1, {})


def test_the_usual_length_is_the_mean_of_those_configured() -> None:
    assert usual_s(routing({}, durations=[{"seconds": 20, "weight": 3}, {"seconds": 120, "weight": 1}])) == 45
    assert expected(Decimal("0.06"), Decimal(45)) == 45 * NANO // 1000
