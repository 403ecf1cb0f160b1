"""Caps are hard: whatever is under way, whatever vendors charge, whatever the clock does."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderFailedNumber,
    ProviderNotCovered,
    ProviderOutcomeUnknown,
    ProviderOverBudget,
    ProviderRejected,
    ProviderTimeout,
)
from agi_lookup.lookup import caps
from agi_lookup.lookup.budget import Payer, Recent, Snapshot, Tariff
from agi_lookup.lookup.caps import DAY_S, HOUR_S, BudgetOptions, Callers, Window
from agi_lookup.providers.base import NumberResult, Pending
from agi_lookup.providers.replies import with_cost
from tests.lookup.money import CALLER, CREDITS, NOW, NUMBER, TODAY, Till, answer, options, per_day

BOTH = {"npl": Tariff("credits"), "checkmobi": Tariff("USD", Decimal("0.02")), "table": Tariff("")}


def test_what_is_under_way_counts_as_spent() -> None:
    till = Till(per_day("3"))

    under_way = [till.reserve() for _ in range(3)]

    with pytest.raises(ProviderOverBudget):
        till.reserve()
    till.budget.release(under_way[0], NOW)
    till.reserve()


def test_nothing_is_refused_without_a_cap() -> None:
    till = Till(options())

    for _ in range(1000):
        till.reserve()


def test_a_profile_s_cap_counts_what_it_spends_at_all_providers() -> None:
    till = Till(
        options(profiles={"sales": {"per_day": {"credits": "2"}}}), {"npl": Tariff("credits"), "hlr": Tariff("credits")}
    )
    till.pay("1", provider="npl", profile="sales")
    till.pay("1", provider="hlr", profile="sales")

    with pytest.raises(ProviderOverBudget):
        till.reserve(profile="sales")
    till.reserve(profile="support")


def test_currencies_never_meet() -> None:
    till = Till(options(profiles={"default": {"per_day": {"credits": "1", "USD": "0.04"}}}), BOTH)

    till.pay("0.02", provider="checkmobi")
    till.pay("1")

    assert till.spent() == {("default", "credits", DAY_S): "1", ("default", "USD", DAY_S): "0.02"}
    till.reserve(provider="checkmobi")
    with pytest.raises(ProviderOverBudget):
        till.reserve()


def test_what_is_free_needs_no_budget() -> None:
    till = Till(options(stop=True), BOTH)

    reservation = till.reserve(provider="table")

    assert reservation.id == 0
    assert not reservation.amount
    assert till.budget.settle(reservation, answer(None), NOW) is None
    assert till.budget.release(reservation, NOW) is None


def test_the_kill_switch_stops_all_that_costs_and_says_so_once_a_day() -> None:
    till = Till(options(stop=True))
    for at in (NOW, NOW, NOW + DAY_S):
        with pytest.raises(ProviderOverBudget):
            till.reserve(at)

    assert till.alarms.codes == ["spending_stopped"] * 2


@pytest.mark.parametrize(
    ("result", "spent"),
    [
        (answer("1"), "1"),
        (answer("0.4"), "0.4"),
        (answer("0"), "0"),
        (answer("7.5"), "7.5"),
        (answer(None), "2"),
        (answer("0.4", None), "0.4"),
        (answer("0.4", "EUR"), "2"),
        (answer("NaN"), "2"),
        (answer("-Infinity"), "2"),
        (answer("-1"), "2"),
        (answer("1E+30000"), "1000000"),
        (answer("0.00000049"), "0.000001"),
        (Pending(30.0, Decimal("1.5"), "credits"), "1.5"),
        (Pending(30.0), "2"),
        (ProviderTimeout(), "2"),
        (ProviderOutcomeUnknown(), "2"),
        (ProviderAuthError(), "0"),
    ],
)
def test_what_was_charged_takes_the_place_of_what_was_reserved(result: NumberResult, spent: str) -> None:
    """B7. What is not stated counts as reserved; so does an outcome that nobody knows."""
    till = Till(per_day("10000000"), {"npl": Tariff("credits", Decimal(2))})
    reservation = till.reserve()

    outcome = till.budget.settle(reservation, result, NOW)

    assert till.spent() == {("npl", "credits", DAY_S): spent}
    assert outcome is not None
    assert outcome.unknown is (isinstance(result, ProviderError) and result.maybe_charged)


@pytest.mark.parametrize("failure", [ProviderNotCovered(), ProviderRejected(), ProviderFailedNumber()])
def test_what_a_vendor_says_that_a_failure_cost_is_its_charge_and_no_unknown(failure: ProviderError) -> None:
    """B6, B7."""
    till = Till(per_day("10"), {"npl": Tariff("credits", Decimal(2))})

    outcome = till.budget.settle(till.reserve(), with_cost(failure, Decimal("0.5")), NOW)

    assert till.spent() == {("npl", "credits", DAY_S): "0.5"}
    assert outcome is not None
    assert (outcome.word, outcome.unknown) == (failure.code, False)


def test_a_reservation_is_settled_once() -> None:
    till = Till(per_day("10"))
    reservation = till.pay("0.5")

    assert till.budget.settle(reservation, answer("9"), NOW) is None
    assert till.budget.release(reservation, NOW) is None
    assert till.spent() == {("npl", "credits", DAY_S): "0.5"}


def test_a_dearer_charge_is_counted_and_reserved_from_then_on() -> None:
    """The bound of an overshoot: the difference, for what was under way when the price rose, once."""
    till = Till(per_day("10"))
    under_way = [till.reserve() for _ in range(4)]

    for reservation in under_way:
        till.budget.settle(reservation, answer("4"), NOW)

    assert till.spent() == {("npl", "credits", DAY_S): "16"}
    assert till.budget.price("npl") == 4
    with pytest.raises(ProviderOverBudget):
        till.reserve()
    tomorrow = NOW + DAY_S
    assert [till.reserve(tomorrow).amount for _ in range(2)] == [4, 4]
    with pytest.raises(ProviderOverBudget):
        till.reserve(tomorrow)


@pytest.mark.parametrize(
    ("tariff", "price"),
    [
        (Tariff("credits"), "1"),
        (Tariff("EUR"), "0.05"),
        (Tariff("USD"), "0.05"),
        (Tariff("EUR", Decimal("0.012")), "0.012"),
        (Tariff("EUR", Decimal("0.0000001")), "0.000001"),
    ],
)
def test_the_first_reservation_is_cautious(tariff: Tariff, price: str) -> None:
    assert Till(options(), {"npl": tariff}).budget.price("npl") == Decimal(price)


def test_a_known_price_takes_the_place_of_the_cautious_one() -> None:
    till = Till(options(), {"npl": Tariff("EUR")})

    till.pay("0.01")
    assert till.budget.price("npl") == Decimal("0.01")
    till.pay("0.03")
    till.pay("0.02")
    assert till.budget.price("npl") == Decimal("0.03"), "the most that it ever charged"


def test_what_nobody_stated_is_no_price() -> None:
    till = Till(options(), {"npl": Tariff("EUR")})
    till.budget.settle(till.reserve(), answer(None), NOW)
    till.pay("0.01")

    assert till.budget.price("npl") == Decimal("0.01")


def test_a_configured_price_is_believed_again_the_next_day() -> None:
    """A vendor that once states nonsense does not shut itself out for good."""
    till = Till(options(), {"npl": Tariff("EUR", Decimal("0.01"))})
    till.pay("500")

    assert till.reserve().amount == 500
    assert till.reserve(NOW + DAY_S).amount == Decimal("0.01")


def test_a_learnt_price_above_the_cap_shuts_nobody_out_for_good() -> None:
    """B7: the whole cap is reserved for the first number of a day; what that costs is the price of that day."""
    till = Till(per_day("20"))
    till.pay("5000")
    with pytest.raises(ProviderOverBudget):
        till.reserve()

    tomorrow = NOW + DAY_S
    first = till.reserve(tomorrow)
    with pytest.raises(ProviderOverBudget):
        till.reserve(tomorrow)
    till.budget.settle(first, answer("0.01"), tomorrow)

    assert first.amount == 20
    assert [till.pay("0.01", tomorrow).amount for _ in range(3)] == [Decimal("0.01")] * 3
    assert till.spent(tomorrow) == {("npl", "credits", DAY_S): "0.04"}
    assert till.alarms.codes.count("price_absurd") == 2, "once a day"


@pytest.mark.parametrize(
    "said",
    [
        per_day("20"),
        options(providers={"npl": {"burst": {"credits": "20", "seconds": 60}}}),
        options(profiles={"default": {"per_day": {"credits": "20"}}}),
    ],
)
def test_a_price_that_really_is_above_the_cap_is_paid_once_a_day(said: BudgetOptions) -> None:
    till, paid = Till(said), 0
    for minute in range(3 * 24 * 60):
        try:
            till.pay("25", NOW + minute * 60)
        except ProviderOverBudget:
            continue
        paid += 1

    assert paid == 4, "noon to noon: four days"


@pytest.mark.parametrize(
    ("cap", "tariff"), [("0", Tariff("credits")), ("20", Tariff("credits", Decimal(25))), ("0.5", Tariff("credits"))]
)
def test_a_price_that_nobody_charged_is_never_cut_to_the_cap(cap: str, tariff: Tariff) -> None:
    till = Till(per_day(cap), {"npl": tariff})

    with pytest.raises(ProviderOverBudget):
        till.reserve()
    if cap == "0":
        till.budget.restore(Snapshot(dearest={("npl", "credits"): Decimal(1)}))
        with pytest.raises(ProviderOverBudget):
            till.reserve()


def test_a_charge_after_midnight_belongs_to_the_day_of_its_request() -> None:
    till = Till(per_day("3"))
    late = till.reserve()
    tomorrow = NOW + DAY_S
    till.reserve(tomorrow)

    till.budget.settle(late, answer("3"), tomorrow)

    assert till.spent(tomorrow) == {("npl", "credits", DAY_S): "1"}
    assert till.budget.price("npl") == 3


def test_each_cap_warns_once_and_is_reached_once_a_day() -> None:
    till = Till(
        options(providers={"npl": {"per_day": {"credits": "10"}}}, profiles={"default": {"per_day": {"credits": "10"}}})
    )

    for at in (NOW, NOW + DAY_S):
        for _ in range(10):
            till.reserve(at)
        for _ in range(3):
            with pytest.raises(ProviderOverBudget):
                till.reserve(at)

    assert till.alarms.codes == ["budget_low", "budget_low", "budget_reached"] * 2
    assert {detail.partition(":")[0] for _, detail in till.alarms.heard} == {"provider npl", "profile default"}


def test_a_burst_is_refused_and_passes() -> None:
    till = Till(options(providers={"npl": {"burst": {"credits": "3", "seconds": 60}}}))
    for at in (0.0, 1.0, 2.0):
        till.pay("1", NOW + at)

    with pytest.raises(ProviderOverBudget):
        till.reserve(NOW + 59)
    till.pay("1", NOW + 62)


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from(["1", "0.5", "0", "lost", "released"])), max_size=60))
def test_no_window_wherever_it_is_laid_holds_more_than_its_cap(steps: list[tuple[float, str]]) -> None:
    said = options(providers={"npl": {"burst": {"credits": "5", "seconds": 60}}})
    till = Till(said, {"npl": Tariff("credits", Decimal(1))})
    at, paid = NOW, list[tuple[float, Decimal]]()
    for pause_s, cost in steps:
        at += pause_s
        try:
            reservation = till.reserve(at)
        except ProviderOverBudget:
            continue
        if cost == "released":
            till.budget.release(reservation, at)
        elif cost != "lost":
            till.budget.settle(reservation, answer(cost), at)
        paid.append((at, Decimal({"lost": "1", "released": "0"}.get(cost, cost))))

    for end, _ in paid:
        assert sum(amount for when, amount in paid if end - 60 < when <= end) <= 5


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 9)), max_size=80))
def test_a_window_never_misses_and_forgets_in_time(steps: list[tuple[float, int]]) -> None:
    window, at, added = Window(60.0), NOW, list[tuple[float, int]]()
    for pause_s, amount in steps:
        at += pause_s
        window.add(at, Decimal(amount))
        added.append((at, amount))

        assert window.total(at) >= sum(amount for when, amount in added if when > at - 60)
        assert window.total(at) <= sum(amount for when, amount in added if when > at - 62)
        assert len(window._amounts) <= caps.SLICES + 1


def test_what_is_given_back_after_its_window_changes_nothing() -> None:
    window = Window(60.0)
    window.add(NOW, Decimal(1))
    assert window.total(NOW + 100) == 0
    window.add(NOW + 100, Decimal(1))

    window.add(NOW, Decimal(-1))

    assert window.total(NOW + 100) == 1


def test_what_is_charged_late_counts_until_its_time_has_passed() -> None:
    window = Window(60.0)
    window.add(NOW + 30, Decimal(1))

    window.add(NOW, Decimal(2))

    assert window.total(NOW + 59) == 3
    assert window.total(NOW + 92) == 0


def test_a_caller_s_misses_are_counted_apart_from_others() -> None:
    """B6."""
    till = Till(options(misses_per_hour=2))
    till.pay("1", caller=b"a")
    till.pay("1", caller=b"a")

    with pytest.raises(ProviderOverBudget):
        till.reserve(caller=b"a")
    assert till.alarms.codes == ["caller_over_budget"]
    till.reserve(caller=b"b")
    till.reserve(caller=None)
    till.reserve(NOW + HOUR_S * 1.1, caller=b"a")


def test_a_lookup_that_cost_nothing_is_no_miss() -> None:
    till = Till(options(misses_per_hour=1))
    till.budget.release(till.reserve(caller=b"a"), NOW)
    till.budget.settle(till.reserve(caller=b"a"), ProviderAuthError(), NOW)
    till.budget.settle(till.reserve(caller=b"a"), ProviderTimeout(), NOW)

    with pytest.raises(ProviderOverBudget):
        till.reserve(caller=b"a")


def test_memory_of_callers_is_bounded() -> None:
    """B6, C17: a new caller for every call."""
    callers = Callers()
    for i in range(caps.MAX_CALLERS + 1000):
        callers.add(i.to_bytes(4, "big"), NOW)

    assert len(callers._windows) == caps.MAX_CALLERS
    assert callers.count((999).to_bytes(4, "big"), NOW) == 0
    assert callers.count((1000).to_bytes(4, "big"), NOW) == 1


def test_random_dialling_burns_no_more_than_the_cap() -> None:
    """B6: 1e5 random numbers from callers who change, some of them lost, over three days."""
    till = Till(per_day("500", misses_per_hour=20))
    draw, billed = random.Random(6), dict[int, int]()
    for i in range(100_000):
        at = NOW + i * 2.5
        try:
            reservation = till.reserve(at, caller=draw.randrange(5000).to_bytes(2, "big"))
        except ProviderOverBudget:
            continue
        billed[int(at // DAY_S)] = billed.get(int(at // DAY_S), 0) + 1
        till.budget.settle(reservation, answer("1") if draw.random() < 0.9 else ProviderTimeout(), at)

    assert billed == dict.fromkeys(range(TODAY, TODAY + 4), 500)


def test_a_reload_keeps_what_is_spent() -> None:
    till = Till(options())
    for _ in range(5):
        till.pay("1")

    till.budget.configure(per_day("6"), {"other": Tariff("EUR")}, NOW)

    till.reserve()
    with pytest.raises(ProviderOverBudget):
        till.reserve()


def test_a_reload_gives_no_fresh_burst() -> None:
    till = Till(options(providers={"npl": {"burst": {"credits": "3", "seconds": 60}}}))
    for _ in range(3):
        till.pay("1")

    for seconds in (60, 30, 600):
        till.budget.configure(options(providers={"npl": {"burst": {"credits": "3", "seconds": seconds}}}), CREDITS, NOW)
        with pytest.raises(ProviderOverBudget):
            till.reserve(NOW + 1)


def test_a_burst_cap_that_was_gone_for_a_while_has_forgotten_nothing() -> None:
    capped = options(providers={"npl": {"burst": {"credits": "3", "seconds": 60}}})
    till = Till(capped)
    till.pay("1")
    till.pay("1", NOW + 40)

    till.budget.configure(options(), CREDITS, NOW + 41)
    till.pay("1", NOW + 42)
    till.pay("1", NOW + 43)
    till.budget.configure(capped, CREDITS, NOW + 44)

    assert till.spent(NOW + 44) == {("npl", "credits", 60): "4"}
    with pytest.raises(ProviderOverBudget):
        till.reserve(NOW + 99)
    till.reserve(NOW + 102)


def test_what_no_cap_asks_for_any_more_does_not_grow() -> None:
    """C17."""
    till = Till(options(providers={"npl": {"burst": {"credits": "3", "seconds": 60}}}))
    till.pay("1")
    till.budget.configure(options(), CREDITS, NOW)

    for second in range(1000):
        till.pay("1", NOW + second)

    (account, *_) = till.budget._accounts.values()
    assert account._window is not None
    assert len(account._window._amounts) <= caps.SLICES + 1


def test_what_a_restart_finds_counts_again() -> None:
    till = Till(options(profiles={"default": {"burst": {"credits": "9", "seconds": 60}}}, misses_per_hour=1))
    recent = tuple(Recent(NOW - age, "npl", "default", b"a", "credits", Decimal(2)) for age in (90, 30, 10))

    till.budget.restore(Snapshot(last_id=TODAY << 32 | 7, last_at=NOW, recent=recent))

    assert till.spent() == {("default", "credits", 60): "4"}
    assert till.reserve().id == TODAY << 32 | 8
    with pytest.raises(ProviderOverBudget):
        till.reserve(caller=b"a")


def test_no_repr_shows_a_number() -> None:
    """S13."""
    till = Till(options())

    shown = repr(till.reserve()) + repr(Payer("default", CALLER))

    assert NUMBER[3:] not in shown
    assert CALLER[3:] not in shown


@pytest.mark.parametrize(
    "said",
    [
        {"cap": {}},
        {"providers": {"npl": {"per_month": {"credits": "1"}}}},
        {"providers": {"npl": {"per_day": {"GBP": "1"}}}},
        {"providers": {"npl": {"per_day": {"credits": "-1"}}}},
        {"providers": {"npl": {"per_day": {"credits": "NaN"}}}},
        {"providers": {"npl": {"burst": {"seconds": 60}}}},
        {"providers": {"npl": {"burst": {"credits": "1"}}}},
        {"providers": {"npl": {"burst": {"credits": "1", "seconds": 86400}}}},
        {"misses_per_hour": 0},
        {"on_disk_failure": "perhaps"},
        {"keep_days": 0},
    ],
)
def test_a_budget_that_says_nothing_clear_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        options(**said)
