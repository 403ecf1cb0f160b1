"""How long calls to a destination last."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.routing.durations import ENOUGH, MANY, MAX_DESTINATIONS, STEPS_S, Durations


def learned(*lengths_s: int, times: int = ENOUGH) -> Durations:
    durations = Durations()
    for _ in range(times):
        for length_s in lengths_s:
            durations.observe("GB", length_s)
    return durations


def mean_s(durations: Durations) -> float:
    spread = durations.of("GB")
    assert spread is not None
    return sum(seconds * share for seconds, share in spread) / sum(share for _, share in spread)


def test_few_calls_say_nothing() -> None:
    assert learned(60, times=ENOUGH - 1).of("GB") is None
    assert learned(60, times=ENOUGH).of("FR") is None


def test_enough_calls_say_how_long_they_last() -> None:
    spread = learned(20, 20, 20, 500).of("GB")

    assert spread is not None
    assert [round(share, 2) for _, share in spread] == [0.75, 0.25]
    assert [
        seconds in length for (seconds, _), length in zip(spread, (range(13, 25), range(361, 601)), strict=True)
    ] == [
        True,
        True,
    ]


def test_calls_that_last_all_day_are_long_calls() -> None:
    assert learned(86_400).of("GB") == ((4800, 1.0),)


def test_new_habits_replace_old_ones() -> None:
    durations = learned(20, times=MANY)
    for _ in range(MANY):
        durations.observe("GB", 600)

    assert mean_s(durations) > 300


def test_a_spread_is_the_same_object_until_it_changes() -> None:
    """Costs are kept by it."""
    durations = learned(20)
    first = durations.of("GB")
    durations.observe("GB", 20)

    assert durations.of("GB") is first


def test_destinations_are_bounded() -> None:
    durations = learned(20)
    for place in range(MAX_DESTINATIONS):
        durations.observe(str(place), 20)

    assert durations.of("GB") is None
    assert len(durations.snapshot()) == MAX_DESTINATIONS


def test_a_snapshot_brings_back_what_was_known() -> None:
    durations, restored = learned(20, 500), Durations()
    restored.restore(json.loads(json.dumps(durations.snapshot())))

    assert restored.snapshot() == durations.snapshot()
    assert restored.of("GB") == durations.of("GB")


@pytest.mark.parametrize("rows", [None, [["GB", [1]]], [["GB", [-1] * len(STEPS_S)]], [["GB", [10**9] * len(STEPS_S)]]])
def test_what_is_no_snapshot_is_refused_and_changes_nothing(rows: Any) -> None:
    durations = learned(20)

    with pytest.raises(ValueError, match="no snapshot of call durations"):
        durations.restore(rows)
    assert durations.of("GB") is not None


@settings(deadline=None)
@given(st.lists(st.integers(1, 7200), min_size=1, max_size=30))
def test_the_mean_is_about_right(lengths_s: list[int]) -> None:
    """Within the width of a step: the widest is three times as long at its end as at its beginning."""
    true_s = sum(lengths_s) / len(lengths_s)

    assert true_s / 3 - 3 <= mean_s(learned(*lengths_s)) <= 3 * true_s + 3
