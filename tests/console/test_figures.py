"""What the page computes of two snapshots, in the browser that computes it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.console.conftest import OpenTab
from tests.processes import Site

LE = [0.1, 0.2, 0.4]


def snapshot(
    now: float, total: int, *, started: float = 1.0, count: list[int] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "now": now,
        "started": started,
        "ready": True,
        "calls": {
            "total": total,
            "in_time": total,
            "by_status": {"OK": total},
            "by_cache": {"fresh": total},
            "by_action": {},
        },
        "call_seconds": {"le": LE, "count": count or [total] * 3, "total": total, "sum": 0.0},
        "sources": {},
        "refused": {},
        "blocked": 0,
        "would_block": 0,
        "bugs": 0,
        "log_dropped": 0,
        **more,
    }


@pytest.fixture
def blank(open_tab: OpenTab, site: Site) -> Page:
    """A page of the server's on which nothing runs."""
    tab = open_tab(site, expected=("404",))  # a browser wants an icon even for an icon
    tab.page.goto(f"{tab.base}/static/icon.svg")
    return tab.page


def over(page: Page, snapshots: list[dict[str, Any]], length: float, shown: str) -> Any:
    return page.evaluate(
        f"async ([snapshots, length]) => {{ const s = await import('/static/series.js'); s.add(snapshots);"
        f" const did = s.over(length); return did && ({shown}); }}",
        [snapshots, length],
    )


def test_a_rate_is_of_the_window_alone(blank: Page) -> None:
    taken = [snapshot(1000.0, 0), snapshot(1050.0, 500), snapshot(1060.0, 540)]

    assert over(blank, taken, 10, "did.rate") == pytest.approx(4.0)
    assert over(blank, taken, 60, "did.rate") == pytest.approx(9.0)


def test_what_came_too_late_counts_as_not_in_time(blank: Page) -> None:
    late = snapshot(1060.0, 90, refused={"too_late": 10})

    assert over(blank, [snapshot(1000.0, 0), late], 60, "did.inTime") == pytest.approx(0.9)


def test_nothing_is_counted_over_a_restart(blank: Page) -> None:
    taken = [snapshot(1000.0, 900), snapshot(1060.0, 7, started=1050.0)]

    assert over(blank, taken, 60, "did.rate") is None


@pytest.mark.parametrize(
    ("share", "seconds"),
    [(0.5, 0.1), (0.25, 0.05), (0.9, 0.4), (0.99, 0.4)],  # 5 within 0.1, 3 more within 0.2, 1 within 0.4, 1 beyond
)
def test_quantiles_are_interpolated_and_never_beyond_what_is_known(blank: Page, share: float, seconds: float) -> None:
    taken = [snapshot(1000.0, 0), snapshot(1060.0, 10, count=[5, 8, 9])]

    assert over(blank, taken, 60, f"did.quantile({share})") == pytest.approx(seconds)


def test_nearly_all_is_not_all(blank: Page) -> None:
    said = blank.evaluate(
        "async () => { const w = await import('/static/words.js'); return [w.percent(0.99996), w.percent(1)]; }"
    )

    assert said == ["99.9\u00a0%", "100\u00a0%"]


@pytest.mark.parametrize(
    ("amount", "said"),
    [("1234567.50", "1,234,567.5 EUR"), ("0.000001", "0.000001 EUR"), ("100", "100 EUR"), ("0.10", "0.1 EUR")],
)
def test_no_digit_of_money_is_lost(blank: Page, amount: str, said: str) -> None:
    assert blank.evaluate("async (amount) => (await import('/static/words.js')).money(amount, 'EUR')", amount) == said


def test_the_first_calls_are_timed_though_nothing_was_counted_before(blank: Page) -> None:
    """A histogram that has counted nothing yet has no buckets."""
    start = snapshot(1000.0, 0)
    start["call_seconds"] = {"le": [], "count": [], "total": 0, "sum": 0.0}

    assert over(blank, [start, snapshot(1060.0, 60)], 60, "did.quantile(0.5)") == pytest.approx(0.05)
