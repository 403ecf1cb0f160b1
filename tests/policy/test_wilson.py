"""The interval against published figures, and what must hold of any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.policy.wilson import wilson

PUBLISHED = [
    # R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3 (the score interval)
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize(("hits", "trials", "low", "high"), PUBLISHED)
def test_the_interval_is_that_of_the_literature(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits, trials, 1.959964) == pytest.approx((low, high), abs=1e-4)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.1, 5))
def test_the_interval_holds_the_share_and_stays_a_share(hits: float, trials: float, z: float) -> None:
    low, high = wilson(hits, trials, z)

    assert 0 <= low <= high <= 1
    if trials > 0:
        assert low - 1e-9 <= min(1, hits / trials) <= high + 1e-9


def test_of_no_trials_anything_may_be() -> None:
    assert wilson(0, 0, 1.96) == (0, 1)


def test_one_trial_says_something() -> None:
    low, high = wilson(1, 1, 1.96)

    assert (round(low, 4), high) == (0.2065, 1.0)
    assert wilson(0, 0.5, 1.96)[1] < 1
