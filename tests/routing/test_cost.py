"""Expected cost: held against call-by-call arithmetic, and never made up where a currency cannot be converted."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.routing.book import Found
from agi_lookup.routing.cost import BLOCKED, Costs, Spread, billed
from agi_lookup.routing.fx import FX_STALE, NO_FX, FxTable
from agi_lookup.routing.rates import NANO, Kind, Tariff
from agi_lookup.routing.tables import billing_of

DAY_S = 86_400
NOW = 20_000.0 * DAY_S  # 2024-10-04
TODAY = date(2024, 10, 4)
USUAL: Spread = ((20, 3.0), (120, 5.0), (600, 2.0))
NO_TABLE = FxTable("EUR", 7)


def costs(usual: Spread = USUAL, fx: FxTable = NO_TABLE) -> Costs:
    return Costs("EUR", usual, fx)


def found(*tariffs: Tariff | None) -> list[Found]:
    return [
        Found("acme", tariff.rate if tariff else 0, billing_of(tariff) if tariff else None, Kind.PREFIX, "44")
        for tariff in tariffs
    ]


def ask(costs: Costs, tariff: Tariff, now: float = NOW, spread: Spread | None = None) -> int | str:
    (cost,) = costs.of(found(tariff), spread, now)
    return cost


def amount(text: str) -> int:
    return int(Fraction(text) * NANO)


def by_hand(tariff: Tariff, spread: Spread) -> Fraction:
    """Every call charged, over the minutes that were talked."""
    charged, talked_s = Fraction(0), Fraction(0)
    for seconds, weight in spread:
        increments = max(0, ceil(Fraction(seconds - tariff.first_s, tariff.next_s)))
        billed_s = tariff.first_s + increments * tariff.next_s
        charged += Fraction(weight) * (tariff.connect + Fraction(tariff.rate * billed_s, 60))
        talked_s += Fraction(weight) * seconds
    return charged / talked_s * 60


AMOUNTS = st.integers(0, 10**12)
INCREMENTS = st.integers(1, 120)
TARIFFS = st.builds(Tariff, st.just("EUR"), AMOUNTS, AMOUNTS, INCREMENTS, INCREMENTS)
SPREADS = st.lists(
    st.tuples(st.integers(1, 7200), st.floats(0.001, 1000)), min_size=1, max_size=12, unique_by=lambda part: part[0]
).map(tuple)


@settings(max_examples=200, deadline=None)
@given(st.lists(TARIFFS), SPREADS)
def test_it_is_what_all_calls_cost_over_the_minutes_talked(tariffs: list[Tariff], spread: Spread) -> None:
    expected = [float(by_hand(tariff, spread)) for tariff in tariffs]
    assert costs(spread).of(found(*tariffs), None, NOW) == pytest.approx(expected, rel=1e-12, abs=0.5001)


@pytest.mark.parametrize(
    ("seconds", "first_s", "next_s", "expected"),
    [
        (1, 1, 1, 1),
        (61, 1, 1, 61),
        (1, 60, 60, 60),
        (60, 60, 60, 60),
        (61, 60, 60, 120),
        (29, 30, 6, 30),
        (30, 30, 6, 30),
        (31, 30, 6, 36),
        (36, 30, 6, 36),
        (37, 30, 6, 42),
    ],
)
def test_a_begun_increment_is_billed_whole(seconds: int, first_s: int, next_s: int, expected: int) -> None:
    assert billed(seconds, first_s, next_s) == expected


def test_what_has_no_cost_says_why_and_takes_nothing_from_the_others() -> None:
    expected = costs(fx=FxTable("EUR", 1, {"USD": {date(2024, 1, 1): Fraction("0.8")}}))
    rates = found(Tariff("EUR", 3), None, Tariff("USD", 1), Tariff("CHF", 1), Tariff("EUR", 4))
    assert expected.of(rates, None, NOW) == [3, BLOCKED, FX_STALE, NO_FX, 4]
    assert expected.of([], None, NOW) == []


def test_connect_fee_and_increments_change_which_is_cheaper() -> None:
    by_second = Tariff("EUR", amount("0.012"))
    by_minute = Tariff("EUR", amount("0.010"), 0, 60, 60)
    with_fee = Tariff("EUR", amount("0.008"), amount("0.005"))
    of = costs().of
    assert of(found(by_second, by_minute, with_fee), ((600, 1.0),), NOW) == [
        amount("0.012"),
        amount("0.010"),
        amount("0.0085"),
    ]
    assert of(found(by_second, by_minute, with_fee), ((10, 1.0),), NOW) == [
        amount("0.012"),
        amount("0.060"),
        amount("0.038"),
    ]


def test_a_spread_that_was_learned_stands_in_for_the_usual_one() -> None:
    long = costs(((600, 1.0),))
    fee = Tariff("EUR", 0, amount("0.01"))
    assert ask(long, fee) == amount("0.001")
    assert ask(long, fee, spread=((60, 1.0),)) == amount("0.01")
    assert ask(long, fee) == amount("0.001")


def test_a_spread_gone_is_never_taken_for_another() -> None:
    """Factors are kept by the identity of the spread, and Python gives an identity again."""
    same = costs()
    fee = Tariff("EUR", 0, amount("0.01"))
    for seconds in range(60, 120):
        assert ask(same, fee, spread=((seconds, 1.0),)) == round(amount("0.6") / seconds)


def test_another_currency_is_converted_by_the_days_figure() -> None:
    same = costs(fx=FxTable("EUR", 1, {"USD": {TODAY: Fraction("0.8"), date(2024, 10, 5): Fraction("0.9")}}))
    dollars = Tariff("USD", amount("0.01"))
    assert ask(same, dollars, NOW - 1) == NO_FX
    assert ask(same, dollars, NOW) == amount("0.008")
    assert ask(same, dollars, NOW + DAY_S - 1) == amount("0.008")
    assert ask(same, dollars, NOW + DAY_S) == amount("0.009")
    assert ask(same, dollars, NOW + 3 * DAY_S) == FX_STALE
    assert ask(same, dollars, NOW) == amount("0.008")  # as replay goes back


def test_a_connect_fee_is_converted_too() -> None:
    fx = FxTable("EUR", 7, {"USD": {TODAY: Fraction("0.8")}})
    assert ask(costs(((60, 1.0),), fx), Tariff("USD", 0, amount("0.01"))) == amount("0.008")


def test_the_base_of_the_table_need_not_be_the_currency_of_comparison() -> None:
    fx = FxTable("USD", 7, {"EUR": {TODAY: Fraction("1.25")}, "GBP": {TODAY: Fraction("1.5")}})
    assert ask(costs(fx=fx), Tariff("GBP", amount("0.01"))) == amount("0.012")
