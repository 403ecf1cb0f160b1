"""What the page makes of answers: values, lines and words, also those for which the servers of the tests have no reason."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import OpenTab
from tests.console.told import STEPS, minute, moment, provider, rule, tell, tell_live
from tests.processes import Site

LINES = {"calls": 1, "latency": 3, "shares": 2, "load": 2}
"""By plot: how many lines of a minute lie apart; of calls, none was blocked."""
DRAWN = """([name, line]) => {
    const colour = getComputedStyle(document.documentElement).getPropertyValue(`--plot-${line}`).trim();
    const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    const canvas = document.querySelector(`#plot-${name} canvas`);
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4)
        if (data[at + 3] > 200 && wanted.every((value, part) => Math.abs(value - data[at + part]) < 30)) count += 1;
    return count;
}"""
SEEN = 20


def pixels(page: Page, plot: str, line: int) -> int:
    """How many of the canvas are in the colour of this line."""
    count: int = page.evaluate(DRAWN, [plot, line])
    return count


@pytest.fixture
def told_page(open_tab: OpenTab, site: Site) -> Page:
    """`now`, of a server that told of one minute."""
    tab = open_tab(site)
    tell_live(tab, minute())
    tell(tab, "GET /api/v1/providers", providers=[provider(health={"for_s": 12.0})])
    return tab.open()


def test_tiles_show_what_the_last_minute_brought(told_page: Page) -> None:
    for tile, shown in {
        "rate": "10",
        "in_time": "94.12 %",  # 48 of 51
        "hit": "76 %",
        "p50": "3.25 ms",  # a quarter of the way from 1 to 10 ms
        "p95": "85 ms",
        "p99": "550 ms",
        "sessions": "7",
        "lookups": "12",
        "lag": "0.4 ms",
    }.items():
        expect(told_page.locator(f"#tile-{tile} dd")).to_have_text(shown)


def test_too_many_late_calls_are_the_headline(told_page: Page) -> None:
    expect(told_page.locator("#now-head")).to_contain_text("Only 94.1 % of the calls were answered in time.")
    expect(told_page.locator("#now-head")).to_have_class(re.compile(r"\bbad\b"))
    expect(told_page.locator("#tile-in_time")).to_have_class("tile bad")


def test_who_was_asked_with_the_mix_of_errors(told_page: Page) -> None:
    row = told_page.locator("#asked").get_by_role("row", name=re.compile("^npl"))

    told = ["shut it answers too late; tried again in 12 s", "36", "timeout 24, rate limited 12"]
    expect(row.get_by_role("cell")).to_have_text(told)


def test_plots_are_drawn_and_said_in_words(told_page: Page) -> None:
    for title, *lines in (
        ("Calls a second", "all: now 10, between 10 and 10.", "blocked: now 0, between 0 and 0."),
        (
            "Answer time, ms",
            "p50: now 3.25 ms, between 3.25 ms and 3.25 ms.",
            "p95: now 85 ms, between 85 ms and 85 ms.",
        ),
        ("Shares, %", "in time: now 94.1 %, between 94.1 % and 94.1 %.", "found in the cache: now 76 %, between"),
        ("Under way", "sessions: now 7, between 2 and 9.", "lookups: now 12, between 0 and 12."),
    ):
        expect(told_page.get_by_role("img", name=" ".join([f"{title}, the last 15 minutes.", *lines]))).to_be_visible()
    expect(told_page.get_by_role("img", name="p99: now 550 ms, between 550 ms and 550 ms.")).to_be_visible()
    legend = told_page.locator("#plot-latency .u-legend")
    expect(legend).to_contain_text("p503.25 msp9585 msp99550 ms")

    drawn = {name: [pixels(told_page, name, line) for line in range(1, lines + 1)] for name, lines in LINES.items()}

    assert [name for name, counts in drawn.items() if min(counts) < SEEN] == [], drawn


def test_where_nobody_called_no_line_is_drawn(open_tab: OpenTab, site: Site) -> None:
    tab = open_tab(site)
    tell_live(tab, [moment(step, 0) for step in range(STEPS + 1)])
    page = tab.open()

    expect(page.get_by_role("img", name="Answer time, ms, the last 15 minutes. p50: nothing yet.")).to_be_visible()
    expect(page.get_by_role("img", name="Shares, %, the last 15 minutes. in time: nothing yet.")).to_be_visible()
    assert (pixels(page, "latency", 1), pixels(page, "shares", 1)) == (0, 0)
    assert pixels(page, "load", 1) > SEEN
    for tile in ("in_time", "hit", "p50", "p95", "p99"):
        expect(page.locator(f"#tile-{tile} dd")).to_have_text("–")


def test_rules_with_their_share_of_false_blocks_and_its_interval(open_tab: OpenTab, site: Site) -> None:
    tab = open_tab(site)
    tell(
        tab,
        "GET /api/v1/rules",
        rules=[
            rule(rule="dead_number", mode="enforce", scored=480, false_blocks=0.0083, low=0.002, high=0.0214, probes=9),
            rule(rule="irsf", mode="returned", scored=40, false_blocks=0.25, low=0.142, high=0.402, blocked=1234),
            rule(rule="quiet", mode="shadow", scored=0, false_blocks=None, low=0.0, high=1.0, would_block=0),
        ],
        distrusted=["npl GB", "hlr FR"],
        false_block_budget=0.015,
    )
    page = tab.open("blocking")

    for name, *cells in (
        ("dead_number", "enforced", "0.8 % (0.2 % to 2.1 %)", "14", "0", "9", "480"),
        ("irsf", "returned to shadow", "25 % (14.2 % to 40.2 %)", "14", "1,234", "0", "40"),
        ("quiet", "shadow", "none scored", "0", "0", "0", "0"),
    ):
        row = page.get_by_role("row", name=re.compile(f"^{name} "))
        expect(row.get_by_role("cell")).to_have_text(cells)
    expect(page.get_by_text("returned to shadow", exact=True)).to_have_class("tag bad")
    expect(page.get_by_text("A rule may block at most 1.5 % of calls falsely")).to_be_visible()
    expect(page.get_by_text("Not believed for now: npl GB, hlr FR.")).to_be_visible()


def test_providers_that_are_held_back_with_why_and_their_mix_of_errors(open_tab: OpenTab, site: Site) -> None:
    tab = open_tab(site)
    silent = {"state": "ok", "last_error": None, "last_error_at": None}
    tell(
        tab,
        "GET /api/v1/providers",
        providers=[
            provider(requests={"timeout": 9, "answer": 170, "rate_limited": 21}, health={"for_s": 12.0, "waiting": 3}),
            provider(name="refused", health={"why": "auth", "for_s": None, "last_error": "auth"}),
            provider(name="odd", health={"why": "provider_failure", "for_s": 300.0}),
            provider(name="pressed", health={"state": "paused", "why": "rate_limited", "for_s": 30.0}),
            provider(name="fresh", requests={}, health=silent, latency_s={"p50": None, "p95": None, "p99": None, "count": 0}),
        ],
    )  # fmt: skip
    page = tab.open("providers")

    def card(name: str, *texts: str) -> None:
        for text in texts:
            expect(page.get_by_role("region", name=f"Provider {name}")).to_contain_text(text)

    card(
        "npl",
        "shut it answers too late; tried again in 12 s",
        "Last errortimeout, 2 s ago",
        "Timep50 310 ms, p95 900 ms, p99 1.8 s",
    )
    card("npl", "200 since the start: answer 170 (85 %), rate limited 21 (10.5 %), timeout 9 (4.5 %)", "3 numbers wait")
    card("refused", "shut the vendor refuses our credentials; until that is mended", "Last errorauth")
    card("odd", "shut provider failure; tried again in 5 min")
    card("pressed", "paused it said “too many”; goes on in 30 s")
    card("fresh", "ok", "Requests0 since the start", "Timenot asked yet")
