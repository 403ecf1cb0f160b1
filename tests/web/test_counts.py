"""Quantiles and sums out of what was counted."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from agi_lookup.metrics import SOURCE_BUCKETS_S, Metrics
from agi_lookup.web.counts import Counts, Spread


@pytest.mark.parametrize(
    ("upto", "share", "expected"),
    [
        ((0, 0, 0), 0.5, None),
        ((10, 10, 10), 0.5, 0.5),  # half way into the first bucket
        ((0, 10, 10), 0.5, 1.5),
        ((5, 10, 10), 0.5, 1.0),
        ((5, 10, 10), 0.75, 1.5),
        ((0, 0, 10), 0.5, 2.0),  # beyond the last bound: that
        ((99, 99, 100), 0.99, 1.0),
    ],
)
def test_a_quantile_lies_in_its_bucket(upto: tuple[int, ...], share: float, expected: float | None) -> None:
    assert Spread((1.0, 2.0, inf), upto).quantile(share) == expected


def test_of_nothing_there_is_no_quantile() -> None:
    assert Spread((), ()).quantile(0.5) is None


@given(st.lists(st.floats(0, 30), min_size=1, max_size=50), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_never_out_of_its_bucket(seconds: list[float], share: float) -> None:
    metrics = Metrics()
    for one in seconds:
        metrics.source_asked("npl", "answer", one, None)
        metrics.source_asked("other", "timeout", 30.0, None)
    spread = Counts(metrics.registry, "source_seconds").spread("source_seconds", provider="npl")
    found, exact = spread.quantile(share), sorted(seconds)[-int(len(seconds) * (1 - share)) - 1]
    bounds = [0.0, *SOURCE_BUCKETS_S]
    assert found is not None
    assert spread.total == len(seconds)
    assert any(low <= found <= high and low <= exact <= high for low, high in pairwise(bounds))


def test_counts_are_summed_by_label() -> None:
    metrics = Metrics()
    for result in ("answer", "answer", "timeout"):
        metrics.source_asked("npl", result, 0.1, None)
    metrics.source_asked("other", "answer", 0.1, None)
    metrics.refused("not_in_acl")
    counts = Counts(metrics.registry, "source_requests", "sessions_refused", "blocked")
    assert counts.by("source_requests", "result", provider="npl") == {"answer": 2, "timeout": 1}
    assert counts.by("source_requests", "provider") == {"npl": 3, "other": 1}
    assert counts.by("sessions_refused", "why")["not_in_acl"] == 1
    assert (counts.total("blocked"), counts.total("never asked for")) == (0, 0)


def test_an_empty_registry_has_no_counts() -> None:
    assert Counts(CollectorRegistry(), "calls").total("calls") == 0
