"""What a call costs, exactly."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.calls.bill import Bill
from agi_lookup.routing.fx import FxTable
from agi_lookup.routing.rates import Tariff

NOW = 1_800_000_000.0  # 2027-01-15
CENT = 10**7
FX = FxTable("EUR", 7, {"USD": {date(2027, 1, 14): Fraction(8, 10), date(2027, 1, 16): Fraction(9, 10)}})


def cost(billsec: int, *, connect: int = 0, first_s: int = 1, next_s: int = 1, currency: str = "EUR") -> int | None:
    """At 6 cents a minute."""
    return Bill("EUR", FX).of(Tariff(currency, 6 * CENT, connect, first_s, next_s), billsec, NOW)


@pytest.mark.parametrize(
    ("billsec", "first_s", "next_s", "cents"),
    [(61, 1, 1, 6.1), (61, 60, 60, 12), (61, 30, 6, 6.6), (1, 60, 60, 6), (60, 60, 60, 6), (0, 60, 60, 0)],
)
def test_increments_are_paid_in_full(billsec: int, first_s: int, next_s: int, cents: float) -> None:
    assert cost(billsec, first_s=first_s, next_s=next_s) == cents * CENT


def test_the_connect_fee_is_paid_once_by_who_was_answered() -> None:
    assert cost(60, connect=CENT) == 7 * CENT
    assert cost(0, connect=CENT) == 0


def test_money_is_worth_what_it_was_on_the_day_of_the_call() -> None:
    usd = Tariff("USD", 10 * CENT)

    assert Bill("EUR", FX).of(usd, 60, NOW) == 8 * CENT
    assert Bill("EUR", FX).of(usd, 60, NOW + 86_400) == 9 * CENT
    assert Bill("EUR", FX).of(usd, 60, NOW - 2 * 86_400) is None


def seconds_billed(billsec: int, first_s: int, next_s: int) -> int:
    """Increment by increment."""
    paid = first_s
    while paid < billsec:
        paid += next_s
    return paid


@given(
    rate=st.integers(0, 10**12),
    connect=st.integers(0, 10**12),
    first_s=st.integers(1, 120),
    next_s=st.integers(1, 120),
    billsec=st.integers(1, 5000),
    worth=st.fractions(Fraction(1, 1000), 1000, max_denominator=10**6),
)
def test_a_cost_is_exact_to_half_a_nano_unit(
    rate: int, connect: int, first_s: int, next_s: int, billsec: int, worth: Fraction
) -> None:
    bill = Bill("EUR", FxTable("EUR", 0, {"USD": {date(2027, 1, 15): worth}}))

    found = bill.of(Tariff("USD", rate, connect, first_s, next_s), billsec, NOW)

    exact = (Fraction(rate * seconds_billed(billsec, first_s, next_s), 60) + connect) * worth
    assert found is not None
    assert abs(found - exact) <= Fraction(1, 2)
